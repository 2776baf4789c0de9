--- Random identifiers, safe in URLs, file names and JIDs (base64url, RFC 4648 section 5).
-- Always true: unguessable from `short` upwards; `tiny` only tells a few things apart.
local base64_encode = require "prosody.util.encodings".base64.encode
local random_bytes = require "prosody.util.random".bytes
local os_time, pcall, require = os.time, pcall, require
local s_format, s_gsub = string.format, string.gsub

local _ENV = nil

local url_safe = { ["+"] = "-", ["/"] = "_", ["="] = "" }

local function encode(bytes)
	return (s_gsub(base64_encode(bytes), "[+/=]", url_safe))
end

--- Gives a function that makes identifiers from n random bytes (4 characters for 3 bytes).
local function custom(n)
	return function ()
		return encode(random_bytes(n))
	end
end

local now

--- An identifier that sorts by the time it was made, to the millisecond.
local function sortable()
	if not now then
		local found, time = pcall(require, "prosody.util.time")
		now = found and time.now or os_time
	end
	return s_format("%012x-%s", now() * 1000 // 1 | 0, encode(random_bytes(9)))
end

return {
	tiny = custom(3),   -- 4 characters, 24 bits
	short = custom(9),  -- 12 characters, 72 bits
	medium = custom(18), -- 24 characters, 144 bits
	long = custom(30),  -- 40 characters, 240 bits
	custom = custom,
	sortable = sortable,
}
