--- Entity Capabilities (XEP-0115): the hash of what an entity says about itself.
-- Always true: two disco#info answers of the same content have the same hash, whatever the order of their elements.
local base64_encode = require "prosody.util.encodings".base64.encode
local sha1 = require "prosody.util.hashes".sha1
local ipairs, s_gsub = ipairs, string.gsub
local t_concat, t_insert, t_sort = table.concat, table.insert, table.sort

local _ENV = nil

-- XEP-0115 5.1: the separators are < and /; a "<" inside a value would let two answers share a hash.
local function escape(text)
	return (s_gsub(text or "", "<", "&lt;"))
end

-- "FORM_TYPE<field<value<value<field<..."
local function form_text(form)
	local form_type, fields = "", {}
	for field in form:childtags("field") do
		local values = {}
		for value in field:childtags("value") do
			t_insert(values, escape(value:get_text()))
		end
		if field.attr.var == "FORM_TYPE" then
			form_type = values[1] or ""
		else
			t_sort(values)
			t_insert(values, 1, escape(field.attr.var))
			t_insert(fields, t_concat(values, "<"))
		end
	end
	t_sort(fields)
	t_insert(fields, 1, form_type)
	return t_concat(fields, "<")
end

--- The base64 SHA-1 `ver` of a disco#info <query/>, and the text that was hashed (XEP-0115 5.1).
local function calculate_hash(query)
	local identities, features, forms = {}, {}, {}
	for _, element in ipairs(query.tags) do -- of any namespace
		local name = element.name
		if name == "identity" then
			local attr = element.attr
			t_insert(identities, escape(attr.category) .. "/" .. escape(attr.type) .. "/" .. escape(attr["xml:lang"])
				.. "/" .. escape(attr.name))
		elseif name == "feature" then
			t_insert(features, escape(element.attr.var))
		elseif name == "x" and element.attr.xmlns == "jabber:x:data" then
			t_insert(forms, form_text(element))
		end
	end
	local parts = {}
	for i, list in ipairs { identities, features, forms } do
		t_sort(list)
		parts[i] = #list > 0 and t_concat(list, "<") .. "<" or ""
	end
	local text = t_concat(parts)
	return base64_encode(sha1(text)), text
end

return { calculate_hash = calculate_hash }
