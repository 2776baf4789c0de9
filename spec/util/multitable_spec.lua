local multitable = require "util.multitable"

describe("util.multitable", function ()
	local mt
	before_each(function ()
		mt = multitable.new()
		mt:set("a", "x", 1)
		mt:set("a", "y", 2)
		mt:set("b", "x", 3)
	end)

	it("finds by all keys, or gives the table below", function ()
		assert.equal(1, mt:get("a", "x"))
		assert.same({ x = 1, y = 2 }, mt:get "a")
		assert.is_nil(mt:get("c", "x"))
		assert.is_nil(mt:get("a", "x", "deeper"))
	end)

	it("leaves no empty tables behind", function ()
		mt:set("b", "x", nil)
		assert.is_nil(mt:get "b")
		mt:remove("a", "x")
		mt:remove("a", "y")
		assert.same({}, mt.data)
	end)

	it("takes nil for any key", function ()
		local found = mt:search(nil, "x")
		table.sort(found)
		assert.same({ 1, 3 }, found)
		assert.same({ 2 }, mt:search("a", "y"))
		assert.same({ "before", 2 }, mt:search_add({ "before" }, "a", "y"))
		assert.same({}, mt:search("z", nil))
		mt:remove(nil, "x")
		assert.same({ a = { y = 2 } }, mt.data)
	end)

	it("walks matches with their keys", function ()
		local found = {}
		for k1, k2, value in mt:iter(nil, nil) do
			found[k1 .. k2] = value
		end
		assert.same({ ax = 1, ay = 2, bx = 3 }, found)
		found = {}
		for k1, k2, value in mt:iter("a", nil) do
			found[k1 .. k2] = value
		end
		assert.same({ ax = 1, ay = 2 }, found)
	end)

	it("collects lists", function ()
		mt:add("l", 1)
		mt:add("l", 2)
		assert.same({ 1, 2 }, mt:get "l")
	end)
end)
