local queue = require "util.queue"

describe("util.queue", function ()
	it("gives items in the order they came", function ()
		local q = queue.new(3)
		for i = 1, 3 do
			assert.is_true(q:push(i))
		end
		assert.same({ nil, "queue full" }, { q:push(4) })
		assert.equal(1, q:peek())
		assert.equal(1, q:pop())
		assert.is_true(q:push(4))
		assert.equal(3, q:count())
		assert.same({ 2, 3, 4 }, { q:pop(), q:pop(), q:pop() })
		assert.is_nil(q:pop())
		assert.is_nil(q:peek())
		assert.equal(0, q:count())
	end)

	it("drops the oldest when it may wrap", function ()
		local q = queue.new(2, true)
		for i = 1, 5 do
			assert.is_true(q:push(i))
		end
		assert.same({ 4, 5 }, { q:pop(), q:pop() })
	end)

	it("replaces the oldest", function ()
		local q = queue.new(2)
		q:replace(1)
		q:push(2)
		q:replace(9)
		assert.same({ 9, 2 }, { q:pop(), q:pop() })
	end)

	it("walks without taking and consumes while walking", function ()
		local q = queue.new(3)
		for i = 1, 7 do -- go around the ring
			q:push(i)
			if i < 6 then q:pop() end
		end
		local seen = {}
		for i, item in q:items() do
			seen[i] = item
		end
		assert.same({ 6, 7 }, seen)
		seen = {}
		for item in q:consume() do
			seen[#seen + 1] = item
		end
		assert.same({ 6, 7 }, seen)
		assert.equal(0, q:count())
	end)
end)
