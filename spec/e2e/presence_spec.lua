-- Presence and contact lists (RFC 6121 2, 3, 4; SECURITY D6). The whole table of subscription states has specs of its
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

describe("A contact list", function()
	local server, romeo

	setup(function() server = Server.start {} end)
	teardown(function() server:stop() end)
	local n = 0
	before_each(function()
		n = n + 1
		romeo = server:person("romeo" .. n, { resource = "orchard" })
	end)
	after_each(function() server:forget_clients() end)

	local function list(of)
		return of:asks("<iq type='get'><query xmlns='jabber:iq:roster'/></iq>"):child("query", "jabber:iq:roster")
	end

	it("is empty at first", function()
		assert.same({}, list(romeo):children())
	end)

	it("takes, changes, pushes and drops an item (2.3, 2.4, 2.5)", function()
		list(romeo)
		romeo:sends [[<iq type='set' id='r1'><query xmlns='jabber:iq:roster'>
			<item jid='nurse@localhost' name='Nurse &amp; friend'><group>Servants</group></item></query></iq>]]
		romeo:receives_all {
			"<iq type='result' id='r1'/>",
			[[<iq type='set'><query xmlns='jabber:iq:roster'>
				<item jid='nurse@localhost' name='Nurse &amp; friend' subscription='none'><group>Servants</group></item>
			</query></iq>]],
		}
		romeo:asks [[
			<iq type='set'><query xmlns='jabber:iq:roster'><item jid='nurse@localhost' name='Angelica'/></query></iq>]]
		local item = list(romeo):child "item"
		assert.equal("Angelica", item.attr.name)
		assert.is_nil(item:child "group")
		romeo:asks [[
			<iq type='set'><query xmlns='jabber:iq:roster'><item jid='nurse@localhost' subscription='remove'/></query></iq>]]
		romeo:awaits [[
			<iq type='set'><query xmlns='jabber:iq:roster'><item jid='nurse@localhost' subscription='remove'/></query></iq>]]
		assert.same({}, list(romeo):children())
	end)

	it("is there after a restart", function()
		romeo:asks [[<iq type='set'><query xmlns='jabber:iq:roster'>
			<item jid='nurse@localhost' name='Nurse'><group>A</group><group>B</group></item></query></iq>]]
		server:restart()
		local again = server:person(romeo.options.user)
		local item = list(again):child "item"
		assert.equal("Nurse", item.attr.name)
		assert.equal(2, #item:children "group")
	end)

	it("is pushed to interested resources only, and to all of them (2.1.6)", function()
		local tomb = server:person(romeo.options.user, { resource = "tomb" })
		local deaf = server:person(romeo.options.user, { resource = "deaf" })
		list(romeo)
		list(tomb)
		romeo:asks "<iq type='set'><query xmlns='jabber:iq:roster'><item jid='nurse@localhost'/></query></iq>"
		tomb:awaits "<iq type='set'><query xmlns='jabber:iq:roster'><item jid='nurse@localhost'/></query></iq>"
		deaf:settles()
		for _, stanza in ipairs(deaf.inbox) do assert.is_not.equal("iq", stanza.name) end
	end)

	it("cannot be read or written by others (2.1.3)", function()
		local juliet = server:person "juliet"
		for _, kind in ipairs { "get", "set" } do
			local reply = juliet:asks(([[<iq type='%s' to='%s'><query xmlns='jabber:iq:roster'>
				<item jid='tybalt@localhost'/></query></iq>]]):format(kind, romeo.bare))
			assert.equal("error", reply.attr.type)
		end
		assert.same({}, list(romeo):children())
	end)

	it("refuses a set of no item, of two items, of an item without a JID (2.1.5)", function()
		for _, inside in ipairs { "", "<item jid='a@b'/><item jid='c@d'/>", "<item/>", "<item jid='@'/>" } do
			local reply = romeo:asks(("<iq type='set'><query xmlns='jabber:iq:roster'>%s</query></iq>"):format(inside))
			assert.equal("error", reply.attr.type, inside)
		end
	end)

	it("says so when one removes whom one never had (2.5.3)", function()
		local reply = romeo:asks [[
			<iq type='set'><query xmlns='jabber:iq:roster'><item jid='who@localhost' subscription='remove'/></query></iq>]]
		assert.is_truthy(reply:at("error", "item-not-found"))
	end)
end)
