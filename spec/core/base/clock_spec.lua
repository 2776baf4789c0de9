local T = require "couplet_core".base

describe("the clocks", function()
	it("tell the time of day", function()
		local before = os.time() -- which lags by up to a tick
		local told = T.clock_wall()
		assert.is_true(told >= before and told < os.time() + 2)
	end)

	it("never go back", function()
		local last = T.clock_ms()
		for _ = 1, 1000 do
			local now = T.clock_ms()
			assert.is_true(now >= last)
			last = now
		end
	end)
end)
