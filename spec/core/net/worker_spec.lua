local T = require "couplet_core"
local world = require "spec.core.net.world"

describe("workers", function()
	local loop
	before_each(function() loop = T.net.loop() end)
	after_each(function()
		T.net.gate(false)
		loop:free()
	end)

	it("do the work on another thread and report on the loop's", function()
		local results = {}
		local workers = loop:workers(3, function(_, square) results[square] = true end)
		for n = 1, 50 do assert.equal(0, workers:square(n)) end
		assert.equal(50, workers:unfinished())
		world.wait(loop, "all are done", function() return workers:unfinished() == 0 end)
		for n = 1, 50 do assert.is_true(results[n * n]) end -- a negative number would mean: on our own thread
		workers:free()
	end)

	it("with one thread, finish in the order of submission", function()
		local results = {}
		local workers = loop:workers(1, function(_, square) table.insert(results, square) end)
		for n = 1, 20 do workers:square(n) end
		world.wait(loop, "all are done", function() return #results == 20 end)
		for n = 1, 20 do assert.equal(n * n, results[n]) end
		workers:free()
	end)

	it("refuse more than 1,024 waiting jobs, and take new ones later", function()
		local count = 0
		local workers = loop:workers(1, function() count = count + 1 end)
		T.net.gate(true)
		workers:square(1)
		local taken = 1
		while workers:square(1) == 0 do taken = taken + 1 end
		assert.is_true(taken >= 1024 and taken <= 1025) -- one may have left the queue for its thread
		T.net.gate(false)
		world.wait(loop, "all are done", function() return count == taken end)
		assert.equal(0, workers:square(1))
		world.wait(loop, "the new one is done", function() return count == taken + 1 end)
		workers:free()
	end)

	it("report nothing after they are freed", function()
		local count = 0
		local workers = loop:workers(2, function() count = count + 1 end)
		workers:square(3)
		workers:free()
		for _ = 1, 5 do loop:turn(2) end
		assert.equal(0, count)
	end)
end)
