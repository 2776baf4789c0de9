-- Presence and subscriptions (RFC 6121 3, 4; SECURITY D6). The whole table of subscription states has specs of its
-- own (spec/core_lua); here is what people see.

local Server = require "spec.support.server"

describe("Presence", function()
	local server, romeo, juliet

	setup(function() server = Server.start {} end)
	teardown(function() server:stop() end)
	after_each(function() server:forget_clients() end)

	-- New people for each scenario, so that no contact list is left over.
	local n = 0
	before_each(function()
		n = n + 1
		romeo = server:person("romeo" .. n, { resource = "orchard" })
		juliet = server:person("juliet" .. n, { resource = "balcony" })
		for _, one in ipairs { romeo, juliet } do
			one:asks "<iq type='get'><query xmlns='jabber:iq:roster'/></iq>"
		end
	end)

	local function befriend(a, b)
		a:sends(("<presence to='%s' type='subscribe'/>"):format(b.bare))
		b:awaits(("<presence from='%s' type='subscribe'/>"):format(a.bare))
		b:sends(("<presence to='%s' type='subscribed'/>"):format(a.bare))
		a:awaits(("<presence from='%s' type='subscribed'/>"):format(b.bare))
		a:awaits(("<presence from='%s'/>"):format(b.jid))
	end

	it("comes back to who sent it, and to the account's other resources (4.2.2)", function()
		local tomb = server:person(romeo.options.user, { resource = "tomb" })
		romeo:awaits(("<presence from='%s'/>"):format(tomb.jid))
		romeo:sends "<presence><show>away</show><status>in the garden</status></presence>"
		tomb:awaits(("<presence from='%s'><show>away</show><status>in the garden</status></presence>"):format(romeo.jid))
	end)

	it("subscription: asked, pushed, granted, and presence flows (3.1)", function()
		romeo:sends(("<presence to='%s' type='subscribe' id='s1'/>"):format(juliet.bare))
		romeo:awaits(([[
			<iq type='set'><query xmlns='jabber:iq:roster'>
				<item jid='%s' subscription='none' ask='subscribe'/>
			</query></iq>]]):format(juliet.bare))
		juliet:awaits(("<presence from='%s' to='%s' type='subscribe'/>"):format(romeo.bare, juliet.bare))
		juliet:sends(("<presence to='%s' type='subscribed'/>"):format(romeo.bare))
		juliet:awaits(([[
			<iq type='set'><query xmlns='jabber:iq:roster'><item jid='%s' subscription='from'/></query></iq>
			]]):format(romeo.bare))
		romeo:awaits(("<presence from='%s' type='subscribed'/>"):format(juliet.bare))
		romeo:awaits(([[
			<iq type='set'><query xmlns='jabber:iq:roster'>
				<item jid='%s' subscription='to' ask='{none}'/>
			</query></iq>]]):format(juliet.bare))
		romeo:awaits(("<presence from='%s'/>"):format(juliet.jid))
		juliet:sends "<presence><show>dnd</show></presence>"
		romeo:awaits(("<presence from='%s'><show>dnd</show></presence>"):format(juliet.jid))
	end)

	it("subscription waits for who is away (3.1.3)", function()
		juliet:leaves()
		romeo:sends(("<presence to='%s' type='subscribe'><status>it is I</status></presence>"):format(juliet.options.user
			.. "@localhost"))
		romeo:settles()
		server:restart()
		local back = server:person(juliet.options.user)
		back:awaits(("<presence from='%s' type='subscribe'/>"):format(romeo.bare))
	end)

	it("goes to nobody without a subscription", function()
		romeo:sends "<presence><status>secret</status></presence>"
		juliet:receives_nothing(romeo)
	end)

	it("is shown to a subscriber who comes later, and its end to one who was there (4.3, 4.5)", function()
		befriend(romeo, juliet)
		romeo:leaves()
		local again = server:person(romeo.options.user)
		again:awaits(("<presence from='%s'/>"):format(juliet.jid))
		juliet:leaves()
		again:awaits(("<presence from='%s' type='unavailable'/>"):format(juliet.jid))
	end)

	it("ends also when the connection breaks", function()
		befriend(romeo, juliet)
		juliet:vanishes()
		romeo:awaits(("<presence from='%s' type='unavailable'/>"):format(juliet.jid))
	end)

	it("of who grants nothing cannot be probed (4.3.2)", function()
		romeo:sends(("<presence to='%s' type='probe'/>"):format(juliet.bare))
		romeo:sends(("<presence to='%s' type='probe'/>"):format(juliet.jid))
		romeo:settles()
		for _, stanza in ipairs(romeo.inbox) do
			assert.is_false(stanza:is "presence" and not stanza.attr.type and stanza.attr.from ~= romeo.jid, tostring(stanza))
		end
		juliet:receives_nothing()
	end)

	it("looks the same for who grants nothing and who does not exist", function()
		local function answer(to)
			romeo:forgets()
			romeo:sends(("<presence to='%s' type='probe' id='p'/>"):format(to))
			romeo:settles()
			local kinds = {}
			for _, stanza in ipairs(romeo.inbox) do
				kinds[#kinds + 1] = (tostring(stanza):gsub(to:gsub("%p", "%%%0"), "WHO"))
			end
			return table.concat(kinds)
		end
		assert.equal(answer(juliet.bare), answer "nobody-at-all@localhost")
	end)

	it("can be sent to one person, who also hears of the end (4.6)", function()
		romeo:sends(("<presence to='%s'><status>psst</status></presence>"):format(juliet.jid))
		juliet:receives(("<presence from='%s' to='%s'><status>psst</status></presence>"):format(romeo.jid, juliet.jid))
		romeo:vanishes()
		juliet:awaits(("<presence from='%s' type='unavailable'/>"):format(romeo.jid))
	end)

	it("can be taken back (3.2), and no presence follows", function()
		befriend(romeo, juliet)
		juliet:sends(("<presence to='%s' type='unsubscribed'/>"):format(romeo.bare))
		romeo:awaits(("<presence from='%s' type='unavailable'/>"):format(juliet.jid))
		juliet:settles()
		romeo:settles()
		romeo:forgets()
		juliet:sends "<presence><status>alone</status></presence>"
		romeo:receives_nothing(juliet)
	end)

	it("of a malformed type is an error", function()
		romeo:sends(("<presence to='%s' type='sideways' id='odd'/>"):format(juliet.bare))
		romeo:awaits "<presence type='error' id='odd'><error/></presence>"
		juliet:receives_nothing()
	end)
end)
