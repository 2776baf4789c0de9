local parse = require "util.argparse".parse

describe("util.argparse", function ()
	it("reads long options", function ()
		assert.same({ foo = true }, parse { "--foo" })
		assert.same({ foo = "bar" }, parse { "--foo=bar" })
		assert.same({ foo = "" }, parse { "--foo=" })
		assert.same({ foo = false }, parse { "--no-foo" })
		assert.same({ ["a-b"] = true }, parse { "--a-b" })
		assert.same({ foo = "a=b" }, parse { "--foo=a=b" })
	end)

	it("takes the next argument where a value belongs", function ()
		local config = { value_params = { foo = true }, short_params = { f = "foo", v = "verbose" } }
		assert.same({ foo = "bar" }, parse({ "--foo", "bar" }, config))
		assert.same({ foo = "bar" }, parse({ "-f", "bar" }, config))
		assert.same({ foo = "bar" }, parse({ "-fbar" }, config))
		assert.same({ foo = "bar" }, parse({ "-f=bar" }, config))
		assert.same({ foo = "bar", verbose = true }, parse({ "-vf", "bar" }, config))
		assert.same({ foo = "--x" }, parse({ "--foo", "--x" }, config))
	end)

	it("leaves positional arguments in their list", function ()
		local arg = { "--foo", "a", "--b" }
		assert.same({ foo = true, "a", "--b" }, parse(arg))
		assert.same({ "a", "--b" }, arg)
		assert.same({ "a", b = true }, parse({ "a", "--b" }, { stop_on_positional = false }))
		assert.same({ "--b" }, parse { "--", "--b" })
		assert.same({ "-" }, parse { "-" })
		assert.same({}, parse {})
	end)

	it("collects repeated options", function ()
		local config = { array_params = { x = true }, kv_params = { o = true } }
		assert.same({ x = { "1", "2" }, o = { a = "b", c = "d=e" } },
			parse({ "--x", "1", "--x=2", "--o", "a=b", "--o=c=d=e" }, config))
	end)

	it("says what is wrong", function ()
		assert.same({ nil, "missing-value", "--foo" }, { parse({ "--foo" }, { value_params = { foo = true } }) })
		assert.same({ nil, "param-not-found", "-f" }, { parse { "-f" } })
		assert.same({ nil, "param-not-found", "--foo" }, { parse({ "--foo" }, { strict = true }) })
		assert.same({ nil, "missing-value", "--o=x" }, { parse({ "--o=x" }, { kv_params = { o = true } }) })
	end)
end)
