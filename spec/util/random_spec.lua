require "couplet_core"
local random = require "util.random"

describe("util.random", function()
	it("gives as many bytes as asked, never the same", function()
		for _, n in ipairs { 0, 1, 16, 255, 256, 257, 100000 } do assert.equal(n, #random.bytes(n)) end
		local seen = {}
		for _ = 1, 1000 do
			local bytes = random.bytes(16)
			assert.is_nil(seen[bytes])
			seen[bytes] = true
		end
	end)

	it("gives every byte about as often as any other", function()
		local counts, bytes = {}, random.bytes(256 * 1000)
		for i = 0, 255 do counts[i] = 0 end
		for i = 1, #bytes do counts[bytes:byte(i)] = counts[bytes:byte(i)] + 1 end
		for i = 0, 255 do -- 1000 each; eight standard deviations
			assert.is_true(counts[i] > 750 and counts[i] < 1250, ("byte %d came %d times"):format(i, counts[i]))
		end
	end)

	it("refuses a number that is none", function()
		for _, n in ipairs { -1, 1.5, 1 << 40 } do assert.has_error(function() random.bytes(n) end) end
	end)

	it("has nothing to seed", function()
		assert.is_nil(random.seed "x")
		assert.is_nil(random.boot())
	end)
end)
