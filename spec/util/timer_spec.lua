local libraries = require "spec.support.libraries"

describe("util.timer", function ()
	local timer, armed

	-- The core's timers, turned by hand.
	local native = {
		timer = function (delay, fn)
			local handle = { delay = delay, fn = fn }
			function handle:stop() armed[self] = nil end
			armed[handle] = true
			return handle
		end,
	}
	local function fire()
		local all = armed
		armed = {}
		for handle in pairs(all) do
			handle.fn()
		end
	end
	local function delays()
		local list = {}
		for handle in pairs(armed) do
			list[#list + 1] = handle.delay
		end
		table.sort(list)
		return list
	end

	local restore
	setup(function () timer, restore = libraries.with("util.timer", { ["couplet.native"] = native }) end)
	teardown(function () restore() end)
	before_each(function ()
		armed = {}
	end)

	it("calls the function with the time, the task and what was given", function ()
		local got
		local task = timer.add_task(5, function (...) got = { ... } end, "param")
		assert.same({ 5 }, delays())
		assert.is_nil(got)
		fire()
		assert.is_number(got[1])
		assert.equal(task, got[2])
		assert.equal("param", got[3])
		assert.same({}, delays())
	end)

	it("calls again after the number of seconds the function returns", function ()
		local n = 0
		timer.add_task(1, function ()
			n = n + 1
			return n < 3 and n * 10 or nil
		end)
		fire()
		assert.same({ 10 }, delays())
		fire()
		assert.same({ 20 }, delays())
		fire()
		assert.same({}, delays())
		assert.equal(3, n)
	end)

	it("does not call what was stopped", function ()
		local called = false
		local task = timer.add_task(1, function () called = true end)
		timer.stop(task)
		timer.stop(task)
		fire()
		assert.is_false(called)
	end)

	it("does not go on when stopped from inside", function ()
		timer.add_task(1, function (_, task)
			timer.stop(task)
			return 1
		end)
		fire()
		assert.same({}, delays())
	end)

	it("moves a task to another time", function ()
		local n = 0
		local task = timer.add_task(1, function () n = n + 1 end)
		timer.reschedule(task, 7)
		assert.same({ 7 }, delays())
		fire()
		assert.equal(1, n)
		task:reschedule(3)
		assert.same({ 3 }, delays())
		task:stop()
		assert.same({}, delays())
	end)
end)
