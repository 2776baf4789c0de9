local template = require "util.template"

describe("util.template", function ()
	local greeting = template [[
		<message to="{to}" type="chat"><body>Hello {name}!</body><x xmlns="urn:x" a="{name}"/></message>
	]]

	it("makes a stanza with the values filled in", function ()
		local stanza = greeting.apply { to = "juliet@example.com", name = "Juliet" }
		assert.equal("message", stanza.name)
		assert.equal("juliet@example.com", stanza.attr.to)
		assert.equal("Hello Juliet!", stanza:get_child_text "body")
		assert.equal("Juliet", stanza:get_child("x", "urn:x").attr.a)
	end)

	it("never makes elements of values", function ()
		local stanza = greeting.apply { to = "a@b", name = "<x/>&{to}" }
		assert.equal("Hello <x/>&{to}!", stanza:get_child_text "body")
		assert.equal(2, #stanza.tags)
	end)

	it("makes a new stanza each time and leaves unknown names", function ()
		local a, b = greeting.apply {}, greeting.apply {}
		assert.are_not.equal(a, b)
		assert.equal("{to}", a.attr.to)
		a.attr.to = "changed"
		assert.equal("{to}", b.attr.to)
	end)

	it("refuses what is no XML", function ()
		assert.has_error(function () template "<a>" end)
	end)
end)
