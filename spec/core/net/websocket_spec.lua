-- WebSocket messages (core/net/websocket.c), through net.websocket.frames. The cases follow the order of the Autobahn
-- test suite: framing, pings, reserved bits, opcodes, fragmentation, UTF-8, close handling, limits.

if not pcall(require, "couplet.websocket") then
	describe("WebSocket frames", function() pending "this build has no libwslay" end)
	return
end
local wire = require "prosody.net.websocket.frames"

local TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10

--- A client's frame. how: { fin = false, rsv = 4, mask = false, length = bytes of the length field }
local function frame(opcode, payload, how)
	how = how or {}
	local length = #payload
	local form = how.length or (length < 126 and 0 or length < 65536 and 2 or 8)
	local first = (how.fin == false and 0 or 0x80) | (how.rsv or 0) << 4 | opcode
	local second = (how.mask == false and 0 or 0x80) | (form == 0 and length or form == 2 and 126 or 127)
	local head = string.char(first, second) .. (form == 2 and (">I2"):pack(how.claims or length)
		or form == 8 and (">I8"):pack(how.claims or length) or "")
	if how.mask == false then return head .. payload end
	local key = { 0x37, 0xfa, 0x21, 0x3d }
	local masked = {}
	for i = 1, length do masked[i] = string.char(payload:byte(i) ~ key[(i - 1) % 4 + 1]) end
	return head .. string.char(table.unpack(key)) .. table.concat(masked)
end

local function shorten(text) return #text > 40 and ("%d bytes"):format(#text) or text end

