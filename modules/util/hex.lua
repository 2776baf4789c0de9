--- Bytes as hexadecimal digits.
-- Always true: encode gives lower case, decode takes both and gives nil for anything that is not pairs of digits.
local s_char, s_find, s_format, s_gsub, tonumber =
	string.char, string.find, string.format, string.gsub, tonumber

local _ENV = nil

local digits, bytes = {}, {}
for byte = 0, 255 do
	local pair = s_format("%02x", byte)
	digits[s_char(byte)] = pair
	bytes[pair] = s_char(byte)
end

local function encode(text)
	return (s_gsub(text, ".", digits))
end

-- White space between the pairs is ignored.
local function decode(text)
	text = s_gsub(text, "%s", "")
	if #text % 2 ~= 0 or s_find(text, "%X") then
		return nil
	end
	return (s_gsub(text, "%x%x", function (pair)
		return bytes[pair] or s_char(tonumber(pair, 16))
	end))
end

return {
	encode = encode,
	decode = decode,
	to = encode,
	from = decode,
}
