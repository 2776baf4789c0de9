--- COMPAT LuaJIT: require "bit".
-- Always true: like bit32, but results are signed: between -2^31 and 2^31 - 1.
local bit32 = require "prosody.util.bitcompat"
local string_format = string.format

local function signed(number)
	return number >= 0x80000000 and number - 0x100000000 or number
end

local bit = {}

for _, name in ipairs { "band", "bor", "bxor", "bnot" } do
	local operation = bit32[name]
	bit[name] = function (...)
		return signed(operation(...))
	end
end

-- LuaJIT takes shift counts modulo 32.
local shifts = { lshift = "lshift", rshift = "rshift", arshift = "arshift", rol = "lrotate", ror = "rrotate" }
for name, original in pairs(shifts) do
	local operation = bit32[original]
	bit[name] = function (number, by)
		return signed(operation(number, by & 31))
	end
end

function bit.tobit(number)
	return signed(bit32.band(number))
end

--- The last n (8) hexadecimal digits; upper case when n is negative.
function bit.tohex(number, n)
	n = n or 8
	local digits = string_format(n < 0 and "%08X" or "%08x", bit32.band(number))
	return n == 0 and "" or digits:sub(-(n < 0 and -n or n))
end

function bit.bswap(number)
	local bytes = string.pack(">I4", bit32.band(number))
	return signed((string.unpack("<I4", bytes)))
end

return bit
