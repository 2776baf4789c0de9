--- What mod_s2s/limits promises: what the other side of a stream says it takes is kept to (XEP-0478). The clock is
-- turned by hand.

local fake = require "spec.support.fake_native"
local libraries = require "spec.support.s2s_libraries"
local st = require "util.stanza"

describe("Limits of a stream", function ()
	local world, limits, limited, session

	before_each(function ()
		world, limited = fake.start(), {}
		function world.native.s2s_limit(_, bytes) table.insert(limited, bytes) end
		limits = libraries.load(world, "limits")
		limits.load { s2s_stanza_size = 20000, s2s_idle = 600 }
		session = { type = "s2sout", sent = {}, log = function () end }
		function session.sends2s(what) table.insert(session.sent, what) end
	end)
	after_each(function () world.stop() end)

	local function says(fields)
		local features = st.stanza("features"):tag("limits", { xmlns = "urn:xmpp:stream-limits:0" })
		for name, text in pairs(fields) do features:text_tag(name, text) end
		limits.read(session, features:reset())
	end

	it("are told: how big a stanza may be, and when a stream is idle", function ()
		local features = st.stanza "features"
		limits.tell(features)
		local told = features:get_child("limits", "urn:xmpp:stream-limits:0")
		assert.equal("20000", told:get_child_text "max-bytes")
		assert.equal("600", told:get_child_text "idle-seconds")
	end)

	it("are kept to in bytes", function ()
		says { ["max-bytes"] = "10000" }
		assert.same({ 10000 }, limited)
		assert.equal(10000, session.peer_max_bytes)
		world.advance(100000)
		assert.same({}, session.sent)
	end)

	it("are kept to in seconds: a space is sent before the other side takes the stream for idle", function ()
		says { ["idle-seconds"] = "100" }
		world.advance(79)
		assert.same({}, session.sent)
		world.advance(1)
		assert.same({ " " }, session.sent)
		world.advance(160)
		assert.same({ " ", " ", " " }, session.sent)
		session.type = "s2sout_unauthed"
		world.advance(160)
		session.type = "s2sout"
		session.destroyed = true
		world.advance(1000)
		assert.equal(3, #session.sent)
	end)

	it("may change with new features", function ()
		says { ["max-bytes"] = "10000", ["idle-seconds"] = "10" }
		says { ["max-bytes"] = "20000", ["idle-seconds"] = "1000" }
		world.advance(700)
		assert.same({}, session.sent)
		world.advance(100)
		assert.same({ " " }, session.sent)
		assert.same({ 10000, 20000 }, limited)
	end)

	it("that mean nothing are left out", function ()
		for _, number in ipairs { "", "x", "-1", "0", "1.5", "0x10", ("9"):rep(40) } do
			says { ["max-bytes"] = number, ["idle-seconds"] = number }
		end
		limits.read(session, st.stanza "features")
		world.advance(1000000)
		assert.same({}, limited)
		assert.same({}, session.sent)
	end)
end)
