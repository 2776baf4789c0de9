local fake = require "spec.support.fake_native"

describe("Start-up", function ()
	local world, startup

	before_each(function ()
		world = fake.start()
		startup = world.load("startup")
	end)
	after_each(function ()
		setmetatable(_G, nil)
		world.stop()
	end)

	-- Runs the server with a configuration on top of a small one. Gives what main gets.
	local function run(config, ...)
		local path = world.file("prosody.cfg.lua", [[
			data_path = "data" storage = "memory" authentication = "null" run_as_root = true
			interfaces = { "*" } modules_disabled = { "c2s", "s2s" } log = "*console"
		]] .. (config or 'VirtualHost "capulet.example"'))
		world.module("port", 'module:set_global() module:provides("net", { listener = {}, default_port = 9999 })')
		-- The server makes a table of its own; its plugins are looked for beside the configuration.
		return startup.run { [0] = "couplet", "--config", path, ... }
	end

	local with_port = [[
		plugin_paths = { "plugins" } modules_enabled = { "port" }
		VirtualHost "capulet.example"
	]]

	local function written(stream, fn)
		local path = os.tmpname()
		local pid_fd = io.open(path, "w")
		local saved = io[stream]
		rawset(io, stream, pid_fd)
		package.loaded["core.startup"] = nil
		startup = world.load("startup")
		local result = fn()
		rawset(io, stream, saved)
		pid_fd:close()
		local file = io.open(path)
		local text = file:read("a")
		file:close()
		os.remove(path)
		return text, result
	end

	it("explains itself", function ()
		local text, code = written("stdout", function () return startup.run { "--help" } end)
		assert.matches("Usage: couplet", text)
		assert.equal(1, code) -- main ends with code 0
		text = written("stdout", function () return startup.run { "--version" } end)
		assert.equal("Couplet test\n", text)
		text, code = written("stderr", function () return startup.run { "--frobnicate" } end)
		assert.matches("there is no option %-%-frobnicate", text)
		assert.equal(3, code)
	end)

	it("understands its arguments", function ()
		assert.same({ config = "x", foreground = true, verbose = true },
			startup.parse_arguments { "-c", "x", "-F", "-v" })
		assert.same({ config = "x", daemonize = true }, startup.parse_arguments { "--config=x", "-D" })
		assert.is_nil((startup.parse_arguments { "--config" }))
	end)

	it("finds the configuration it is given, or says where it looked", function ()
		local path = world.file("x.cfg.lua", "")
		local places = world.load("startup.places")
		assert.equal(path, places.find_config(path))
		assert.matches("no config file /nowhere", select(2, places.find_config("/nowhere")))
		local _, err = places.find_config(nil)
		if err then -- a checkout may have one
			assert.matches("/etc/prosody/prosody.cfg.lua", err, 1, true)
		end
	end)

	it("ends with the error of a broken configuration", function ()
		local text, code = written("stderr", function () return run "x = {" end)
		assert.matches("prosody.cfg.lua:3: ", text)
		assert.equal(2, code)
	end)

	it("brings up hosts, modules and ports, and tells when it is done", function ()
		world.module("order", [[
			module:hook_global("server-starting", function () table.insert(prosody.order, "starting") end)
			module:hook_global("server-started", function () table.insert(prosody.order, "started") end)
			prosody.order = {}
		]])
		assert.equal(0, run((with_port:gsub('"port"', '"port", "order"'))))
		assert.is_table(prosody.hosts["capulet.example"])
		assert.is_table(world.listeners["* 9999"])
		assert.same({ "starting", "started" }, prosody.order)
		assert.equal(world.directory .. "/data", prosody.paths.data)
		assert.equal(world.directory, prosody.paths.config)
		assert.equal(rawget(_G, "hosts"), prosody.hosts)
		local file = io.open(world.directory .. "/data/prosody.pid")
		assert.is_number(tonumber(file:read("l")))
		file:close()
	end)

	it("goes no further when no port can be had", function ()
		world.taken["* 9999"] = "Address already in use"
		assert.equal(2, run(with_port))
		assert.is_string(world.log_has("error", "No port could be opened"))
	end)

	it("tells the terminal why it does not start when the log goes elsewhere", function ()
		local text, code = written("stderr", function ()
			world.taken["* 9999"] = "Address already in use"
			return run('log = "couplet.log" ' .. with_port)
		end)
		assert.equal(2, code)
		assert.matches("couplet: No port could be opened", text)
		text = written("stderr", function () return run(with_port) end)
		assert.equal("", text)
	end)

	it("does not start beside another server with the same data", function ()
		world.file("data/prosody.pid", "1\n") -- init is always there
		assert.equal(2, run())
		assert.is_string(world.log_has("error", "The server is already running with PID 1"))
	end)

	it("makes the data directory", function ()
		os.execute(("rmdir '%s/data'"):format(world.directory))
		assert.equal(0, run())
		assert.is_table((require "util.files".list(world.directory .. "/data")))
	end)

	it("guards the globals of the server", function ()
		assert.equal(0, run())
		assert.has_error(function () _G.typing_error = 1 end)
		assert.is_nil(_G.never_declared)
		assert.is_string(world.log_has("warn", "reads the global never_declared"))
		prosody.unlock_globals()
		_G.declared = 1
		prosody.lock_globals()
		assert.equal(1, _G.declared)
		rawset(_G, "declared", nil)
	end)

	it("refuses root only when told to, or in the background", function ()
		local pposix = require "util.pposix"
		local getuid = pposix.getuid
		pposix.getuid = function () return 0 end
		local code = run 'run_as_root = false VirtualHost "capulet.example"'
		pposix.getuid = getuid
		assert.equal(2, code)
		assert.is_string(world.log_has("error", "The server will not run as root"))
	end)

	describe("later", function ()
		it("reloads the configuration at SIGHUP", function ()
			run()
			local reloads = 0
			prosody.events.add_handler("config-reloaded", function () reloads = reloads + 1 end)
			world.file("prosody.cfg.lua", 'data_path = "data" storage = "memory" authentication = "null" x = 2\n' ..
				'VirtualHost "capulet.example"\nVirtualHost "montague.example"')
			world.signals.SIGHUP()
			assert.equal(1, reloads)
			assert.equal(2, world.load("configmanager").get("*", "x"))
			assert.is_table(prosody.hosts["montague.example"])
		end)

		it("keeps the configuration when the new one is broken", function ()
			run 'x = 1 VirtualHost "capulet.example"'
			prosody.events.add_handler("config-reloaded", function () error("not reloaded") end)
			world.file("prosody.cfg.lua", "x = 2 y = {")
			assert.is_nil((prosody.reload_config()))
			assert.equal(1, world.load("configmanager").get("*", "x"))
			assert.is_string(world.log_has("error", "The configuration was not reloaded, the old one stays in force: "))
		end)

		it("ends at SIGTERM when everybody has gone", function ()
			run(with_port)
			local order = {}
			for _, name in ipairs { "server-stopping", "server-cleanup", "server-stopped" } do
				prosody.events.add_handler(name, function () order[#order + 1] = name end)
			end
			local session = world.online("juliet", "capulet.example")
			world.signals.SIGTERM()
			assert.equal("Received SIGTERM", prosody.shutdown_reason)
			assert.is_nil(world.listeners["* 9999"])
			world.advance(1)
			assert.is_nil(world.exit_code)
			session:close()
			world.advance(1)
			assert.equal(0, world.exit_code)
			assert.same({ "server-stopping", "server-cleanup", "server-stopped" }, order)
			assert.is_nil(io.open(world.directory .. "/data/prosody.pid"))
		end)

		it("does not wait for ever, and not at all at a second signal", function ()
			run()
			world.online("juliet", "capulet.example")
			prosody.shutdown("for a test", 7)
			world.advance(10)
			assert.equal(7, world.exit_code)
			world.signals.SIGINT()
			assert.equal(0, world.exit_code) -- ends at once, as asked
		end)
	end)
end)
