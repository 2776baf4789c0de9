--- What mod_s2s/race promises (RFC 8305): made-up targets, sessions that are tables, a clock turned by hand.

local fake = require "spec.support.fake_native"
local libraries = require "spec.support.s2s_libraries"

describe("A race for a connection", function ()
	local world, race, tried, ended, notes, failure

	before_each(function ()
		world = fake.start()
		race = libraries.load(world, "race")
		tried, ended, notes, failure = {}, {}, {}, nil
		function world.native.end_session(session, reason) ended[session.name] = reason end
	end)
	after_each(function () world.stop() end)

	-- A list of targets; a "later" among them waits until the spec says so.
	local function list(all)
		local one = { at = 0 }
		function one:next(cb)
			self.at = self.at + 1
			local target = all[self.at]
			if target == "later" then
				self.answer = function () self.answer = nil; self:next(cb) end
			elseif target then
				cb(target)
			else
				cb(nil, "no more", one.is_unanswered)
			end
		end
		function one:cancel() self.is_cancelled = true end
		return one
	end

	local function target(name, priority) return { address = name, port = 5269, name = name, priority = priority } end

	local function start(targets, connect)
		local one = race.new {
			targets = targets, note = function (text, ...) table.insert(notes, text:format(...)) end,
			connect = connect or function (t)
				table.insert(tried, t.name)
				tried[t.name] = { name = t.name }
				return tried[t.name]
			end,
			failed = function (err, had_target, may_be_there)
				assert(not failure, "failed twice")
				failure = { err, had_target, may_be_there }
			end,
		}
		one:go()
		return one
	end

	local function names() return table.concat(tried, " ") end

	it("tries the next address after 250 ms of silence, without giving up the first", function ()
		local one = start(list { target "a", target "b", target "c" })
		assert.equal("a", names())
		world.advance(0.24)
		assert.equal("a", names())
		world.advance(0.02)
		assert.equal("a b", names())
		assert.same({}, ended)
		assert.is_true(one:connected(tried.a))
		assert.same({ b = "another address was faster" }, ended)
		world.advance(60)
		assert.equal("a b", names())
		assert.is_nil(failure)
	end)

	it("tries the next at once when one has failed", function ()
		local one = start(list { target "a", target "b" })
		assert.is_true(one:lost(tried.a, "refused"))
		assert.equal("a b", names())
		assert.is_true(one:lost(tried.b, "reset"))
		assert.same({ "reset", true, true }, failure)
	end)

	it("waits longer before it takes one of lesser priority (RFC 2782)", function ()
		start(list { target("a", 1), target("b", 1), target("c", 2), target("d", 2) })
		world.advance(0.25)
		assert.equal("a b", names())
		world.advance(1.9)
		assert.equal("a b", names())
		world.advance(0.1)
		assert.equal("a b c", names())
		world.advance(0.25)
		assert.equal("a b c d", names())
	end)

	it("does not wait for one of lesser priority when the better have failed", function ()
		local one = start(list { target("a", 1), target("b", 2) })
		one:lost(tried.a, "refused")
		assert.equal("a b", names())
	end)

	it("gives an address ten seconds", function ()
		local one = start(list { target "a" })
		world.advance(9.9)
		assert.same({}, ended)
		world.advance(0.2)
		assert.matches("a port 5269: nobody answered", ended.a)
		one:lost(tried.a, ended.a)
		assert.same({ ended.a, true, true }, failure)
	end)

	it("goes on with who was slower when the winner is of no use", function ()
		local one = start(list { target "a", target "b" })
		world.advance(0.25)
		assert.is_true(one:connected(tried.b))
		assert.is_true(one:lost(tried.b, "closed", "it is somebody else"))
		assert.equal("a b a", names())
		assert.is_true(one:connected(tried.a))
		one:lost(tried.a, "closed", "it is nobody")
		assert.same({ "it is nobody", true, true }, failure)
	end)

	it("knows only its own sessions", function ()
		local one = start(list { target "a" })
		assert.is_false(one:connected { name = "x" })
		assert.is_false(one:lost({ name = "x" }, "gone"))
		assert.is_true(one:connected(tried.a))
		assert.is_false(one:connected(tried.a))
	end)

	it("tries a target that comes late when it comes", function ()
		local targets = list { target "a", "later", target "b", "later" }
		local one = start(targets)
		world.advance(5)
		assert.equal("a", names())
		targets.answer()
		assert.equal("a b", names())
		one:lost(tried.a, "refused")
		one:lost(tried.b, "refused")
		assert.is_nil(failure)
		targets.answer()
		assert.same({ "refused", true, true }, failure)
	end)

	it("goes on when a connection cannot even begin", function ()
		start(list { target "a", target "b" }, function (t)
			table.insert(tried, t.name)
			return nil, "no route to " .. t.name
		end)
		assert.equal("a b", names())
		assert.same({ "no route to b", true, true }, failure)
	end)

	it("tells a domain that has no server from one whose name server is silent", function ()
		start(list {})
		assert.same({ "no more", false, false }, failure)
		failure = nil
		local silent = list {}
		silent.is_unanswered = true
		start(silent)
		assert.same({ "no more", false, true }, failure)
	end)

	it("can be stopped: nothing is tried any more, and nobody is called", function ()
		local targets = list { target "a", target "b", "later" }
		local one = start(targets)
		world.advance(0.3)
		one:stop()
		assert.same({ a = "no longer needed", b = "no longer needed" }, ended)
		assert.is_true(targets.is_cancelled)
		world.advance(60)
		one:lost(tried.a, "gone")
		assert.equal("a b", names())
		assert.is_nil(failure)
		assert.is_nil(next(world.timers))
	end)
end)
