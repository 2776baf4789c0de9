local paths = require "util.paths"

describe("util.paths", function ()
	it("joins with one separator", function ()
		assert.equal("a/b/c", paths.join("a", "b/", "c"))
		assert.equal("/a", paths.join("/", "a"))
		assert.equal("a", paths.join("", "a", ""))
		assert.equal("", paths.join())
	end)

	it("resolves relative paths", function ()
		assert.equal("/x/y", paths.resolve_relative_path("/x", "y"))
		assert.equal("/x/y", paths.resolve_relative_path("/x/", "./y"))
		assert.equal("/x/../y", paths.resolve_relative_path("/x", "../y"))
		assert.equal("/y", paths.resolve_relative_path("/x", "/y"))
		assert.equal("y", paths.resolve_relative_path(nil, "y"))
		assert.is_nil(paths.resolve_relative_path("/x", nil))
	end)

	it("makes patterns of globs", function ()
		local pattern = paths.glob_to_pattern "mod_*.l?a"
		assert.equal("^mod%_.*%.l.a$", pattern)
		assert.is_truthy(("mod_ping.lua"):match(pattern))
		assert.is_nil(("mod_ping.luac"):match(pattern))
		assert.is_nil(("modXping.lua"):match(pattern))
		assert.is_truthy(("a+b%c"):match(paths.glob_to_pattern "a+b%c"))
	end)

	it("puts an installation's directories first, once", function ()
		local path, cpath = package.path, package.cpath
		finally(function () package.path, package.cpath = path, cpath end)
		paths.complement_lua_path "/opt/rocks"
		local once = package.path
		assert.matches("^/opt/rocks/share/lua/5.%d/%?.lua;", once)
		assert.matches("^/opt/rocks/lib/lua/5.%d/%?.so;", package.cpath)
		paths.complement_lua_path "/opt/rocks"
		assert.equal(once, package.path)
	end)

	it("finds what is listed twice", function ()
		local once, twice = paths.without_duplicates { "/a", "/b/", "/a/", "/b" }
		assert.same({ "/a", "/b/" }, once)
		assert.same({ "/a/", "/b" }, twice)
	end)
end)
