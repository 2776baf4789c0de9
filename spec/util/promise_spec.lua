local promise = require "util.promise"

local function outcome(p)
	local result
	p:next(function (value) result = { "fulfilled", value } end, function (reason) result = { "rejected", reason } end)
	return result
end

local function deferred()
	local resolve, reject
	local p = promise.new(function (r, j) resolve, reject = r, j end)
	return p, resolve, reject
end

describe("util.promise", function ()
	it("settles once", function ()
		local p, resolve, reject = deferred()
		assert.is_nil(outcome(p))
		assert.equal("promise (pending)", tostring(p))
		resolve(1)
		resolve(2)
		reject(3)
		assert.same({ "fulfilled", 1 }, outcome(p))
		assert.equal("promise (fulfilled)", tostring(p))
		assert.same({ "rejected", "no" }, outcome(promise.reject "no"))
		assert.same({ "fulfilled", false }, outcome(promise.resolve(false)))
	end)

	it("calls handlers in the order they were added, before and after", function ()
		local p, resolve = deferred()
		local calls = {}
		for i = 1, 3 do
			p:next(function (value) calls[#calls + 1] = value .. i end)
		end
		assert.same({}, calls)
		resolve "x"
		p:next(function (value) calls[#calls + 1] = value .. "4" end)
		assert.same({ "x1", "x2", "x3", "x4" }, calls)
	end)

	it("chains what handlers return", function ()
		local p = promise.resolve(1):next(function (n) return n + 1 end):next(function (n) return n * 10 end)
		assert.same({ "fulfilled", 20 }, outcome(p))
		assert.same({ "fulfilled", "saved" }, outcome(promise.reject "x":catch(function () return "saved" end)))
		assert.same({ "fulfilled", 1 }, outcome(promise.resolve(1):next():catch(function () return 2 end)))
		assert.same({ "rejected", "x" }, outcome(promise.reject "x":next(function () return 1 end)))
	end)

	it("waits for promises that handlers return", function ()
		local inner, resolve = deferred()
		local p = promise.resolve():next(function () return inner end)
		assert.is_nil(outcome(p))
		resolve "later"
		assert.same({ "fulfilled", "later" }, outcome(p))
		assert.same({ "rejected", "x" }, outcome(promise.resolve(promise.reject "x")))
	end)

	it("turns errors into rejections", function ()
		local p = promise.new(function () error "broken" end)
		assert.matches("broken", outcome(p)[2])
		assert.equal("rejected", outcome(promise.resolve():next(function () error "broken" end))[1])
		local err = { "a value" }
		assert.same({ "rejected", err }, outcome(promise.new(function () error(err) end)))
		-- An error after it was decided changes nothing.
		assert.same({ "fulfilled", 1 }, outcome(promise.new(function (resolve) resolve(1) error "late" end)))
	end)

	it("cannot wait for itself", function ()
		local p
		local start, resolve = deferred()
		p = start:next(function () return p end)
		resolve()
		assert.equal("rejected", outcome(p)[1])
	end)

	it("does not run handlers inside one another", function ()
		local depth, deepest = 0, 0
		local p = promise.resolve()
		for _ = 1, 1000 do
			p = p:next(function ()
				depth = depth + 1
				deepest = math.max(deepest, depth)
				promise.resolve():next(function () deepest = math.max(deepest, depth) end)
				depth = depth - 1
			end)
		end
		assert.equal(1, deepest)
	end)

	it("runs finally however it ends, and passes the end on", function ()
		local n = 0
		local function count() n = n + 1 end
		assert.same({ "fulfilled", 1 }, outcome(promise.resolve(1):finally(count)))
		assert.same({ "rejected", "x" }, outcome(promise.reject "x":finally(count)))
		assert.equal(2, n)
		assert.matches("broken", outcome(promise.resolve(1):finally(function () error "broken" end))[2])
	end)

	it("waits for all, keeping keys", function ()
		local a, resolve_a = deferred()
		local p = promise.all { a, 2, x = promise.resolve "y" }
		assert.is_nil(outcome(p))
		resolve_a(1)
		assert.same({ "fulfilled", { 1, 2, x = "y" } }, outcome(p))
		assert.same({ "fulfilled", {} }, outcome(promise.all {}))
		assert.same({ "rejected", "x" }, outcome(promise.all { deferred(), promise.reject "x" }))
	end)

	it("waits for all to settle", function ()
		local p = promise.all_settled { promise.resolve(1), promise.reject "x" }
		assert.same({ "fulfilled", {
			{ status = "fulfilled", value = 1 }, { status = "rejected", reason = "x" },
		} }, outcome(p))
	end)

	it("races", function ()
		local a, resolve_a = deferred()
		local b, _, reject_b = deferred()
		local p = promise.race { a, b }
		assert.is_nil(outcome(p))
		reject_b "b"
		resolve_a "a"
		assert.same({ "rejected", "b" }, outcome(p))
	end)

	it("takes any that is fulfilled", function ()
		assert.same({ "fulfilled", 2 }, outcome(promise.any { promise.reject "x", promise.resolve(2) }))
		assert.same({ "rejected", { "x", "y" } }, outcome(promise.any { promise.reject "x", promise.reject "y" }))
	end)

	it("joins values as arguments", function ()
		local p = promise.join(function (a, b) return a + b end, promise.resolve(1), promise.resolve(2))
		assert.same({ "fulfilled", 3 }, outcome(p))
	end)

	it("tries functions", function ()
		assert.same({ "fulfilled", 3 }, outcome(promise.try(function (a, b) return a + b end, 1, 2)))
		assert.equal("rejected", outcome(promise.try(error, "x"))[1])
	end)

	it("knows its own kind", function ()
		assert.is_true(promise.is_promise(promise.resolve()))
		assert.is_false(promise.is_promise { next = print })
	end)

	it("leaves handlers to the loop when there is one", function ()
		local jobs = {}
		promise.set_nexttick(function (job) jobs[#jobs + 1] = job end)
		finally(function () promise.set_nexttick(nil) end)
		local calls = {}
		promise.resolve(1):next(function () calls[#calls + 1] = "a" end):next(function () calls[#calls + 1] = "b" end)
		promise.resolve(1):next(function () calls[#calls + 1] = "c" end)
		assert.same({}, calls)
		assert.equal(2, #jobs) -- a and c; b waits for a
		for _, job in ipairs(jobs) do job() end
		assert.same({ "a", "c", "b" }, calls)
	end)

	it("lets other handlers run while one waits in the loop", function ()
		local jobs = {}
		promise.set_nexttick(function (job) jobs[#jobs + 1] = coroutine.wrap(job) end)
		finally(function () promise.set_nexttick(nil) end)
		local calls = {}
		promise.resolve(1):next(function () coroutine.yield() calls[#calls + 1] = "patient" end)
		promise.resolve(1):next(function () calls[#calls + 1] = "other" end)
		jobs[1]()
		jobs[2]()
		assert.same({ "other" }, calls)
		jobs[1]()
		assert.same({ "other", "patient" }, calls)
	end)
end)