local function said(bytes, cut, limit, fragments)
	local reader = wire.reader(limit or 65536, fragments or 8)
	local words = {}
	for at = 1, #bytes, cut or #bytes do
		assert.is_true(reader:push(bytes:sub(at, at + (cut or #bytes) - 1)))
		while true do
			local kind, a, b = reader:next()
			if kind == "more" then break end
			words[#words + 1] = kind == "failed" and "failed " .. a or kind == "close" and ("close %d %s"):format(a, b)
				or kind .. " " .. shorten(a)
			if kind == "failed" or kind == "close" then return table.concat(words, ", ") end
		end
	end
	return table.concat(words, ", ")
end

describe("Frames", function()
	for _, size in ipairs { 0, 1, 125, 126, 127, 128, 65535, 65536 } do
		it(("of %d bytes are read and written"):format(size), function()
			local payload = ("x"):rep(size)
			assert.equal("text " .. shorten(payload), said(frame(TEXT, payload)))
			assert.equal("binary " .. shorten(payload), said(frame(BINARY, payload)))
			local written = wire.text(payload)
			assert.equal(frame(TEXT, payload, { mask = false }), written)
		end)
	end

	it("say the same however they are cut", function()
		local bytes = frame(TEXT, "hello") .. frame(PING, "p") .. frame(TEXT, "a", { fin = false }) .. frame(PING, "q")
			.. frame(0, "b", { fin = false }) .. frame(0, "c") .. frame(PONG, "") .. frame(CLOSE, "\3\232bye")
		local expected = "text hello, ping p, ping q, text abc, pong , close 1000 bye"
		for cut = 1, #bytes do assert.equal(expected, said(bytes, cut)) end
	end)

	for _, case in ipairs {
		{ "unmasked", frame(TEXT, "x", { mask = false }), 1002 },
		{ "with a reserved bit", frame(TEXT, "x", { rsv = 4 }), 1002 },
		{ "with another reserved bit", frame(PING, "x", { rsv = 1 }), 1002 },
		{ "of opcode 3", frame(3, "x"), 1002 }, { "of opcode 7", frame(7, "x"), 1002 },
		{ "of opcode 11", frame(11, "x"), 1002 }, { "of opcode 15", frame(15, ""), 1002 },
		{ "that continue nothing", frame(0, "x"), 1002 },
		{ "that begin a message within another", frame(TEXT, "x", { fin = false }) .. frame(TEXT, "y"), 1002 },
		{ "of a fragmented ping", frame(PING, "x", { fin = false }), 1002 },
		{ "of a long ping", frame(PING, ("x"):rep(126)), 1002 },
		{ "of a long close", frame(CLOSE, "\3\232" .. ("x"):rep(124)), 1002 },
		{ "with a length that is too wide", frame(TEXT, "x", { length = 2 }), 1002 },
		{ "with a length that is far too wide", frame(TEXT, ("x"):rep(200), { length = 8 }), 1002 },
		{ "of 2^63 bytes", frame(TEXT, "", { length = 8, claims = math.mininteger }), 1002 },
		{ "of 2^62 bytes", frame(TEXT, "x", { length = 8, claims = 1 << 62 }), 1009 },
		{ "that close with one byte", frame(CLOSE, "\3"), 1002 },
		{ "that close with a reason that is no UTF-8", frame(CLOSE, "\3\232\xff"), 1007 },
	} do
		it(("%s fail with %d, at the first byte that is wrong"):format(case[1], case[3]), function()
			local expected = "failed " .. case[3]
			assert.equal(expected, said(case[2]))
			assert.equal(expected, said(case[2], 1))
		end)
	end

	for code, is_good in pairs { [0] = false, [999] = false, [1000] = true, [1001] = true, [1003] = true, [1004] = false,
		[1005] = false, [1006] = false, [1007] = true, [1011] = true, [1015] = false, [1016] = false, [2999] = false,
		[3000] = true, [4999] = true, [5000] = false, [65535] = false } do
		it(("that close with %d are %s"):format(code, is_good and "understood" or "an error"), function()
			assert.equal(is_good and ("close %d "):format(code) or "failed 1002", said(frame(CLOSE, (">I2"):pack(code))))
		end)
	end

	it("that close without a code have code 1005", function() assert.equal("close 1005 ", said(frame(CLOSE, ""))) end)

	it("that follow a close are not read", function()
		local reader = wire.reader(100, 8)
		reader:push(frame(CLOSE, "") .. frame(TEXT, "x"))
		assert.equal("close", (reader:next()))
		assert.equal("failed", (reader:next()))
	end)
end)

describe("A message", function()
	it("must be UTF-8, wherever its fragments are cut", function()
		local word = "κόσμε"
		for at = 1, #word - 1 do
			assert.equal("text " .. word, said(frame(TEXT, word:sub(1, at), { fin = false }) .. frame(0, word:sub(at + 1))))
		end
		for _, bad in ipairs { "\xce", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff", word .. "\xed\xa0\x80x" } do
			assert.equal("failed 1007", said(frame(TEXT, bad)))
			assert.equal("failed 1007", said(frame(TEXT, bad:sub(1, 1), { fin = false }) .. frame(0, bad:sub(2))))
			assert.equal("binary " .. bad, said(frame(BINARY, bad)))
		end
	end)

	it("has a limit, whole or in fragments", function()
		assert.equal("text 100 bytes", said(frame(TEXT, ("x"):rep(100)), nil, 100))
		assert.equal("failed 1009", said(frame(TEXT, ("x"):rep(101)), nil, 100))
		assert.equal("failed 1009", said(frame(TEXT, ("x"):rep(60), { fin = false }) .. frame(0, ("x"):rep(41)), nil, 100))
		assert.equal("text 100 bytes", said(frame(TEXT, ("x"):rep(60), { fin = false }) .. frame(0, ("x"):rep(40)), nil, 100))
	end)

	it("has a limited number of fragments, empty ones too", function()
		local seven = frame(TEXT, "", { fin = false }) .. frame(0, "", { fin = false }):rep(6)
		assert.equal("text ", said(seven .. frame(0, "")))
		assert.equal("failed 1009", said(seven .. frame(0, "", { fin = false }) .. frame(0, "")))
	end)

	it("may become longer once the peer is known", function()
		local reader = wire.reader(10, 8)
		reader:limit(20)
		reader:push(frame(TEXT, ("x"):rep(20)))
		assert.equal("text", (reader:next()))
	end)

	it("that has begun and is not all here is known to be so", function()
		local reader = wire.reader(100, 8)
		local function is_partial_after(bytes)
			reader:push(bytes)
			repeat until reader:next() == "more"
			return reader:is_partial()
		end
		assert.is_false(is_partial_after "")
		local first, second = frame(TEXT, "a", { fin = false }), frame(0, "b")
		for at = 1, #first do assert.is_true(is_partial_after(first:sub(at, at))) end
		assert.is_true(is_partial_after(frame(PING, "p")))
		for at = 1, #second do assert.equal(at < #second, is_partial_after(second:sub(at, at))) end
		assert.is_false(is_partial_after(frame(PING, "p")))
	end)

	it("costs memory while it comes, and none between messages", function()
		local T, n, readers = require "couplet_core".base, 500, {}
		for i = 1, n do readers[i] = wire.reader(1 << 20, 8) end
		local before = T.mem_in_use()
		local function bytes_each(bytes)
			for _, reader in ipairs(readers) do
				reader:push(bytes)
				repeat until reader:next() == "more"
			end
			collectgarbage()
			return (T.mem_in_use() - before) // n
		end
		local whole = frame(TEXT, ("x"):rep(20000)) .. frame(PING, "p")
		assert.truthy(bytes_each(whole) < 100)
		assert.truthy(bytes_each(whole:sub(1, 3)) < 6000) -- a head that says much has brought three bytes
		assert.truthy(bytes_each(whole:sub(4)) < 100)
	end)
end)
