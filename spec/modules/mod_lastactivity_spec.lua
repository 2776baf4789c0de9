local Server = require "spec.support.server"

describe("mod_lastactivity", function ()
	local server, romeo, juliet

	setup(function ()
		server = Server.start { more_modules = { "lastactivity" } }
	end)
	teardown(function () server:stop() end)
	before_each(function ()
		romeo = server:person("romeo", { resource = "orchard" })
		juliet = server:person("juliet", { resource = "balcony" })
	end)
	after_each(function () server:forget_clients() end)

	local function ask(who, to)
		return who:asks(("<iq type='get' to='%s'><query xmlns='jabber:iq:last'/></iq>"):format(to))
	end

	local function condition(reply)
		return reply:at "error":child(nil, "urn:ietf:params:xml:ns:xmpp-stanzas").name
	end

	it("tells strangers nothing, whoever they ask about (XEP-0012 8)", function ()
		assert.equal("forbidden", condition(ask(juliet, "romeo@localhost")))
		assert.equal("forbidden", condition(ask(juliet, "nobody@localhost")))
		assert.equal("forbidden", condition(ask(juliet, "romeo@localhost/orchard")))
		romeo:receives_nothing(juliet)
	end)

	it("says 0 of who is online", function ()
		local query = ask(romeo, "romeo@localhost"):child "query"
		assert.equal("0", query.attr.seconds)
		assert.equal("", query:text())
	end)

	it("remembers when and with which words somebody left", function ()
		romeo:sends "<presence type='subscribe' to='juliet@localhost'/>"
		juliet:awaits "<presence type='subscribe' from='romeo@localhost'/>"
		juliet:sends "<presence type='subscribed' to='romeo@localhost'/>"
		romeo:awaits "<presence type='subscribed' from='juliet@localhost'/>"
		juliet:sends "<presence type='unavailable'><status>Good night</status></presence>"
		juliet:leaves()
		romeo:awaits "<presence type='unavailable' from='juliet@localhost/balcony'/>"
		local query = ask(romeo, "juliet@localhost"):child "query"
		assert.matches("^%d+$", query.attr.seconds)
		assert.equal("Good night", query:text())
	end)

	it("knows it still after a restart", function ()
		juliet:sends "<presence type='unavailable'><status>Gone</status></presence>"
		juliet:settles()
		server:restart()
		romeo = server:person("romeo", { resource = "orchard" })
		assert.equal("Gone", ask(romeo, "juliet@localhost"):child "query":text())
	end)

	it("has nothing to say of who was never there", function ()
		local mercutio = server:person("mercutio", { appears = false })
		assert.equal("item-not-found", condition(ask(mercutio, "mercutio@localhost")))
	end)
end)
