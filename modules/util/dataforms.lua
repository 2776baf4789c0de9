--- Data forms (XEP-0004): a layout written in Lua, the form made from it, and the values read from an answer.
--
--   local layout = dataforms.new {
--       title = "...", instructions = "...",
--       { name = "FORM_TYPE", type = "hidden", value = "urn:..." },
--       { name = "age", type = "text-single", label = "...", desc = "...", datatype = "xs:integer", range_min = 0,
--         required = true, value = the default, options = { "a", { value = "b", label = "B", default = true } } },
--   }
--
-- `var` is the name on the wire where it is not `name`. Values in Lua: booleans, strings, lists of strings for the
-- multi types but text-multi (one string with newlines), and whatever the datatype says (XEP-0122).
-- Always true: reading never raises; a field that does not fit is missing from the values and named in the errors.
local st = require "prosody.util.stanza"
local jid_prep = require "prosody.util.jid".prep
local datetime = require "prosody.util.datetime"
local ipairs, math_tointeger, next, pairs, setmetatable, tonumber, tostring, type =
	ipairs, math.tointeger, next, pairs, setmetatable, tonumber, tostring, type
local s_format, s_gmatch, s_match = string.format, string.gmatch, string.match
local t_concat = table.concat

local _ENV = nil

local xmlns_data = "jabber:x:data"
local xmlns_validate = "http://jabber.org/protocol/xdata-validate"
local xmlns_media = "urn:xmpp:media-element"

local form_methods = {}
local form_mt = { __index = form_methods, __name = "dataform" }

--- Gives the layout the methods form and data.
local function new(layout)
	return setmetatable(layout, form_mt)
end

local function number_in_range(number, field)
	if field.range_min and number < field.range_min then
		return nil, s_format("out of bounds: smaller than %s", field.range_min)
	elseif field.range_max and number > field.range_max then
		return nil, s_format("out of bounds: greater than %s", field.range_max)
	end
	return number
end

-- XML Schema's bounded integers.
local integer_types = {
	["xs:integer"] = { nil, nil }, ["xs:long"] = { nil, nil },
	["xs:int"] = { -2147483648, 2147483647 }, ["xs:short"] = { -32768, 32767 }, ["xs:byte"] = { -128, 127 },
	["xs:nonNegativeInteger"] = { 0, nil }, ["xs:positiveInteger"] = { 1, nil },
	["xs:unsignedInt"] = { 0, 4294967295 }, ["xs:unsignedShort"] = { 0, 65535 }, ["xs:unsignedByte"] = { 0, 255 },
}

-- datatype -> function (text, field) -> value, or nil and an error; and the way back where tostring is not enough.
local data_readers, data_writers = {}, {}

for datatype, bounds in pairs(integer_types) do
	data_readers[datatype] = function (text, field)
		local number = s_match(text, "^%s*[+-]?%d+%s*$") and math_tointeger(tonumber(text))
		if not number then
			return nil, "not a number"
		elseif bounds[1] and number < bounds[1] or bounds[2] and number > bounds[2] then
			return nil, "out of bounds"
		end
		return number_in_range(number, field)
	end
	data_writers[datatype] = function (value)
		return type(value) == "number" and value % 1 == 0 and s_format("%d", value) or tostring(value)
	end
end

local function read_decimal(text, field)
	local number = s_match(text, "^%s*[+-]?[%d.]+[eE]?[+-]?%d*%s*$") and tonumber(text)
	if not number then
		return nil, "not a number"
	end
	return number_in_range(number, field)
end
data_readers["xs:decimal"] = read_decimal
data_readers["xs:double"] = read_decimal

-- Seconds since the epoch.
data_readers["xs:dateTime"] = function (text)
	local time = s_match(text, "T") and datetime.parse(text)
	if not time then
		return nil, "not a timestamp"
	end
	return time
end
data_writers["xs:dateTime"] = function (value)
	return type(value) == "number" and datetime.datetime(value) or tostring(value)
end

data_readers["xs:boolean"] = function (text)
	if text == "1" or text == "true" then
		return true
	elseif text == "0" or text == "false" then
		return false
	end
	return nil, "not a boolean"
end

-- XEP-0060: "max" stands for as many as the service allows.
data_readers["pubsub:integer-or-max"] = function (text, field)
	if text == "max" then
		return text
	end
	return data_readers["xs:integer"](text, field)
