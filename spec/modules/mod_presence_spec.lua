-- The rules of presence that the scenarios of spec/e2e/presence_spec.lua do not meet (RFC 6121 3 and 4).

local Server = require "spec.support.server"

describe("mod_presence", function()
	local server, romeo

	setup(function()
		server = Server.start {}
		server:person("juliet"):leaves()
	end)
	teardown(function() server:stop() end)
	before_each(function() romeo = server:person("romeo", { resource = "orchard" }) end)
	after_each(function() server:forget_clients() end)

	for _, priority in ipairs { "-128", "127", "0", " 5 ", "+7" } do
		it(("takes the priority %q (4.7.2.3)"):format(priority), function()
			romeo:forgets()
			romeo:sends(("<presence><priority>%s</priority></presence>"):format(priority))
			romeo:awaits(("<presence from='%s'><priority>{any}</priority></presence>"):format(romeo.jid))
		end)
	end

	for _, priority in ipairs { "-129", "128", "129", "high", "1.5", "", "99999999999999999999" } do
		it(("refuses the priority %q, and stays what it was"):format(priority), function()
			local other = server:person("romeo", { resource = "tomb" })
			romeo:forgets()
			romeo:sends(("<presence id='p'><show>away</show><priority>%s</priority></presence>"):format(priority))
			local answer = romeo:awaits "<presence type='error' id='p'/>"
			assert.truthy(answer:child("error"):child "bad-request")
			other:settles()
			for _, stanza in ipairs(other.inbox) do assert.is_nil(stanza:child "show") end
		end)
	end

	for _, kind in ipairs { "subscribe", "subscribed", "unsubscribe", "unsubscribed", "probe" } do
		it(("of type %s must say to whom"):format(kind), function()
			romeo:sends(("<presence type='%s' id='p'/>"):format(kind))
			assert.truthy(romeo:awaits("<presence type='error' id='p'/>"):child("error"):child "bad-request")
		end)
	end

	it("of the host is there for whoever asks", function()
		romeo:forgets()
		romeo:sends "<presence to='localhost' type='subscribe'/>"
		romeo:awaits "<presence from='localhost' to='romeo@localhost' type='subscribed'/>"
		romeo:awaits "<presence from='localhost'/>"
		local roster = romeo:asks "<iq type='get'><query xmlns='jabber:iq:roster'/></iq>"
		assert.equal("to", roster:child("query"):child("item").attr.subscription)
		romeo:sends "<presence to='localhost' type='unsubscribe'/>"
		romeo:awaits "<iq type='set'><query xmlns='jabber:iq:roster'><item subscription='none'/></query></iq>"
		romeo:asks "<iq type='set'><query xmlns='jabber:iq:roster'><item jid='localhost' subscription='remove'/></query></iq>"
	end)

	it("to oneself asks nobody: a user always has the own presence", function()
		for _, to in ipairs { romeo.bare, romeo.jid } do romeo:sends(("<presence to='%s' type='subscribe'/>"):format(to)) end
		local roster = romeo:asks "<iq type='get'><query xmlns='jabber:iq:roster'/></iq>"
		assert.is_nil(roster:child("query"):child "item")
	end)

	it("a request to nobody is refused, any other subscription stanza to nobody is dropped (3.1.3)", function()
		romeo:forgets()
		romeo:sends "<presence to='nobody@localhost' type='subscribe'/>"
		romeo:awaits "<presence from='nobody@localhost' type='unsubscribed'/>"
		romeo:forgets()
		romeo:sends "<presence to='nobody@localhost' type='unsubscribed'/>"
		romeo:receives_nothing()
	end)

	it("a request waits for its answer and is not shown a second time, though it is sent again at each login", function()
		romeo:sends "<presence to='juliet@localhost' type='subscribe'/>"
		romeo:settles()
		local juliet = server:person "juliet"
		juliet:awaits "<presence from='romeo@localhost' type='subscribe'/>"
		romeo:leaves()
		juliet:settles()
		juliet:forgets()
		romeo = server:person "romeo"
		juliet:receives_nothing()
		juliet:sends "<presence to='romeo@localhost' type='unsubscribed'/>"
		romeo:awaits "<presence from='juliet@localhost' type='unsubscribed'/>"
	end)

	it("a request granted in advance is answered at once, unseen (3.4)", function()
		local juliet = server:person "juliet"
		juliet:sends "<presence to='romeo@localhost' type='subscribed'/>"
		juliet:settles()
		juliet:forgets()
		romeo:sends "<presence to='juliet@localhost' type='subscribe'/>"
		romeo:awaits "<presence from='juliet@localhost' type='subscribed'/>"
		romeo:awaits(("<presence from='%s'/>"):format(juliet.jid))
		juliet:settles()
		for _, stanza in ipairs(juliet.inbox) do
			assert.is_false(stanza.name == "presence" and stanza.attr.type == "subscribe")
		end
	end)

	it("sent directly is remembered for 1,000 addresses; the next is refused (4.6)", function()
		romeo:forgets()
		for i = 1, 1000 do romeo:sends(("<presence to='r%d@localhost/x'/>"):format(i)) end
		romeo:sends "<presence to='r1@localhost/x'/>"
		romeo:sends "<presence to='one-more@localhost/x' id='p'/>"
		local answer = romeo:awaits "<presence type='error' id='p'/>"
		assert.truthy(answer:child("error"):child "resource-constraint")
		romeo:sends "<presence to='r1@localhost/x' type='unavailable'/>"
		romeo:sends "<presence to='juliet@localhost' id='q'/>"
		romeo:settles()
		for _, stanza in ipairs(romeo.inbox) do assert.not_equal("q", stanza.attr.id) end
	end)
end)
