-- Blocking (XEP-0191; SECURITY D16): nothing passes, and nothing shows that one exists.

local Server = require "spec.support.server"

local BLOCK = "<iq type='set'><block xmlns='urn:xmpp:blocking'><item jid='%s'/></block></iq>"
local UNBLOCK = "<iq type='set'><unblock xmlns='urn:xmpp:blocking'><item jid='%s'/></unblock></iq>"
local NS_ERROR = "urn:ietf:params:xml:ns:xmpp-stanzas"

describe("Blocking", function()
	local server, juliet, tybalt
	local n = 0

	setup(function() server = Server.start { more_modules = { "offline" } } end)
	teardown(function() server:stop() end)
	before_each(function()
		n = n + 1
		juliet = server:person("juliet" .. n, { resource = "balcony" })
		tybalt = server:person("tybalt" .. n, { resource = "street" })
	end)
	after_each(function() server:forget_clients() end)

	local function blocks(jid)
		assert.equal("result", juliet:asks(BLOCK:format(jid)).attr.type)
		juliet:settles()
		juliet:forgets()
	end

	it("keeps a list", function()
		blocks(tybalt.bare)
		local list = juliet:asks("<iq type='get'><blocklist xmlns='urn:xmpp:blocking'/></iq>"):child "blocklist"
		assert.equal(tybalt.bare, list:child("item").attr.jid)
		assert.equal("result", juliet:asks(UNBLOCK:format(tybalt.bare)).attr.type)
		list = juliet:asks("<iq type='get'><blocklist xmlns='urn:xmpp:blocking'/></iq>"):child "blocklist"
		assert.same({}, list:children())
	end)

	it("is pushed to the account's resources that asked for the list (3.3)", function()
		local tomb = server:person(juliet.options.user, { resource = "tomb" })
		tomb:asks "<iq type='get'><blocklist xmlns='urn:xmpp:blocking'/></iq>"
		juliet:asks(BLOCK:format(tybalt.bare))
		tomb:awaits(("<iq type='set'><block xmlns='urn:xmpp:blocking'><item jid='%s'/></block></iq>"):format(tybalt.bare))
	end)

	it("stops messages, which are answered as if nobody were there", function()
		blocks(tybalt.bare)
		for i, to in ipairs { juliet.bare, juliet.jid } do
			tybalt:sends(("<message to='%s' type='chat' id='b%d'><body>villain</body></message>"):format(to, i))
			tybalt:receives(([[<message type='error' id='b%d' from='%s'>
				<error type='cancel'><service-unavailable xmlns='%s'/></error></message>]]):format(i, to, NS_ERROR))
		end
		juliet:receives_nothing(tybalt)
	end)

	it("stops questions, which are answered as if nobody were there", function()
		blocks(tybalt.bare)
		for _, to in ipairs { juliet.bare, juliet.jid } do
			local reply = tybalt:asks(("<iq type='get' to='%s'><vCard xmlns='vcard-temp'/></iq>"):format(to))
			assert.is_truthy(reply:at("error", "service-unavailable"), tostring(reply))
		end
		juliet:receives_nothing()
	end)

	it("stops presence of every kind without an answer", function()
		blocks(tybalt.bare)
		for _, kind in ipairs { "", "type='subscribe'", "type='subscribed'", "type='unsubscribe'", "type='probe'" } do
			tybalt:sends(("<presence to='%s' %s/>"):format(juliet.bare, kind))
		end
		juliet:receives_nothing(tybalt)
		for _, stanza in ipairs(tybalt.inbox) do
			assert.is_falsy((stanza.attr.from or ""):find(juliet.bare, 1, true), tostring(stanza))
		end
	end)

	it("shows a contact that one has gone (3.3)", function()
		tybalt:asks "<iq type='get'><query xmlns='jabber:iq:roster'/></iq>"
		tybalt:sends(("<presence to='%s' type='subscribe'/>"):format(juliet.bare))
		juliet:awaits "<presence type='subscribe'/>"
		juliet:sends(("<presence to='%s' type='subscribed'/>"):format(tybalt.bare))
		tybalt:awaits(("<presence from='%s'/>"):format(juliet.jid))
		juliet:asks(BLOCK:format(tybalt.bare))
		tybalt:awaits(("<presence from='%s' type='unavailable'/>"):format(juliet.jid))
		tybalt:settles()
		tybalt:forgets()
		juliet:sends "<presence><status>hidden</status></presence>"
		tybalt:receives_nothing(juliet)
	end)

	it("stops what would wait offline", function()
		blocks(tybalt.bare)
		juliet:leaves()
		tybalt:sends(("<message to='%s@localhost' type='chat' id='o'><body>x</body></message>"):format(juliet.options.user))
		tybalt:receives "<message type='error' id='o'/>"
		local again = server:person(juliet.options.user)
		again:receives_nothing()
	end)

	it("also stops what one sends oneself, with the reason (3.3)", function()
		blocks(tybalt.bare)
		juliet:sends(("<message to='%s' id='own'><body>x</body></message>"):format(tybalt.bare))
		juliet:receives(([[<message type='error' id='own'><error type='cancel'>
			<not-acceptable xmlns='%s'/><blocked xmlns='urn:xmpp:blocking:errors'/></error></message>]]):format(NS_ERROR))
		tybalt:receives_nothing(juliet)
	end)

	it("can name a whole host", function()
		blocks "localhost"
		tybalt:sends(("<message to='%s' id='h' type='chat'><body>x</body></message>"):format(juliet.bare))
		tybalt:receives "<message type='error' id='h'/>"
	end)

	it("holds through a restart", function()
		blocks(tybalt.bare)
		server:restart()
		juliet = server:person(juliet.options.user)
		tybalt = server:person(tybalt.options.user)
		tybalt:sends(("<message to='%s' type='chat' id='r'><body>x</body></message>"):format(juliet.bare))
		tybalt:receives "<message type='error' id='r'/>"
		juliet:receives_nothing(tybalt)
	end)

	it("refuses what is no JID", function()
		local reply = juliet:asks(BLOCK:format "@@")
		assert.is_truthy(reply:at("error", "jid-malformed"))
	end)
end)
