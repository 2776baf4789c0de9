local array = require "util.array"

describe("util.array", function ()
	it("gives a list its methods without copying it", function ()
		local list = { 1, 2 }
		assert.equal(list, array(list))
		assert.equal(0, #array())
		assert.equal("{1, 2}", tostring(list))
	end)

	it("collects an iterator", function ()
		assert.same({ "a", "b" }, array.collect(("a b"):gmatch "%a"))
		assert.same({ "a", "b" }, array(("a b"):gmatch "%a"))
	end)

	it("changes in place as a method and copies as a function", function ()
		local list = array { 3, 1, 2 }
		local copy = array.sort(list)
		assert.same({ 1, 2, 3 }, copy)
		assert.same({ 3, 1, 2 }, list)
		assert.equal(list, list:sort())
		assert.same({ 1, 2, 3 }, list)
	end)

	it("maps and filters", function ()
		assert.same({ 2, 4 }, array { 1, 2 }:map(function (n) return n * 2 end))
		local list = array { 1, 2, 3, 4 }
		assert.same({ 2, 4 }, list:filter(function (n) return n % 2 == 0 end))
		assert.equal(2, #list)
		assert.same({ 3 }, array.filter({ 1, 3 }, function (n) return n > 2 end))
		assert.same({ 4 }, array { 1, 2 } / function (n) return n > 1 and n * 2 or nil end)
	end)

	it("slices like string.sub", function ()
		local list = array { 1, 2, 3, 4 }
		assert.same({ 2, 3 }, array.slice(list, 2, 3))
		assert.same({ 3, 4 }, array.slice(list, -2))
		assert.same({}, array.slice(list, 3, 2))
		assert.same({}, array.slice(list, 9))
		assert.same({ 1, 2, 3, 4 }, array.slice(list, -9, 9))
		assert.same({ 2 }, list:slice(2, 2))
		assert.equal(1, #list)
	end)

	it("keeps the first of equal members", function ()
		assert.same({ 1, 2, 3 }, array { 1, 2, 1, 3, 2 }:unique())
	end)

	it("plucks a field, with a default", function ()
		assert.same({ 1, 0 }, array.pluck({ { a = 1 }, {} }, "a", 0))
	end)

	it("reverses any length", function ()
		assert.same({}, array {}:reverse())
		assert.same({ 3, 2, 1 }, array { 1, 2, 3 }:reverse())
		assert.same({ 2, 1 }, array.reverse { 1, 2 })
	end)

	it("grows and shrinks at the end", function ()
		local list = array { 1 }
		list:push(2):append { 3, 4 }
		assert.same({ 1, 2, 3, 4 }, list)
		assert.equal(4, list:pop())
		assert.equal(1, list:pop(1))
		assert.equal(2, list:length())
		assert.equal("2-3", list:concat "-")
	end)

	it("shuffles without losing anything", function ()
		local list = array.collect(require "util.iterators".range(1, 50))
		assert.same(list, array.sort(array.slice(list):shuffle()))
		local member = array { 7 }:random()
		assert.equal(7, member)
		assert.is_nil(array {}:random())
		assert.equal(2, array { 1, 2 }:random_other(1))
		assert.equal(1, array { 1 }:random_other(1))
	end)

	it("adds and compares", function ()
		local a, b = array { 1 }, array { 2 }
		assert.same({ 1, 2 }, a + b)
		assert.same({ 1 }, a)
		assert.is_true(array { 1, 2 } == a + b)
		assert.is_false(array { 1, 3 } == a + b)
		assert.is_false(array { 1 } == a + b)
	end)
end)
