--- vCard4 (RFC 6351, XEP-0292) as vcard-temp (XEP-0054): what accounts that kept their card in PEP show to clients that
-- ask in the old way. Only what both know is carried over.

local st = require "prosody.util.stanza"

local ipairs = ipairs

local _ENV = nil

local XMLNS_VCARD4, XMLNS_VCARD = "urn:ietf:params:xml:ns:vcard-4.0", "vcard-temp"

-- Properties with one value: vCard4 name -> vcard-temp path.
local plain = {
	fn = { "FN" }, nickname = { "NICKNAME" }, bday = { "BDAY" }, url = { "URL" }, title = { "TITLE" },
	role = { "ROLE" }, note = { "DESC" }, tz = { "TZ" }, uid = { "UID" }, rev = { "REV" },
	org = { "ORG", "ORGNAME" }, email = { "EMAIL", "USERID" }, tel = { "TEL", "NUMBER" },
}

-- Properties with parts: in the order in which vcard-temp lists them.
local structured = {
	n = { "N", { "surname", "FAMILY" }, { "given", "GIVEN" }, { "additional", "MIDDLE" }, { "prefix", "PREFIX" },
		{ "suffix", "SUFFIX" } },
	adr = { "ADR", { "pobox", "POBOX" }, { "ext", "EXTADD" }, { "street", "STREET" }, { "locality", "LOCALITY" },
		{ "region", "REGION" }, { "code", "PCODE" }, { "country", "CTRY" } },
}

-- The value of a property is its first child with text: <text/>, <uri/>, <date/> ...
local function value_of(property)
	for _, child in ipairs(property.tags) do
		local text = child:get_text()
		if text and child.name ~= "parameters" then
			return child.name == "uri" and text:gsub("^tel:", ""):gsub("^mailto:", "") or text
		end
	end
end

local function add_plain(vcard, path, value)
	for i = 1, #path - 1 do
		vcard:tag(path[i])
	end
	vcard:text_tag(path[#path], value)
	for _ = 1, #path - 1 do
		vcard:up()
	end
end

local function add_structured(vcard, property, parts)
	vcard:tag(parts[1])
	for i = 2, #parts do
		local text = property:get_child_text(parts[i][1])
		if text then
			vcard:text_tag(parts[i][2], text)
		end
	end
	vcard:up()
end

--- A vcard-temp element with what a <vcard/> element of vCard4 says. nil when it is none.
local function to_vcard_temp(vcard4)
	if vcard4.name ~= "vcard" or vcard4.attr.xmlns ~= XMLNS_VCARD4 then
		return nil
	end
	local vcard = st.stanza("vCard", { xmlns = XMLNS_VCARD })
	for _, property in ipairs(vcard4.tags) do
		local path, parts = plain[property.name], structured[property.name]
		local value = path and value_of(property)
		if value then
			add_plain(vcard, path, value)
		elseif parts then
			add_structured(vcard, property, parts)
		end
	end
	return vcard
end

return { to_vcard_temp = to_vcard_temp }
