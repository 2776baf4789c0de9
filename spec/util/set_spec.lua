local set = require "util.set"

describe("util.set", function ()
	it("holds each value once", function ()
		local s = set.new { "a", "b", "a" }
		assert.is_true(s:contains "a")
		assert.is_false(s:contains "c")
		local n = 0
		for item in s:items() do
			n = n + 1
			assert.is_true(item == "a" or item == "b")
		end
		assert.equal(2, n)
	end)

	it("is empty without a list, and again when everything was removed", function ()
		local s = set.new()
		assert.is_true(s:empty())
		s:add(1)
		assert.is_false(s:empty())
		s:remove(1)
		s:remove(1)
		assert.is_true(s:empty())
	end)

	it("takes whole lists and sets", function ()
		local s = set.new { 1 }
		s:add_list { 2, 3 }
		s:add_list(nil)
		s:include(set.new { 4 })
		s:exclude(set.new { 1, 9 })
		assert.equal(set.new { 2, 3, 4 }, s)
		s:exclude(s)
		assert.is_true(s:empty())
	end)

	it("makes new sets of two without touching them", function ()
		local a, b = set.new { 1, 2 }, set.new { 2, 3 }
		assert.equal(set.new { 1, 2, 3 }, set.union(a, b))
		assert.equal(set.new { 2 }, set.intersection(a, b))
		assert.equal(set.new { 1 }, set.difference(a, b))
		assert.equal(set.new { 1, 3 }, set.xor(a, b))
		assert.equal(set.union(a, b), a + b)
		assert.equal(set.difference(a, b), a - b)
		assert.equal(set.intersection(a, b), a * b)
		assert.equal(set.new { 1, 2 }, a)
		assert.equal(set.new { 2, 3 }, b)
	end)

	it("maps its members, leaving out nil", function ()
		assert.equal(set.new { 4 }, set.new { 1, 2 } / function (n) return n > 1 and n * 2 or nil end)
	end)

	it("compares by members", function ()
		assert.equal(set.new { 1, 2 }, set.new { 2, 1 })
		assert.are_not.equal(set.new { 1 }, set.new { 1, 2 })
		assert.is_false(set.new { 1 } == { _items = { [1] = true } })
		assert.is_true(set.new { 1, 2 }:contains_set(set.new { 2 }))
		assert.is_false(set.new { 1 }:contains_set(set.new { 1, 2 }))
		assert.is_true(set.new { 1 }:contains_set(set.new()))
	end)

	it("knows its own kind", function ()
		assert.is_true(set.is_set(set.new()))
		assert.is_false(set.is_set {})
		assert.is_false(set.is_set "set")
	end)

	it("shows and freezes its members", function ()
		assert.equal("a", tostring(set.new { "a" }))
		assert.same({ "a" }, getmetatable(set.new()).__freeze(set.new { "a" }))
		for item in set.new { "x" } do
			assert.equal("x", item)
		end
	end)
end)
