--- A cache with a ceiling: remembers `size` entries, and forgets the one that was set longest ago to make room.
-- Always true: entries form one list from head (set last) to tail (set first), `_data` finds a link by key, and there
-- are never more than `size` entries. Reading does not move an entry, setting it does.
local assert, error, math_type, setmetatable, type = assert, error, math.type, setmetatable, type

local _ENV = nil

local methods = {}
local cache_mt = { __index = methods, __name = "cache" }

-- The list is a ring around `cache._ring`: ring.next is the head, ring.prev the tail.
local function unlink(cache, link)
	link.prev.next, link.next.prev = link.next, link.prev
	link.prev, link.next = nil, nil
	cache._data[link.key] = nil
	cache._count = cache._count - 1
end

local function link_first(cache, link)
	local ring = cache._ring
	link.prev, link.next = ring, ring.next
	ring.next.prev, ring.next = link, link
	cache._data[link.key] = link
	cache._count = cache._count + 1
end

local function check_size(size)
	assert(type(size) == "number", "cache size must be a number")
	assert(size > 0, "cache size must be greater than zero")
	assert(math_type(size) == "integer" or size % 1 == 0 or size == 1 / 0, "cache size must be an integer")
	return size
end

--- Gives an empty cache. on_evict(key, value, cache) is told before an entry is forgotten; when it answers false the
-- entry stays and the set that needed room fails. on_evict == false: a full cache takes nothing new.
local function new(size, on_evict)
	local ring = {}
	ring.prev, ring.next = ring, ring
	if on_evict == false then
		on_evict = function () return false end
	end
	return setmetatable({
		size = check_size(size),
		_on_evict = on_evict,
		_data = {},
		_count = 0,
		_ring = ring,
	}, cache_mt)
end

-- Forgets from the tail until there is room for `room` more. on_evict may change the cache: so look again each time.
local function make_room(cache, room)
	local on_evict = cache._on_evict
	while cache._count + room > cache.size do
		local tail = cache._ring.prev
		if on_evict and on_evict(tail.key, tail.value, cache) == false and cache._count + room > cache.size then
			return false
		end
		if tail.next and cache._count + room > cache.size then
			unlink(cache, tail)
		end
	end
	return true
end

--- Remembers value under key and makes it the newest; nil forgets the key (without on_evict).
-- False when there was no room.
function methods:set(key, value)
	local link = self._data[key]
	if link then
		unlink(self, link)
		if value ~= nil then
			link.value = value
			link_first(self, link)
		end
		return true
	end
	if value == nil then
		return true
	end
	if not make_room(self, 1) then
		return false
	end
	link = self._data[key] -- on_evict may have set it
	if link then
		unlink(self, link)
	end
	link_first(self, { key = key, value = value })
	return true
end

--- The value of a key, or nil. Does not count as a use.
function methods:get(key)
	local link = self._data[key]
	return link and link.value
end

function methods:count()
	return self._count
end

--- Key and value of the newest entry.
function methods:head()
	local link = self._ring.next
	return link.key, link.value
end

--- Key and value of the entry that goes next.
function methods:tail()
	local link = self._ring.prev
	return link.key, link.value
end

--- for key, value in cache:items(): newest first. The current entry may be removed or set on the way.
function methods:items()
	local ring = self._ring
	local following = ring.next
	return function ()
		local link = following
		-- The one we noted may have been forgotten meanwhile: it has no neighbours then.
		if link == ring or not link.next then
			return nil
		end
		following = link.next
		return link.key, link.value
	end
end

--- for value in cache:values(): newest first.
function methods:values()
	local step = self:items()
	return function ()
		local _, value = step()
		return value
	end
end

--- Forgets the oldest until `size` fits. False when on_evict refused: the new size holds, with what was refused kept
-- until it can go.
function methods:resize(size)
	self.size = check_size(size)
	return make_room(self, 0)
end

--- Forgets everything, without on_evict.
function methods:clear()
	local ring = {}
	ring.prev, ring.next = ring, ring
	self._ring, self._data, self._count = ring, {}, 0
end

--- A table whose fields are the cache's entries.
function methods:table()
	if not self._proxy then
		self._proxy = setmetatable({}, {
			__index = function (_, key)
				return self:get(key)
			end,
			__newindex = function (_, key, value)
				if not self:set(key, value) then
					error("failed to insert key into cache - full", 2)
				end
			end,
			__pairs = function ()
				return self:items()
			end,
			__len = function ()
				return self:count()
			end,
		})
	end
	return self._proxy
end

return { new = new }
