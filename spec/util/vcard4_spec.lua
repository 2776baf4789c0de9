local st = require "util.stanza"
local vcard4 = require "util.vcard4"
local xml = require "util.xml"

local function convert(inner)
	local parsed = assert(xml.parse("<vcard xmlns='urn:ietf:params:xml:ns:vcard-4.0'>" .. inner .. "</vcard>"))
	return vcard4.to_vcard_temp(parsed)
end

describe("A vCard4", function ()
	it("gives its plain properties under their old names", function ()
		local card = convert "<fn><text>Alice L</text></fn><nickname><text>al</text></nickname><note><text>hi</text></note>"
		assert.equal("Alice L", card:get_child_text("FN"))
		assert.equal("al", card:get_child_text("NICKNAME"))
		assert.equal("hi", card:get_child_text("DESC"))
		assert.equal("vcard-temp", card.attr.xmlns)
	end)

	it("gives names and addresses part by part", function ()
		local card = convert "<n><surname>L</surname><given>Alice</given></n><adr><street>1 Way</street><code>9</code></adr>"
		assert.equal("L", card:find("N/FAMILY#"))
		assert.equal("Alice", card:find("N/GIVEN#"))
		assert.is_nil(card:find("N/MIDDLE#"))
		assert.equal("1 Way", card:find("ADR/STREET#"))
		assert.equal("9", card:find("ADR/PCODE#"))
	end)

	it("gives numbers and addresses without their scheme", function ()
		local card = convert "<tel><uri>tel:+1-555</uri></tel><email><text>a@example.org</text></email>"
		assert.equal("+1-555", card:find("TEL/NUMBER#"))
		assert.equal("a@example.org", card:find("EMAIL/USERID#"))
	end)

	it("leaves out what vcard-temp does not know, and what says nothing", function ()
		local card = convert "<kind><text>individual</text></kind><fn/>"
		assert.equal(0, #card.tags)
	end)

	it("is nothing else", function ()
		assert.is_nil(vcard4.to_vcard_temp(st.stanza("vCard", { xmlns = "vcard-temp" })))
	end)
end)
