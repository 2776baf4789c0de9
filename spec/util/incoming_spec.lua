-- Files that come piece by piece.

local fake = require "spec.support.fake_module"
local incoming = require "util.incoming"
local lfs = require "lfs"

describe("A file that comes", function ()
	local directory

	before_each(function ()
		directory = fake.directory()
	end)
	after_each(function ()
		fake.remove(directory)
	end)

	local function names()
		local list = {}
		for name in lfs.dir(directory) do
			if name ~= "." and name ~= ".." then list[#list + 1] = name end
		end
		table.sort(list)
		return table.concat(list, " ")
	end

	local function content(name)
		local file <close> = assert(io.open(directory .. "/" .. name))
		return file:read "a"
	end

	it("has its name only when all of it is there", function ()
		local file = assert(incoming.open(directory, "a", 6))
		assert.equal("a.part", names())
		assert.is_true(file:write "abc")
		assert.equal(3, file:written())
		assert.is_true(file:write "def")
		assert.equal("a.part", names())
		assert.is_true(file:finish())
		assert.equal("a", names())
		assert.equal("abcdef", content "a")
		assert.has_error(function () file:write "" end)
		file:close()
		assert.equal("a", names())
	end)

	it("may be empty, or large", function ()
		assert.is_true(assert(incoming.open(directory, "empty", 0)):finish())
		assert.equal("", content "empty")
		local piece = ("0123456789abcdef"):rep(4096)
		local file = assert(incoming.open(directory, "large", 160 * #piece))
		for _ = 1, 160 do assert(file:write(piece)) end
		assert.is_true(file:finish())
		assert.is_true(piece:rep(160) == content "large")
	end)

	it("leaves nothing when it is dropped", function ()
		local file = assert(incoming.open(directory, "a", 6))
		file:write "abc"
		file:close()
		assert.equal("", names())
		file:close()
	end)

	it("leaves nothing when it is forgotten", function ()
		assert(incoming.open(directory, "a", 6)):write "abc"
		collectgarbage()
		collectgarbage()
		assert.equal("", names())
	end)

	it("is not accepted with fewer bytes than were announced, or more", function ()
		local file = assert(incoming.open(directory, "a", 6))
		file:write "abc"
		local ok, why, text = file:finish()
		assert.same({ nil, "failed", "fewer bytes than were announced" }, { ok, why, text })
		assert.equal("", names())
		file = assert(incoming.open(directory, "a", 6))
		file:write "abcd"
		assert.same({ nil, "more bytes than were announced" }, { file:write "efg" })
		assert.is_true(file:write "ef")
		assert.is_true(file:finish())
		assert.equal("abcdef", content "a")
	end)

	it("never replaces another", function ()
		local first = assert(incoming.open(directory, "a", 1))
		assert.same({ nil, "exists" }, { table.unpack({ incoming.open(directory, "a", 1) }, 1, 2) })
		first:write "1"
		-- Somebody who does not keep to the rules.
		assert(io.open(directory .. "/a", "w")):close()
		assert.equal("exists", select(2, first:finish()))
		assert.equal("a", names())
		assert.equal("exists", select(2, incoming.open(directory, "a", 1)))
		assert.equal("", content "a")
	end)

	it("does not follow links", function ()
		assert(lfs.link("/tmp/elsewhere", directory .. "/a.part", true))
		assert.equal("exists", select(2, incoming.open(directory, "a", 1)))
		assert(lfs.link("/tmp/elsewhere", directory .. "/b", true))
		assert.equal("exists", select(2, incoming.open(directory, "b", 1)))
		assert.is_nil(lfs.attributes "/tmp/elsewhere")
	end)

	it("is refused when the disk has no room for it", function ()
		assert.equal("full", select(2, incoming.open(directory, "a", 1 << 60)))
		assert.equal("", names())
	end)

	it("is refused where it cannot be", function ()
		assert.equal("failed", select(2, incoming.open(directory .. "/nowhere", "a", 1)))
		for _, name in ipairs { "", "a/b", "../a", ("x"):rep(300) } do
			assert.equal("failed", select(2, incoming.open(directory, name, 1)), name)
		end
	end)
end)
