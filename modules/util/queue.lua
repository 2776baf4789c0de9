--- A queue with a ceiling: first in, first out.
-- Always true: between 0 and `size` items, kept in a ring, so push and pop cost the same however long it is.
local setmetatable = setmetatable

local _ENV = nil

local methods = {}
local queue_mt = { __index = methods, __name = "queue" }

--- Gives an empty queue for `size` items. allow_wrapping: when full, push drops the oldest instead of failing.
local function new(size, allow_wrapping)
	return setmetatable({ size = size, _items = {}, _first = 1, _count = 0, _wraps = allow_wrapping }, queue_mt)
end

-- Where the item that is nth in line lives.
local function slot(queue, nth)
	return (queue._first + nth - 2) % queue.size + 1
end

function methods:count()
	return self._count
end

--- True, or nil and "queue full".
function methods:push(item)
	if self._count >= self.size then
		if not self._wraps then
			return nil, "queue full"
		end
		self:pop()
	end
	self._count = self._count + 1
	self._items[slot(self, self._count)] = item
	return true
end

--- Takes the oldest item; nil when empty.
function methods:pop()
	if self._count == 0 then
		return nil
	end
	local at = self._first
	local item = self._items[at]
	self._items[at] = nil
	self._first = at % self.size + 1
	self._count = self._count - 1
	return item
end

--- The oldest item, which stays.
function methods:peek()
	return self._count > 0 and self._items[self._first] or nil
end

--- Puts another item in the place of the oldest; into an empty queue it pushes.
function methods:replace(item)
	if self._count == 0 then
		return self:push(item)
	end
	self._items[self._first] = item
	return true
end

--- for i, item in queue:items(): oldest first.
function methods:items()
	return function (queue, i)
		i = i + 1
		if i <= queue._count then
			return i, queue._items[slot(queue, i)]
		end
	end, self, 0
end

--- for item in queue:consume(): pops each.
function methods:consume()
	return self.pop, self
end

return { new = new }
