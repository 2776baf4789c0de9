local dbuffer = require "util.dbuffer"

describe("util.dbuffer", function ()
	it("gives back what was written, in any portions", function ()
		local text = "The quick brown fox jumps over the lazy dog"
		for step = 1, 7 do
			for size = 1, 9 do
				local b = dbuffer.new(1000, 100)
				for i = 1, #text, step do
					assert.is_true(b:write(text:sub(i, i + step - 1)))
				end
				local out = {}
				while b:length() >= size do
					out[#out + 1] = b:read(size)
				end
				out[#out + 1] = b:read(b:length())
				assert.equal(text, table.concat(out))
				assert.equal(0, b:length())
			end
		end
	end)

	it("refuses what does not fit", function ()
		local b = dbuffer.new(5)
		assert.is_true(b:write "abc")
		assert.is_nil(b:write "def")
		assert.equal(3, #b)
		assert.is_true(b:write "de")
		assert.is_nil(b:write "f")
		assert.is_true(b:write "")
		assert.is_nil(dbuffer.new(0))
	end)

	it("joins pieces when there are too many", function ()
		local b = dbuffer.new(100, 2)
		for char in ("abcdef"):gmatch "." do
			assert.is_true(b:write(char))
		end
		assert.equal("abcdef", b:read(6))
	end)

	it("gives nothing when there is too little", function ()
		local b = dbuffer.new(100)
		assert.is_nil(b:read(1))
		assert.is_nil(b:read())
		b:write "ab"
		assert.is_nil(b:read(3))
		assert.equal("", b:read(0))
		assert.equal("ab", b:read())
	end)

	it("reads pieces and up to a delimiter", function ()
		local b = dbuffer.new(100)
		b:write "one\ntw"
		b:write "o\nrest"
		assert.equal("one\n", b:read_until "\n")
		assert.equal("two\n", b:read_until "\n")
		assert.is_nil(b:read_until "\n")
		assert.equal("re", b:read_chunk(2))
		assert.equal("st", b:read_chunk())
	end)

	it("looks without taking", function ()
		local b = dbuffer.new(100)
		b:write "xab"
		b:write "cd"
		b:discard(1)
		assert.equal("bc", b:sub(2, 3))
		assert.equal("cd", b:sub(-2))
		assert.equal(97, b:byte())
		assert.same({ 98, 99 }, { b:byte(2, 3) })
		assert.equal(4, b:length())
		assert.equal("abcd", b:collapse())
	end)

	it("throws away across pieces", function ()
		local b = dbuffer.new(100)
		b:write "abc"
		b:write "def"
		assert.is_true(b:discard(4))
		assert.equal("ef", b:read(2))
		assert.is_nil(b:discard(1))
	end)
end)
