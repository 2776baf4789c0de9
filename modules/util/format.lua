--- string.format for log lines: takes any value, never fails, and gives text that is safe to show.
-- Always true: the result is valid UTF-8 without control characters but tab and newline (a newline is followed by a
-- tab, so a message cannot fake the next line of a log). A missing argument is "(nil)", a surplus one is added in [].
local math_tointeger, pcall, require, select, tostring, type =
	math.tointeger, pcall, require, select, tostring, type
local s_byte, s_char, s_find, s_format, s_gsub = string.byte, string.char, string.find, string.format, string.gsub
local t_concat = table.concat
local utf8_char, utf8_len = utf8.char, utf8.len

local _ENV = nil

local function escape_byte(char)
	return s_format("\\%03d", s_byte(char))
end

-- U+2400 onwards are pictures of the control characters.
local function picture(char)
	return char == "\127" and utf8_char(0x2421) or utf8_char(0x2400 + s_byte(char))
end

local function escape_c1(char)
	return s_format("\\u{%02x}", s_byte(char, 2))
end

--- The text, safe to show.
local function clean(text)
	if not s_find(text, "[%c\127-\255]") then
		return text
	end
	if not utf8_len(text) then
		return "\"" .. s_gsub(text, "[%c\"\\\127-\255]", escape_byte) .. "\""
	end
	text = s_gsub(text, "[\0-\8\11-\31\127]", picture)
	text = s_gsub(text, "\194[\128-\159]", escape_c1)
	return (s_gsub(text, "\n\t?", "\n\t"))
end

local serialize_debug
local function quoted(value)
	if value == nil then
		return "(nil)"
	end
	serialize_debug = serialize_debug or require "prosody.util.serialization".new("debug")
	local ok, text = pcall(serialize_debug, value)
	return ok and text or clean(tostring(value))
end

local integer_conversions = { d = true, i = true, o = true, u = true, x = true, X = true, c = true }
local float_conversions = { a = true, A = true, e = true, E = true, f = true, F = true, g = true, G = true }

local function convert(flags, conversion, value)
	if conversion == "q" then
		return quoted(value)
	elseif value == nil then
		return "(nil)"
	elseif conversion == "s" then
		local text = clean(tostring(value))
		if flags == "" then
			return text
		end
		local ok, padded = pcall(s_format, "%" .. flags .. "s", text)
		return ok and padded or text
	elseif conversion == "p" then
		return s_format("%p", value)
	end

	local number = type(value) == "number" and value or nil
	if number and integer_conversions[conversion] then
		number = math_tointeger(number)
		if conversion == "c" then
			number = number and number >= 0 and number <= 255 and number or nil
			return number and clean(s_char(number)) or "[" .. clean(tostring(value)) .. "]"
		end
		conversion = conversion == "u" and "d" or conversion
	end
	if number then
		local ok, text = pcall(s_format, "%" .. flags .. (conversion == "F" and "f" or conversion), number)
		if ok then
			return text
		end
	end
	return "[" .. clean(tostring(value)) .. "]"
end

--- format("%s did %d %q", ...)
local function format(pattern, ...)
	local n, used = select("#", ...), 0
	if n == 0 and not s_find(pattern, "%", 1, true) then
		return clean(pattern)
	end
	local arguments = { ... }
	local text = s_gsub(clean(pattern), "%%([-+ #0-9.]*)([%a%%]?)", function (flags, conversion)
		if conversion == "%" and flags == "" then
			return "%"
		elseif conversion == "s" or conversion == "q" or conversion == "p" or integer_conversions[conversion]
			or float_conversions[conversion] then
			used = used + 1
			return convert(flags, conversion, arguments[used])
		end
		return nil -- not a conversion: stays as it is
	end)
	if used < n then
		local parts = { text }
		for i = used + 1, n do
			local value = arguments[i]
			parts[#parts + 1] = value == nil and "[(nil)]" or "[" .. clean(tostring(value)) .. "]"
		end
		text = t_concat(parts, " ")
	end
	return text
end

return {
	format = format,
	clean = clean,
}
