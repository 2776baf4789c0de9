--- Text made from an element: {path} is replaced by what stanza:find(path) gives, as in {title#} or {link@href}.
--
--   {path}                   the text, escaped           {path|filter}          changed by a filter; several in a row
--   {path|and{text}}         the text, when there is something at path
--   {path|not{text}}         the text, when there is nothing  {path|or{text}}   the value, or else the text
--   {path|each(path2){text}} the text for each element path2 ("name" or "{ns}name") below path
--   {path|raw} unescaped     {path|strip} without space around it   {path|first(path2)}
--
-- The text may hold further substitutions; inside each{} paths begin at that element.
-- Always true: values are never looked at for substitutions; what is no path is left as it is.
local st = require "prosody.util.stanza"
local ipairs, tostring, type = ipairs, tostring, type
local s_find, s_gsub, s_match, s_sub = string.find, string.gsub, string.match, string.sub
local t_concat = table.concat

local _ENV = nil

local render_into

local function text_of(value)
	if st.is_stanza(value) then
		return value:get_text() or ""
	end
	return value == nil and "" or tostring(value)
end

-- Is there something?
local function present(value)
	return value ~= nil and value ~= false and value ~= ""
end

-- "{ns}name" or "name" -> name, ns
local function split_name(path)
	local ns, name = s_match(path, "^{([^}]*)}(.*)$")
	if ns then
		return name ~= "" and name or nil, ns
	end
	return path ~= "" and path or nil, nil
end

-- Each gives the new value, and true when it is text that is already escaped.
local builtin = {}

builtin["and"] = function (value, _, inner, context)
	return present(value) and inner and context.render(inner, context.element) or nil, true
end

builtin["not"] = function (value, _, inner, context)
	return not present(value) and inner and context.render(inner, context.element) or nil, true
end

builtin["or"] = function (value, _, inner, context)
	if present(value) then
		return value, context.escaped
	end
	return inner and context.render(inner, context.element), true
end

builtin["each"] = function (value, argument, inner, context)
	if not st.is_stanza(value) or not inner then
		return nil
	end
	local parts = {}
	for element in value:childtags(split_name(argument or "")) do
		parts[#parts + 1] = context.render(inner, element)
	end
	return t_concat(parts), true
end

builtin["first"] = function (value, argument)
	return st.is_stanza(value) and value:get_child(split_name(argument or "")) or nil
end

builtin["strip"] = function (value, _, _, context)
	return s_match(text_of(value), "^%s*(.-)%s*$"), context.escaped
end

builtin["raw"] = function (value)
	return text_of(value), true
end

-- "path|filter(arg){inner}|..." as a path and a list of filters.
local function parse(block)
	-- A path ends at the first | that is not inside the braces of a namespace.
	local path, at = "", 1
	while true do
		local step, after = s_match(block, "^([^|{}]+)()", at)
		if not step then
			step, after = s_match(block, "^(%b{})()", at)
		end
		if not step then
			break
		end
		path, at = path .. step, after
	end
	local filters = {}
	while at <= #block do
		local name, after = s_match(block, "^|([%a_][%w_.]*)()", at)
		if not name then
			return nil
		end
		at = after
		local argument, inner
		argument, after = s_match(block, "^(%b())()", at)
		at = after or at
		inner, after = s_match(block, "^(%b{})()", at)
		at = after or at
		filters[#filters + 1] = {
			name = name, argument = argument and s_sub(argument, 2, -2), inner = inner and s_sub(inner, 2, -2),
		}
	end
	return path, filters
end

local function find(element, path)
	if path == "" or path == "." then
		return element
	elseif path == "#" then
		return element:get_text()
	end
	return element:find(path)
end

local function fill(block, element, escape, filters, render)
	local path, list = parse(block)
	if not path or path == "" and #list == 0 or s_find(path, "%s") then
		return nil
	end
	local value = find(element, path)
	local context = { element = element, render = render, escaped = false }
	for _, filter in ipairs(list) do
		local custom = filters and filters[filter.name]
		if custom then
			if present(value) then
				value = custom(st.is_stanza(value) and not filter.argument and text_of(value) or value, filter.argument)
			end
		elseif builtin[filter.name] then
			value, context.escaped = builtin[filter.name](value, filter.argument, filter.inner, context)
		end
	end
	local text = text_of(value)
	return context.escaped and text or escape(text)
end

function render_into(template, element, escape, filters)
	local function render(inner, inner_element)
		return render_into(inner, inner_element, escape, filters)
	end
	return (s_gsub(template, "%b{}", function (block)
		return fill(s_sub(block, 2, -2), element, escape, filters, render)
	end))
end

--- render(template, element, escape, filters). escape: function (text) -> text, by default as in XML; filters: name ->
-- function (value, argument).
local function render(template, element, escape, filters)
	if type(escape) ~= "function" then
		escape = st.xml_escape
	end
	return render_into(template, element, escape, filters)
end

return { render = render }
