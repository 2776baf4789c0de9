-- Single WebSocket frames (core/net/websocket_frame.c), with the functions that Prosody's modules know, and what a
-- server says. The frames are those of RFC 6455 5.7.

if not pcall(require, "couplet.websocket") then
	describe("WebSocket frames", function() pending "this build has no libwslay" end)
	return
end
local dbuffer = require "prosody.util.dbuffer"
local frames = require "prosody.net.websocket.frames"

local unmasked, masked = "\x81\5Hello", "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"

describe("A WebSocket frame", function()
	it("is read with its bits, without its mask, whatever follows it", function()
		local expected = { opcode = 1, FIN = true, RSV1 = false, RSV2 = false, RSV3 = false, MASK = false, length = 5,
			data = "Hello" }
		assert.same({ expected, 7 }, { frames.parse(unmasked) })
		expected.MASK = true
		assert.same({ expected, 11 }, { frames.parse(masked .. "rest") })
		local first, length = frames.parse "\x01\3Hel\x80\2lo"
		assert.same({ 1, false, "Hel", 5 }, { first.opcode, first.FIN, first.data, length })
		assert.same({ true, false, true }, { frames.parse("\xd1\0").RSV1, frames.parse("\xd1\0").RSV2,
			frames.parse("\xd1\0").RSV3 })
	end)

	it("is read from a buffer, and left in it", function()
		local buffer = dbuffer.new()
		assert(buffer:write(masked:sub(1, 4)))
		assert.is_nil(frames.parse(buffer))
		assert(buffer:write(masked:sub(5)))
		local frame, length = frames.parse(buffer)
		assert.same({ "Hello", 11, 11 }, { frame.data, length, buffer:length() })
	end)

	it("is waited for until all of it is here", function()
		for at = 0, #masked - 1 do assert.same({ n = 1 }, table.pack(frames.parse(masked:sub(1, at)))) end
	end)

	for name, bytes in pairs {
		["a ping in fragments"] = "\x09\0", ["a ping of 126 bytes"] = "\x89\x7e\0\x7e" .. ("x"):rep(126),
		["a length that is too wide"] = "\x81\x7e\0\5Hello", ["a length of 2^63"] = "\x81\x7f\x80" .. ("\0"):rep(7),
		["more than 64 MiB"] = "\x81\x7f\0\0\0\0\4\0\0\1x",
	} do
		it("is not " .. name, function() assert.same({ nil, false, n = 2 }, table.pack(frames.parse(bytes))) end)
	end

	it("is written as it is said", function()
		assert.equal(unmasked, frames.build { opcode = 1, FIN = true, data = "Hello" })
		assert.equal("\x01\3Hel", frames.build { opcode = 1, data = "Hel" })
		assert.equal("\xf9\0", frames.build { opcode = 9, FIN = true, RSV1 = true, RSV2 = true, RSV3 = true })
		assert.has_error(function() frames.build { opcode = 9, FIN = true, data = ("x"):rep(126) } end)
	end)

	it("is masked with a key that nobody can guess", function()
		local keys = {}
		for _ = 1, 100 do
			local bytes = frames.build { opcode = 2, FIN = true, MASK = true, data = ("x"):rep(70000) }
			assert.equal(14 + 70000, #bytes)
			assert.equal(("x"):rep(70000), frames.parse(bytes).data)
			local key = bytes:sub(11, 14)
			assert.is_nil(keys[key])
			keys[key] = true
		end
	end)

	it("closes with a code and a reason, which is cut between two characters", function()
		assert.equal("\x88\5\3\232bye", frames.build_close(1000, "bye"))
		local code, reason = frames.parse_close(frames.parse(frames.build_close(1001, ("é"):rep(100), true)).data)
		assert.same({ 1001, ("é"):rep(61) }, { code, reason })
		assert.same({ n = 0 }, table.pack(frames.parse_close ""))
		assert.equal("\x88\0", frames.close())
		assert.equal("\x88\0", frames.close(1005, "none"))
		assert.equal("\x88\2\3\232", frames.close(1000))
	end)

	it("of ours is whole and not masked", function()
		assert.same({ unmasked, "\x82\1b", "\x89\0", "\x8a\1p" },
			{ frames.text "Hello", frames.binary "b", frames.ping(), frames.pong "p" })
	end)
end)
