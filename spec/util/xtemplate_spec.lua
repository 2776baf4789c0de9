local xtemplate = require "util.xtemplate"
local st = require "util.stanza"

describe("util.xtemplate", function ()
	local entry = st.stanza("entry", { xmlns = "urn:atom", id = "e1" })
		:text_tag("title", "A <title>")
		:tag("author"):text_tag("name", " Juliet "):up()
		:text_tag("tag", "one"):text_tag("tag", "two")
		:text_tag("extra", "E", { xmlns = "urn:x" })
	entry:reset()

	local function render(template)
		return xtemplate.render(template, entry, nil, { upper = function (text) return text:upper() end })
	end

	it("fills in text and attributes, escaped", function ()
		assert.equal("e1: A &lt;title&gt;", render "{@id}: {title#}")
		assert.equal("A &lt;title&gt;", render "{title}")
		assert.equal("E", render "{{urn:x}extra#}")
		assert.equal("[]", render "[{missing}]")
	end)

	it("asks what is there", function ()
		assert.equal("yes", render "{title|and{yes}}{missing|and{no}}")
		assert.equal("none", render "{missing|not{none}}{title|not{no}}")
		assert.equal("A &lt;title&gt;|by e1", render "{title|or{x}}|{missing|or{by {@id}}}")
	end)

	it("repeats for each element", function ()
		assert.equal("[one][two]", render "{.|each(tag){[{#}]}}")
		assert.equal("", render "{.|each(missing){x}}")
	end)

	it("applies filters", function ()
		assert.equal("Juliet", render "{author/name|strip}")
		assert.equal("A <title>", render "{title|raw}")
		assert.equal("JULIET", render "{author/name#|strip|upper}")
		assert.equal("one", render "{.|first(tag)}")
	end)

	it("never looks into values and leaves what is no path", function ()
		local tricky = st.stanza("x"):text_tag("t", "{@id}"):reset()
		assert.equal("{@id}", xtemplate.render("{t}", tricky))
		assert.equal("{ a b } {}", render "{ a b } {}")
	end)

	it("escapes as told", function ()
		assert.equal("<A <title>>", xtemplate.render("{title}", entry, function (text) return "<" .. text .. ">" end))
	end)
end)
