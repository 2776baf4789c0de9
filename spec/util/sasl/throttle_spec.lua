local throttling = require "prosody.util.sasl.throttle"

describe("util.sasl.throttle", function ()
	local now, throttle

	before_each(function ()
		now = 1000
		throttle = throttling.new(function () return now end, 20, 900)
	end)

	local function fail(ip, account, times)
		local delay
		for _ = 1, times or 1 do delay = throttle:failed(ip, account) end
		return delay
	end

	it("counts an IPv6 /64 as one source, an IPv4 address as itself", function ()
		local source_of = throttling.source_of
		assert.same("192.0.2.1", source_of("192.0.2.1"))
		assert.same("192.0.2.1", source_of("::ffff:192.0.2.1"))
		assert.same(source_of("2001:db8:0:1::1"), source_of("2001:0db8::1:ffff:ffff:ffff:ffff"))
		assert.same(source_of("2001:db8::1"), source_of("2001:db8:0:0:5::7"))
		assert.not_same(source_of("2001:db8:0:1::1"), source_of("2001:db8:0:2::1"))
		assert.same("0:0:0:0", source_of("::1"))
		assert.same("fe80:0:0:0", source_of("fe80::1%eth0"))
		assert.is_nil(source_of(nil))
		assert.is_nil(source_of(""))
	end)

	it("lets a source fail 20 times in 15 minutes and not once more", function ()
		for i = 1, 20 do
			assert.is_true(throttle:allows("192.0.2.1", "a" .. i))
			fail("192.0.2.1", "a" .. i)
		end
		assert.is_false(throttle:allows("192.0.2.1"))
		assert.is_true(throttle:allows("192.0.2.2"))
		now = now + 899
		assert.is_false(throttle:allows("192.0.2.1"))
		now = now + 1
		assert.is_true(throttle:allows("192.0.2.1"))
	end)

	it("evaluates at most 20 guesses in any 15 minutes, however they are spread", function ()
		local times = {}
		for _ = 1, 4000 do
			if throttle:allows("192.0.2.1", "romeo") then
				fail("192.0.2.1", "romeo")
				table.insert(times, now)
			end
			now = now + 1
		end
		for i = 21, #times do assert.is_true(times[i] - times[i - 20] >= 900) end
		assert.is_true(#times >= 80)
	end)

	it("counts what is being looked at, so that many connections at once get no more guesses", function ()
		for i = 1, 20 do
			assert.is_true(throttle:allows("192.0.2.1", "a" .. i))
			throttle:enter("192.0.2.1", "a" .. i)
		end
		assert.is_false(throttle:allows("192.0.2.1", "b"))
		for i = 1, 20 do throttle:leave("192.0.2.1", "a" .. i) end
		assert.is_true(throttle:allows("192.0.2.1", "b"))
		assert.same({}, throttle.pending)
	end)

	it("does not let one source lock an account for others", function ()
		fail("192.0.2.1", "romeo", 20)
		assert.is_false(throttle:allows("192.0.2.1", "romeo"))
		assert.is_true(throttle:allows("192.0.2.2", "romeo"))
	end)

	it("closes an account to strangers when many sources guess, but not to those it knows", function ()
		throttle:succeeded("203.0.113.9", "romeo")
		for i = 1, 4 do fail("192.0.2." .. i, "romeo", 10) end
		assert.is_false(throttle:allows("192.0.2.99", "romeo"))
		assert.is_true(throttle:allows("203.0.113.9", "romeo"))
		assert.is_true(throttle:allows("192.0.2.99", "juliet"))
		now = now + 900
		assert.is_true(throttle:allows("192.0.2.99", "romeo"))
	end)

	it("does not give guesses back for a success with one's own account", function ()
		fail("192.0.2.1", "romeo", 19)
		throttle:succeeded("192.0.2.1", "tybalt")
		fail("192.0.2.1", "romeo")
		assert.is_false(throttle:allows("192.0.2.1", "romeo"))
	end)

	it("answers a source that fails again and again later and later", function ()
		assert.same(0, fail("192.0.2.1", nil, 5)) -- a forgotten password is no attack
		assert.same(0.25, fail("192.0.2.1"))
		assert.same(0.5, fail("192.0.2.1"))
		assert.same(1, fail("192.0.2.1"))
		assert.same(4, fail("192.0.2.1", nil, 10))
		assert.same(0, fail("192.0.2.2"))
	end)

	it("counts no failures of the server itself, but those of accounts", function ()
		assert.same(0, fail(nil, "romeo", 30))
		assert.is_true(throttle:allows(nil, nil))
	end)

	it("remembers a bounded number of sources and accounts", function ()
		for i = 1, 30000 do
			throttle:failed(("10.%d.%d.1"):format(i // 256, i % 256), "account" .. i)
		end
		assert.is_true(throttle.sources:count() <= 10000)
		assert.is_true(throttle.accounts:count() <= 10000)
	end)
end)
