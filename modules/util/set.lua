--- Sets: each value at most once, in no order.
-- Always true: `set._items` maps every member to true and holds nothing else. A set does not know its size; counting
-- walks it. Functions make new sets, methods change the set they are called on.
local getmetatable, ipairs, next, pairs, setmetatable, tostring =
	getmetatable, ipairs, next, pairs, setmetatable, tostring
local t_concat = table.concat

local _ENV = nil

local methods = {}
methods.__index = methods
local set_mt = { __name = "set" }

--- Is it a set made by this library?
local function is_set(value)
	return getmetatable(value) == set_mt
end

local function wrap(items)
	return setmetatable({ _items = items }, set_mt)
end

--- Gives a set of the values of a list; without a list, an empty set.
local function new(list)
	local items = {}
	if list then
		for _, item in ipairs(list) do
			items[item] = true
		end
	end
	return wrap(items)
end

local function copy(set)
	local items = {}
	for item in next, set._items do
		items[item] = true
	end
	return items
end

--- All that is in either.
local function union(a, b)
	local items = copy(a)
	for item in next, b._items do
		items[item] = true
	end
	return wrap(items)
end

--- What is in the first and not in the second.
local function difference(a, b)
	local items, without = {}, b._items
	for item in next, a._items do
		if not without[item] then
			items[item] = true
		end
	end
	return wrap(items)
end

--- What is in both.
local function intersection(a, b)
	local items, other = {}, b._items
	for item in next, a._items do
		if other[item] then
			items[item] = true
		end
	end
	return wrap(items)
end

--- What is in exactly one of them.
local function xor(a, b)
	return union(difference(a, b), difference(b, a))
end

function methods:add(item)
	self._items[item] = true
end

function methods:remove(item)
	self._items[item] = nil
end

function methods:contains(item)
	return self._items[item] or false
end

--- Is every member of `other` a member of this set?
function methods:contains_set(other)
	local items = self._items
	for item in next, other._items do
		if not items[item] then
			return false
		end
	end
	return true
end

--- for item in set:items() do ... end. The current item may be removed on the way, nothing may be added.
function methods:items()
	return next, self._items
end

--- Adds the values of a list; nil is an empty list.
function methods:add_list(list)
	if list then
		local items = self._items
		for _, item in ipairs(list) do
			items[item] = true
		end
	end
end

--- Adds every member of another set.
function methods:include(other)
	local items = self._items
	for item in next, other._items do
		items[item] = true
	end
end

--- Removes every member of another set (which may be this one).
function methods:exclude(other)
	local items = self._items
	for item in next, other._items do
		items[item] = nil
	end
end

function methods:empty()
	return next(self._items) == nil
end

set_mt.__index = methods
set_mt.__add = union
set_mt.__sub = difference
set_mt.__mul = intersection

--- set / f: the set of what f makes of each member; nil is left out.
function set_mt.__div(set, fn)
	local items = {}
	for item in next, set._items do
		local mapped = fn(item)
		if mapped ~= nil then
			items[mapped] = true
		end
	end
	return wrap(items)
end

function set_mt.__eq(a, b)
	return is_set(a) and is_set(b) and a:contains_set(b) and b:contains_set(a)
end

--- `for item in set do` also works.
function set_mt:__call(_, item)
	return next(self._items, item), nil
end

function set_mt:__tostring()
	local list = {}
	for item in pairs(self._items) do
		list[#list + 1] = tostring(item)
	end
	return t_concat(list, ", ")
end

--- How util.serialization sees a set.
function set_mt:__freeze()
	local list = {}
	for item in next, self._items do
		list[#list + 1] = item
	end
	return list
end

return {
	new = new,
	is_set = is_set,
	union = union,
	difference = difference,
	intersection = intersection,
	xor = xor,
}
