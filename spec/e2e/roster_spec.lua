-- Contact lists (RFC 6121 2).

local Server = require "spec.support.server"

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
