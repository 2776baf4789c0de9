local T = require "couplet_core"

describe("an output queue", function()
	it("gives back the bytes it was given, in whatever portions", function()
		math.randomseed(5)
		local outq, model = T.net.outq(), ""
		for _ = 1, 3000 do
			local what = math.random(6)
			local bytes = T.base.random_bytes(math.random(0, math.random() < 0.1 and 20000 or 300))
			if what <= 2 then
				outq:add(bytes)
				model = model .. bytes
			elseif what == 3 then
				outq:reserve(#bytes + math.random(0, 6000), bytes)
				model = model .. bytes
			elseif what == 4 and math.random() < 0.2 then
				local n = math.random(0, #model)
				outq:cut(n)
				model = model:sub(1, n)
			else
				local max = math.random(1, 16384)
				local front = outq:front(max)
				assert(front == model:sub(1, #front))
				assert(#front == math.min(max, #model) or #front >= 1)
				local pieces = outq:pieces(max)
				assert(pieces == model:sub(1, #pieces))
				local n = math.random(0, math.min(#model, max))
				outq:consume(n)
				model = model:sub(n + 1)
			end
			assert(outq:count() == #model)
		end
		local rest = {}
		while outq:count() > 0 do
			local front = outq:front(16384)
			table.insert(rest, front)
			outq:consume(#front)
		end
		assert.equal(model, table.concat(rest))
	end)

	it("joins small writes into few pieces", function()
		local outq = T.net.outq()
		for _ = 1, 100 do outq:add "0123456789" end
		local bytes, count = outq:pieces(100000)
		assert.equal(("0123456789"):rep(100), bytes)
		assert.equal(1, count)
	end)

	it("does not waste a chunk on a small use of a large reservation", function()
		local outq = T.net.outq()
		for _ = 1, 1000 do outq:reserve(4000, "0123456789") end
		local bytes, count = outq:pieces(100000)
		assert.equal(10000, #bytes)
		assert.is_true(count <= 4)
	end)

	it("gives its chunks back to the pool, and the pool stays bounded", function()
		local outq = T.net.outq()
		outq:add(("x"):rep(100000))
		local _, pooled = outq:count()
		assert.equal(0, pooled)
		outq:consume(100000)
		_, pooled = outq:count()
		assert.is_true(pooled >= 24)
		outq:add(("x"):rep(16 * 1024 * 1024))
		outq:consume(16 * 1024 * 1024)
		_, pooled = outq:count()
		assert.equal(1024, pooled)
	end)

	it("knows nothing after a cut to nothing", function()
		local outq = T.net.outq()
		outq:add "abc"
		outq:cut(0)
		assert.equal(0, (outq:count()))
		outq:reserve(10, "")
		outq:add "def"
		assert.equal("def", outq:front(100))
	end)
end)
