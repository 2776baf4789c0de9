-- The small services every client asks for.

local Server = require "spec.support.server"

describe("The server", function()
	local server, romeo, juliet

	setup(function() server = Server.start {} end)
	teardown(function() server:stop() end)
	before_each(function()
		romeo = server:person("romeo", { resource = "orchard" })
		juliet = server:person("juliet", { resource = "balcony" })
	end)
	after_each(function() server:forget_clients() end)

	local function result(client, iq)
		local reply = client:asks(iq)
		assert.equal("result", reply.attr.type, tostring(reply))
		return reply
	end

	it("answers pings to itself and to the own account (XEP-0199)", function()
		for _, to in ipairs { "to='localhost'", "", "to='romeo@localhost'" } do
			result(romeo, ("<iq type='get' %s><ping xmlns='urn:xmpp:ping'/></iq>"):format(to))
		end
	end)

	it("says what it is and can (XEP-0030)", function()
		local info = result(romeo,
			"<iq type='get' to='localhost'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"):child "query"
		local identity, features = false, {}
		for _, one in ipairs(info:children "identity") do
			identity = identity or one.attr.category == "server" and one.attr.type == "im"
		end
		for _, one in ipairs(info:children "feature") do features[one.attr.var] = true end
		assert.is_true(identity)
		for _, var in ipairs {
			"http://jabber.org/protocol/disco#info", "http://jabber.org/protocol/disco#items", "urn:xmpp:ping",
			"jabber:iq:version", "urn:xmpp:time", "urn:xmpp:blocking", "jabber:iq:register", "vcard-temp",
		} do
			assert.is_true(features[var], var)
		end
	end)

	it("advertises its capabilities on the stream, and the hash is right (XEP-0115 6.3)", function()
		local caps = romeo.features:child("c", "http://jabber.org/protocol/caps")
		assert.is_truthy(caps)
		local query = result(romeo, ("<iq type='get' to='localhost'><query xmlns='http://jabber.org/protocol/disco#info'"
			.. " node='%s#%s'/></iq>"):format(caps.attr.node, caps.attr.ver)):child "query"
		assert.equal(caps.attr.node .. "#" .. caps.attr.ver, query.attr.node)
		local parts, lines = {}, {}
		for _, one in ipairs(query:children "identity") do
			lines[#lines + 1] = table.concat({ one.attr.category or "", one.attr.type or "", one.attr["xml:lang"] or "",
				one.attr.name or "" }, "/") .. "<"
		end
		table.sort(lines)
		parts[1] = table.concat(lines)
		lines = {}
		for _, one in ipairs(query:children "feature") do lines[#lines + 1] = one.attr.var .. "<" end
		table.sort(lines)
		parts[2] = table.concat(lines)
		if not query:child("x", "jabber:x:data") then
			local sha = require "spec.support.sha"
			assert.equal(caps.attr.ver, sha.base64(sha.sha1(table.concat(parts))))
		end
	end)

	it("lists its parts", function()
		result(romeo, "<iq type='get' to='localhost'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>")
	end)

	it("describes an account to those it trusts, not to strangers (XEP-0030 8)", function()
		local own = result(romeo,
			"<iq type='get' to='romeo@localhost'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>")
		assert.is_truthy(own:at("query", "identity"))
		local stranger = juliet:asks
			"<iq type='get' to='romeo@localhost'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
		assert.equal("error", stranger.attr.type)
	end)

	it("tells its version (XEP-0092) and the time (XEP-0202)", function()
		local version = result(romeo, "<iq type='get' to='localhost'><query xmlns='jabber:iq:version'/></iq>")
		assert.is_truthy(version:at("query", "name"))
		assert.is_truthy(version:at("query", "version"))
		local time = result(romeo, "<iq type='get' to='localhost'><time xmlns='urn:xmpp:time'/></iq>")
		assert.is_truthy(time:at("time", "utc"):text():match "^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.?%d*Z$")
		assert.is_truthy(time:at("time", "tzo"):text():match "^[+-]%d%d:%d%d$")
	end)

	it("tells how long it is up (XEP-0012)", function()
		local reply = result(romeo, "<iq type='get' to='localhost'><query xmlns='jabber:iq:last'/></iq>")
		assert.is_truthy(tonumber(reply:child("query").attr.seconds))
	end)

	it("keeps private things for each user, through a restart (XEP-0049)", function()
		result(romeo, [[<iq type='set'><query xmlns='jabber:iq:private'>
			<notes xmlns='urn:example:notes' v='1'><note>buy poison</note></notes></query></iq>]])
		local empty = result(juliet,
			"<iq type='get'><query xmlns='jabber:iq:private'><notes xmlns='urn:example:notes'/></query></iq>")
		assert.is_nil(empty:at("query", "notes", "note"))
		server:restart()
		local again = server:person "romeo"
		local kept = result(again,
			"<iq type='get'><query xmlns='jabber:iq:private'><notes xmlns='urn:example:notes'/></query></iq>")
		assert.equal("buy poison", kept:at("query", "notes", "note"):text())
		assert.equal("1", kept:at("query", "notes").attr.v)
	end)

	it("does not show private things to others", function()
		local reply = juliet:asks
			"<iq type='get' to='romeo@localhost'><query xmlns='jabber:iq:private'><n xmlns='urn:example:notes'/></query></iq>"
		assert.equal("error", reply.attr.type)
	end)

	it("keeps a vCard that everybody may read and its owner write (XEP-0054)", function()
		result(romeo, "<iq type='set'><vCard xmlns='vcard-temp'><FN>Romeo Montague</FN></vCard></iq>")
		local card = result(juliet, "<iq type='get' to='romeo@localhost'><vCard xmlns='vcard-temp'/></iq>")
		assert.equal("Romeo Montague", card:at("vCard", "FN"):text())
		local reply = juliet:asks "<iq type='set' to='romeo@localhost'><vCard xmlns='vcard-temp'><FN>Fool</FN></vCard></iq>"
		assert.equal("error", reply.attr.type)
		card = result(romeo, "<iq type='get'><vCard xmlns='vcard-temp'/></iq>")
		assert.equal("Romeo Montague", card:at("vCard", "FN"):text())
	end)

	it("says so when there is no vCard", function()
		local reply = romeo:asks "<iq type='get' to='juliet@localhost'><vCard xmlns='vcard-temp'/></iq>"
		assert.is_true(reply:at("error", "item-not-found") ~= nil or reply:child("vCard") ~= nil)
	end)
end)
