local T = require "couplet_core".base

describe("a buffer", function()
	it("owns nothing before its first byte", function()
		local buf = T.buf(100)
		assert.equal("", buf:text())
		assert.equal(0, buf:size())
	end)

	it("appends slices, bytes and formatted text in order", function()
		local buf = T.buf(100)
		assert.equal(0, buf:add("a\0b"))
		assert.equal(0, buf:add_byte("!"))
		assert.equal(0, buf:addf("n", 42))
		assert.equal(0, buf:add(""))
		assert.equal("a\0b!n=42", buf:text())
	end)

	it("takes exactly its ceiling, and of what would pass it nothing at all", function()
		local buf = T.buf(10)
		assert.equal(0, buf:add("12345"))
		assert.equal(-1, buf:add("678901"))
		assert.equal("12345", buf:text())
		assert.equal(0, buf:addf("678", 0))
		assert.equal("12345678=0", buf:text())
		assert.equal(-1, buf:addf("", 1))
		assert.equal(-1, buf:add_byte("x"))
		assert.equal(-1, buf:reserve(1))
		assert.equal(0, buf:reserve(0))
		assert.equal("12345678=0", buf:text())
	end)

	it("refuses lengths that would wrap around", function()
		local buf = T.buf(-1) -- the largest there is
		buf:add("x")
		assert.equal(-1, buf:reserve(-1))
	end)

	it("doubles its memory, so that many small appends are cheap", function()
		local buf, sizes, last = T.buf(1 << 20), 0, -1
		for _ = 1, 1 << 16 do
			buf:add("0123456789")
			if buf:size() ~= last then
				sizes, last = sizes + 1, buf:size()
			end
		end
		assert.equal(("0123456789"):rep(1 << 16), buf:text())
		assert.is_true(sizes < 20)
		assert.is_true(last <= 1 << 20)
	end)

	it("forgets bytes from its front", function()
		local buf = T.buf(100)
		buf:add("hello world")
		buf:consume(6)
		assert.equal("world", buf:text())
		buf:consume(5)
		assert.equal("", buf:text())
		buf:add("again")
		assert.equal("again", buf:text())
	end)
end)
