local fake = require "spec.support.fake_native"

describe("Modules", function ()
	local world, modulemanager
	local host = "capulet.example"

	local function begin(config)
		world = fake.start { config = config or 'VirtualHost "capulet.example" storage = "memory" authentication = "null"' }
		modulemanager = world.load("modulemanager")
		world.load("usermanager")
		world.module("authz_internal", "") -- roles have a spec of their own
		world.seen = {}
		rawset(_G, "seen", world.seen)
	end

	-- Serves the hosts; modules are written before.
	local function serve() world.load("hostmanager").activate_all() end

	local function loaded(name, on)
		local environment, err = modulemanager.load(on or host, name)
		assert.is_table(environment, err)
		return environment
	end

	before_each(function () begin() end)
	after_each(function ()
		world.stop()
		rawset(_G, "seen", nil)
	end)

	describe("when loaded", function ()
		it("keep their globals to themselves and see those of the server", function ()
			world.module("x", "answer = 42 function f() return answer end found = tostring(7)")
			serve()
			local x = loaded("x")
			assert.equal(42, x.f())
			assert.equal("7", x.found)
			assert.is_nil(rawget(_G, "answer"))
			assert.equal(x, prosody.hosts[host].modules.x)
			assert.equal("x", x.module.name)
			assert.equal(host, x.module:get_host())
		end)

		it("run module.load after their chunk", function ()
			world.module("x", 'table.insert(seen, "chunk") function module.load() table.insert(seen, "load") end')
			serve()
			loaded("x")
			assert.same({ "chunk", "load" }, world.seen)
		end)

		it("leave nothing behind when that fails", function ()
			world.module("x", [[
				module:hook("event", function () return "hooked" end)
				module:add_item("thing", 1)
				function module.load() error("not today") end
			]])
			serve()
			local environment, err = modulemanager.load(host, "x")
			assert.is_nil(environment)
			assert.matches("mod_x.lua:3: not today", err)
			assert.is_false(modulemanager.is_loaded(host, "x"))
			assert.is_nil(prosody.hosts[host].events.fire_event("event", {}))
			assert.same({}, modulemanager.get_items("thing", host))
			assert.is_string(world.log_has("error", "mod_x could not be loaded on capulet.example"))
		end)

		it("name the file and line of a mistake", function ()
			world.module("x", "local a =\n= 1")
			serve()
			local _, err = modulemanager.load(host, "x")
			assert.matches("mod_x.lua:2: ", err)
		end)

		it("say where they were looked for", function ()
			serve()
			local _, err = modulemanager.load(host, "absent")
			assert.matches("no mod_absent.lua in ", err)
			assert.matches(world.directory .. "/plugins, modules", err, 1, true)
		end)

		it("must be text", function ()
			world.file("plugins/mod_x.lua", string.dump(load("return 1")))
			serve()
			local _, err = modulemanager.load(host, "x")
			assert.matches("binary", err)
		end)

		it("cannot be loaded twice or on a host that is not there", function ()
			world.module("x", "")
			serve()
			loaded("x")
			assert.same({ nil, "module-already-loaded" }, { modulemanager.load(host, "x") })
			assert.same({ nil, "unknown-host" }, { modulemanager.load("elsewhere.example", "x") })
		end)

		it("are found in folders, the admin's before ours", function ()
			world.file("plugins/mod_y/mod_y.lua",
				'where = module:get_directory() text = module:load_resource("a.txt"):read("a")')
			world.file("plugins/mod_y/a.txt", "resource")
			world.file("plugins/z/mod_z.lua", 'lib = module:require "helper"')
			world.file("plugins/z/helper.lib.lua", "global_of_lib = 1 return { name = module.name }")
			world.module("cron", "mine = true") -- shadows ours
			serve()
			local y, z = loaded("y"), loaded("z")
			assert.equal(world.directory .. "/plugins/mod_y", y.where)
			assert.equal("resource", y.text)
			assert.equal("z", z.lib.name)
			assert.equal(1, z.global_of_lib)
			assert.is_true(loaded("cron").mine)
		end)

		it("tell others", function ()
			world.module("x", "")
			serve()
			prosody.hosts[host].events.add_handler("module-loaded", function (event) world.seen[1] = event.module end)
			loaded("x")
			assert.same({ "x" }, world.seen)
		end)
	end)

	describe("which a host has", function ()
		local config = [[
			modules_enabled = { "x", "tls", "posix" }
			storage = "memory" authentication = "null"
			VirtualHost "capulet.example" modules_enabled = { "y" } modules_disabled = { "offline" }
			Component "rooms.capulet.example" "rooms" modules_enabled = { "z" }
		]]

		it("are the autoloaded, the global and its own, in order; a component inherits few", function ()
			begin(config)
			local names = modulemanager.get_modules_for_host(host)
			for _, name in ipairs { "presence", "message", "iq", "c2s", "s2s", "x", "y", "tls" } do
				assert.is_true(names:contains(name), name)
			end
			assert.is_false(names:contains("offline"))
			local of_rooms, component = modulemanager.get_modules_for_host("rooms.capulet.example")
			assert.equal("rooms", component)
			local list = {}
			for name in of_rooms:items() do list[#list + 1] = name end
			table.sort(list)
			assert.same({ "iq", "s2s", "smacks", "tls", "z" }, list)
		end)

		it("are loaded when it is activated, missing ones named", function ()
			begin(config)
			for _, name in ipairs { "presence", "message", "iq", "c2s", "s2s", "s2s_auth_certs", "tls", "y", "z", "rooms" } do
				world.module(name, "table.insert(seen, module.host .. ' ' .. module.name)")
			end
			serve()
			assert.is_string(world.log_has("error", "mod_x could not be loaded on capulet.example: no mod_x.lua"))
			assert.is_false(world.log_has("error", "posix"))
			assert.equal("capulet.example presence", world.seen[1])
			local rooms_first
			for _, entry in ipairs(world.seen) do
				rooms_first = rooms_first or entry:match("^rooms.*")
			end
			assert.equal("rooms.capulet.example rooms", rooms_first)
			assert.is_false(modulemanager.is_loaded("rooms.capulet.example", "y"))
		end)
	end)

	describe("when unloaded", function ()
		it("take all they registered with them", function ()
			world.module("x", [[
				module:hook("event", function () return 1 end)
				module:hook_global("event", function () return 2 end)
				module:wrap_event("wrapped", function (handlers, name, data) return (handlers(name, data) or 0) + 1 end)
				module:add_timer(10, function () table.insert(seen, "timer") end)
				module:add_feature("urn:x")
				function module.unload() table.insert(seen, "unload") end
			]])
			serve()
			local events = prosody.hosts[host].events
			loaded("x")
			assert.equal(1, events.fire_event("event", {}))
			assert.equal(2, prosody.events.fire_event("event", {}))
			assert.equal(1, events.fire_event("wrapped", {}))
			events.add_handler("item-removed/feature", function (event) table.insert(world.seen, event.item) end)
			assert.is_true(modulemanager.unload(host, "x"))
			world.advance(20)
			assert.same({ "unload", "urn:x" }, world.seen)
			assert.is_nil(events.fire_event("event", {}))
			assert.is_nil(prosody.events.fire_event("event", {}))
			assert.is_nil(events.fire_event("wrapped", {}))
			assert.same({ nil, "module-not-loaded" }, { modulemanager.unload(host, "x") })
		end)

		it("go even when module.unload fails", function ()
			world.module("x", 'function module.unload() error("no") end')
			serve()
			loaded("x")
			assert.is_true(modulemanager.unload(host, "x"))
			assert.is_false(modulemanager.is_loaded(host, "x"))
			assert.is_string(world.log_has("error", "module.unload failed"))
		end)

		it("take those who depend on them along", function ()
			world.module("base", "function f() return 1 end")
			world.module("above", 'result = module:depends("base").f()')
			serve()
			assert.equal(1, loaded("above").result)
			assert.is_true(modulemanager.is_loaded(host, "base"))
			modulemanager.unload(host, "base")
			assert.is_false(modulemanager.is_loaded(host, "above"))
		end)
	end)

	describe("that depend on others", function ()
		it("fail when those cannot be had, unless they only would like to", function ()
			world.module("hard", 'module:depends("absent")')
			world.module("soft", 'got = module:depends("absent", true)')
			serve()
			local _, err = modulemanager.load(host, "hard")
			assert.matches("mod_hard needs mod_absent", err)
			assert.is_nil(loaded("soft").got)
		end)

		it("respect modules_disabled", function ()
			begin 'modules_disabled = { "base" } VirtualHost "capulet.example" storage = "memory" authentication = "null"'
			world.module("base", "")
			world.module("above", 'module:depends("base")')
			serve()
			local _, err = modulemanager.load(host, "above")
			assert.matches("it is in modules_disabled", err)
		end)
	end)

	describe("of the whole server", function ()
		before_each(function ()
			world.module("g", [[
				module:set_global()
				function module.add_host(module)
					table.insert(seen, "add " .. module.host)
					module:hook("event", function () return module.host end)
					function module.unload() table.insert(seen, "remove " .. module.host) end
				end
				n = (n or 0) + 1
			]])
		end)

		it("are kept once and have a part on each host that wants them", function ()
			begin 'storage = "memory" authentication = "null" VirtualHost "a.example" VirtualHost "b.example"'
			world.module("g", [[
				module:set_global()
				function module.add_host(module)
					table.insert(seen, "add " .. module.host)
					module:hook("event", function () return module.host end)
					function module.unload() table.insert(seen, "remove " .. module.host) end
				end
			]])
			serve()
			local on_a = loaded("g", "a.example")
			local on_b = loaded("g", "b.example")
			assert.equal("a.example", on_a.module.host)
			assert.equal("*", modulemanager.get_module("*", "g").module.host)
			assert.equal("b.example", prosody.hosts["b.example"].events.fire_event("event", {}))
			assert.is_true(modulemanager.unload("b.example", "g"))
			assert.is_nil(prosody.hosts["b.example"].events.fire_event("event", {}))
			assert.equal("a.example", prosody.hosts["a.example"].events.fire_event("event", {}))
			assert.equal("b.example", on_b.module.host)
			modulemanager.unload("*", "g")
			assert.is_false(modulemanager.is_loaded("a.example", "g"))
			assert.same({ "add a.example", "add b.example", "remove b.example", "remove a.example" }, world.seen)
		end)

		it("refuse a host by returning false", function ()
			world.module("g", "module:set_global() function module.add_host() return false end")
			serve()
			assert.is_nil((modulemanager.load(host, "g")))
			assert.is_false(modulemanager.is_loaded(host, "g"))
			assert.is_true(modulemanager.is_loaded("*", "g"))
		end)

		it("are reloaded as one, their parts included", function ()
			serve()
			loaded("g")
			assert.is_true(modulemanager.reload(host, "g"))
			assert.same({ "add capulet.example", "remove capulet.example", "add capulet.example" }, world.seen)
			assert.equal(host, prosody.hosts[host].events.fire_event("event", {}))
		end)
	end)

	describe("when reloaded", function ()
		local stateful = [[
			version = %d
			local n = 0
			function count() n = n + 1 return n end
			function module.save() return { n = n } end
			function module.restore(state) n = state.n end
			module:hook("version", function () return version end)
		]]

		before_each(function ()
			world.module("x", stateful:format(1))
			serve()
			local x = loaded("x")
			x.count() x.count()
		end)

		local function version() return prosody.hosts[host].events.fire_event("version", {}) end

		it("run new code and keep their state", function ()
			world.module("x", stateful:format(2))
			assert.is_true(modulemanager.reload(host, "x"))
			assert.equal(2, version())
			assert.equal(3, modulemanager.get_module(host, "x").count())
		end)

		it("stay as they are when the new file is no Lua", function ()
			local before = modulemanager.get_module(host, "x")
			world.module("x", "this is not")
			local ok, err = modulemanager.reload(host, "x")
			assert.is_nil(ok)
			assert.matches("mod_x.lua:1", err)
			assert.equal(before, modulemanager.get_module(host, "x"))
			assert.equal(1, version())
		end)

		it("go on with the old code and state when the new code fails as it runs", function ()
			world.module("x", stateful:format(2) .. "\nerror('broken')")
			local ok, err = modulemanager.reload(host, "x")
			assert.is_nil(ok)
			assert.matches("broken", err)
			assert.equal(1, version())
			assert.equal(3, modulemanager.get_module(host, "x").count())
		end)

		it("stay as they are when their state cannot be saved", function ()
			modulemanager.get_module(host, "x").module.save = function () error("full") end
			local ok, err = modulemanager.reload(host, "x")
			assert.is_nil(ok)
			assert.matches("full", err)
			assert.equal(1, version())
		end)

		it("reload those who depend on them", function ()
			world.module("above", 'base = module:depends("x") loads = 1')
			local before = loaded("above")
			assert.is_true(modulemanager.reload(host, "x"))
			local after = modulemanager.get_module(host, "above")
			assert.are_not.equal(before, after)
			assert.equal(modulemanager.get_module(host, "x"), after.base)
		end)
	end)

	it("are unloaded when their host goes", function ()
		world.module("x", "function module.unload() table.insert(seen, 'gone') end")
		serve()
		loaded("x")
		assert.is_true(world.load("hostmanager").deactivate(host))
		assert.same({ "gone" }, world.seen)
		assert.is_nil(prosody.hosts[host])
	end)

	it("offer items to others of the host", function ()
		world.module("a", 'module:add_item("thing", 1)')
		world.module("b", [[
			module:handle_items("thing", function (event) table.insert(seen, event.source.name .. event.item) end,
				function (event) table.insert(seen, "-" .. event.item) end)
		]])
		world.module("c", 'module:add_item("thing", 2)')
		serve()
		loaded("a") loaded("b") loaded("c")
		assert.same({ "a1", "c2" }, world.seen)
		assert.same({ 1, 2 }, { table.unpack(modulemanager.get_items("thing", host)) })
		modulemanager.unload(host, "c")
		assert.same({ "a1", "c2", "-2" }, world.seen)
	end)

	it("call their functions by name", function ()
		world.module("x", "function module.command(arg) return arg .. '!' end")
		serve()
		local x = loaded("x")
		assert.is_true(modulemanager.module_has_method(x, "command"))
		assert.is_false(modulemanager.module_has_method(x, "hook"))
		assert.same({ true, "hello!" }, { modulemanager.call_module_method(x, "command", "hello") })
		assert.is_false((modulemanager.call_module_method(x, "absent")))
	end)
end)
