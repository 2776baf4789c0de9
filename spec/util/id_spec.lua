local id = require "util.id"

describe("util.id", function ()
	it("has four lengths", function ()
		assert.equal(4, #id.tiny())
		assert.equal(12, #id.short())
		assert.equal(24, #id.medium())
		assert.equal(40, #id.long())
		assert.equal(7, #id.custom(5)())
	end)

	it("uses only characters that need no escaping", function ()
		local seen = {}
		for _ = 1, 200 do
			local value = id.long()
			assert.matches("^[%w_-]+$", value)
			assert.is_nil(seen[value])
			seen[value] = true
		end
	end)

	it("sorts by time when asked to", function ()
		assert.matches("^%x%x%x%x%x%x%x%x%x%x%x%x%-[%w_-]+$", id.sortable())
		local before = os.time() -- which lags by up to a tick
		local seconds = tonumber(id.sortable():sub(1, 12), 16) // 1000
		assert.is_true(seconds >= before and seconds <= os.time() + 1)
	end)
end)
