-- Frames as a browser's library would never send them (RFC 6455, SECURITY E6), against the server: in the order of the
-- Autobahn test suite, whose echo is here a message to oneself. What the reader of frames does with each byte is
-- specified beside it, in spec/core/net/websocket_spec.lua.

local loop = require "spec.support.loop"
local support = require "spec.support.web"
local websocket = require "spec.support.websocket"

local CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
local frame = websocket.frame

local function code(number) return (">I2"):pack(number) end

describe("A WebSocket's frames", function()
	local server

	setup(function()
		server = support.start({ "websocket" }, [[c2s_idle_timeout = "1 second"; c2s_timeout = "2 seconds"; limits = {}]])
	end)
	teardown(function() server:stop() end)
	after_each(function() server:forget_clients() end)

	local function romeo() return assert(websocket.connect(server, { tls = true })):logs_in("romeo", "secret", "web") end

	local function message(text) return support.message("romeo@localhost/web", text) end

	-- What comes next, but our server's pings, which ask for nothing here.
	local function next_frame(ws)
		local opcode, payload
		repeat opcode, payload = ws:frame() until opcode ~= PING
		return opcode, payload
	end

	local function echoes(ws, text)
		local opcode, payload = next_frame(ws)
		assert.equal(TEXT, opcode)
		local body = text == "" and "<body/>" or "<body>" .. text .. "</body>"
		assert.truthy(payload:find(body, 1, true), payload:sub(1, 200))
	end

	local function fails(ws, expected)
		local opcode, payload
		repeat opcode, payload = ws:frame() until opcode == CLOSE
		assert.equal(expected, payload ~= "" and (">I2"):unpack(payload) or nil)
		ws.conn:ends()
	end

	describe("carry messages", function()
		for _, size in ipairs { 0, 1, 125, 126, 127, 128, 65535, 65536, 200000 } do
			it(("of any size: %d bytes of text"):format(size), function()
				local ws = romeo()
				ws:sends(message(("x"):rep(size)))
				echoes(ws, ("x"):rep(size))
			end)
		end

		it("many in one segment, and one in many", function()
			local ws = romeo()
			local all = {}
			for i = 1, 50 do all[i] = frame(TEXT, message("number " .. i)) end
			ws.conn:sends(table.concat(all))
			for i = 1, 50 do echoes(ws, "number " .. i) end
			for byte in frame(TEXT, message "in pieces"):gmatch "." do ws.conn:sends(byte) end
			echoes(ws, "in pieces")
		end)

		it("in up to eight fragments, with pings in between", function()
			local ws = romeo()
			local text = message "κόσμε ♥"
			local bytes = {}
			for i = 0, 7 do
				local from, to = #text * i // 8 + 1, #text * (i + 1) // 8
				bytes[#bytes + 1] = frame(i == 0 and TEXT or CONTINUATION, text:sub(from, to), { fin = i == 7 })
				if i < 7 then bytes[#bytes + 1] = frame(PING, tostring(i)) end
			end
			ws.conn:sends(table.concat(bytes))
			for i = 0, 6 do assert.same({ PONG, tostring(i) }, { next_frame(ws) }) end
			echoes(ws, "κόσμε ♥")
		end)
	end)

	describe("that control", function()
		for _, payload in ipairs { "", "hello", "\0\255\254\253", ("x"):rep(125) } do
			it(("are answered with their payload: %d bytes"):format(#payload), function()
				local ws = romeo()
				ws:sends_frame(PING, payload)
				assert.same({ PONG, payload }, { next_frame(ws) })
			end)
		end

		it("are answered each, in their order", function()
			local ws = romeo()
			for i = 1, 10 do ws:sends_frame(PING, "p" .. i) end
			for i = 1, 10 do assert.same({ PONG, "p" .. i }, { next_frame(ws) }) end
		end)

		it("are not answered when nobody asked: pongs", function()
			local ws = romeo()
			for _ = 1, 100 do ws:sends_frame(PONG, "unasked") end
			ws:sends(message "still here")
			echoes(ws, "still here")
		end)
	end)

	for name, case in pairs {
		["that are not masked"] = { frame(TEXT, "<presence/>", { mask = false }), 1002 },
		["with a reserved bit"] = { string.char(0xc1, 0x80, 0, 0, 0, 0), 1002 },
		["of an unknown opcode"] = { frame(5, ""), 1002 },
		["of an unknown opcode that controls"] = { frame(12, ""), 1002 },
		["of a ping in fragments"] = { frame(PING, "", { fin = false }), 1002 },
		["of a ping of 126 bytes"] = { frame(PING, ("x"):rep(126)), 1002 },
		["that continue nothing"] = { frame(CONTINUATION, "x"), 1002 },
		["that begin a message inside of another"] = { frame(TEXT, "<a", { fin = false }) .. frame(TEXT, "<b/>"), 1002 },
		["of 2^63 bytes"] = { string.char(0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0), 1002 },
		["of 2^62 bytes"] = { string.char(0x81, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0) .. "mask<", 1009 },
		["of bytes"] = { frame(BINARY, "<presence/>"), 1003 },
		["of text that is not UTF-8"] = { frame(TEXT, "<a>\xed\xa0\x80</a>"), 1007 },
		["of text whose fragments are not UTF-8"] = { frame(TEXT, "<a>\xce", { fin = false })
			.. frame(CONTINUATION, "x</a>"), 1007 },
		["in ten thousand empty fragments"] = { frame(TEXT, "", { fin = false })
			.. frame(CONTINUATION, "", { fin = false }):rep(10000), 1009 },
		["that close with one byte"] = { frame(CLOSE, "\3"), 1002 },
		["that close with a reason that is not UTF-8"] = { frame(CLOSE, code(1000) .. "\xff"), 1007 },
	} do
		it(("%s end the connection with %d"):format(name, case[2]), function()
			local ws = romeo()
			ws.conn:sends(case[1])
			fails(ws, case[2])
		end)
	end

	for _, number in ipairs { 0, 999, 1004, 1005, 1006, 1016, 2999, 5000, 65535 } do
		it(("that close with %d, which nobody may, end the connection with 1002"):format(number), function()
			local ws = romeo()
			ws:sends_frame(CLOSE, code(number))
			fails(ws, 1002)
		end)
	end

	for _, number in ipairs { 1000, 1001, 1003, 1007, 1011, 3000, 4999 } do
		it(("that close with %d are answered with it, and nothing behind them counts"):format(number), function()
			local ws = romeo()
			ws.conn:sends(frame(CLOSE, code(number) .. "goodbye") .. frame(PING, "late"))
			fails(ws, number)
		end)
	end

	it("that close without a code are answered without one", function()
		local ws = romeo()
		ws:sends_frame(CLOSE, "")
		fails(ws, nil)
	end)

	it("that come too slowly are not waited for: a byte now and then before login", function()
		local ws = assert(websocket.connect(server, { tls = true }))
		local texts = {}
		local bytes = frame(TEXT, ("x"):rep(1000)):gmatch "."
		repeat ws.conn:sends(bytes()) until loop.try_await(function() return ws.conn:raw() ~= "" end, 0.2)
		local opcode, payload
		repeat
			opcode, payload = ws:frame()
			texts[#texts + 1] = opcode == TEXT and payload or nil
		until opcode == CLOSE
		assert.truthy(table.concat(texts):find "<connection%-timeout", table.concat(texts))
		ws.conn:ends()
	end)

	for name, bytes in pairs {
		["half a head"] = frame(TEXT, message "x"):sub(1, 3), ["half a payload"] = frame(TEXT, message "x"):sub(1, 40),
		["half a message"] = frame(TEXT, message "x"):sub(1, 1):gsub("\x81", "\1") .. frame(TEXT, message "x"):sub(2),
	} do
		it(("that never come are not waited for: %s before login, and after"):format(name), function()
			local ws = assert(websocket.connect(server, { tls = true }))
			ws.conn:sends(bytes)
			fails(ws, 1008)
			ws = romeo()
			ws.conn:sends(frame(TEXT, message "before") .. bytes)
			echoes(ws, "before")
			fails(ws, 1008)
		end)
	end

	it("of who says nothing at all are asked for with a ping, once", function()
		local ws = romeo()
		assert.equal(PING, (ws:frame()))
		assert.equal(1001, (ws:closes()))
	end)

	it("leave no session behind", function() support.leaves_nothing(server) end)
end)
