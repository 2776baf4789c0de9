local T = require "couplet_core"
local world = require "spec.core.net.world"
local socket = require "socket"

local KB = 1024

describe("a connection", function()
	local loop
	before_each(function() loop = T.net.loop() end)
	after_each(function()
		loop:free()
		assert.equal(0, (T.net.live()))
	end)

	local function both_closed(server, client)
		return function() return server.closed and client.closed end
	end

	it("carries bytes both ways", function()
		local server, client = world.pair(loop, { data = function(conn, text) conn:write(text:upper()) end })
		client.conn:write "hello "
		client.conn:write "world"
		world.wait(loop, "the echo is complete", function() return #client.text == 11 end)
		assert.equal("HELLO WORLD", client.text)
		assert.equal("hello world", server.text)
	end)

	it("sends what one turn wrote in one piece", function()
		local server, client = world.pair(loop)
		for _ = 1, 50 do client.conn:write "0123456789" end
		assert.equal(0, server.data_times)
		world.wait(loop, "all arrived", function() return #server.text == 500 end)
		assert.equal(1, server.data_times)
		assert.equal(500, client.conn:facts().bytes_out)
		assert.equal(500, server.conn:facts().bytes_in)
	end)

	it("carries large output completely, however full the socket gets", function()
		local server, client = world.pair(loop)
		client.conn:set_send_buffer(4 * KB)
		local text = T.base.random_bytes(2000 * KB)
		assert.equal(0, client.conn:write(text))
		world.wait(loop, "all arrived", function() return #server.text == #text end)
		assert.is_true(server.text == text)
	end)

	it("reads no more than 16 KiB of one peer in a turn", function()
		local largest = 0
		local server, client = world.pair(loop, { data = function(_, text) largest = math.max(largest, #text) end })
		client.conn:write(("x"):rep(200 * KB))
		world.wait(loop, "all arrived", function() return #server.text == 200 * KB end)
		assert.equal(16 * KB, largest)
	end)

	it("takes back what has not left, and tells how much has", function()
		local server, client = world.pair(loop)
		client.conn:write "has left "
		loop:turn()
		assert.equal(9, client.conn:sent())
		client.conn:write "stays "
		client.conn:write "goes another way"
		assert.is_false(client.conn:take_back(8)) -- that is gone
		assert.is_true(client.conn:take_back(15))
		assert.equal(6, client.conn:queued())
		client.conn:write "and ends"
		assert.is_true(client.conn:take_back(1000)) -- nothing is there
		world.wait(loop, "it arrived", function() return #server.text == 23 end)
		assert.equal("has left stays and ends", server.text)
		assert.equal(23, client.conn:sent())
	end)

	it("can be written in place", function()
		local server, client = world.pair(loop)
		assert.is_true(client.conn:reserve(100, "in place"))
		assert.is_true(client.conn:reserve(20 * KB, (" and long"):rep(1000)))
		assert.is_true(client.conn:reserve(20 * KB, "."))
		assert.equal(8 + 9000 + 1, client.conn:queued())
		world.wait(loop, "all arrived", function() return #server.text == 9009 end)
		assert.equal("in place" .. (" and long"):rep(1000) .. ".", server.text)
	end)

	it("knows its addresses, also when it is closed", function()
		local facts
		local server, client, listener = world.pair(loop, { closed = function(conn) facts = conn:facts() end })
		local other = world.pair(loop, { closed = function(conn) facts = conn:facts() end })
		other.conn:abort()
		loop:turn()
		assert.equal("127.0.0.1", facts.local_ip)
		assert.is_true(facts.local_port > 0)
		local now = server.conn:facts()
		assert.equal("127.0.0.1", now.ip)
		assert.equal("127.0.0.1", now.local_ip)
		assert.equal(listener:port(), now.local_port)
		assert.equal(now.local_port, client.conn:facts().port)
		assert.equal(now.port, client.conn:facts().local_port)
		server.conn:abort()
		loop:turn()
		assert.equal("127.0.0.1", facts.ip)
		assert.equal("127.0.0.1", facts.local_ip)
		assert.equal(now.port, facts.port)
	end)

	describe("that is being made", function()
		it("says so when nobody listens", function()
			local unused = assert(socket.bind("127.0.0.1", 0))
			local _, port = unused:getsockname()
			unused:close()
			local callbacks, client = world.recorder()
			assert(loop:connect(port, callbacks))
			world.wait(loop, "it was refused", function() return client.closed end)
			assert.equal("Connection refused", client.closed)
			assert.same({ "closed" }, client.names)
		end)

		it("refuses names and nonsense at once", function()
			local conn, why = loop:connect(5222, {}, "localhost.example")
			assert.is_nil(conn)
			assert.equal("cannot connect to localhost.example: this is not a numeric address", why)
		end)

		it("queues what is written before it is up", function()
			local callbacks, server = world.recorder()
			local listener = assert(loop:listen(callbacks))
			local conn = loop:connect(listener:port(), {})
			assert.equal(0, conn:write "early")
			world.wait(loop, "it arrived", function() return server.text == "early" end)
		end)

		it("is given up after a minute", function()
			loop:hold()
			-- A listener whose backlog is full leaves us without an answer.
			local full = assert(socket.tcp())
			assert(full:bind("127.0.0.1", 0))
			assert(full:listen(0))
			local _, port = full:getsockname()
			local fillers = {}
			for i = 1, 4 do
				fillers[i] = socket.tcp()
				fillers[i]:settimeout(0)
				fillers[i]:connect("127.0.0.1", port)
			end
			local callbacks, client = world.recorder()
			assert(loop:connect(port, callbacks))
			world.settle(loop)
			assert.is_nil(client.closed)
			loop:advance(59000)
			world.settle(loop)
			assert.is_nil(client.closed)
			loop:advance(1100)
			world.settle(loop)
			assert.equal("connection timed out", client.closed)
			for _, filler in ipairs(fillers) do filler:close() end
			full:close()
		end)

		it("closes at once when it is closed before it is up", function()
			local listener = assert(loop:listen { refuse = true })
			local callbacks, client = world.recorder()
			loop:connect(listener:port(), callbacks):close "changed my mind"
			loop:turn()
			assert.same({ "closed" }, client.names)
			assert.equal("changed my mind", client.closed)
		end)
	end)

	describe("at its end", function()
		it("flushes first when it is closed, and both sides hear of it once", function()
			local server, client = world.pair(loop)
			server.conn:write(("x"):rep(300 * KB))
			server.conn:close "enough"
			assert.equal(-1, server.conn:write "too late")
			assert.is_false(server.conn:reserve(1, ""))
			world.wait(loop, "both are closed", both_closed(server, client))
			assert.equal(300 * KB, #client.text)
			assert.equal("enough", server.closed)
			assert.equal("closed by peer", client.closed)
			assert.equal(1, server.closed_times)
			assert.equal(1, client.closed_times)
		end)

		it("does not flush when it is aborted", function()
			local server, client = world.pair(loop)
			server.conn:write "never sent"
			server.conn:abort "broken"
			server.conn:abort "again"
			server.conn:close "and again"
			assert.is_nil(server.closed)
			world.wait(loop, "both are closed", both_closed(server, client))
			assert.equal("", client.text)
			assert.equal("broken", server.closed)
			assert.equal(1, server.closed_times)
		end)

		it("keeps the first reason", function()
			local server, client = world.pair(loop)
			server.conn:close "first"
			server.conn:close "second"
			server.conn:abort "third"
			world.wait(loop, "both are closed", both_closed(server, client))
			assert.equal("first", server.closed)
		end)

		it("hears no more data once it is closed", function()
			local server, client = world.pair(loop, { data = function(conn) conn:close() end })
			client.conn:write "one"
			world.wait(loop, "the first arrived", function() return server.data_times == 1 end)
			client.conn:write "two"
			world.wait(loop, "both are closed", both_closed(server, client))
			assert.equal("one", server.text)
		end)

		it("does not lose its last words to a peer that still talks", function()
			local peer = assert(socket.tcp())
			local server
			local callbacks = world.recorder { accepted = function(_, _, events) server = events end,
				data = function(conn)
					conn:write "goodbye"
					conn:close()
				end }
			local listener = assert(loop:listen(callbacks))
			assert(peer:connect("127.0.0.1", listener:port()))
			peer:settimeout(0)
			peer:send "x"
			world.wait(loop, "the server is closing", function()
				return server and server.data_times == 1 and server.conn:facts().closing
			end)
			for _ = 1, 20 do
				peer:send "still talking" -- a socket closed with this unread would reset, and drop "goodbye"
				loop:turn(5)
			end
			assert.equal("goodbye", (peer:receive "*a"))
			assert.is_nil(server.closed)
			peer:close()
			world.wait(loop, "the server is closed", function() return server.closed end)
		end)

		it("ends after four seconds although the peer does not", function()
			loop:hold()
			local peer = assert(socket.tcp())
			local callbacks, server = world.recorder()
			local listener = assert(loop:listen(callbacks))
			assert(peer:connect("127.0.0.1", listener:port()))
			world.wait(loop, "it is accepted", function() return server.conn end)
			server.conn:close "enough"
			loop:advance(3000)
			world.settle(loop)
			assert.is_nil(server.closed)
			loop:advance(1100)
			world.settle(loop)
			assert.equal("enough", server.closed)
			peer:close()
		end)

		it("may still answer a peer that finished sending", function()
			local server, client = world.pair(loop, { ended = function(conn)
				conn:write "your request was heard"
				conn:close "done"
			end })
			client.conn:write "request"
			client.conn:close "sent all"
			world.wait(loop, "both are closed", both_closed(server, client))
			assert.equal("request", server.text)
			assert.equal("done", server.closed)
			assert.same({ "accepted", "data", "ended", "closed" }, server.names)
		end)

		it("may be closed by any of its own callbacks", function()
			loop:hold()
			for _, name in ipairs { "accepted", "data", "ended", "idle", "drained" } do
				for _, way in ipairs { "close", "abort" } do
					local server, client = world.pair(loop, { [name] = function(conn) conn[way](conn, name) end,
						ended = name == "ended" and function(conn) conn[way](conn, name) end or nil })
					if name == "data" then
						client.conn:write "x"
					elseif name == "ended" then
						client.conn:close()
					elseif name == "idle" then
						server.conn:set_idle(1000)
						loop:advance(1100)
					elseif name == "drained" then
						server.conn:set_limits { soft_bytes = 10 }
						server.conn:write "more than ten bytes"
					end
					world.wait(loop, name .. " closed it", both_closed(server, client))
					assert.equal(name, server.closed)
					assert.equal(1, server.closed_times)
				end
			end
		end)

		it("may write to and end other connections from its closed callback", function()
			local first, first_client = world.pair(loop)
			local second, second_client = world.pair(loop)
			local third, third_client = world.pair(loop, { closed = function()
				first.conn:write "the third is gone"
				second.conn:abort "with the third"
			end })
			third.conn:abort()
			world.wait(loop, "the word is out", function()
				return first_client.text == "the third is gone" and second_client.closed and third_client.closed
			end)
			assert.equal("with the third", second.closed)
			assert.equal(1, third.closed_times)
		end)

		it("is told to all when the loop ends", function()
			local server, client = world.pair(loop)
			loop:free()
			assert.equal("the server stops", server.closed)
			assert.equal("the server stops", client.closed)
		end)

		it("hears of a reset", function()
			local server, client = world.pair(loop)
			server.conn:pause()
			client.conn:write "unread"
			world.settle(loop)
			server.conn:abort()
			world.wait(loop, "the client hears of it", function() return client.closed end)
			assert.equal("Connection reset by peer", client.closed)
		end)
	end)

	describe("and a slow reader", function()
		local server, client
		-- The kernel takes some; at least `bytes` wait here in the end.
		local function fill(bytes)
			client.conn:pause()
			server.conn:set_send_buffer(4 * KB)
			for _ = 1, (bytes + 300 * KB) // (16 * KB) do
				server.conn:write(("x"):rep(16 * KB))
				loop:turn()
			end
			world.settle(loop)
			assert.is_true(server.conn:queued() >= bytes)
		end

		it("pauses reading above the soft limit, and goes on below it", function()
			server, client = world.pair(loop)
			fill(600 * KB) -- the kernel may take more later
			client.conn:write "are you there?"
			world.settle(loop)
			assert.equal("", server.text)
			assert.equal(0, server.drained_times)
			-- The socket was offered some of it: who knows what it took.
			assert.is_false(server.conn:take_back(server.conn:sent() + 100))
			client.conn:resume()
			world.wait(loop, "it drained", function() return server.drained_times == 1 end)
			assert.is_true(server.conn:queued() <= 256 * KB)
			world.wait(loop, "the question arrived", function() return server.text == "are you there?" end)
			world.wait(loop, "everything left", function() return server.conn:queued() == 0 end)
			world.settle(loop)
			assert.equal(1, server.drained_times)
		end)

		it("also says drained when the turn's end could send everything", function()
			server, client = world.pair(loop)
			server.conn:set_limits { soft_bytes = 100 }
			server.conn:write(("x"):rep(101))
			world.wait(loop, "it arrived", function() return #client.text == 101 end)
			assert.equal(1, server.drained_times)
		end)

		it("refuses output above the hard limit and queues none of it", function()
			server, client = world.pair(loop)
			server.conn:set_limits { hard_bytes = 100 * KB }
			client.conn:pause()
			server.conn:set_send_buffer(4 * KB)
			local taken = 0
			for _ = 1, 100 do
				local before = server.conn:queued()
				if server.conn:write(("x"):rep(10 * KB)) == 0 then
					taken = taken + 10 * KB
				else
					assert.equal(before, server.conn:queued())
					assert.is_true(before + 10 * KB > 100 * KB)
				end
				loop:turn()
			end
			assert.is_true(server.conn:queued() <= 100 * KB)
			assert.is_false(server.conn:reserve(100 * KB, ""))
			client.conn:resume()
			world.wait(loop, "what was taken arrived", function() return #client.text == taken end)
			assert.equal(0, server.conn:write "again")
		end)

		it("closes when output makes no progress for a minute", function()
			loop:hold()
			server, client = world.pair(loop)
			fill(50 * KB)
			world.settle(loop)
			loop:advance(59000)
			world.settle(loop)
			assert.is_nil(server.closed)
			-- The kernel may still take a little now and then, which is progress; not for ever.
			world.wait(loop, "it is closed", function()
				loop:advance(60100)
				return server.closed
			end)
			assert.equal("peer does not read: write timed out", server.closed)
		end)

		it("does not close while there is progress, nor for having been silent before", function()
			loop:hold()
			server, client = world.pair(loop)
			loop:advance(600000)
			loop:turn()
			fill(2000 * KB)
			for _ = 1, 5 do
				loop:advance(50000)
				loop:turn()
				client.conn:resume()
				local before = server.conn:queued()
				world.wait(loop, "something left", function() return server.conn:queued() < before end)
				client.conn:pause()
				world.settle(loop)
			end
			assert.is_nil(server.closed)
		end)

		it("is not waited for longer than four seconds when the connection is closed", function()
			loop:hold()
			server, client = world.pair(loop)
			fill(300 * KB)
			server.conn:close "enough"
			world.settle(loop)
			assert.is_nil(server.closed)
			loop:advance(4100)
			world.settle(loop)
			assert.equal("enough", server.closed)
		end)
	end)

	describe("that is paused", function()
		it("reads nothing until it is resumed", function()
			local server, client = world.pair(loop)
			server.conn:pause()
			client.conn:write "later"
			world.settle(loop)
			assert.equal("", server.text)
			server.conn:resume()
			world.wait(loop, "it arrived", function() return server.text == "later" end)
		end)

		it("from within data gets nothing more", function()
			local server, client = world.pair(loop, { data = function(conn) conn:pause() end })
			client.conn:write(("x"):rep(100 * KB))
			world.settle(loop)
			assert.equal(1, server.data_times)
			server.conn:resume()
			world.wait(loop, "the next piece arrived", function() return server.data_times == 2 end)
			world.settle(loop)
			assert.equal(2, server.data_times)
		end)
	end)

	describe("that is idle", function()
		it("says so after the time asked for, and again after each such time", function()
			loop:hold()
			local server = world.pair(loop)
			server.conn:set_idle(30000)
			loop:advance(29000)
			world.settle(loop)
			assert.equal(0, server.idle_times)
			loop:advance(1100)
			world.settle(loop)
			assert.equal(1, server.idle_times)
			loop:advance(30100)
			world.settle(loop)
			assert.equal(2, server.idle_times)
			server.conn:set_idle(0)
			loop:advance(100000)
			world.settle(loop)
			assert.equal(2, server.idle_times)
		end)

		it("is not idle while data comes, nor while we do not listen", function()
			loop:hold()
			local server, client = world.pair(loop)
			server.conn:set_idle(30000)
			for _ = 1, 5 do
				loop:advance(20000)
				local before = #server.text
				client.conn:write "x"
				world.wait(loop, "it arrived", function() return #server.text > before end)
			end
			assert.equal(0, server.idle_times)
			server.conn:pause()
			loop:advance(100000)
			world.settle(loop)
			assert.equal(0, server.idle_times)
			server.conn:resume()
			loop:advance(30100)
			world.settle(loop)
			assert.equal(1, server.idle_times)
		end)

		it("says so after days, too", function()
			loop:hold()
			local server = world.pair(loop)
			server.conn:set_idle(3 * 86400 * 1000)
			for _ = 1, 4 do
				assert.equal(0, server.idle_times)
				loop:advance(86400 * 1000 - 1000)
				world.settle(loop)
			end
			assert.equal(1, server.idle_times)
		end)
	end)

	describe("with a rate", function()
		it("reads the burst at once and the rest at that rate", function()
			loop:hold()
			local server, client = world.pair(loop)
			server.conn:set_rate(1000, 5000)
			client.conn:write(("x"):rep(20 * KB))
			world.settle(loop)
			local first = #server.text
			assert.is_true(first >= 5000 and first < 5200, first)
			loop:advance(5000)
			world.settle(loop)
			assert.is_true(#server.text >= first + 4000 and #server.text <= first + 5200, #server.text)
			for _ = 1, 20 do
				loop:advance(1000)
				world.settle(loop)
			end
			assert.equal(20 * KB, #server.text)
		end)

		it("still sees to it that the loop waits in between", function()
			local server, client = world.pair(loop)
			server.conn:set_rate(100, 100)
			client.conn:write(("x"):rep(KB))
			world.settle(loop)
			local turns = 0
			loop:on_turn_end(0, function() turns = turns + 1 end)
			local limit = T.base.clock_ms() + 200
			while T.base.clock_ms() < limit do loop:turn(100) end
			assert.is_true(turns < 20)
			assert.is_nil(server.closed)
		end)

		it("of nothing is free again", function()
			local server, client = world.pair(loop)
			server.conn:set_rate(10, 10)
			client.conn:write(("x"):rep(50 * KB))
			world.settle(loop)
			assert.is_true(#server.text < 100)
			server.conn:set_rate(0)
			world.wait(loop, "all arrived", function() return #server.text == 50 * KB end)
		end)
	end)

	it("costs less than half a KiB of heap while it is idle", function()
		local listener = assert(loop:listen { silent = true })
		local function make(count)
			for _ = 1, count do loop:connect_silent(listener:port()) end
			world.wait(loop, "all are connected", function() return T.net.live() % 100 == 0 end)
			world.settle(loop)
			collectgarbage()
			return T.base.mem_in_use()
		end
		local before = make(50)
		local after = make(150) -- 300 connections more: both ends of each
		assert.equal(400, (T.net.live()))
		local each = (after - before) / 300
		if after > 0 then -- the sanitizer's heap does not tell
			assert.is_true(each > 200 and each < 512, ("%.0f bytes each"):format(each))
		end
	end)
end)
