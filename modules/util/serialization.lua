--- Lua values as text, and back. This is the form of the files under data/, which util.literal reads.
-- Always true: the text is a Lua literal; array members come first, then fields in the order of their keys, so equal
-- values give equal text. What has no literal (functions, cycles) raises, or becomes what the `fallback` says.
local error, getmetatable, ipairs, next, pairs, setmetatable, tostring, type =
	error, getmetatable, ipairs, next, pairs, setmetatable, tostring, type
local math_type, tonumber = math.type, tonumber
local s_byte, s_find, s_format, s_gsub, s_match, s_rep =
	string.byte, string.find, string.format, string.gsub, string.match, string.rep
local t_concat, t_sort = table.concat, table.sort
local require = require

local _ENV = nil

-- Bytes that are written as they are: printable ASCII without quotes and backslash.
local short_escapes = {
	["\a"] = "\\a", ["\b"] = "\\b", ["\f"] = "\\f", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ["\v"] = "\\v",
	["\""] = "\\\"", ["\'"] = "\\'", ["\\"] = "\\\\",
}
local escapes = setmetatable({}, { __index = function (t, char)
	local escaped = short_escapes[char] or s_format("\\%03d", s_byte(char))
	t[char] = escaped
	return escaped
end })

local function quote(text)
	if s_find(text, "[%c\"'\\\127-\255]") then
		text = s_gsub(text, "[%c\"'\\\127-\255]", escapes)
	end
	return "\"" .. text .. "\""
end

local function number_text(number)
	if math_type(number) == "integer" then
		return s_format("%d", number)
	elseif number ~= number then
		return "(0/0)"
	elseif number == 1 / 0 then
		return "(1/0)"
	elseif number == -1 / 0 then
		return "(-1/0)"
	end
	local text = s_format("%.15g", number)
	return tonumber(text) == number and text or s_format("%.17g", number)
end

local keywords = {}
for _, word in ipairs {
	"and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in", "local", "nil",
	"not", "or", "repeat", "return", "then", "true", "until", "while",
} do
	keywords[word] = true
end

-- Any order that is always the same: by type, numbers and strings by value.
local function key_before(a, b)
	local type_a, type_b = type(a), type(b)
	if type_a ~= type_b then
		return type_a < type_b
	elseif type_a == "number" or type_a == "string" then
		return a < b
	end
	return tostring(a) < tostring(b)
end

local presets = {
	oneline = { indentwith = "", itemstart = " ", itemlast = " " },
	compact = { indentwith = "", itemstart = "", itemlast = "", equals = "=", unquoted = true },
	debug = {
		indentwith = "", itemstart = " ", itemlast = " ", unquoted = true, freeze = true, multirefs = true,
		fallback = function (value, why)
			return quote(tostring(value) .. (why and " (" .. why .. ")" or ""))
		end,
	},
}

local function fail(value, why)
	error("Can't serialize " .. type(value) .. (why and ": " .. why or ""), 0)
end

local function silent(value, why)
	return s_format("nil --[[%s%s]]", type(value), why and ": " .. why or "")
end

--- Gives a function value -> text. options is a preset's name ("oneline", "compact", "debug") or a table:
--   preset      start from these;
--   fatal       false: what cannot be written becomes nil with a comment, instead of an error;
--   fallback    function (value, why) that gives the text instead;
--   freeze      true: ask a table's __freeze metamethod for a plain table;
--   multirefs   true: write a table as often as it is met (a cycle is refused always);
--   maxdepth    127: how deep tables may nest;
--   unquoted    true: names stand without ["..."];
--   indentwith, itemstart, itemsep, itemlast, tstart, tend, kstart, kend, equals: the punctuation.
local function new(options)
	if type(options) ~= "table" then
		options = { preset = options }
	end
	local preset = presets[options.preset] or {}
	local function option(name, default)
		if options[name] ~= nil then
			return options[name]
		elseif preset[name] ~= nil then
			return preset[name]
		end
		return default
	end

	local indent = option("indentwith", "\t")
	local item_start, item_sep, item_last = option("itemstart", "\n"), option("itemsep", ";"), option("itemlast", ";\n")
	local table_start, table_end = option("tstart", "{"), option("tend", "}")
	local key_start, key_end, equals = option("kstart", "["), option("kend", "]"), option("equals", " = ")
	local unquoted, freeze, multirefs = option("unquoted"), option("freeze"), option("multirefs")
	local max_depth = option("maxdepth", 127)
	local fallback = option("fallback", option("fatal") == false and silent or fail)
	-- An empty table on one line is {} where items have lines of their own.
	local empty = table_start .. (s_find(item_start, "\n", 1, true) and "" or item_start) .. table_end

	local write

	local function write_table(t, out, depth, seen)
		if seen[t] then
			out[#out + 1] = fallback(t, "table has multiple references")
			return
		elseif depth >= max_depth then
			out[#out + 1] = fallback(t, "max table depth reached")
			return
		end
		local original = t
		seen[original] = true
		if freeze then
			local mt = getmetatable(t)
			local frozen = type(mt) == "table" and mt.__freeze
			if frozen then
				t = frozen(t)
				if type(t) ~= "table" then
					write(t, out, depth, seen)
					seen[original] = not multirefs or nil
					return
				end
			end
		end

		if next(t) == nil then
			out[#out + 1] = empty
			seen[original] = not multirefs or nil
			return
		end
		local start = item_start .. s_rep(indent, depth + 1)
		out[#out + 1] = table_start
		local length, first = 0, true
		for i, value in ipairs(t) do
			out[#out + 1] = first and start or item_sep .. start
			write(value, out, depth + 1, seen)
			length, first = i, false
		end
		local keys = {}
		for key in next, t do
			if not (math_type(key) == "integer" and key >= 1 and key <= length) then
				keys[#keys + 1] = key
			end
		end
		t_sort(keys, key_before)
		for _, key in ipairs(keys) do
			out[#out + 1] = first and start or item_sep .. start
			first = false
			if unquoted and type(key) == "string" and s_match(key, "^[%a_][%w_]*$") and not keywords[key] then
				out[#out + 1] = key
			else
				out[#out + 1] = key_start
				write(key, out, depth + 1, seen)
				out[#out + 1] = key_end
			end
			out[#out + 1] = equals
			write(t[key], out, depth + 1, seen)
		end
		out[#out + 1] = item_last .. s_rep(indent, depth) .. table_end
		seen[original] = not multirefs or nil
	end

	function write(value, out, depth, seen)
		local kind = type(value)
		if kind == "string" then
			out[#out + 1] = quote(value)
		elseif kind == "number" then
			out[#out + 1] = number_text(value)
		elseif kind == "boolean" or kind == "nil" then
			out[#out + 1] = tostring(value)
		elseif kind == "table" then
			write_table(value, out, depth, seen)
		else
			out[#out + 1] = fallback(value)
		end
	end

	return function (value)
		local out = {}
		write(value, out, 0, {})
		return t_concat(out)
	end
end

local serializers = { default = new() }
for name in pairs(presets) do
	serializers[name] = new(name)
end

--- The value as text. options: see new.
local function serialize(value, options)
	if options == nil then
		return serializers.default(value)
	end
	return (serializers[options] or new(options))(value)
end

--- The value of such a text, or nil and an error. The text is parsed, never run.
local function deserialize(text)
	if type(text) ~= "string" then
		return nil
	end
	return require "prosody.util.literal".decode(text)
end

return {
	new = new,
	serialize = serialize,
	deserialize = deserialize,
}
