local fake = require "spec.support.fake_native"

describe("mod_cron", function ()
	local world, time, runs
	local host = "capulet.example"

	before_each(function ()
		world = fake.start { config = 'storage = "memory" authentication = "null" VirtualHost "capulet.example"' }
		-- The wall clock follows the world's.
		time = require "util.time"
		world.real_now = time.now
		time.now = function () return 1e9 + world.now end
		world.load("modulemanager")
		world.load("hostmanager").activate_all()
		runs = {}
		rawset(_G, "runs", runs) -- where the tasks write
	end)
	after_each(function ()
		time.now = world.real_now
		rawset(_G, "runs", nil)
		world.stop()
	end)

	local function load(name, text, on)
		world.module(name, text)
		return assert(world.load("modulemanager").load(on or host, name))
	end

	it("runs tasks when they are due", function ()
		load("x", [[
			module:hourly("every hour", function () table.insert(runs, "hourly") end)
			module:daily(function (task, now) table.insert(runs, task.when .. type(now)) end)
		]])
		world.advance(10)
		table.sort(runs)
		assert.same({ "dailynumber", "hourly" }, runs)
		world.advance(3600)
		assert.equal(3, #runs)
		world.advance(24 * 3600 - 3600)
		local daily = 0
		for _, name in ipairs(runs) do daily = daily + (name == "dailynumber" and 1 or 0) end
		assert.equal(2, daily)
		assert.equal(25, #runs - daily)
	end)

	it("remembers when a task ran, across restarts", function ()
		local store = world.load("storagemanager").open(host, "cron", "map")
		store:set(nil, "x/clean_up", 1e9 - 3600)
		load("x", 'module:daily("clean-up", function () table.insert(runs, "ran") end)')
		world.advance(22 * 3600)
		assert.same({}, runs)
		world.advance(2 * 3600)
		assert.same({ "ran" }, runs)
		assert.is_true(store:get(nil, "x/clean_up") > 1e9 + 22 * 3600)
	end)

	it("is not silenced by a clock that was set back", function ()
		local store = world.load("storagemanager").open(host, "cron", "map")
		store:set(nil, "x/t", 2e9)
		load("x", 'module:weekly("t", function () table.insert(runs, "ran") end)')
		world.advance(10)
		assert.same({ "ran" }, runs)
	end)

	it("goes on after a task that fails, and does not run that at every look", function ()
		load("x", [[
			module:hourly("a", function () table.insert(runs, "a") error("oops") end)
			module:hourly("b", function () table.insert(runs, "b") end)
		]])
		world.advance(1800)
		assert.same({ "a", "b" }, runs)
		assert.is_string(world.log_has("error", "Task x/a failed"))
	end)

	it("forgets the tasks of an unloaded module", function ()
		load("x", 'module:hourly(function () table.insert(runs, "ran") end)')
		world.load("modulemanager").unload(host, "x")
		world.advance(7200)
		assert.same({}, runs)
	end)

	it("runs tasks of global modules", function ()
		load("g", 'module:set_global() module:hourly(function () table.insert(runs, "ran") end)')
		world.advance(10)
		assert.same({ "ran" }, runs)
	end)

	it("names a task that cannot run", function ()
		load("x", 'module:cron { when = "sometimes", run = function () end }')
		assert.is_string(world.log_has("error", "mod_x: a task needs run"))
	end)
end)
