--- UUIDs (RFC 9562): version 4 is random, version 7 begins with the time and so sorts by it.
-- Always true: bits that are not time, version or variant come from the system's random source.
local random_bytes = require "prosody.util.random".bytes
local os_time, s_byte, s_format, s_gsub, s_sub = os.time, string.byte, string.format, string.gsub, string.sub
local pcall, require = pcall, require

local _ENV = nil

local function to_hex(bytes)
	return (s_gsub(bytes, ".", function (byte) return s_format("%02x", s_byte(byte)) end))
end

--- n random hexadecimal digits.
local function get_nibbles(n)
	return s_sub(to_hex(random_bytes((n + 1) // 2)), 1, n)
end

-- The variant digit is 8, 9, a or b: RFC 9562 4.1.
local function with_layout(hex, version)
	local variant = s_format("%x", 8 + s_byte(random_bytes(1)) % 4)
	return s_format("%s-%s-%s%s-%s%s-%s", s_sub(hex, 1, 8), s_sub(hex, 9, 12), version, s_sub(hex, 14, 16), variant,
		s_sub(hex, 18, 20), s_sub(hex, 21, 32))
end

local function v4()
	return with_layout(get_nibbles(32), "4")
end

local now
local function now_ms()
	if not now then
		local found, time = pcall(require, "prosody.util.time")
		now = found and time.now or os_time
	end
	return now() * 1000 // 1 | 0
end

local function v7()
	return with_layout(s_format("%012x", now_ms()) .. get_nibbles(20), "7")
end

return {
	generate = v4,
	v4 = v4,
	v7 = v7,
	get_nibbles = get_nibbles,
	seed = function () end, -- COMPAT Prosody 0.9: the system's source needs no seed
}
