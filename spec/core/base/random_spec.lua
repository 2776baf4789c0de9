local T = require "couplet_core".base

describe("random", function()
	it("ids have 24 base64url characters and do not repeat", function()
		local seen = {}
		for _ = 1, 1000 do
			local id = T.random_id()
			assert.is_truthy(id:match "^[%w_-]+$")
			assert.equal(24, #id)
			assert.is_nil(seen[id])
			seen[id] = true
		end
	end)

	it("ids use all letters about equally often", function()
		local counts, letters = {}, 0
		for _ = 1, 2000 do
			for letter in T.random_id():gmatch "." do
				if not counts[letter] then letters = letters + 1 end
				counts[letter] = (counts[letter] or 0) + 1
			end
		end
		assert.equal(64, letters)
		for _, count in pairs(counts) do -- 750 expected; this far off is impossible in practice
			assert.is_true(count > 500 and count < 1000)
		end
	end)

	it("bytes come in any number, also more than the kernel gives at once", function()
		assert.equal("", T.random_bytes(0))
		assert.equal(100000, #T.random_bytes(100000))
		assert.not_equal(T.random_bytes(16), T.random_bytes(16))
	end)
end)
