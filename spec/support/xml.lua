--- Elements for the test client: parsed by LuaExpat, not by the code under test, and compared with patterns.
--
-- An element is { name=, ns=, attr={}, ...children } where a child is an element or a string.
-- A pattern is XML in which "{any}" stands for any text, also as a part ("romeo@localhost/{any}"), and an attribute
-- "{none}" must be absent. An element matches when name, namespace, the pattern's attributes and text agree and each
-- child of the pattern matches a child of its own; more attributes and children are allowed, unless asked exactly.

local lxp = require "lxp"

local xml = {}

local el = {}
el.__index = el

--- First child of that name (nil: any) and namespace (nil: any).
function el:child(name, ns)
	for _, child in ipairs(self) do
		if type(child) == "table" and (not name or child.name == name) and (not ns or child.ns == ns) then
			return child
		end
	end
end

--- All child elements of that name and namespace.
function el:children(name, ns)
	local found = {}
	for _, child in ipairs(self) do
		if type(child) == "table" and (not name or child.name == name) and (not ns or child.ns == ns) then
			found[#found + 1] = child
		end
	end
	return found
end

--- Follows names down: stanza:at("error", "text"). nil when one is missing.
function el:at(...)
	local here = self
	for _, name in ipairs { ... } do
		here = here and here:child(name)
	end
	return here
end

--- Text directly inside.
function el:text()
	local parts = {}
	for _, child in ipairs(self) do
		if type(child) == "string" then parts[#parts + 1] = child end
	end
	return table.concat(parts)
end

function el:is(name, ns) return self.name == name and (not ns or self.ns == ns) end

local entities = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ["'"] = "&apos;", ['"'] = "&quot;" }
function xml.escape(text) return (text:gsub("[&<>'\"]", entities)) end

local function write(into, node, ns)
	if type(node) == "string" then
		into[#into + 1] = xml.escape(node)
		return
	end
	into[#into + 1] = "<" .. node.name
	if node.ns ~= ns then into[#into + 1] = (" xmlns='%s'"):format(xml.escape(node.ns or "")) end
	local names = {}
	for name in pairs(node.attr) do names[#names + 1] = name end
	table.sort(names)
	for _, name in ipairs(names) do
		into[#into + 1] = (" %s='%s'"):format(name, xml.escape(node.attr[name]))
	end
	if #node == 0 then
		into[#into + 1] = "/>"
		return
	end
	into[#into + 1] = ">"
	for _, child in ipairs(node) do write(into, child, node.ns) end
	into[#into + 1] = ("</%s>"):format(node.name)
end

function el:__tostring()
	local into = {}
	write(into, self, "jabber:client")
	return table.concat(into)
end

local function split(name)
	local ns, plain = name:match("^(.*)\1([^\1]+)$")
	if ns == "http://www.w3.org/XML/1998/namespace" then return nil, "xml:" .. plain end
	return ns, plain or name
end

local function new_element(name, attributes)
	local ns, plain = split(name)
	local attr = {}
	for i, key in ipairs(attributes) do
		local attr_ns, attr_name = split(key)
		attr[attr_ns and ("{%s}%s"):format(attr_ns, attr_name) or attr_name] = attributes[attributes[i]]
	end
	return setmetatable({ name = plain, ns = ns, attr = attr }, el)
end

--- A stream: feed(bytes) calls on.header(el), on.stanza(el), on.footer(). Gives true, or nil and why.
function xml.stream(on)
	local stack, depth = {}, 0
	local parser
	parser = lxp.new({
		StartElement = function(_, name, attributes)
			local element = new_element(name, attributes)
			depth = depth + 1
			if depth == 1 then
				on.header(element)
			else
				stack[#stack + 1] = element
			end
		end,
		EndElement = function()
			depth = depth - 1
			local element = table.remove(stack)
			if depth == 0 then
				on.footer()
			elseif depth == 1 then
				on.stanza(element)
			else
				table.insert(stack[#stack], element)
			end
		end,
		CharacterData = function(_, text)
			local top = stack[#stack]
			if not top then
				assert(not text:find "%S", "text between stanzas")
			elseif type(top[#top]) == "string" then
				top[#top] = top[#top] .. text
			else
				top[#top + 1] = text
			end
		end,
	}, "\1")

	-- Newer releases of expat put the parsing of a cut tag off until much more has come, so that a finished stanza might
	-- never be seen. What follows the last ">" waits here instead.
	local rest = ""
	return {
		feed = function(bytes)
			rest = rest .. bytes
			local last = rest:match "^.*()>"
			if not last then return true end
			local ready = rest:sub(1, last)
			rest = rest:sub(last + 1)
			local ok, why, line, column, at = parser:parse(ready)
			if not ok then
				return nil, ("not well-formed: %s at %s:%s (%s) in %q"):format(why, line, column, at, ready:sub(1, 500))
			end
			return true
		end,
		rest = function() return rest end,
	}
end

--- Parses one element standing in a client stream.
function xml.parse(text)
	local found
	local stream = xml.stream {
		header = function() end,
		stanza = function(element)
			assert(not found, "one element expected")
			found = element
		end,
		footer = function() end,
	}
	assert(stream.feed("<s xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>" .. text))
	if not found or stream.rest():find "%S" then error("not one whole element: " .. text, 2) end
	return found
end

local function text_matches(pattern, text)
	if pattern == "{any}" then return true end
	if not pattern:find("{any}", 1, true) then return pattern == text end
	local lua = pattern:gsub("{any}", "\0"):gsub("[%^%$%(%)%%%.%[%]%*%+%-%?]", "%%%0"):gsub("\0", ".-")
	return text:find("^" .. lua .. "$") ~= nil
end

local matches

-- Each of the wanted children must find a child of its own; tried in order, with a way back.
local function children_match(wanted, have, exactly, i, used)
	i, used = i or 1, used or {}
	if i > #wanted then
		return not exactly or #have == #wanted
	end
	for k, child in ipairs(have) do
		if not used[k] and matches(wanted[i], child, exactly) then
			used[k] = true
			if children_match(wanted, have, exactly, i + 1, used) then return true end
			used[k] = nil
		end
	end
	return false
end

function matches(pattern, element, exactly)
	if pattern.name ~= element.name or pattern.ns ~= element.ns then return false end
	for name, value in pairs(pattern.attr) do
		if value == "{none}" then
			if element.attr[name] then return false end
		elseif not element.attr[name] or not text_matches(value, element.attr[name]) then
			return false
		end
	end
	if exactly then
		for name in pairs(element.attr) do
			if not pattern.attr[name] then return false end
		end
	end
	local wanted = pattern:children()
	local text = pattern:text()
	if #wanted == 0 or text:find "%S" then
		if (text ~= "" or exactly) and not text_matches(text, element:text()) then return false end
	end
	return children_match(wanted, element:children(), exactly)
end

--- Does the element match the pattern (text or parsed)?
function xml.matches(pattern, element, exactly)
	return matches(type(pattern) == "string" and xml.parse(pattern) or pattern, element, exactly)
end

return xml
