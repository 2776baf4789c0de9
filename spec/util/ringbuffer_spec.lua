local ringbuffer = require "util.ringbuffer"

describe("util.ringbuffer", function ()
	it("holds as much as it was made for", function ()
		local b = ringbuffer.new(4)
		assert.equal(3, b:write "abc")
		assert.is_nil(b:write "de")
		assert.equal(1, b:write "d")
		assert.same({ 4, 4, 0 }, { b:size(), b:length(), b:free() })
		assert.equal("abcd", tostring(b))
		assert.has_error(function () ringbuffer.new(0) end)
	end)

	it("reads, looks and throws away", function ()
		local b = ringbuffer.new(10)
		b:write "abcdef"
		assert.equal("ab", b:read(2, true))
		assert.equal("ab", b:read(2))
		assert.is_nil(b:read(5))
		assert.is_true(b:discard(1))
		assert.is_false(b:discard(4))
		assert.equal("ef", b:sub(2))
		assert.equal(100, b:byte())
	end)

	it("finds a delimiter as plain text", function ()
		local b = ringbuffer.new(20)
		b:write "a.b\r\nrest"
		assert.equal(2, b:find ".")
		assert.equal("a.b\r\n", b:readuntil "\r\n")
		assert.is_nil(b:readuntil "\r\n")
		assert.equal("rest", b:read(4))
	end)
end)
