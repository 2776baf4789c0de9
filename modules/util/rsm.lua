--- Result Set Management (XEP-0059): asking for, and giving, one page of a long list.
-- Always true: parsing ignores what it does not know and what makes no sense (a max that is no number), so a request is
-- at worst less specific than its sender hoped.
local st = require "prosody.util.stanza"
local ipairs, math_type, tonumber, tostring, type = ipairs, math.type, tonumber, tostring, type

local _ENV = nil

local xmlns_rsm = "http://jabber.org/protocol/rsm"

local function count_of(element)
	local number = tonumber(element:get_text())
	return number and number >= 0 and number % 1 == 0 and number // 1 or nil
end

local function text_of(element)
	return element:get_text()
end

local readers = {
	after = text_of,
	before = function (element)
		local text = element:get_text()
		return text == nil or text == "" or text -- empty: the last page (2.5)
	end,
	max = count_of,
	index = count_of,
	count = count_of,
	last = text_of,
	first = function (element)
		return { index = tonumber(element.attr.index), element:get_text() }
	end,
}

--- The fields of a <set/>: after, before (text or true), max, index, count, last, first ({ text, index = }).
local function parse(set)
	local fields = {}
	for element in set:childtags() do
		local name = element.name
		local reader = readers[name]
		if reader and fields[name] == nil then
			fields[name] = reader(element)
		end
	end
	return fields
end

local order = { "after", "before", "index", "max", "first", "last", "count" }

local function number_text(value)
	return type(value) == "number" and math_type(value) == "float" and value % 1 == 0 and tostring(value // 1 | 0)
		or tostring(value)
end

--- A <set/> of such fields.
local function generate(fields)
	local set = st.stanza("set", { xmlns = xmlns_rsm })
	for _, name in ipairs(order) do
		local value = fields[name]
		if name == "first" and type(value) == "table" then
			set:text_tag("first", value[1], { index = value.index and number_text(value.index) })
		elseif name == "before" and value == true then
			set:tag("before"):up()
		elseif value ~= nil then
			set:text_tag(name, number_text(value))
		end
	end
	return set
end

--- The fields of the <set/> inside an element; nil without one.
local function get(element)
	local set = element:get_child("set", xmlns_rsm)
	return set and parse(set)
end

return {
	parse = parse,
	generate = generate,
	get = get,
}
