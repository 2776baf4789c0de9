--- Bitwise operations on strings.
-- Always true: the result is as long as the first string; the second is repeated as often as needed. An empty second
-- string gives the first.
local s_byte, s_char = string.byte, string.char
local t_concat = table.concat

local _ENV = nil

local function by(operation)
	return function (text, key)
		local length, key_length = #text, #key
		if key_length == 0 then
			return text
		end
		local out = {}
		for i = 1, length do
			out[i] = s_char(operation(s_byte(text, i), s_byte(key, (i - 1) % key_length + 1)))
		end
		return t_concat(out)
	end
end

--- How many leading bits two strings have in common.
local function common_prefix_bits(a, b)
	local length = #a < #b and #a or #b
	for i = 1, length do
		local difference = s_byte(a, i) ~ s_byte(b, i)
		if difference ~= 0 then
			local n = (i - 1) * 8
			while difference < 128 do
				difference = difference << 1
				n = n + 1
			end
			return n
		end
	end
	return length * 8
end

return {
	sand = by(function (a, b) return a & b end),
	sor = by(function (a, b) return a | b end),
	sxor = by(function (a, b) return a ~ b end),
	common_prefix_bits = common_prefix_bits,
}
