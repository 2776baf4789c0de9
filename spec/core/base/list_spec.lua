local T = require "couplet_core".base

describe("a list", function()
	it("keeps the order in which items came", function()
		local list = T.list()
		assert.equal("", list:text())
		for _, n in ipairs { 3, 1, 2 } do list:add(n) end
		assert.equal("3 1 2 ", list:text())
	end)

	it("lets items go from any place, and twice without harm", function()
		local list = T.list()
		for n = 1, 4 do list:add(n) end
		list:remove(1)
		list:remove(3)
		list:remove(3)
		assert.equal("2 4 ", list:text())
		assert.is_false(list:is_linked(3))
		assert.is_true(list:is_linked(4))
		list:add(3)
		assert.equal("2 4 3 ", list:text())
	end)

	it("may lose the current item while it is walked", function()
		local list = T.list()
		for n = 1, 5 do list:add(n) end
		assert.equal("1 2 3 4 5 ", list:text(true))
		assert.equal("2 4 ", list:text())
	end)

	it("moves as a whole", function()
		local list = T.list()
		for n = 1, 3 do list:add(n) end
		assert.is_true(list:append())
		assert.equal("1 2 3 ", list:text())
	end)
end)