end
data_writers["pubsub:integer-or-max"] = data_writers["xs:integer"]

local function to_text(value, field)
	local writer = data_writers[field.datatype]
	return writer and writer(value) or tostring(value)
end

-- Writing: each adds the <value/>s for a value that is not nil, and the <option/>s where there are any.

local function write_single(form, value, field)
	form:text_tag("value", to_text(value, field))
end

local function write_list(form, value, field)
	if type(value) ~= "table" then
		return write_single(form, value, field)
	end
	for _, item in ipairs(value) do
		form:text_tag("value", to_text(item, field))
	end
end

local function write_lines(form, value)
	if type(value) == "table" then
		value = t_concat(value, "\n")
	end
	-- A line per <value/> (XEP-0004 3.3); a newline at the end does not begin another.
	for line in s_gmatch(tostring(value) .. "\n", "([^\r\n]*)\r?\n") do
		form:text_tag("value", line)
	end
end

local function write_boolean(form, value)
	form:text_tag("value", (value == true or value == 1 or value == "1" or value == "true") and "1" or "0")
end

local writers = {
	["boolean"] = write_boolean,
	["text-multi"] = write_lines,
	["jid-multi"] = write_list,
	["list-multi"] = write_list,
}

-- The values chosen by default among options.
local function default_choice(options, multi)
	local chosen = {}
	for _, option in ipairs(options) do
		if type(option) == "table" and option.default then
			chosen[#chosen + 1] = option.value
		end
	end
	if multi then
		return chosen[1] ~= nil and chosen or nil
	end
	return chosen[1]
end

local function write_options(form, options)
	for _, option in ipairs(options) do
		if type(option) ~= "table" then
			option = { value = option }
		end
		local value = tostring(option.value)
		form:tag("option", { label = option.label or value }):text_tag("value", value):up()
	end
end

local function write_validation(form, field)
	if not field.datatype then
		return
	end
	form:tag("validate", { xmlns = xmlns_validate, datatype = field.datatype })
	if field.range_min or field.range_max then
		form:tag("range", {
			min = field.range_min and to_text(field.range_min, field),
			max = field.range_max and to_text(field.range_max, field),
		}):up()
	end
	form:up()
end

-- XEP-0221
local function write_media(form, media)
	form:tag("media", {
		xmlns = xmlns_media, height = media.height and tostring(media.height),
		width = media.width and tostring(media.width),
	})
	for _, uri in ipairs(media) do
		form:text_tag("uri", uri.uri, { type = uri.type })
	end
	form:up()
end

local function write_field(form, field, value, form_type)
	local kind = field.type or "text-single"
	local is_list = kind == "list-single" or kind == "list-multi"
	local options = field.options
	-- Old modules give the options as the value.
	if is_list and not options and type(value) == "table" and (kind == "list-single" or type(value[1]) == "table") then
		options, value = value, nil
	end
	if is_list and value == nil and options then
		value = default_choice(options, kind == "list-multi")
	end
	if value == nil and form_type ~= "form" then
		return
	end

	form:tag("field", { type = kind, var = field.var or field.name, label = form_type ~= "submit" and field.label or nil })
	if form_type == "form" then
		if field.desc then
			form:text_tag("desc", field.desc)
		end
		write_validation(form, field)
		if field.media then
			write_media(form, field.media)
		end
		if field.required then
			form:tag("required"):up()
		end
	end
	if value ~= nil then
		(writers[kind] or write_single)(form, value, field)
	end
	if is_list and options and form_type == "form" then
		write_options(form, options)
	end
	form:up()
end

--- The <x/> element. values: name -> value, over the layout's own. form_type: "form", "submit", "result" or "cancel".
function form_methods:form(values, form_type)
	form_type = form_type or "form"
	local form = st.stanza("x", { xmlns = xmlns_data, type = form_type })
	if form_type == "cancel" then
		return form
	end
	if form_type ~= "submit" then
		if self.title then
			form:text_tag("title", self.title)
		end
		if self.instructions then
			form:text_tag("instructions", self.instructions)
		end
	end
	for _, field in ipairs(self) do
		local value
		if values then
			value = values[field.name]
		end
		if value == nil then
			value = field.value
		end
		write_field(form, field, value, form_type)
	end
	return form
end

-- Reading: each gives the value of a <field/>, or nil, or nil and an error.

local function read_single(tag)
	local text = tag:get_child_text("value")
	return text ~= "" and text or nil
end

local function read_hidden(tag)
	return tag:get_child_text("value")
end

local function read_list(tag)
	local list = {}
	for value in tag:childtags("value") do
		list[#list + 1] = value:get_text() or ""
	end
	return list[1] ~= nil and list or nil
end

local function read_lines(tag)
	local list = read_list(tag)
	local text = list and t_concat(list, "\n")
	return text ~= "" and text or nil
end

local function read_jid(tag)
	local text = read_single(tag)
	if not text then
		return nil
	end
	local jid = jid_prep(text)
	if not jid then
		return nil, "Invalid JID: " .. text
	end
	return jid
end

local function read_jids(tag)
	local list, bad = {}, {}
	for _, text in ipairs(read_list(tag) or {}) do
		if text ~= "" then
			local jid = jid_prep(text)
			if jid then
				list[#list + 1] = jid
			else
				bad[#bad + 1] = "Invalid JID: " .. text
			end
		end
	end
	return list[1] ~= nil and list or nil, bad[1] and t_concat(bad, "\n") or nil
end

local function read_boolean(tag)
	local text = read_single(tag)
	if not text then
		return nil
	end
	local value = data_readers["xs:boolean"](text)
	if value == nil then
		return nil, "Invalid boolean representation: " .. text
	end
	return value
end

local readers = {
	["boolean"] = read_boolean,
	["hidden"] = read_hidden,
	["jid-single"] = read_jid,
	["jid-multi"] = read_jids,
	["list-multi"] = read_list,
	["text-multi"] = read_lines,
}

local function read_field(field, tag)
	local value, err = (readers[field.type] or read_single)(tag)
	local reader = value ~= nil and data_readers[field.datatype]
	if reader then
		if type(value) == "table" then
			local list = {}
			for i, text in ipairs(value) do
				list[i], err = reader(text, field)
				if err then
					return nil, err
				end
			end
			value = list
		elseif type(value) == "string" then
			value, err = reader(value, field)
		end
	end
	return value, err
end

--- The values of a submitted form, a table name -> error or nil, and a table of the names that were in the form.
-- current: values for the fields that are not in it.
function form_methods:data(form, current)
	local tags = {}
	for tag in form:childtags("field") do
		local var = tag.attr.var
		if var and not tags[var] then
			tags[var] = tag
		end
	end
	local values, errors, present = {}, {}, {}
	for _, field in ipairs(self) do
		local name = field.name
		if name ~= nil and field.type ~= "fixed" then -- otherwise there is nothing to read
			local tag = tags[field.var or name]
			if tag then
				present[name] = true
				values[name], errors[name] = read_field(field, tag)
			elseif current and current[name] ~= nil then
				values[name] = current[name]
			end
			if field.required and values[name] == nil and errors[name] == nil then
				errors[name] = "Required value missing"
			end
		end
	end
	if next(errors) ~= nil then
		return values, errors, present
	end
	return values, nil, present
end

--- The FORM_TYPE of a form (XEP-0068), "" without one; nil and an error when it is no form.
local function get_type(form)
	if not st.is_stanza(form) then
		return nil, "not a stanza object"
	elseif form.name ~= "x" or form.attr.xmlns ~= xmlns_data then
		return nil, "not a dataform element"
	end
	for field in form:childtags("field") do
		if field.attr.var == "FORM_TYPE" then
			return field:get_child_text("value") or ""
		end
	end
	return ""
end

--- The layout of somebody else's form.
local function from_stanza(form)
	local layout = { title = form:get_child_text("title"), instructions = form:get_child_text("instructions") }
	for tag in form:childtags("field") do
		local validate = tag:get_child("validate", xmlns_validate)
		local field = {
			name = tag.attr.var,
			label = tag.attr.label,
			type = tag.attr.type,
			desc = tag:get_child_text("desc"),
			required = tag:get_child("required") and true or nil,
			datatype = validate and validate.attr.datatype,
		}
		for option in tag:childtags("option") do
			field.options = field.options or {}
			field.options[#field.options + 1] = { label = option.attr.label, value = option:get_child_text("value") }
		end
		field.value = (readers[field.type] or read_single)(tag)
		layout[#layout + 1] = field
	end
	return new(layout)
end

return {
	new = new,
	get_type = get_type,
	from_stanza = from_stanza,
}
