local resolve = require "util.jsonpointer".resolve

describe("util.jsonpointer", function ()
	-- The document of RFC 6901 section 5.
	local document = {
		foo = { "bar", "baz" }, [""] = 0, ["a/b"] = 1, ["c%d"] = 2, ["e^f"] = 3, ["g|h"] = 4, ["i\\j"] = 5,
		["k\"l"] = 6, [" "] = 7, ["m~n"] = 8,
	}

	it("finds every example of RFC 6901", function ()
		assert.equal(document, resolve(document, ""))
		assert.equal(document.foo, resolve(document, "/foo"))
		assert.equal("bar", resolve(document, "/foo/0"))
		assert.equal("baz", resolve(document, "/foo/1"))
		assert.equal(0, resolve(document, "/"))
		assert.equal(1, resolve(document, "/a~1b"))
		assert.equal(2, resolve(document, "/c%d"))
		assert.equal(5, resolve(document, "/i\\j"))
		assert.equal(7, resolve(document, "/ "))
		assert.equal(8, resolve(document, "/m~0n"))
		assert.equal("~1", resolve({ ["~1"] = "~1" }, "/~01"))
	end)

	it("gives nil and an error where nothing is", function ()
		for _, pointer in ipairs { "foo", "/missing", "/foo/2", "/foo/01", "/foo/-", "/foo/0/x", "/m~2n", "/foo/~" } do
			local value, err = resolve(document, pointer)
			assert.is_nil(value, pointer)
			assert.is_string(err)
		end
	end)
end)
