local adminstream = require "prosody.util.adminstream"

describe("util.adminstream", function ()
	it("writes one line per message and reads it back, however it is cut", function ()
		local message = { type = "repl-input", text = "a\nb\"c\\ é", width = 80 }
		local line = adminstream.encode(message)
		assert.equal(1, select(2, line:gsub("\n", "")))
		local bytes = line .. line
		for size = 1, #line do
			local found = {}
			local feed = adminstream.new_reader(function (got) table.insert(found, got) end)
			for at = 1, #bytes, size do assert.is_true(feed(bytes:sub(at, at + size - 1))) end
			assert.same({ message, message }, found)
		end
	end)

	it("refuses what is no message", function ()
		for _, line in ipairs { "hello\n", "[1]\n", "{}\n", '{"type":1}\n', "\n", "null\n" } do
			local feed = adminstream.new_reader(function () error("handed on") end)
			assert.is_nil((feed(line)))
		end
	end)

	it("does not keep a line without end", function ()
		local feed = adminstream.new_reader(function () error("handed on") end)
		local ok
		for _ = 1, 300 do
			ok = feed(("x"):rep(1024))
			if not ok then break end
		end
		assert.is_nil(ok)
	end)

	describe("for the server", function ()
		local sessions, handled, callbacks

		local function connect()
			local conn = { written = {} }
			function conn:write(bytes) table.insert(self.written, bytes); return true end
			function conn:close() self.is_closed = true; callbacks.ondisconnect(self, "closed") end
			callbacks.onconnect(conn)
			return conn, sessions[conn]
		end

		before_each(function ()
			sessions, handled = {}, {}
			callbacks = adminstream.server(sessions, function (session, message)
				table.insert(handled, message.text)
				if message.text == "ask" then
					session.on_answer = function (text) table.insert(handled, "answer " .. tostring(text)) end
				end
			end)
		end)

		it("hands messages on in order and sends answers", function ()
			local conn, session = connect()
			callbacks.onincoming(conn, adminstream.encode { type = "x", text = "1" } .. adminstream.encode { type = "x",
				text = "2" })
			assert.same({ "1", "2" }, handled)
			assert.is_true(session:send { type = "y" })
			assert.equal('{"type":"y"}\n', conn.written[1])
		end)

		it("gives an answer to the command that asked, not to the queue", function ()
			local conn = connect()
			callbacks.onincoming(conn, adminstream.encode { type = "x", text = "ask" })
			callbacks.onincoming(conn, adminstream.encode { type = "repl-answer", text = "yes" })
			assert.same({ "ask", "answer yes" }, handled)
		end)

		it("tells a command that waits that nobody is there any more", function ()
			local conn, session = connect()
			callbacks.onincoming(conn, adminstream.encode { type = "x", text = "ask" })
			callbacks.ondisconnect(conn, "closed")
			assert.same({ "ask", "answer nil" }, handled)
			assert.is_nil(sessions[conn])
			assert.is_false(session:send { type = "y" })
		end)

		it("ends the connection of who does not speak its language", function ()
			local conn = connect()
			callbacks.onincoming(conn, "GET / HTTP/1.0\r\n")
			assert.is_true(conn.is_closed)
			assert.same({}, handled)
		end)
	end)
end)
