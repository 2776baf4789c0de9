local smqueue = require "util.smqueue"

describe("util.smqueue", function ()
	local function filled(size, n)
		local q = smqueue.new(size)
		for i = 1, n do
			q:push(i)
		end
		return q
	end

	local function rest(q)
		local out = {}
		for i, item in q:resume() do
			out[i] = item
		end
		return out
	end

	it("forgets what is acknowledged and keeps the rest", function ()
		local q = filled(10, 5)
		assert.equal(5, q:count_unacked())
		assert.same({ 1, 2 }, q:ack(2))
		assert.same({}, q:ack(2))
		assert.same({ 2, 3 }, { q:count_acked(), q:count_unacked() })
		assert.is_true(q:resumable())
		assert.same({ 3, 4, 5 }, rest(q))
		assert.same({ 3, 4, 5 }, q:table())
	end)

	it("refuses numbers that go back or were never sent", function ()
		local q = filled(10, 5)
		q:ack(3)
		assert.same({ nil, "tail" }, { q:ack(2) })
		assert.same({ nil, "head" }, { q:ack(6) })
		assert.same({ 4, 5 }, q:ack(5))
	end)

	it("cannot resume once it had to forget", function ()
		local q = filled(3, 5)
		assert.is_false(q:resumable())
		assert.equal(5, q:count_unacked())
		assert.has_error(function () q:resume() end)
		assert.same({}, q:ack(1))
		assert.is_false(q:resumable())
		-- 1 and 2 were forgotten; with 3 acknowledged, all that is left is here.
		assert.same({ 3 }, q:ack(3))
		assert.is_true(q:resumable())
		assert.same({ 4, 5 }, rest(q))
	end)

	it("acknowledges everything it forgot at once", function ()
		local q = filled(2, 5)
		assert.same({ 4, 5 }, q:ack(5))
		assert.equal(0, q:count_unacked())
		assert.is_true(q:resumable())
	end)

	it("counts modulo 2^32, as the wire does (XEP-0198 4)", function ()
		local q = smqueue.new(5)
		q._head, q._tail = 0xffffffff, 0xffffffff
		q:push "a"
		q:push "b"
		assert.same({ "a" }, q:ack(0))
		assert.same({ "b" }, q:ack(1))
	end)

	it("gives up what nobody will acknowledge", function ()
		local q = filled(10, 3)
		local out = {}
		for item in q:consume() do
			out[#out + 1] = item
		end
		assert.same({ 1, 2, 3 }, out)
		assert.equal(0, q:count_unacked())
	end)
end)
