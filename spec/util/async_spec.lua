local async = require "util.async"
local promise = require "util.promise"

describe("util.async", function ()
	after_each(function ()
		async.set_nexttick(nil)
		async.set_schedule_function(nil)
	end)

	it("runs inputs in order", function ()
		local seen = {}
		local runner = async.runner(function (input) seen[#seen + 1] = input end)
		assert.same({ true, "ready", 0 }, { runner:run "a" })
		runner:enqueue "b":enqueue "c"
		assert.same({ "a" }, seen)
		runner:run()
		assert.same({ "a", "b", "c" }, seen)
	end)

	it("waits until all is done, then goes on with the queue", function ()
		local seen, done = {}, nil
		local runner = async.runner(function (input)
			if input == "wait" then
				local wait
				wait, done = async.waiter(2)
				wait()
			end
			seen[#seen + 1] = input
		end)
		assert.same({ true, "waiting", 0 }, { runner:run "wait" })
		assert.same({ true, "waiting", 1 }, { runner:run "next" })
		done()
		assert.same({}, seen)
		done()
		assert.same({ "wait", "next" }, seen)
		assert.equal("ready", runner.state)
	end)

	it("does not wait for what is done already", function ()
		local finished = false
		async.once(function ()
			local wait, done = async.waiter()
			done()
			wait()
			finished = true
		end)
		assert.is_true(finished)
	end)

	it("minds done being called too often", function ()
		async.once(function ()
			local _, done = async.waiter()
			done()
			assert.has_error(done)
			local _, done_many = async.waiter(1, true)
			done_many()
			done_many()
		end)
	end)

	it("cannot wait outside", function ()
		assert.is_false((async.ready()))
		assert.has_error(function () async.waiter() end)
		local inside
		async.once(function () inside = async.ready() end)
		assert.is_true(inside)
	end)

	it("tells watchers of changes only", function ()
		local told, done = {}, nil
		local runner = async.runner(function (input)
			if input == "wait" then
				local wait
				wait, done = async.waiter()
				wait()
			end
		end, {
			waiting = function () told[#told + 1] = "waiting" end,
			ready = function () told[#told + 1] = "ready" end,
		})
		runner:run "go"
		assert.same({}, told)
		runner:run "wait"
		assert.same({ "waiting" }, told)
		done()
		assert.same({ "waiting", "ready" }, told)
	end)

	it("survives errors", function ()
		local seen, failed = {}, {}
		local runner = async.runner(function (input)
			if input == "bad" then
				error "broken"
			end
			seen[#seen + 1] = input
		end, { error = function (self, err) failed[#failed + 1] = { self, err } end })
		runner:enqueue "bad":run "good"
		assert.same({ "good" }, seen)
		assert.equal(1, #failed)
		assert.equal(runner, failed[1][1])
		assert.matches("broken.*traceback", failed[1][2])
		assert.equal("ready", runner.state)
	end)

	it("throws errors nobody watches at whoever made it run", function ()
		local runner = async.runner(function () error "broken" end)
		assert.has_error(function () runner:run(1) end)
		assert.equal("ready", runner.state)
	end)

	it("fails after waiting as it does before", function ()
		local done, err
		local runner = async.runner(function ()
			local wait
			wait, done = async.waiter()
			wait()
			error "late"
		end):onerror(function (_, e) err = e end)
		runner:run(1)
		done()
		assert.matches("late", err)
		assert.equal("ready", runner.state)
	end)

	it("can be run from inside itself", function ()
		local seen = {}
		local runner
		runner = async.runner(function (input)
			if input == 1 then
				assert.same({ true, "running", 1 }, { runner:run(2) })
			end
			seen[#seen + 1] = input
		end)
		runner:run(1)
		assert.same({ 1, 2 }, seen)
	end)

	it("waits in the inner of two runners", function ()
		local done
		local inner = async.runner(function ()
			local wait
			wait, done = async.waiter()
			wait()
		end)
		local outer = async.runner(function () inner:run(true) end)
		outer:run(true)
		assert.equal("ready", outer.state)
		assert.equal("waiting", inner.state)
		done()
		assert.equal("ready", inner.state)
	end)

	it("forgets what it waits for when it is reset", function ()
		local n, done = 0, nil
		local runner = async.runner(function ()
			local wait
			wait, done = async.waiter()
			wait()
			n = n + 1
		end)
		runner:run(1)
		local old_done = done
		runner:reset()
		runner:run(2)
		old_done()
		assert.equal(0, n)
		done()
		assert.equal(1, n)
	end)

	it("guards one at a time per id", function ()
		local guard = async.guarder()
		local log, exits = {}, {}
		local function enter(name, id)
			async.once(function ()
				exits[name] = guard(id)
				log[#log + 1] = name
			end)
		end
		enter("a", 1)
		enter("b", 1)
		enter("c", 1)
		enter("d", 2)
		assert.same({ "a", "d" }, log)
		exits.a()
		exits.a()
		assert.same({ "a", "d", "b" }, log)
		exits.b()
		exits.c()
		enter("e", 1)
		assert.same({ "a", "d", "b", "c", "e" }, log)
	end)

	it("frees the guard after a function, even when it fails", function ()
		local guard = async.guarder()
		local n = 0
		async.once(function ()
			guard(nil, function () n = n + 1 end)
			assert.has_error(function () guard(nil, function () error "x" end) end)
			guard(nil, function () n = n + 1 end)
		end)
		assert.equal(2, n)
	end)

	it("waits for promises", function ()
		local result, resolve, reject
		async.once(function ()
			result = { async.wait_for(promise.new(function (r) resolve = r end)) }
		end)
		assert.is_nil(result)
		resolve "value"
		assert.same({ "value" }, result)
		async.once(function ()
			result = { async.wait_for(promise.new(function (_, r) reject = r end)) }
		end)
		reject "reason"
		assert.same({ nil, "reason" }, result)
		assert.equal(5, (async.wait_for(5)))
	end)

	it("sleeps", function ()
		local wake, delay
		async.set_schedule_function(function (seconds, fn) delay, wake = seconds, fn end)
		local awake = false
		async.once(function ()
			async.sleep(3)
			awake = true
		end)
		assert.equal(3, delay)
		assert.is_false(awake)
		wake(12345)
		assert.is_true(awake)
	end)

	it("goes on in a later turn when there is a loop", function ()
		local job, done
		async.set_nexttick(function (fn) job = fn end)
		local finished = false
		async.once(function ()
			local wait
			wait, done = async.waiter()
			wait()
			finished = true
		end)
		done()
		assert.is_false(finished)
		job()
		assert.is_true(finished)
	end)

	it("parks the core's own coroutines by way of the core", function ()
		local resumed
		package.loaded["couplet.native"] = {
			wait = coroutine.yield,
			resume = function (thread) resumed = thread end,
		}
		local name_a, name_b = package.loaded["util.async"], package.loaded["prosody.util.async"]
		package.loaded["util.async"], package.loaded["prosody.util.async"] = nil, nil
		finally(function ()
			package.loaded["couplet.native"] = nil
			package.loaded["util.async"], package.loaded["prosody.util.async"] = name_a, name_b
		end)
		local fresh = require "util.async"
		local done
		local finished = false
		local hook = coroutine.create(function ()
			assert.is_true(fresh.ready())
			local wait
			wait, done = fresh.waiter()
			wait()
			finished = true
		end)
		assert(coroutine.resume(hook))
		assert.is_nil(resumed)
		done()
		assert.equal(hook, resumed)
		assert(coroutine.resume(hook))
		assert.is_true(finished)
	end)
end)
