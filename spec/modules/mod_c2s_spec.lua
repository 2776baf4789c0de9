local fake_native = require "spec.support.fake_native"

local host = "capulet.example"

describe("mod_c2s", function ()
	local world, events, options

	local function start(more)
		world = fake_native.start { config = ([[
			storage = "memory"
			modules_disabled = { "presence", "message", "iq", "offline", "s2s", "s2s_auth_certs", "smacks" }
			%s
			VirtualHost "capulet.example"
				authentication = "null"
		]]):format(more or "") }
		world.native.options = function (given) options = given end
		for _, name in ipairs { "storagemanager", "modulemanager", "usermanager", "portmanager" } do world.load(name) end
		world.load "hostmanager".activate_all()
		events = world.prosody.hosts[host].events
	end
	after_each(function () world.stop() end)

	it("listens for clients on 5222, and with TLS from the first byte where the admin says", function ()
		start()
		world.load "portmanager".activate_all()
		assert.equal("c2s", world.listeners["* 5222"].kind)
		assert.is_nil(world.listeners["* 5223"])
		world.stop()
		start "c2s_direct_tls_ports = { 5223 }; ssl = { certificate = 'x.crt'; key = 'x.key' }"
		world.file("x.crt", "certificate")
		world.file("x.key", "key")
		world.load "portmanager".activate_all()
		local direct = world.listeners["* 5223"]
		assert.equal("c2s", direct.kind)
		assert.is_true(direct.direct_tls)
		assert.equal("xmpp-client", direct.tls.settings.alpn)
	end)

	it("hands the limits to the core", function ()
		start()
		assert.same({ c2s_timeout = 30, c2s_idle = 300, c2s_close = 5, c2s_stanza_size = 262144,
			c2s_unauthed_stanza_size = 8192, resources_per_user = 10 }, options)
		world.stop()
		start [[c2s_timeout = "1 minute"; c2s_stanza_size_limit = 20000; c2s_max_resources = 3]]
		assert.equal(60, options.c2s_timeout)
		assert.equal(20000, options.c2s_stanza_size)
		assert.equal(3, options.resources_per_user)
	end)

	it("does so again after a reload", function ()
		start()
		world.configure [[
			c2s_timeout = 10
			VirtualHost "capulet.example"
		]]
		world.prosody.events.fire_event("config-reloaded")
		assert.equal(10, options.c2s_timeout)
	end)

	it("sends a space to who has long been silent", function ()
		start()
		local session = world.online("romeo", host)
		assert.is_true(events.fire_event("c2s-read-timeout", { session = session, origin = session }))
		assert.same({ " " }, session.sent)
	end)

	it("tells all clients when the server stops", function ()
		start()
		local romeo, stranger = world.online("romeo", host), world.session { host = host }
		local server = world.session { type = "s2sin", host = host }
		world.prosody.events.fire_event("server-stopping", { reason = "Update" })
		assert.same({ condition = "system-shutdown", text = "Update" }, romeo.closed)
		assert.is_truthy(stranger.closed)
		assert.is_nil(server.closed)
	end)

	it("shows modules the sessions there are, by their connection", function ()
		start()
		local conn = {}
		local session = world.session { host = host, conn = conn }
		world.session { type = "s2sin", host = host, conn = {} }
		local module_api = world.load "modulemanager".get_module("*", "c2s").module
		local found = {}
		for key, value in pairs(module_api:shared("/*/c2s/sessions")) do found[key] = value end
		assert.same({ [conn] = session }, found)
	end)

	it("tells clients what it takes, before they are in and after (XEP-0478)", function ()
		start "c2s_stanza_size_limit = 100000; c2s_unauthed_stanza_size_limit = 9000; c2s_timeout = 20"
		local st = require "util.stanza"
		for kind, expected in pairs { c2s_unauthed = { "9000", "20" }, c2s = { "100000", "300" } } do
			local features = st.stanza "features"
			events.fire_event("stream-features", { origin = { type = kind }, features = features })
			local limits = features:get_child("limits", "urn:xmpp:stream-limits:0")
			assert.same(expected, { limits:get_child_text "max-bytes", limits:get_child_text "idle-seconds" })
		end
	end)
end)
