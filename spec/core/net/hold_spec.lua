local T = require "couplet_core"
local socket = require "socket"
local world = require "spec.core.net.world"

describe("output that waits for the disk", function()
	local loop
	before_each(function() loop = T.net.loop() end)
	after_each(function()
		loop:free()
		assert.equal(0, (T.net.live()))
	end)

	-- Somebody outside of this loop, whose every word is handled by `handle(conn, word)` on our side. Gives { says =,
	-- text = heard so far, ours = }.
	local function visitor(handle)
		local callbacks, ours = world.recorder { data = function(conn, text)
			for word in text:gmatch "%S+" do handle(conn, word) end
		end }
		local listener = assert(loop:listen(callbacks))
		local line = assert(socket.connect("127.0.0.1", listener:port()))
		line:settimeout(0)
		world.wait(loop, "it has come", function() return ours.conn end)
		local one = { text = "", ours = ours }
		function one.says(text) assert(line:send(text)) end
		function one.listens()
			local text, why, part = line:receive(65536)
			one.text = one.text .. (text or part)
			if why == "closed" then line:close() end
		end
		return one
	end

	local function hears(one, text)
		world.wait(loop, "it hears " .. text, function()
			one.listens()
			return one.text == text
		end)
	end

	local function hears_nothing(one)
		local before = one.text
		world.settle(loop)
		one.listens()
		assert.equal(before, one.text)
	end

	local function ends(one)
		world.wait(loop, "it is closed", function()
			one.listens()
			return one.ours.closed
		end)
	end

	-- Writes to a store when it is told "store", and says "done".
	local function writer()
		return visitor(function(conn, word)
			if word == "store" then loop:wrote() end
			if word ~= "silently" then conn:write(word .. " done ") end
		end)
	end

	it("leaves when what was written in the same dispatch is durable", function()
		local one = writer()
		one.says "store"
		hears_nothing(one)
		loop:seal()
		hears_nothing(one)
		loop:release()
		hears(one, "store done ")
		assert.equal(0, loop:newest_batch())
	end)

	it("waits too when it was said before the writing", function()
		local one = visitor(function(conn)
			conn:write "begins "
			loop:wrote()
			conn:write "ends"
		end)
		one.says "x"
		hears_nothing(one)
		loop:seal()
		loop:release()
		hears(one, "begins ends")
	end)

	it("does not keep others waiting", function()
		local one, other = writer(), writer()
		one.says "store"
		hears_nothing(one)
		other.says "ping"
		hears(other, "ping done ")
		loop:seal()
		other.says "pong"
		hears(other, "ping done pong done ")
		assert.equal("", one.text)
		loop:release()
		hears(one, "store done ")
	end)

	it("keeps its order: what follows on the connection waits as well", function()
		local one = writer()
		one.says "ping"
		hears(one, "ping done ")
		one.says "store"
		hears_nothing(one)
		one.says "pong"
		hears_nothing(one)
		loop:seal()
		loop:release()
		hears(one, "ping done store done pong done ")
	end)

	it("waits after a writing that was not answered", function()
		local one = visitor(function(conn, word)
			if word == "store" then loop:wrote() else conn:write(word) end
		end)
		one.says "store"
		world.settle(loop)
		one.says "ping"
		hears_nothing(one)
		loop:seal()
		loop:release()
		hears(one, "ping")
	end)

	it("waits at whom the writer wrote to, and what they were told before has left", function()
		local other = writer()
		local one = visitor(function()
			loop:wrote()
			other.ours.conn:write "news"
		end)
		other.says "ping"
		hears(other, "ping done ")
		one.says "store"
		hears_nothing(other)
		loop:seal()
		loop:release()
		hears(other, "ping done news")
	end)

	it("waits for who reads what is not durable, for as long as just that is not", function()
		local one = writer()
		local batch
		local reader = visitor(function(conn)
			loop:knows(batch)
			conn:write "read"
		end)
		one.says "store"
		hears_nothing(one)
		batch = loop:newest_batch()
		loop:seal()
		one.says "store" -- in the next batch
		hears_nothing(one)
		reader.says "x"
		hears_nothing(reader)
		loop:release()
		hears(reader, "read")
		hears(one, "store done ")
		hears_nothing(one)
		loop:seal()
		loop:release()
		hears(one, "store done store done ")
		reader.says "x"
		hears(reader, "readread")
	end)

	it("waits when it is no fresh input that is answered, while anything is not durable", function()
		local one, other = writer(), writer()
		one.says "store"
		hears_nothing(one)
		loop:defer(function() other.ours.conn:write "later " end)
		hears_nothing(other)
		other.says "ping"
		hears_nothing(other)
		loop:seal()
		loop:release()
		hears(other, "later ping done ")
		loop:defer(function() other.ours.conn:write "at once" end)
		hears(other, "later ping done at once")
	end)

	it("is taken back when it cannot be stored; the connection ends, and others do not", function()
		local one, silent, other = writer(), writer(), writer()
		one.says "ping"
		hears(one, "ping done ")
		one.says "store"
		silent.says "store silently"
		world.settle(loop)
		other.says "ping"
		hears(other, "ping done ")
		loop:seal()
		loop:take_back(true)
		ends(one)
		ends(silent)
		assert.equal("ping done ", one.text)
		assert.equal("", silent.text)
		assert.equal("lost", one.ours.closed)
		assert.is_nil(other.ours.closed)
		other.says "store"
		hears_nothing(other)
		loop:seal()
		loop:release()
		hears(other, "ping done store done ")
	end)

	it("is taken back of what gathers alone, while what is synced is still waited for", function()
		local one, other = writer(), writer()
		one.says "store"
		hears_nothing(one)
		loop:seal()
		one.says "store"
		other.says "store"
		hears_nothing(other)
		loop:take_back(false)
		hears_nothing(one)
		ends(other)
		assert.equal("", other.text)
		assert.is_nil(one.ours.closed)
		loop:release()
		ends(one)
		assert.equal("store done ", one.text)
	end)

	it("is not taken for a peer that does not read, nor for one that lingers", function()
		local one, leaving = writer(), writer()
		one.says "store"
		leaving.says "store"
		hears_nothing(one)
		leaving.ours.conn:close "goodbye"
		loop:advance(120 * 1000)
		world.settle(loop)
		assert.is_nil(one.ours.closed)
		assert.is_nil(leaving.ours.closed)
		loop:seal()
		loop:release()
		hears(one, "store done ")
		hears(leaving, "store done ")
	end)

	it("counts against the limits of its connection, whose peer is not read from meanwhile", function()
		local heard = 0
		local one = visitor(function(conn, word)
			loop:wrote()
			heard = heard + 1
			conn:write(("x"):rep(300 * 1024) .. word)
		end)
		one.says "first"
		hears_nothing(one)
		one.says "second"
		hears_nothing(one)
		assert.equal(1, heard)
		loop:seal()
		loop:release()
		world.wait(loop, "the second is heard", function() return heard == 2 end)
	end)

	it("forgets a connection that has gone", function()
		local one = writer()
		one.says "store"
		hears_nothing(one)
		one.ours.conn:abort()
		world.settle(loop)
		loop:seal()
		loop:release()
	end)

	it("works under TLS", function()
		local certificate = world.server_context "localhost"
		local server, client = world.pair(loop, { data = function(conn, word)
			if word == "store" then loop:wrote() end
			conn:write(word)
		end })
		server.conn:start_tls_server(certificate)
		client.conn:start_tls_client(world.client_context(), "localhost")
		world.wait(loop, "it is secured", function() return server.secured_times == 1 and client.secured_times == 1 end)
		client.conn:write "ping"
		world.wait(loop, "it is answered", function() return client.text == "ping" end)
		client.conn:write "store"
		world.settle(loop)
		assert.equal("ping", client.text)
		loop:seal()
		loop:release()
		world.wait(loop, "it hears the rest", function() return client.text == "pingstore" end)
	end)
end)
