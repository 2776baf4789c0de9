local T = require "couplet_core"
local world = require "spec.core.net.world"
local socket = require "socket"

describe("a listener", function()
	local loop
	before_each(function() loop = T.net.loop() end)
	after_each(function()
		loop:free()
		assert.equal(0, (T.net.live()))
	end)

	local function connect(port, address)
		local peer = assert((address or ""):find(":", 1, true) and socket.tcp6() or socket.tcp())
		peer:settimeout(0)
		peer:connect(address or "127.0.0.1", port)
		return peer
	end

	-- What the peer sees: "open", "closed", or the byte it got.
	local function state(peer)
		local bytes, why = peer:receive(1)
		return bytes or (why == "closed" and "closed") or "open"
	end

	it("listens on all of IPv4 with an asterisk", function()
		local callbacks, server = world.recorder()
		local listener = assert(loop:listen { interface = "*", accepted = callbacks.accepted, closed = callbacks.closed })
		local peer = connect(listener:port())
		world.wait(loop, "it is accepted", function() return server.conn end)
		assert.equal("127.0.0.1", server.conn:facts().ip)
		peer:close()
	end)

	it("listens on IPv6 alone with two colons, so that both can have the same port", function()
		local callbacks, server = world.recorder()
		local v6, why = loop:listen { interface = "::", accepted = callbacks.accepted, closed = callbacks.closed }
		local probe = socket.tcp6()
		local has_ipv6 = probe and probe:bind("::1", 0)
		if probe then probe:close() end
		if not v6 then assert.is_truthy(why:find("IP version", 1, true)) end
		if not has_ipv6 then return pending "this machine has no IPv6" end
		local v4 = assert(loop:listen { interface = "*", port = v6:port(), refuse = true })
		local peer = connect(v6:port(), "::1")
		world.wait(loop, "it is accepted", function() return server.conn end)
		assert.equal("::1", server.conn:facts().ip)
		assert.equal(v6:port(), v4:port())
		peer:close()
	end)

	it("says what is wrong, where, and why that usually is", function()
		local listener = assert(loop:listen { refuse = true })
		local port = listener:port()
		local _, why = loop:listen { port = port }
		assert.equal(("cannot listen on 127.0.0.1 port %d: Address already in use (is another server running there?)")
			:format(port), why)
		_, why = loop:listen { interface = "192.0.2.1", port = 5222 }
		assert.equal("cannot listen on 192.0.2.1 port 5222: Cannot assign requested address (this machine has no such "
			.. "address)", why)
		_, why = loop:listen { interface = "localhost", port = 5222 }
		assert.equal("cannot listen on localhost port 5222: the interface is neither \"*\" nor a numeric address", why)
	end)

	it("ends connections that nobody takes", function()
		local listener = assert(loop:listen { refuse = true })
		local peer = connect(listener:port())
		world.wait(loop, "the peer sees the end", function() return state(peer) == "closed" end)
	end)

	it("leaves accepted connections alone when it ends, and frees its port", function()
		local server, client, listener = world.pair(loop, { data = function(conn, text) conn:write(text) end })
		local port = listener:port()
		listener:free()
		client.conn:write "still here"
		world.wait(loop, "the echo came", function() return client.text == "still here" end)
		assert.is_nil(server.closed)
		assert(loop:listen { port = port, refuse = true })
	end)

	it("may end within its own accept", function()
		local listener, count = nil, 0
		listener = assert(loop:listen { refuse = false, accepted = function(conn)
			count = count + 1
			listener:free()
			conn:close()
		end })
		local peers = { connect(listener:port()), connect(listener:port()) }
		world.wait(loop, "the peers see the end", function()
			return state(peers[1]) == "closed" and state(peers[2]) == "closed"
		end)
		assert.equal(1, count)
		assert.equal(0, (select(2, T.net.live())))
	end)

	it("is not alive any more when all are freed", function()
		local listeners = {}
		for i = 1, 3 do listeners[i] = assert(loop:listen { refuse = true }) end
		assert.equal(3, (select(2, T.net.live())))
		for i = 1, 3 do listeners[i]:free() end
		assert.equal(0, (select(2, T.net.live())))
	end)

	describe("with limits", function()
		local function accepted_of(config, tries)
			local count = 0
			config.accepted = function() count = count + 1 end
			loop:hold()
			local listener = assert(loop:listen(config))
			local peers = {}
			for i = 1, tries do peers[i] = connect(listener:port()) end
			world.settle(loop)
			return count, peers, listener, function() return count end
		end

		local function close(peers)
			for _, peer in ipairs(peers) do peer:close() end
		end

		local function count_open(peers)
			local open = 0
			for _, peer in ipairs(peers) do
				if state(peer) == "open" then open = open + 1 end
			end
			return open
		end

		it("takes so many a second of one IP and closes the others at once", function()
			local count, peers, listener, now = accepted_of({ accepts_per_second_per_ip = 5 }, 12)
			assert.equal(5, count)
			assert.equal(5, count_open(peers))
			loop:advance(400) -- two fifths of a second: two more
			for _ = 1, 5 do table.insert(peers, connect(listener:port())) end
			world.settle(loop)
			assert.equal(7, now())
			close(peers)
		end)

		it("takes so many a second of all, and lets the others wait their turn", function()
			local count, peers, _, now = accepted_of({ accepts_per_second = 5 }, 12)
			assert.equal(5, count)
			assert.equal(12, count_open(peers))
			loop:advance(400)
			world.wait(loop, "two fifths of a second bring two more", function() return now() == 7 end)
			loop:advance(1000)
			world.wait(loop, "a second brings the last five", function() return now() == 12 end)
			assert.equal(12, count_open(peers))
			close(peers)
		end)

		it("holds so many of one IP at a time", function()
			local count, peers, listener, now = accepted_of({ connections_per_ip = 3 }, 5)
			assert.equal(3, count)
			for _, peer in ipairs(peers) do
				if state(peer) == "open" then
					peer:close()
					break
				end
			end
			world.settle(loop)
			for _ = 1, 3 do table.insert(peers, connect(listener:port())) end
			world.settle(loop)
			assert.equal(4, now())
			close(peers)
		end)

		it("holds so many strangers at a time, of one IP and of all", function()
			for _, field in ipairs { "strangers", "strangers_per_ip" } do
				local conns = {}
				local listener = assert(loop:listen { [field] = 2,
					accepted = function(conn) table.insert(conns, conn) end })
				local peers = {}
				local function come(n)
					for _ = 1, n do table.insert(peers, connect(listener:port())) end
					world.settle(loop)
				end
				come(4)
				assert.equal(2, #conns)
				conns[1]:known()
				conns[1]:known() -- counts once
				come(3)
				assert.equal(3, #conns)
				for _, conn in ipairs(conns) do conn:known() end
				come(1)
				assert.equal(4, #conns)
				close(peers)
				world.settle(loop)
				peers = {}
				come(3)
				assert.equal(6, #conns)
				close(peers)
			end
		end)

		it("lets peers of some networks come as they like, as long as strangers are not too many", function()
			local limits = { accepts_per_second = 1, accepts_per_second_per_ip = 1, connections_per_ip = 1,
				strangers_per_ip = 1 }
			local function with(more)
				local config = {}
				for name, value in pairs(limits) do config[name] = value end
				for name, value in pairs(more) do config[name] = value end
				local count, peers = accepted_of(config, 5)
				close(peers)
				return count
			end
			assert.equal(1, with {})
			assert.equal(5, with { exempt = "127.0.0.0", exempt_bits = 8 })
			assert.equal(5, with { exempt = "126.0.0.0", exempt_bits = 7 })
			assert.equal(1, with { exempt = "126.0.0.0", exempt_bits = 8 })
			assert.equal(5, with { exempt = "127.0.0.1", exempt_bits = 32 })
			assert.equal(1, with { exempt = "127.0.0.2", exempt_bits = 32 })
			assert.equal(5, with { exempt = "::ffff:127.0.0.0", exempt_bits = 104 })
			assert.equal(1, with { exempt = "::1", exempt_bits = 128 })
			assert.equal(3, with { exempt = "127.0.0.0", exempt_bits = 8, strangers = 3 })
			for _, wrong in ipairs { { "127.0.0.0", 129 }, { "127.0.0", 8 }, { "localhost", 8 } } do
				assert.has_error(function() loop:listen { exempt = wrong[1], exempt_bits = wrong[2] } end)
			end
		end)

		it("counts each IP for itself", function()
			local count = 0
			local listener = assert(loop:listen { interface = "*", connections_per_ip = 1,
				accepted = function() count = count + 1 end })
			local peers = {}
			for _, address in ipairs { "127.0.0.1", "127.0.0.2", "127.0.0.1", "127.0.0.3" } do
				local peer = socket.tcp()
				assert(peer:bind(address, 0))
				peer:settimeout(0)
				peer:connect("127.0.0.1", listener:port())
				table.insert(peers, peer)
			end
			world.settle(loop)
			assert.equal(3, count)
			close(peers)
		end)

		it("forgets where connections came from when they outlive it", function()
			local _, peers, listener = accepted_of({ connections_per_ip = 3, accepts_per_second_per_ip = 100 }, 2)
			listener:free()
			close(peers)
			world.wait(loop, "they are closed", function() return T.net.live() == 0 end)
		end)
	end)

	describe("on a unix socket", function()
		local path
		before_each(function()
			path = os.tmpname()
			os.remove(path)
		end)
		after_each(function() os.remove(path) end)

		local function unix_connect()
			local peer = require "socket.unix"()
			peer:settimeout(1)
			local connected, why = peer:connect(path)
			return connected and peer, why
		end

		it("lets nobody but its own user in, and has no IP", function()
			local callbacks, server = world.recorder { data = function(conn, text) conn:write(text) end }
			callbacks.path = path
			assert(loop:listen(callbacks))
			assert.equal("srw-------", io.popen("stat -c %A " .. path):read "l")
			local peer = assert(unix_connect())
			peer:send "hello"
			world.wait(loop, "it arrived", function() return server.text == "hello" end)
			world.settle(loop)
			assert.equal("hello", peer:receive(5))
			assert.equal("", server.conn:facts().ip)
			assert.equal(0, server.conn:facts().port)
			peer:close()
		end)

		it("removes its file at the end", function()
			local listener = assert(loop:listen { path = path, refuse = true })
			listener:free()
			assert.is_nil(io.open(path))
			assert.is_false((os.execute("test -e " .. path)) or false)
		end)

		it("does not remove the file of a successor", function()
			local first = assert(loop:listen { path = path, refuse = true })
			os.remove(path)
			assert(loop:listen { path = path, refuse = true })
			first:free()
			assert.is_true(os.execute("test -S " .. path))
		end)

		it("replaces what a dead server left", function()
			-- A bound socket that is closed leaves its file behind.
			local dead = require "socket.unix"()
			assert(dead:bind(path))
			dead:close()
			assert.is_true(os.execute("test -S " .. path))
			assert(loop:listen { path = path, refuse = true })
		end)

		it("refuses to take the place of a live server or of another file", function()
			assert(loop:listen { path = path, refuse = true })
			local again, why = loop:listen { path = path, refuse = true }
			assert.is_nil(again)
			assert.equal(("cannot listen on %s: another server listens there"):format(path), why)
			local file = os.tmpname()
			again, why = loop:listen { path = file, refuse = true }
			assert.is_nil(again)
			assert.equal(("cannot listen on %s: a file is in the way that is no socket"):format(file), why)
			assert.is_true(os.execute("test -f " .. file))
			os.remove(file)
		end)

		it("refuses paths that no socket can have", function()
			local long, why = loop:listen { path = "/tmp/" .. ("x"):rep(200), refuse = true }
			assert.is_nil(long)
			assert.is_truthy(why:find("the path must have 1 to 107 bytes", 1, true))
		end)
	end)

	describe("without descriptors", function()
		local before
		local function limit(count)
			os.execute(("prlimit --pid $PPID --nofile=%s:"):format(count))
		end
		local function used()
			local count = 0
			for _ in io.popen("ls /proc/$PPID/fd"):lines() do count = count + 1 end
			return count
		end

		before_each(function()
			before = io.popen("prlimit --pid $PPID --nofile --output=SOFT --noheadings"):read "n"
		end)
		after_each(function() limit(before) end)

		it("turns new peers away without harm to the others and without spinning, and recovers", function()
			local server, client, listener = world.pair(loop, { data = function(conn, text) conn:write(text) end })
			local peers = {}
			for i = 1, 10 do peers[i] = assert(socket.tcp4()) end -- these have theirs already
			local patient = assert(socket.tcp4())
			patient:settimeout(0)
			local log = T.base.log_capture(1 << 2)
			local open = used()
			limit(open + 2) -- and then take what is left
			local fillers = {}
			while true do
				local filler = io.open "/dev/null"
				if not filler then break end
				table.insert(fillers, filler)
			end

			for _, peer in ipairs(peers) do
				peer:settimeout(0)
				peer:connect("127.0.0.1", listener:port())
			end
			local ended = 0
			local live = T.net.live()
			world.wait(loop, "all were turned away", function()
				for i = #peers, 1, -1 do
					if state(peers[i]) == "closed" then
						peers[i]:close()
						table.remove(peers, i)
						ended = ended + 1
						-- The descriptor that this freed is filled again: the shortage goes on.
						local filler = io.open "/dev/null"
						table.insert(fillers, filler)
					end
				end
				return ended == 10
			end)
			assert.equal(live, (T.net.live()))
			client.conn:write "hello"
			world.wait(loop, "the old connection works", function() return client.text == "hello" end)
			assert.is_nil(server.closed)

			-- The next one comes while the listener rests: it waits, and does not keep the loop awake.
			local turns = 0
			loop:on_turn_end(0, function() turns = turns + 1 end)
			patient:connect("127.0.0.1", listener:port())
			local limit_ms = T.base.clock_ms() + 60000
			while state(patient) ~= "closed" and T.base.clock_ms() < limit_ms do loop:turn(1000) end
			assert.equal("closed", state(patient))
			assert.is_true(turns < 10, turns .. " turns")
			local said = T.base.log_captured()
			T.base.log_remove(log)
			assert.is_truthy(said:find("turning new connections away: Too many open files", 1, true))
			assert.equal(1, select(2, said:gsub("\n", "")))

			for _, filler in ipairs(fillers) do filler:close() end
			limit(before)
			local late = connect(listener:port())
			world.wait(loop, "the next is accepted", function() return T.net.live() == live + 1 end)
			late:close()
		end)
	end)
end)
