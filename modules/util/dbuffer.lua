--- A buffer of strings: written at the end, read from the beginning, without copying what is only passed on.
-- Always true: holds at most max_size bytes in at most max_chunks pieces; `_length` bytes are unread, beginning at byte
-- `_offset` + 1 of the first piece.
local queue = require "prosody.util.queue"
local math_huge, math_min = math.huge, math.min
local s_byte, s_find, s_sub = string.byte, string.find, string.sub
local setmetatable = setmetatable
local t_concat = table.concat

local _ENV = nil

local methods = {}
local buffer_mt = { __index = methods, __name = "dbuffer" }

--- max_size: bytes (no limit); max_chunks: pieces (32). Nil when max_size is no size.
local function new(max_size, max_chunks)
	if max_size and max_size <= 0 then
		return nil
	end
	return setmetatable({
		_chunks = queue.new(max_chunks or 32), _length = 0, _offset = 0, max_size = max_size or math_huge,
	}, buffer_mt)
end

--- Adds bytes. True, or nil when they do not fit.
function methods:write(data)
	if #data == 0 then
		return true
	elseif self._length + #data > self.max_size then
		return nil
	end
	if not self._chunks:push(data) then
		self:collapse()
		if not self._chunks:push(data) then
			return nil
		end
	end
	self._length = self._length + #data
	return true
end

--- How many bytes it holds.
function methods:length()
	return self._length
end

buffer_mt.__len = methods.length

--- Takes what is left of the first piece, at most max bytes; nil when empty.
function methods:read_chunk(max)
	local chunk = self._chunks:peek()
	if not chunk then
		return nil
	end
	local available = #chunk - self._offset
	if max and max < available then
		local first = self._offset + 1
		self._offset = self._offset + max
		self._length = self._length - max
		return s_sub(chunk, first, self._offset)
	end
	self._chunks:pop()
	local data = self._offset > 0 and s_sub(chunk, self._offset + 1) or chunk
	self._offset = 0
	self._length = self._length - available
	return data
end

--- Takes exactly `bytes`, or gives nil when there are fewer. Without a number: the next piece.
function methods:read(bytes)
	if not bytes then
		return self:read_chunk()
	elseif bytes > self._length then
		return nil
	end
	local parts, missing = {}, bytes
	while missing > 0 do
		local data = self:read_chunk(missing)
		parts[#parts + 1] = data
		missing = missing - #data
	end
	return t_concat(parts)
end

--- Takes up to and including `what` (plain text), or gives nil when it is not there.
function methods:read_until(what)
	local chunk = self._chunks:peek()
	local first, last
	if chunk then
		first, last = s_find(chunk, what, self._offset + 1, true)
	end
	if not first then
		first, last = s_find(self:collapse() or "", what, 1, true)
		if not first then
			return nil
		end
		return self:read(last)
	end
	return self:read(last - self._offset)
end

--- Throws away up to `bytes`; true when that was possible.
function methods:discard(bytes)
	if bytes > self._length then
		return nil
	end
	while bytes > 0 do
		bytes = bytes - #self:read_chunk(bytes)
	end
	return true
end

--- Makes one piece of the first `bytes` (all) and gives it; nil when empty.
function methods:collapse(bytes)
	bytes = math_min(bytes or self._length, self._length)
	if self._length == 0 then
		return nil
	end
	local chunk = self._chunks:peek()
	if self._offset == 0 and #chunk >= bytes then
		return chunk
	end
	local parts, size = {}, 0
	while size < bytes do
		local data = self:read_chunk()
		parts[#parts + 1] = data
		size = size + #data
	end
	local joined = t_concat(parts)
	local rest = queue.new(self._chunks.size)
	rest:push(joined)
	for part in self._chunks:consume() do
		rest:push(part)
	end
	self._chunks = rest
	self._length = self._length + size
	return joined
end

--- string.sub of what is unread; nothing is taken.
function methods:sub(i, j)
	return s_sub(self:collapse() or "", i, j)
end

--- string.byte of what is unread.
function methods:byte(i, j)
	i = i or 1
	return s_byte(self:collapse() or "", i, j or i)
end

return { new = new }
