local libraries = require "spec.support.libraries"

describe("util.watchdog", function ()
	local watchdog, tasks

	-- util.timer, turned by hand.
	local timer = {
		add_task = function (delay, fn)
			local task = { delay = delay, fn = fn }
			function task:stop() tasks[self] = nil end
			function task:reschedule(new_delay) self.delay = new_delay end
			tasks[task] = true
			return task
		end,
	}
	local restore
	setup(function () watchdog, restore = libraries.with("util.watchdog", { ["util.timer"] = timer }) end)
	teardown(function () restore() end)
	before_each(function ()
		tasks = {}
	end)

	local function fire()
		local task = next(tasks)
		tasks[task] = nil
		return task.fn()
	end

	it("barks once when nothing was heard", function ()
		local barks = {}
		local dog = watchdog.new(30, function (self) barks[#barks + 1] = self end)
		assert.equal(30, next(tasks).delay)
		fire()
		assert.same({ dog }, barks)
		assert.is_nil(next(tasks))
	end)

	it("waits anew after each reset, also once it has barked", function ()
		local dog = watchdog.new(30, function () end)
		dog:reset()
		assert.equal(30, next(tasks).delay)
		dog:reset(10)
		assert.equal(10, next(tasks).delay)
		fire()
		dog:reset()
		assert.equal(10, next(tasks).delay)
	end)

	it("is quiet when cancelled", function ()
		local dog = watchdog.new(30, function () end)
		dog:cancel()
		dog:cancel()
		assert.is_nil(next(tasks))
	end)
end)
