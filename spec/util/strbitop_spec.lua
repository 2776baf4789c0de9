local strbitop = require "util.strbitop"

describe("util.strbitop", function ()
	it("works byte by byte, repeating the second string", function ()
		assert.equal("\0\3\0", strbitop.sand("\8\3\240", "\7\15"))
		assert.equal("\15\3", strbitop.sor("\8\3", "\7\2"))
		assert.equal("\0\1", strbitop.sxor("\8\3", "\8\2"))
		assert.equal("hello", strbitop.sxor(strbitop.sxor("hello", "key"), "key"))
	end)

	it("is as long as the first", function ()
		assert.equal("", strbitop.sxor("", "key"))
		assert.equal(1, #strbitop.sxor("a", "longer"))
		assert.equal("abc", strbitop.sand("abc", ""))
	end)

	it("counts common bits", function ()
		assert.equal(0, strbitop.common_prefix_bits("\0", "\128"))
		assert.equal(7, strbitop.common_prefix_bits("\0", "\1"))
		assert.equal(12, strbitop.common_prefix_bits("a\0", "a\8"))
		assert.equal(8, strbitop.common_prefix_bits("a", "ab"))
	end)
end)
