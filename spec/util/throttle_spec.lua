describe("util.throttle", function ()
	local throttle, clock
	local time = require "util.time"
	local monotonic = time.monotonic

	setup(function ()
		time.monotonic = function () return clock end
		package.loaded["util.throttle"], package.loaded["prosody.util.throttle"] = nil, nil
		throttle = require "util.throttle"
	end)
	teardown(function ()
		time.monotonic = monotonic
		package.loaded["util.throttle"], package.loaded["prosody.util.throttle"] = nil, nil
	end)
	before_each(function ()
		clock = 100
	end)

	it("begins full and refuses more than it has", function ()
		local t = throttle.create(2, 10)
		assert.is_true(t:poll())
		assert.is_true(t:poll(1))
		assert.same({ false, 0, 1 }, { t:poll(1) })
		assert.is_false(t:peek())
	end)

	it("refills with time, up to its maximum", function ()
		local t = throttle.create(2, 10)
		t:poll(2)
		clock = clock + 5
		assert.is_true(t:poll(1))
		assert.is_false((t:poll(1)))
		clock = clock + 1000
		assert.equal(2, t:update())
		assert.same({ false, 2, 1 }, { t:poll(3) })
	end)

	it("takes what there is when the cost may be split", function ()
		local t = throttle.create(5, 5)
		assert.same({ false, 5, 2 }, { t:poll(7, true) })
		assert.equal(0, t.balance)
		clock = clock + 2
		assert.is_true(t:poll(2))
	end)
end)
