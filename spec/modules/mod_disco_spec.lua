local Server = require "spec.support.server"

local xmlns_info = "http://jabber.org/protocol/disco#info"
local xmlns_items = "http://jabber.org/protocol/disco#items"

-- A module that answers the events of mod_disco.
local helper_module = [[
module:add_feature "urn:example:feature"
module:add_identity("gateway", "example", "An example")
module:hook("host-disco-info-node", function (event)
	if event.node == "known" then
		event.reply:tag("feature", { var = "urn:example:node" }):up()
		event.exists = true
	end
end)
module:hook("account-disco-info", function (event)
	event.reply:tag("feature", { var = "urn:example:account:" .. event.username }):up()
end)
module:hook("account-disco-items", function (event)
	event.reply:tag("item", { jid = event.username .. "@" .. module.host, node = "urn:example:item" }):up()
end)
module:hook("host-disco-items", function (event)
	event.reply:tag("item", { jid = "added.example.com" }):up()
end)
]]

describe("mod_disco", function ()
	local server, romeo, juliet

	setup(function ()
		server = Server.start {
			modules = { "roster", "saslauth", "tls", "disco", "disco_helper", "admin_shell" },
			plugins = { disco_helper = helper_module, disco_component = "" },
			config = [[
				name = "Verona"
				disco_items = { { "bot.example.com", "A bot" }; { "plain.example.com" }; { "@bad" }; 7 }
			]],
			components = "Component \"rooms.localhost\" \"disco_component\"\nname = \"Rooms\"",
		}
		server:expects_error "disco_items"
		romeo, juliet = server:person "romeo", server:person "juliet"
	end)
	teardown(function () server:stop() end)

	local function ask(who, xmlns, to, node)
		return who:asks(("<iq type='get' to='%s'><query xmlns='%s' %s/></iq>"):format(to, xmlns,
			node and "node='" .. node .. "'" or ""))
	end
	local function features(reply)
		local set = {}
		for _, feature in ipairs(reply:child "query":children "feature") do
			set[feature.attr.var] = true
		end
		return set
	end
	local function items(reply)
		local map = {}
		for _, item in ipairs(reply:child "query":children "item") do
			map[item.attr.jid] = item.attr.name or true
		end
		return map
	end
	local function condition(reply)
		return reply:at "error":child(nil, "urn:ietf:params:xml:ns:xmpp-stanzas").name
	end

	it("says what the host is and can", function ()
		local reply = ask(romeo, xmlns_info, "localhost")
		local found = features(reply)
		assert.is_true(found[xmlns_info] and found[xmlns_items] and found["urn:example:feature"])
		local identities = {}
		for _, identity in ipairs(reply:child "query":children "identity") do
			identities[identity.attr.category .. "/" .. identity.attr.type] = identity.attr.name
		end
		assert.equal("Verona", identities["server/im"])
		assert.equal("An example", identities["gateway/example"])
	end)

	it("announces the hash of that to who is in (XEP-0115)", function ()
		local one = server:client { user = "romeo" }
		one:connect()
		local features_before = one:opens_stream_with_features()
		assert.is_nil(features_before:child("c", "http://jabber.org/protocol/caps"))
		one:vanishes()
		local two = server:client { user = "romeo" }:logs_in()
		local caps = two.features:child("c", "http://jabber.org/protocol/caps")
		assert.equal("sha-1", caps.attr.hash)
		local node = caps.attr.node .. "#" .. caps.attr.ver
		local reply = ask(two, xmlns_info, "localhost", node)
		assert.equal(node, reply:child "query".attr.node)
		assert.is_true(features(reply)["urn:example:feature"])
		two:vanishes()
	end)

	it("answers for nodes that somebody knows", function ()
		assert.is_true(features(ask(romeo, xmlns_info, "localhost", "known"))["urn:example:node"])
		assert.equal("item-not-found", condition(ask(romeo, xmlns_info, "localhost", "unknown")))
		assert.equal("item-not-found", condition(ask(romeo, xmlns_items, "localhost", "unknown")))
	end)

	it("lists components, configured items and those of modules", function ()
		assert.same({
			["rooms.localhost"] = "Rooms", ["bot.example.com"] = "A bot", ["plain.example.com"] = true,
			["added.example.com"] = true,
		}, items(ask(romeo, xmlns_items, "localhost")))
	end)

	it("describes an account to its owner", function ()
		local reply = ask(romeo, xmlns_info, "romeo@localhost")
		assert.equal("account", reply:at("query", "identity").attr.category)
		assert.is_true(features(reply)["urn:example:account:romeo"])
		assert.is_truthy(items(ask(romeo, xmlns_items, "romeo@localhost"))["romeo@localhost"])
		assert.equal("item-not-found", condition(ask(romeo, xmlns_info, "romeo@localhost", "unknown")))
	end)

	it("tells strangers nothing, not even who exists (XEP-0030 8)", function ()
		assert.equal("service-unavailable", condition(ask(juliet, xmlns_info, "romeo@localhost")))
		assert.equal("service-unavailable", condition(ask(juliet, xmlns_info, "nobody@localhost")))
		assert.same({}, items(ask(juliet, xmlns_items, "romeo@localhost")))
		assert.same({}, items(ask(juliet, xmlns_items, "nobody@localhost")))
	end)

	it("describes an account to who may see its presence", function ()
		juliet:sends "<presence type='subscribe' to='romeo@localhost'/>"
		romeo:awaits "<presence type='subscribe' from='juliet@localhost'/>"
		romeo:sends "<presence type='subscribed' to='juliet@localhost'/>"
		juliet:awaits "<presence type='subscribed' from='romeo@localhost'/>"
		assert.is_true(features(ask(juliet, xmlns_info, "romeo@localhost"))["urn:example:account:romeo"])
	end)
end)
