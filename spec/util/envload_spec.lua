local envload = require "util.envload"

describe("util.envload", function ()
	it("runs code in its environment", function ()
		local env = { y = 1 }
		local fn = assert(envload.envload("x = y + 1; return type", "=code", env))
		assert.is_nil(fn())
		assert.equal(2, env.x)
		assert.is_nil(rawget(_G, "x"))
	end)

	it("names its source in errors", function ()
		local fn, err = envload.envload("x =", "=code", {})
		assert.is_nil(fn)
		assert.matches("^code:1:", err)
	end)

	it("refuses binary chunks", function ()
		local fn, err = envload.envload(string.dump(function () end), "=code", {})
		assert.is_nil(fn)
		assert.matches("binary", err)
	end)

	it("loads files", function ()
		local path = os.tmpname()
		finally(function () os.remove(path) end)
		local file = assert(io.open(path, "wb"))
		file:write "#!/usr/bin/lua\nx = 5\nreturn ...\n"
		file:close()
		local env = {}
		assert.equal(7, assert(envload.envloadfile(path, env))(7))
		assert.equal(5, env.x)

		file = assert(io.open(path, "wb"))
		file:write(string.dump(function () end))
		file:close()
		assert.is_nil((envload.envloadfile(path, {})))
		local fn, err = envload.envloadfile(path .. ".missing", {})
		assert.is_nil(fn)
		assert.is_string(err)
	end)
end)
