local T = require "couplet_core".base

describe("a histogram", function()
	it("has bounds of 1, 2, 5 in each power of ten, from 10 µs to 10 s", function()
		local bounds = {}
		for i = 1, 19 do bounds[i] = T.histogram_bound(i) end
		assert.same({ 10000, 20000, 50000, 100000, 200000, 500000, 1000000 }, table.move(bounds, 1, 7, 1, {}))
		assert.equal(10 * 1000 * 1000 * 1000, bounds[19])
	end)

	it("counts a duration where it is not more than the bound", function()
		local second = 1000 * 1000 * 1000
		local counts, sum = T.histogram { 0, 10000, 10001, 20000, 9 * second, 10 * second, 10 * second + 1 }
		assert.same({ 2, 2, 2, 1 }, { counts[1], counts[2], counts[19], counts[20] })
		assert.equal(29 * second + 40002, sum)
	end)

	it("takes a clock that went back for no time at all", function()
		local counts, sum = T.histogram { -5 }
		assert.same({ 1, 0 }, { counts[1], sum })
	end)
end)
