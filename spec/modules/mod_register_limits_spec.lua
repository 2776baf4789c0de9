local fake_native = require "spec.support.fake_native"

local host = "capulet.example"

describe("mod_register_limits", function ()
	local world, events

	local function start(more)
		world = fake_native.serve { modules = { "register_limits" }, config = more }
		events = world.events
		assert.is_true(world.load "modulemanager".is_loaded(host, "register_limits"))
	end
	after_each(function () world.stop() end)

	local function register(ip, session)
		local event = { username = "new", host = host, ip = ip, session = session or {}, allowed = true }
		events.fire_event("user-registering", event)
		return event.allowed, event.error_condition
	end

	it("lets an address register five times in an hour", function ()
		start()
		for _ = 1, 5 do assert.is_true((register "192.0.2.1")) end
		assert.same({ false, "policy-violation" }, { register "192.0.2.1" })
		assert.is_true((register "192.0.2.2"))
	end)

	it("takes an IPv6 /64 for one address", function ()
		start "registration_throttle_max = 1"
		assert.is_true((register "2001:db8::1"))
		assert.is_false((register "2001:db8::ffff:2"))
		assert.is_true((register "2001:db8:0:1::1"))
	end)

	it("knows the older way to say one in so many seconds", function ()
		start "min_seconds_between_registrations = 300"
		assert.is_true((register "192.0.2.1"))
		assert.is_false((register "192.0.2.1"))
	end)

	it("refuses addresses and networks of the block list, by both its names", function ()
		for _, option in ipairs { "registration_blocklist", "registration_blacklist" } do
			start(option .. ' = { "192.0.2.0/24"; "2001:db8::/32"; "nonsense" }')
			assert.is_truthy(world.log_has("error", "nonsense"))
			assert.same({ false, "forbidden" }, { register "192.0.2.77" })
			assert.is_false((register "2001:db8:1::1"))
			assert.is_true((register "198.51.100.1"))
			world.stop()
		end
		start()
	end)

	it("can leave registration to the allow list", function ()
		start 'allowlist_registration_only = true; registration_allowlist = { "192.0.2.1" }'
		for _ = 1, 10 do assert.is_true((register "192.0.2.1")) end
		assert.same({ false, "forbidden" }, { register "192.0.2.2" })
		assert.same({ false, "forbidden" }, { register(nil) })
	end)

	it("has no limit for who was invited", function ()
		start 'registration_blocklist = { "192.0.2.1" }'
		assert.is_true((register("192.0.2.1", { validated_invite = {} })))
	end)

	it("can lock out addresses it had to forget", function ()
		start [[
			registration_throttle_max = 1; registration_throttle_cache_size = 2
			blocklist_on_registration_throttle_overload = true
		]]
		register "192.0.2.1"
		for i = 2, 3 do register("192.0.2." .. i) end
		assert.is_false((register "192.0.2.1"))
	end)
end)
