local T = require "couplet_core"
local world = require "spec.core.net.world"
local socket = require "socket"

local COMMIT, FLUSH, FREE, SCRATCH, COLLECT = 0, 1, 2, 3, 4
local READ, WRITE = 1, 2

describe("the loop", function()
	local loop
	before_each(function() loop = T.net.loop() end)
	after_each(function() loop:free() end)

	describe("at a turn's end", function()
		it("commits, flushes, frees, drops scratch and collects, whatever the order of registration", function()
			local order = {}
			for _, step in ipairs { COLLECT, FREE, SCRATCH, COMMIT, FLUSH } do
				loop:on_turn_end(step, function() table.insert(order, step) end)
			end
			loop:on_turn_end(COMMIT, function() table.insert(order, "second commit") end)
			loop:defer(function() table.insert(order, "work") end)
			loop:turn()
			assert.same({ "work", COMMIT, "second commit", FLUSH, FREE, SCRATCH, COLLECT }, order)
		end)

		it("writes what was queued in between, and only then calls closed", function()
			local order = {}
			local server, client = world.pair(loop, {}, { data = function() table.insert(order, "arrived") end,
				closed = function() table.insert(order, "closed") end })
			loop:on_turn_end(COMMIT, function() table.insert(order, "commit " .. client.conn:queued()) end)
			loop:on_turn_end(SCRATCH, function() table.insert(order, "scratch") end)
			client.conn:write "x"
			client.conn:abort()
			loop:turn()
			assert.same({ "commit 1", "closed", "scratch" }, order)
			server.conn:abort()
		end)
	end)

	it("runs deferred work at the start of the next turn, without waiting for anything else", function()
		local order = {}
		loop:defer(function()
			table.insert(order, "first")
			loop:defer(function() table.insert(order, "third") end)
		end)
		loop:defer(function() table.insert(order, "second") end)
		loop:turn(5000)
		assert.same({ "first", "second" }, order)
		loop:turn(5000)
		assert.same({ "first", "second", "third" }, order)
	end)

	it("finishes the turn in which it is stopped", function()
		local order = {}
		loop:on_turn_end(COLLECT, function() table.insert(order, "end") end)
		loop:defer(function()
			loop:stop()
			table.insert(order, "stopped")
		end)
		loop:run()
		assert.same({ "stopped", "end" }, order)
	end)

	describe("timers", function()
		it("run once, in the order of their times, when the clock is turned", function()
			local order = {}
			for _, ms in ipairs { 300, 100, 200 } do
				loop:timer(function() table.insert(order, ms) end):start(ms)
			end
			loop:turn()
			assert.same({}, order)
			loop:advance(150)
			loop:turn()
			assert.same({ 100 }, order)
			loop:advance(1000)
			loop:turn()
			loop:turn()
			assert.same({ 100, 200, 300 }, order)
		end)

		it("run by themselves as time passes", function()
			local ran = false
			loop:timer(function() ran = true end):start(30)
			local started = loop:now() -- the turn's time, which the timer counts from
			world.wait(loop, "the timer ran", function() return ran end)
			assert.is_true(T.base.clock_ms() - started >= 29)
		end)

		it("may be started again, stopped and freed by their own function", function()
			local count = 0
			local timer
			timer = loop:timer(function()
				count = count + 1
				if count < 3 then timer:start(10) else timer:free() end
			end)
			timer:start(10)
			assert.is_true(timer:is_running())
			for _ = 1, 10 do
				loop:advance(10)
				loop:turn()
			end
			assert.equal(3, count)
		end)

		it("never run in the turn that starts them, not even with no delay", function()
			local count, timer = 0, nil
			timer = loop:timer(function()
				count = count + 1
				timer:start(0)
			end)
			timer:start(-5)
			loop:advance(1)
			loop:turn()
			assert.equal(1, count)
		end)

		it("obey the last start, and a stop", function()
			local count = 0
			local timer = loop:timer(function() count = count + 1 end)
			timer:start(10)
			timer:start(100)
			loop:advance(50)
			loop:turn()
			assert.equal(0, count)
			timer:stop()
			timer:stop()
			assert.is_false(timer:is_running())
			loop:advance(100)
			loop:turn()
			assert.equal(0, count)
		end)

		it("keep their order among thousands, with random stops and restarts", function()
			math.randomseed(99)
			local timers, due, ran = {}, {}, {}
			local start = loop:now()
			for i = 1, 2000 do
				timers[i] = loop:timer(function()
					ran[i] = loop:now() - start
				end)
			end
			for _ = 1, 6000 do
				local i = math.random(2000)
				if math.random() < 0.3 then
					timers[i]:stop()
					due[i] = nil
				else
					due[i] = math.random(1000)
					timers[i]:start(due[i])
				end
			end
			for _ = 1, 100 do
				loop:advance(10)
				loop:turn()
			end
			for i = 1, 2000 do
				if not due[i] then
					assert(not ran[i])
				else
					assert(ran[i] and ran[i] >= due[i] and ran[i] < due[i] + 1000)
				end
			end
			for i = 1, 2000 do timers[i]:free() end
		end)
	end)

	it("delivers signals within a turn", function()
		local count = 0
		loop:on_signal(10, function() count = count + 1 end) -- SIGUSR1
		os.execute("kill -USR1 $PPID")
		world.wait(loop, "the signal came", function() return count == 1 end)
	end)

	it("watches descriptors of others, and pauses when told", function()
		local server = assert(socket.bind("127.0.0.1", 0))
		local client = assert(socket.connect("127.0.0.1", (select(2, server:getsockname()))))
		local other = server:accept()
		other:settimeout(0)
		local seen = 0
		local watch = loop:watch(other:getfd(), READ | WRITE, function(_, events) seen = seen | events end)
		loop:turn()
		assert.equal(WRITE, seen)
		watch:set(READ)
		seen = 0
		loop:turn()
		assert.equal(0, seen)
		client:send "x"
		world.wait(loop, "it can be read", function() return seen == READ end)
		watch:set(0)
		seen = 0
		loop:turn()
		assert.equal(0, seen)
		watch:set(READ)
		loop:turn()
		assert.equal(READ, seen)
		watch:free()
		client:close()
		other:close()
		server:close()
	end)

	it("leaves child processes to those who wait for them", function()
		local pipe = io.popen("exit 7")
		for _ = 1, 5 do loop:turn(5) end
		local _, how, code = pipe:close()
		assert.equal("exit", how)
		assert.equal(7, code)
	end)
end)
