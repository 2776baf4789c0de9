--- Text templates: new("%b{}", escape) gives a function that fills {name} with values.
--
--   {name}            the value, escaped             {name!}          the value as it is
--   {a.b.c}           a field of a field             {name?text}      the text when there is no value
--   {name&text}       the text when there is one     {name~text}      the text when there is none
--   {list#text}       the text for each member, in which {item} and {idx} are the member and its number
--   {map%text}        the text for each field, {idx} being its key
--   {name|filter}     the value as filters[name] changes it; {name|filter(argument)}; several in a row
--
-- The text may hold further substitutions. What does not begin like one (CSS, JSON) is left alone as a whole, and so is
-- a name without a value.
-- Always true: a template is taken apart once; values are never looked at for substitutions.
local ipairs, pairs, setmetatable, tostring, type = ipairs, pairs, setmetatable, tostring, type
local s_find, s_gmatch, s_match, s_sub = string.find, string.gmatch, string.match, string.sub
local t_concat = table.concat

local _ENV = nil

local operators = { ["?"] = true, ["&"] = true, ["~"] = true, ["#"] = true, ["%"] = true }

local function path_of(name)
	local path = {}
	for part in s_gmatch(name, "[^.]+") do
		path[#path + 1] = part
	end
	return path
end

-- A name with dots may also be a key of its own.
local function look_up(values, name, path)
	local value = values[name]
	if value ~= nil or #path == 1 then
		return value
	end
	value = values
	for _, key in ipairs(path) do
		if type(value) ~= "table" then
			return nil
		end
		value = value[key]
	end
	return value
end

--- pattern finds a substitution with its one-byte delimiters (by default "%b{}"). escape: function (string) -> string
-- for values in the text. filters: name -> function (value, argument) -> value.
local function new(pattern, escape, filters)
	pattern = pattern or "%b{}"
	escape = escape or function (text) return text end
	filters = filters or {}
	local parse
	local cache = setmetatable({}, { __mode = "v" })

	-- "{name|filter(arg)?text}" taken apart, or nil when it is not ours.
	local function parse_block(block)
		local name, raw, at = s_match(block, "^.([%a_][%w_.]*)(!?)()")
		if not name then
			return nil
		end
		local part = { name = name, path = path_of(name), raw = raw == "!", source = block, filters = {} }
		while true do
			local filter, argument, after = s_match(block, "^|([%a_][%w_.]*)(%b())()", at)
			if not filter then
				filter, after = s_match(block, "^|([%a_][%w_.]*)()", at)
			end
			if not filter then
				break
			end
			part.filters[#part.filters + 1] = { name = filter, argument = argument and s_sub(argument, 2, -2) }
			at = after
		end
		local more_raw, operator, after = s_match(block, "^(!?)(%p?)()", at)
		part.raw = part.raw or more_raw == "!"
		if after - 1 == #block then -- that was the closing delimiter
			return part
		elseif operators[operator] then
			part.operator = operator
			part.inner = parse(s_sub(block, after, -2))
			return part
		end
		return nil
	end

	-- A list of texts and parts.
	function parse(template)
		local list = cache[template]
		if list then
			return list
		end
		list = {}
		local at = 1
		while true do
			local first, last = s_find(template, pattern, at)
			if not first then
				break
			end
			local part = parse_block(s_sub(template, first, last))
			if first > at then
				list[#list + 1] = s_sub(template, at, first - 1)
			end
			list[#list + 1] = part or s_sub(template, first, last)
			at = last + 1
		end
		list[#list + 1] = s_sub(template, at)
		cache[template] = list
		return list
	end

	local fill

	local function fill_each(part, value, values, out)
		if type(value) ~= "table" then
			return
		end
		local scope = setmetatable({}, { __index = values })
		local iterate = part.operator == "#" and ipairs or pairs
		for idx, item in iterate(value) do
			scope.idx, scope.item = idx, item
			fill(part.inner, scope, out)
		end
	end

	local function fill_part(part, values, out)
		local value = look_up(values, part.name, part.path)
		for _, filter in ipairs(part.filters) do
			local fn = filters[filter.name]
			if value == nil then
				break
			elseif fn then
				value = fn(value, filter.argument)
			end
		end
		local operator = part.operator
		if operator == "#" or operator == "%" then
			fill_each(part, value, values, out)
		elseif operator == "&" or operator == "~" then
			if (operator == "&") == (value ~= nil and value ~= false) then
				fill(part.inner, values, out)
			end
		elseif operator == "?" and not value then
			fill(part.inner, values, out)
		elseif value == nil then
			out[#out + 1] = part.source
		else
			value = type(value) == "string" and value or tostring(value)
			out[#out + 1] = part.raw and value or escape(value)
		end
	end

	function fill(list, values, out)
		for _, part in ipairs(list) do
			if type(part) == "string" then
				out[#out + 1] = part
			else
				fill_part(part, values, out)
			end
		end
	end

	--- render(template, values)
	return function (template, values)
		local out = {}
		fill(parse(template), values, out)
		return t_concat(out)
	end
end

return { new = new }
