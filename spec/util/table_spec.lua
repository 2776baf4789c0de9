local tables = require "util.table"

describe("util.table", function ()
	it("makes empty tables", function ()
		assert.same({}, tables.create(10, 5))
		assert.are_not.equal(tables.create(0, 0), tables.create(0, 0))
	end)

	it("packs with a count and moves", function ()
		assert.same({ n = 3, 1, nil, 3 }, tables.pack(1, nil, 3))
		assert.same({ 1, 1, 2 }, tables.move({ 1, 2 }, 1, 2, 2))
	end)

	it("lists keys in order", function ()
		assert.same({ "a", "b", "c" }, tables.sorted_keys { c = 1, a = false, b = {} })
		assert.same({ 1, 2, 9 }, tables.sorted_keys { [9] = 1, "x", "y" })
		assert.same({}, tables.sorted_keys {})
	end)
end)

describe("util.xpcall", function ()
	it("passes arguments and calls the handler", function ()
		local xpcall = require "util.xpcall".xpcall
		assert.same({ true, 3 }, { xpcall(function (a, b) return a + b end, print, 1, 2) })
		assert.same({ false, "handled" }, { xpcall(error, function () return "handled" end, "x") })
	end)
end)
