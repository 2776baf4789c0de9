local fake_native = require "spec.support.fake_native"
local st = require "prosody.util.stanza"

local host = "guests.example"

describe("mod_auth_anonymous", function ()
	local world, usermanager, storagemanager

	local function start(more)
		world = fake_native.serve { host = "guests.example", authentication = "anonymous", host_config = more }
		usermanager, storagemanager = world.usermanager, world.load "storagemanager"
	end
	after_each(function () world.stop() end)

	local function route(stanza)
		return world.prosody.hosts[host].events.fire_event("route/remote",
			{ from_host = host, to_host = "far.example", stanza = stanza, origin = {} })
	end

	it("offers ANONYMOUS alone and gives everybody another name", function ()
		start()
		local names = {}
		for _ = 1, 2 do
			local handler = usermanager.get_sasl_handler(host, {})
			assert.same({ ANONYMOUS = true }, handler:mechanisms())
			assert.is_true(handler:select("ANONYMOUS"))
			assert.equal("success", (handler:process("admin")))
			names[handler.username] = true
		end
		assert.is_nil(names.admin)
		local first, second = next(names), next(names, next(names))
		assert.is_truthy(first and second)
	end)

	it("knows no passwords and makes no accounts", function ()
		start()
		assert.is_nil((usermanager.test_password("x", host, "y")))
		assert.is_nil((usermanager.create_user("x", "y", host)))
	end)

	it("keeps guests from other servers (XEP-0175 3)", function ()
		start()
		local message = st.message({ from = "guest@guests.example/r", to = "romeo@far.example", id = "m1" }, "hi")
		assert.is_true(route(message))
		local _, condition = world.posted[1].stanza:get_error()
		assert.equal("not-allowed", condition)
		assert.equal("guest@guests.example/r", world.posted[1].stanza.attr.to)
		assert.is_true(route(st.stanza("message", { type = "error", from = "guest@guests.example/r", to = "a@far.example" })))
		assert.equal(1, #world.posted)
	end)

	it("lets them when the admin does", function ()
		start "allow_anonymous_s2s = true"
		assert.is_nil(route(st.message({ from = "guest@guests.example/r", to = "romeo@far.example" }, "hi")))
	end)

	it("deletes what a guest has stored when the last session ends", function ()
		start()
		local store = storagemanager.open(host, "private")
		assert(store:set("guest", { a = 1 }))
		local session = world.online("guest", host, "r")
		local events = world.prosody.hosts[host].events
		events.fire_event("resource-unbind", { session = session })
		assert.is_table(store:get("guest"))
		world.native_hosts[host].sessions.guest = nil
		events.fire_event("resource-unbind", { session = session })
		assert.is_nil((store:get("guest")))
	end)
end)
