--- A buffer of a fixed size for bytes.
-- Always true: never holds more than `size` bytes; a write that does not fit changes nothing.
local error, setmetatable = error, setmetatable
local s_byte, s_find, s_sub = string.byte, string.find, string.sub

local _ENV = nil

local methods = {}
local ring_mt = { __index = methods, __name = "ringbuffer" }

--- Gives an empty buffer for `size` (the page size) bytes.
local function new(size)
	size = size or 4096
	if size <= 0 then
		error("the size of a ring buffer must be greater than zero", 2)
	end
	return setmetatable({ _size = size, _data = "" }, ring_mt)
end

--- How many bytes it can hold.
function methods:size()
	return self._size
end

--- How many bytes it holds.
function methods:length()
	return #self._data
end

ring_mt.__len = methods.length

--- How many bytes it has room for.
function methods:free()
	return self._size - #self._data
end

--- Adds bytes; gives their number, or nil when they do not fit.
function methods:write(data)
	if #data > self:free() then
		return nil
	end
	self._data = self._data .. data
	return #data
end

--- Takes (with `peek` only looks at) exactly `bytes`; nil when there are fewer.
function methods:read(bytes, peek)
	if bytes > #self._data then
		return nil
	end
	local data = s_sub(self._data, 1, bytes)
	if not peek then
		self._data = s_sub(self._data, bytes + 1)
	end
	return data
end

--- Where the text ends that is looked for; nil when it is not there.
function methods:find(what)
	local _, last = s_find(self._data, what, 1, true)
	return last
end

--- Takes up to and including `what`; nil when it is not there.
function methods:readuntil(what)
	local last = self:find(what)
	return last and self:read(last)
end

--- Throws away `bytes`; false when there are fewer.
function methods:discard(bytes)
	return self:read(bytes) ~= nil
end

--- string.sub and string.byte of what it holds.
function methods:sub(i, j)
	return s_sub(self._data, i, j)
end

function methods:byte(i, j)
	i = i or 1
	return s_byte(self._data, i, j or i)
end

function ring_mt:__tostring()
	return self._data
end

return { new = new }
