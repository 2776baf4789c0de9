-- What a client may put into its roster, roster versioning, and what contacts hear of removals (RFC 6121 2).

local Server = require "spec.support.server"

describe("mod_roster", function()
	local server, romeo

	setup(function() server = Server.start {} end)
	teardown(function() server:stop() end)
	before_each(function() romeo = server:person "romeo" end)
	after_each(function() server:forget_clients() end)

	local function get(version, who)
		return (who or romeo):asks(("<iq type='get'><query xmlns='jabber:iq:roster'%s/></iq>"):format(
			version and (" ver='%s'"):format(version) or "")):child "query"
	end

	local function set(item, who)
		return (who or romeo):asks(("<iq type='set'><query xmlns='jabber:iq:roster'>%s</query></iq>"):format(item))
	end

	local function item_of(jid, who)
		for _, item in ipairs(get(nil, who):children "item") do
			if item.attr.jid == jid then return item end
		end
	end

	it("is announced with its versions and pre-approval, to who is logged in (2.6.1, 3.4.1)", function()
		assert.truthy(romeo.features:child("ver", "urn:xmpp:features:rosterver"))
		assert.truthy(romeo.features:child("sub", "urn:xmpp:features:pre-approval"))
	end)

	it("says only that nothing has changed, when nothing has (2.6.2)", function()
		set "<item jid='friar@example.org' name='Friar'/>"
		local version = get("").attr.ver
		assert.truthy(version)
		assert.is_nil(get(version))
		assert.equal("result", set("<item jid='friar@example.org' name='Friar Laurence'/>").attr.type)
		local changed = get(version)
		assert.truthy(changed.attr.ver ~= version)
		assert.equal("Friar Laurence", item_of("friar@example.org").attr.name)
	end)

	it("pushes carry the new version (2.6.3)", function()
		get ""
		romeo:forgets()
		romeo:sends "<iq type='set' id='push'><query xmlns='jabber:iq:roster'><item jid='a@example.org'/></query></iq>"
		local push = romeo:awaits "<iq type='set'><query xmlns='jabber:iq:roster'><item jid='a@example.org'/></query></iq>"
		assert.is_nil(get(push:child("query").attr.ver))
	end)

	for _, case in ipairs {
		{ "an address that is none", "<item jid='a b@example.org'/>", "jid-malformed" },
		{ "the same group twice", "<item jid='a@example.org'><group>G</group><group>G</group></item>", "bad-request" },
		{ "a group without a name", "<item jid='a@example.org'><group/></item>", "not-acceptable" },
		{ "a name of more than 1023 bytes", ("<item jid='a@example.org' name='%s'/>"):format(("n"):rep(1024)),
			"not-acceptable" },
		{ "a group of more than 1023 bytes", ("<item jid='a@example.org'><group>%s</group></item>"):format(("g"):rep(1024)),
			"not-acceptable" },
		{ "more than 64 groups", "<item jid='a@example.org'>" .. (function()
			local groups = {}
			for i = 1, 65 do groups[i] = ("<group>%d</group>"):format(i) end
			return table.concat(groups)
		end)() .. "</item>", "not-acceptable" },
	} do
		it("refuses " .. case[1], function()
			local before = get("").attr.ver
			local answer = set(case[2])
			assert.equal("error", answer.attr.type)
			assert.truthy(answer:child("error"):child(case[3]))
			assert.equal(before, get("").attr.ver)
		end)
	end

	it("takes an address in any spelling, and what clients may not say is passed over (2.3.3)", function()
		set "<item jid='BENVOLIO@Example.ORG' subscription='both' ask='subscribe' approved='true' name=''/>"
		local item = item_of "benvolio@example.org"
		assert.equal("none", item.attr.subscription)
		assert.is_nil(item.attr.ask)
		assert.is_nil(item.attr.approved)
		assert.is_nil(item.attr.name)
	end)

	-- Both see each other's presence.
	local function befriend(one, other)
		for _, way in ipairs { { one, other }, { other, one } } do
			way[1]:sends(("<presence to='%s' type='subscribe'/>"):format(way[2].bare))
			way[2]:awaits(("<presence from='%s' type='subscribe'/>"):format(way[1].bare))
			way[2]:sends(("<presence to='%s' type='subscribed'/>"):format(way[1].bare))
			way[1]:awaits(("<presence from='%s' type='subscribed'/>"):format(way[2].bare))
		end
		for _, each in ipairs { one, other } do
			each:settles()
			each:forgets()
		end
	end

	it("who is removed hears that both subscriptions have ended (2.5.2)", function()
		local juliet = server:person "juliet"
		befriend(romeo, juliet)
		assert.equal("both", item_of("romeo@localhost", juliet).attr.subscription)
		assert.equal("result", set("<item jid='juliet@localhost' subscription='remove'/>").attr.type)
		juliet:awaits "<presence from='romeo@localhost' type='unsubscribe'/>"
		juliet:awaits "<presence from='romeo@localhost' type='unsubscribed'/>"
		juliet:awaits(("<presence from='%s' type='unavailable'/>"):format(romeo.jid))
		assert.is_nil(item_of "juliet@localhost")
		assert.equal("none", item_of("romeo@localhost", juliet).attr.subscription)
	end)

	it("an account that is deleted leaves the rosters of its contacts", function()
		local nurse, juliet = server:person "nurse", server:person "juliet"
		befriend(nurse, juliet)
		local said, code = server:ctl("shell", "user", "delete", "nurse@localhost")
		assert.equal(0, code, said)
		juliet:awaits "<presence from='nurse@localhost' type='unsubscribe'/>"
		juliet:awaits "<presence from='nurse@localhost' type='unsubscribed'/>"
		assert.equal("none", item_of("nurse@localhost", juliet).attr.subscription)
	end)
end)
