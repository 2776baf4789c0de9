local T = require "couplet_core".xml
local st = require "util.stanza"
local xml = require "util.xml"

describe("the serializer", function()
	it("writes xmlns only where the namespace changes", function()
		local stanza = xml.parse "<q xmlns='a'><b xmlns='a'/><c xmlns='d'><e/><f xmlns='a'/></c><g/></q>"
		assert.equal("<q xmlns='a'><b/><c xmlns='d'><e/><f xmlns='a'/></c><g/></q>", T.serialize(stanza))
		assert.equal("<q><b/><c xmlns='d'><e/><f xmlns='a'/></c><g/></q>", T.serialize(stanza, "a"))
		assert.equal("<e xmlns='d'/>", T.serialize(stanza.tags[2].tags[1], "a"))
	end)

	it("escapes what a parser would read as something else", function()
		local nasty = "<&>'\"\r\n\t]]>"
		local stanza = st.stanza("a", { b = nasty }):text(nasty)
		local text = T.serialize(stanza)
		assert.equal("<a b='&lt;&amp;&gt;&apos;&quot;&#13;&#10;&#9;]]&gt;'>&lt;&amp;&gt;&apos;&quot;&#13;\n\t]]&gt;</a>",
			text)
		local back = xml.parse(text)
		assert.equal(nasty, back.attr.b)
		assert.equal(nasty, back:get_text())
		assert.equal("&lt;&amp;&gt;&apos;&quot;&#13;&#10;&#9;]]&gt;", T.escape(nasty))
	end)

	it("gives attributes in a namespace a prefix of their own", function()
		local stanza = st.stanza("a", { ["urn:x\1b"] = "1", ["urn:y&\1b"] = "2", ["xml:lang"] = "en", b = "3" })
		local text = T.serialize(stanza)
		assert.equal("<a b='3' xmlns:ns1='urn:x' ns1:b='1' xmlns:ns2='urn:y&amp;' ns2:b='2' xml:lang='en'/>", text)
		assert.equal(text, T.serialize(xml.parse(text)))
	end)

	it("adds nothing to a buffer that is too small, and fills one to the last byte", function()
		local stanza = st.message({ to = "<<<" }, ("&"):rep(100))
		local len = #T.serialize(stanza)
		assert.equal(len, #T.serialize(stanza, nil, len))
		for max = 1, len - 1 do
			assert.is_nil(T.serialize(stanza, nil, max))
		end
	end)

	it("writes trees of any depth without recursion", function()
		local stanza = st.stanza("a")
		for _ = 1, 20000 do
			stanza:tag("a")
		end
		assert.equal(("<a>"):rep(20000) .. "<a/>" .. ("</a>"):rep(20000), T.serialize(stanza))
	end)
end)
