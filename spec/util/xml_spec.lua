local xml = require "util.xml"
local T = require "couplet_core".xml

describe("util.xml", function()
	it("parses a document to a stanza", function()
		local stanza = xml.parse("<?xml version='1.0' encoding='UTF-8'?>\n"
			.. "<a xmlns='urn:a' p:b='1' xmlns:p='urn:p'>x<p:c/>y</a>\n")
		assert.equal("a", stanza.name)
		assert.equal("urn:a", stanza.attr.xmlns)
		assert.equal("1", stanza.attr["urn:p\1b"])
		assert.equal("urn:p", stanza.tags[1].attr.xmlns)
		assert.equal("x", stanza[1])
		assert.equal("y", stanza[3])
	end)

	it("gives no namespace to elements that have none", function()
		assert.is_nil(xml.parse "<a/>".attr.xmlns)
		assert.equal("", xml.parse "<a xmlns='b'><c xmlns=''/></a>".tags[1].attr.xmlns)
	end)

	it("says what is wrong", function()
		for text, why in pairs {
			[""] = "unexpected end", ["<a>"] = "unexpected end", ["<a/><b/>"] = "junk after document",
			["<a/>b"] = "junk after document", ["<a/><"] = "junk after document", ["b"] = "text outside",
			["<a></b>"] = "mismatched tag",
			["<p:a/>"] = "unbound prefix",
			["<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"] = "DTDs are not allowed", ["<a><!-- --></a>"] = "comments",
			["<a><?b?></a>"] = "instructions", ["<a>&nbsp;</a>"] = "undefined entity", ["<a>\xff</a>"] = "not well%-formed",
			["<?xml version='1.0' encoding='latin1'?><a/>"] = "UTF%-8",
		} do
			local stanza, err = xml.parse(text)
			assert.is_nil(stanza)
			assert.matches(why, err)
		end
	end)

	it("skips comments and instructions when allowed, never a DTD", function()
		local options = { allow_comments = true, allow_processing_instructions = true }
		local text = "<?xml version='1.0'?><?style x?>\n<!-- a -->\n<a>x<!-- <b/> -->y<?c d?></a>\n<!-- z -->\n"
		assert.equal("<a>xy</a>", tostring(xml.parse(text, options)))
		assert.is_nil(xml.parse(text, { allow_comments = true }))
		assert.is_nil(xml.parse(text, { allow_processing_instructions = true }))
		assert.is_nil((xml.parse("<!DOCTYPE a><a/>", options)))
		assert.is_nil((xml.parse("<a><!-- ", options)))
	end)

	it("takes a file with a byte order mark", function()
		assert.equal("<a/>", tostring(xml.parse "\xef\xbb\xbf<?xml version='1.0' standalone='yes'?><a/>"))
	end)

	it("has room for a feed but not for a bomb", function()
		assert.equal(20000, #xml.parse("<feed>" .. ("<entry><title>t</title></entry>"):rep(20000) .. "</feed>").tags)
		assert.is_nil((xml.parse("<a>" .. ("<b/>"):rep(100000) .. "</a>")))
		assert.is_nil((xml.parse(("<a>"):rep(300) .. ("</a>"):rep(300))))
		assert.is_nil((xml.parse("<a>" .. ("x"):rep(9 << 20) .. "</a>")))
	end)

	it("leaves nothing alive", function()
		collectgarbage()
		assert.equal(0, T.live())
		assert.equal(0, T.expat_bytes())
	end)
end)
