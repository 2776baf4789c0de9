--- Stanzas from templates: template[[<message to="{to}"><body>{text}</body></message>]].apply{ to = ..., text = ... }
-- Always true: a value is put in as text or attribute value of the tree, so it can never become an element.
local parse_xml = require "prosody.util.xml".parse
local st = require "prosody.util.stanza"
local error, ipairs, pairs, setmetatable, tostring, type = error, ipairs, pairs, setmetatable, tostring, type
local s_find, s_gsub = string.find, string.gsub

local _ENV = nil

-- {name} of a text, replaced; a name without a value is left as it is.
local function fill(text, data)
	if not s_find(text, "{", 1, true) then
		return text
	end
	return (s_gsub(text, "{([%w_.-]+)}", function (name)
		local value = data[name]
		return value ~= nil and tostring(value) or nil
	end))
end

local function add(into, element, data)
	for _, node in ipairs(element) do
		if type(node) == "string" then
			into:text(fill(node, data))
		else
			local attr = {}
			for name, value in pairs(node.attr) do
				attr[name] = fill(value, data)
			end
			into:tag(node.name, attr)
			add(into, node, data)
			into:up()
		end
	end
end

local template_mt = { __name = "template" }

--- Gives a template; template.apply(data) gives a new stanza. Raises when the text is not well-formed XML.
local function template(text)
	-- White space around the document is for the reader of the module.
	local root, err = parse_xml((s_gsub(text, "^%s*(.-)%s*$", "%1")))
	if not root then
		error("cannot parse template: " .. tostring(err), 2)
	end
	local function apply(data)
		local attr = {}
		for name, value in pairs(root.attr) do
			attr[name] = fill(value, data)
		end
		local stanza = st.stanza(root.name, attr)
		add(stanza, root, data)
		return stanza:reset()
	end
	return setmetatable({ apply = apply }, template_mt)
end

return template
