local gc = require "util.gc"

describe("util.gc", function ()
	teardown(function ()
		collectgarbage("incremental", 200, 100)
	end)

	it("sets either mode", function ()
		assert.is_true(gc.configure({ mode = "generational", minor_threshold = 20 }))
		assert.equal("generational", collectgarbage "incremental")
		assert.is_true(gc.configure({ speed = 300 }, { mode = "incremental", threshold = 110 }))
		assert.equal("incremental", collectgarbage "incremental")
		assert.is_true(gc.configure())
	end)

	it("refuses what it does not know", function ()
		for _, bad in ipairs { { mode = "fast" }, { unknown = 1 }, { speed = "high" } } do
			local done, err = gc.configure(bad)
			assert.is_nil(done)
			assert.is_string(err)
		end
	end)
end)
