require "couplet_core"
local time = require "util.time"

describe("util.time", function()
	it("tells the time of day as Lua does, with a fraction", function()
		local before = os.time()
		local now = time.now()
		assert.is_true(now >= before and now < os.time() + 2) -- os.time() lags by up to a tick
		assert.equal("float", math.type(now))
	end)

	it("never goes back", function()
		local last = time.monotonic()
		for _ = 1, 1000 do
			local now = time.monotonic()
			assert.is_true(now >= last)
			last = now
		end
	end)
end)
