local fake = require "spec.support.fake_native"

describe("Hosts", function ()
	local world, hostmanager

	local function begin(config)
		world = fake.start { config = config or [[
			storage = "memory" authentication = "null"
			VirtualHost "capulet.example"
			VirtualHost "montague.example" enabled = false
			Component "rooms.capulet.example" "rooms"
			Component "a.rooms.capulet.example" "rooms"
		]] }
		world.module("rooms", "")
		world.load("modulemanager")
		world.load("usermanager")
		hostmanager = world.load("hostmanager")
	end
	before_each(function () begin() end)
	after_each(function () world.stop() end)

	it("come from the configuration, virtual hosts first", function ()
		local order = {}
		prosody.events.add_handler("host-activated", function (name) order[#order + 1] = name end)
		assert.equal(3, hostmanager.activate_all())
		assert.same({ "capulet.example", "a.rooms.capulet.example", "rooms.capulet.example" }, order)
		assert.equal("local", prosody.hosts["capulet.example"].type)
		assert.equal("component", prosody.hosts["rooms.capulet.example"].type)
		assert.is_nil(prosody.hosts["montague.example"])
	end)

	it("have what others look for in them", function ()
		hostmanager.activate_all()
		local host = prosody.hosts["capulet.example"]
		assert.equal("capulet.example", host.host)
		assert.is_function(host.events.fire_event)
		assert.is_table(host.modules)
		assert.is_table(host.sessions)
		assert.is_table(host.s2sout)
		assert.is_table(host.users)
		assert.is_table(host.authz)
		host.send("an answer")
		assert.equal("an answer", world.posted[1].stanza)
		assert.equal(host, world.native_hosts["capulet.example"])
	end)

	it("know their children", function ()
		hostmanager.activate_all()
		assert.same({ "a.rooms.capulet.example", "rooms.capulet.example" }, hostmanager.get_children("capulet.example"))
		assert.same({}, hostmanager.get_children("example"  .. "x"))
	end)

	it("cannot be served twice, or without a section", function ()
		hostmanager.activate_all()
		assert.matches("already there", select(2, hostmanager.activate("capulet.example")))
		assert.matches("no VirtualHost \"x.example\"", select(2, hostmanager.activate("x.example")))
		assert.is_true(hostmanager.activate("x.example", {}))
	end)

	it("end their sessions, then their modules, when they go", function ()
		world.module("watch", [[
			function module.unload() table.insert(prosody.order, "unload") end
		]])
		hostmanager.activate_all()
		prosody.order = {}
		world.load("modulemanager").load("capulet.example", "watch")
		local session = world.online("juliet", "capulet.example")
		local close = session.close
		function session:close(reason) table.insert(prosody.order, "close") close(self, reason) end
		assert.is_true(hostmanager.deactivate("capulet.example"))
		assert.equal("host-gone", session.closed.condition)
		assert.same({ "close", "unload" }, prosody.order)
		assert.is_nil(prosody.hosts["capulet.example"])
		assert.is_nil(world.native_hosts["capulet.example"])
		assert.is_nil((hostmanager.deactivate("capulet.example")))
	end)

	it("follow a changed configuration, except those others brought", function ()
		hostmanager.activate_all()
		hostmanager.activate("brought.example", {})
		world.configure [[
			storage = "memory" authentication = "null"
			VirtualHost "capulet.example"
			VirtualHost "montague.example"
		]]
		prosody.events.fire_event("config-reloaded", {})
		local names = {}
		for name in pairs(prosody.hosts) do names[#names + 1] = name end
		table.sort(names)
		assert.same({ "brought.example", "capulet.example", "montague.example" }, names)
	end)

	it("are missed when there is none", function ()
		world.stop()
		begin ""
		assert.equal(0, hostmanager.activate_all())
		assert.is_string(world.log_has("error", "add a line such as VirtualHost \"example.com\""))
	end)
end)
