local T = require "couplet_core"
local world = require "spec.core.net.world"
local certs = require "spec.support.certs"
local socket = require "socket"
local ssl = require "ssl"

local KB = 1024

describe("TLS", function()
	local loop
	before_each(function() loop = T.net.loop() end)
	after_each(function()
		loop:free()
		assert.equal(0, (T.net.live()))
	end)

	-- A pair on which both sides start TLS at once.
	local function secured(server_context, client_context, server_extra, client_extra, sni, alpn)
		server_extra, client_extra = server_extra or {}, client_extra or {}
		local accepted = server_extra.accepted
		server_extra.accepted = function(conn)
			assert(conn:start_tls_server(server_context) == 0)
			if accepted then accepted(conn) end
		end
		local server_callbacks, server = world.recorder(server_extra)
		local client_callbacks, client = world.recorder(client_extra)
		local listener = assert(loop:listen(server_callbacks))
		client.conn = assert(loop:connect(listener:port(), client_callbacks))
		assert.equal(0, client.conn:start_tls_client(client_context, sni, alpn))
		world.wait(loop, "the handshake ended", function()
			return server.closed or client.closed or server.secured_times + client.secured_times == 2
		end)
		return server, client
	end

	-- LuaSec's client, driven beside the loop: the connection, or nil and why.
	local function outside_client(port, params, sni)
		local peer = assert(socket.connect("127.0.0.1", port))
		params.mode = "client"
		params.verify = params.verify or "none"
		local wrapped = assert(ssl.wrap(peer, params))
		if sni then wrapped:sni(sni) end
		wrapped:settimeout(0)
		local done, why
		world.wait(loop, "the outside client's handshake ended", function()
			done, why = wrapped:dohandshake()
			return done or (why ~= "wantread" and why ~= "wantwrite" and why ~= "timeout")
		end)
		if done then return wrapped end
		wrapped:close()
		return nil, why
	end

	local function tls_listener(context, extra)
		extra = extra or {}
		extra.accepted = function(conn) conn:start_tls_server(context) end
		local callbacks, server = world.recorder(extra)
		return assert(loop:listen(callbacks)):port(), server
	end

	local function echo(conn, text) conn:write(text) end

	it("carries bytes both ways, and names protocol and cipher", function()
		local server, client = secured(world.server_context "a.example", world.client_context(), { data = echo })
		client.conn:write "hello"
		world.wait(loop, "the echo came", function() return client.text == "hello" end)
		assert.equal("TLSv1.3", client.conn:tls().protocol)
		assert.is_truthy(server.conn:tls().cipher:match "^TLS_")
		assert.is_true(server.conn:facts().secure)
		assert.is_true(client.conn:facts().bytes_out > 5)
		assert.same({ "accepted", "secured", "data" }, server.names)
		assert.same({ "opened", "secured", "data" }, client.names)
	end)

	it("works with an outside client, in TLS 1.2 and 1.3", function()
		local port = tls_listener(world.server_context "a.example", { data = echo })
		for _, protocol in ipairs { "tlsv1_2", "tlsv1_3" } do
			local peer = assert(outside_client(port, { protocol = protocol }))
			assert.is_truthy(peer:send "hello")
			local got = ""
			world.wait(loop, "the echo came", function()
				local bytes, _, part = peer:receive(5 - #got)
				got = got .. (bytes or part or "")
				return got == "hello"
			end)
			peer:close()
			world.wait(loop, "the server heard the end", function() return T.net.live() == 0 end)
		end
	end)

	it("carries megabytes both ways at once through full sockets", function()
		local text = T.base.random_bytes(1500 * KB)
		local server, client = secured(world.server_context "a.example", world.client_context(), {
			secured = function(conn) conn:write(text) end }, { secured = function(conn) conn:write(text) end })
		for _, conn in ipairs { server.conn, client.conn } do
			conn:set_send_buffer(4 * KB)
			conn:set_limits { soft_bytes = 2000 * KB } -- else both would wait for the other to read first
		end
		world.wait(loop, "all arrived", function() return #server.text == #text and #client.text == #text end)
		assert.is_true(server.text == text)
		assert.is_true(client.text == text)
	end)

	it("sends what one turn wrote in one record", function()
		local server, client = secured(world.server_context "a.example", world.client_context())
		local before = client.conn:facts().bytes_out
		for _ = 1, 100 do client.conn:write(("x"):rep(100)) end
		world.wait(loop, "all arrived", function() return #server.text == 10000 end)
		assert.equal(1, server.data_times)
		assert.equal(10000 + 22, client.conn:facts().bytes_out - before) -- header 5, type 1, tag 16: RFC 8446 5.2
	end)

	it("decrypts all records that one read brought in one call of data", function()
		local server, client = secured(world.server_context "a.example", world.client_context())
		server.conn:pause()
		for _ = 1, 10 do
			client.conn:write "0123456789"
			loop:turn()
		end
		server.conn:resume()
		world.wait(loop, "all arrived", function() return #server.text == 100 end)
		assert.equal(1, server.data_times)
	end)

	it("copes with records that arrive byte by byte", function()
		local port, server = tls_listener(world.server_context "a.example", { data = echo })
		-- A relay that forwards one byte per turn.
		local relay_in
		local relay = assert(loop:listen(world.recorder { accepted = function(conn) relay_in = conn end,
			data = function(_, bytes, events) events.waiting = (events.waiting or "") .. bytes end }))
		local callbacks, inner = world.recorder()
		local client_callbacks, client = world.recorder { secured = function(conn) conn:write "hello" end }
		client.conn = assert(loop:connect(relay:port(), client_callbacks))
		client.conn:start_tls_client(world.client_context())
		world.wait(loop, "the relay is reached", function() return relay_in end)
		relay_in:abort()
		relay:free()
		world.wait(loop, "the client saw that", function() return client.closed end)

		-- The same with both directions kept: everything the client says is dripped, answers pass whole.
		local queue, outer = "", nil
		callbacks.data = function(_, bytes) outer:write(bytes) end
		relay = assert(loop:listen { accepted = function(conn) outer = conn end,
			data = function(_, bytes) queue = queue .. bytes end, closed = function() end })
		inner.conn = assert(loop:connect(port, callbacks))
		client_callbacks, client = world.recorder { secured = function(conn) conn:write "hello" end }
		client.conn = assert(loop:connect(relay:port(), client_callbacks))
		client.conn:start_tls_client(world.client_context())
		world.wait(loop, "the echo came", function()
			if queue ~= "" then
				inner.conn:write(queue:sub(1, 1))
				queue = queue:sub(2)
			end
			return client.text == "hello"
		end)
		assert.equal("hello", server.text)
	end)

	it("tells the peer that it ends, and hears the peer's end", function()
		local server, client = secured(world.server_context "a.example", world.client_context())
		client.conn:write "last words"
		client.conn:close "enough"
		world.wait(loop, "both are closed", function() return server.closed and client.closed end)
		assert.equal("last words", server.text)
		assert.equal("closed by peer", server.closed)
		assert.equal("enough", client.closed)
		assert.equal(1, server.closed_times)
	end)

	it("notes an end without close_notify", function()
		local server, client = secured(world.server_context "a.example", world.client_context())
		client.conn:abort()
		world.wait(loop, "the server heard", function() return server.closed end)
		assert.equal("closed by peer (without TLS's close_notify)", server.closed)
	end)

	it("flushes large output before it says goodbye", function()
		local server, client = secured(world.server_context "a.example", world.client_context())
		server.conn:write(("x"):rep(900 * KB))
		server.conn:close()
		world.wait(loop, "both are closed", function() return server.closed and client.closed end)
		assert.equal(900 * KB, #client.text)
		assert.equal("closed by peer", client.closed)
	end)

	it("ends a connection whose peer sends garbage instead of records", function()
		local port, server = tls_listener(world.server_context "a.example")
		local peer = assert(socket.connect("127.0.0.1", port))
		peer:settimeout(0)
		peer:send "GET / HTTP/1.0\r\n\r\n"
		world.wait(loop, "the server gave up", function() return server.conn and server.conn:facts().closing end)
		peer:close()
		world.wait(loop, "the server closed", function() return server.closed end)
		assert.equal("TLS: http request", server.closed)
		assert.equal(0, server.data_times)
	end)

	describe("handshakes", function()
		it("must end within ten seconds, also when the peer drips", function()
			loop:hold()
			local port, server = tls_listener(world.server_context "a.example")
			local peer = assert(socket.connect("127.0.0.1", port))
			peer:settimeout(0)
			world.wait(loop, "it is accepted", function() return server.conn end)
			for byte in ("\22\3\1\2\0\1\0\1\252"):gmatch "." do
				peer:send(byte)
				loop:advance(800)
				world.settle(loop)
				assert.is_nil(server.closed)
			end
			loop:advance(3000)
			world.settle(loop)
			assert.equal("TLS: handshake timed out", server.closed)
			peer:close()
		end)

		it("must end within ten seconds on the client's side", function()
			loop:hold()
			local listener = assert(loop:listen {})
			local callbacks, client = world.recorder()
			client.conn = loop:connect(listener:port(), callbacks)
			client.conn:start_tls_client(world.client_context())
			world.settle(loop)
			loop:advance(10200)
			world.settle(loop)
			assert.equal("TLS: handshake timed out", client.closed)
		end)

		it("are limited per turn, so that a storm of them leaves room for others", function()
			local port = tls_listener(world.server_context "a.example")
			local context = world.client_context()
			local done, most, last = 0, 0, 0
			loop:on_turn_end(0, function()
				most = math.max(most, done - last)
				last = done
			end)
			for _ = 1, 60 do
				local conn = loop:connect(port, { secured = function() done = done + 1 end })
				conn:start_tls_client(context)
			end
			world.wait(loop, "all are done", function() return done == 60 end)
			assert.is_true(most <= 16)
		end)

		it("refuse TLS 1.1", function()
			local port, server = tls_listener(world.server_context "a.example")
			local peer, why = outside_client(port, { protocol = "tlsv1_1", ciphers = "ALL:@SECLEVEL=0" })
			assert.is_nil(peer)
			assert.is_truthy(why:find("protocol version", 1, true), why)
			world.wait(loop, "the server closed", function() return server.closed end)
			assert.equal("TLS: unsupported protocol", server.closed)
		end)

		it("refuse TLS 1.2 where 1.3 is asked for", function()
			local context = world.server_context("a.example", { min_protocol = "tlsv1_3" })
			local port = tls_listener(context)
			assert.is_nil((outside_client(port, { protocol = "tlsv1_2" })))
			local peer = assert(outside_client(port, { protocol = "tlsv1_3" }))
			peer:close()
		end)

		it("refuse ciphers without forward secrecy or without authentication of data", function()
			local port = tls_listener(world.server_context "a.example")
			for _, ciphers in ipairs { "AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA" } do
				assert.is_nil((outside_client(port, { protocol = "tlsv1_2", ciphers = ciphers })), ciphers)
			end
			local peer = assert(outside_client(port, { protocol = "tlsv1_2", ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256" }))
			peer:close()
		end)

		it("are not repeated: renegotiation is refused", function()
			local port, server = tls_listener(world.server_context "a.example")
			local peer = io.popen(("printf 'R\\n' | openssl s_client -connect 127.0.0.1:%d -tls1_2 2>&1; echo done")
				:format(port))
			world.wait(loop, "the outside client is gone", function() return server.closed end)
			local said = peer:read "a"
			peer:close()
			assert.is_truthy(said:find("RENEGOTIATING", 1, true), said)
			assert.is_truthy(said:find("no renegotiation", 1, true), said)
			assert.equal(1, server.secured_times)
		end)

		it("are never shortened: no ticket and no session is kept", function()
			local port = tls_listener(world.server_context "a.example")
			for _, version in ipairs { "-tls1_2", "-tls1_3" } do
				local live = T.net.live()
				local peer = io.popen(("sleep 0.2 | openssl s_client -connect 127.0.0.1:%d %s -reconnect 2>&1")
					:format(port, version))
				world.wait(loop, "it came", function() return T.net.live() > live end)
				world.wait(loop, "it went", function() return T.net.live() == live end)
				for _ = 1, 100 do loop:turn(5) end
				local said = peer:read "a"
				peer:close()
				assert.is_nil(said:find("Reused,", 1, true), said)
				assert.is_nil(said:find("NewSessionTicket", 1, true))
			end
		end)
	end)

	describe("the server's name", function()
		local default, contexts
		before_each(function()
			contexts = {}
			default = world.server_context "default.example"
			for _, name in ipairs { "a.example", "*.a.example", "b.a.example" } do
				contexts[name] = world.server_context(name)
				default:set_sni(name, contexts[name])
			end
		end)

		local function chosen(sni)
			local server, client = secured(default, world.client_context(), nil, nil, sni)
			local chain = client.conn:tls().chain
			assert.equal(sni or "", server.conn:tls().sni)
			client.conn:abort()
			server.conn:abort()
			loop:turn()
			for _, name in ipairs { "default.example", "a.example", "*.a.example", "b.a.example" } do
				if chain == world.read((world.certificate(name))) then return name end
			end
		end

		it("chooses the certificate: whole names first, then a wildcard for one label, else the default", function()
			assert.equal("a.example", chosen "a.example")
			assert.equal("a.example", chosen "A.Example")
			assert.equal("b.a.example", chosen "b.a.example")
			assert.equal("*.a.example", chosen "c.a.example")
			assert.equal("default.example", chosen "d.c.a.example")
			assert.equal("default.example", chosen "other.example")
			assert.equal("default.example", chosen(nil))
		end)

		it("may get another certificate while sessions go on with the old one", function()
			local server, client = secured(default, world.client_context(), { data = echo }, nil, "a.example")
			default:set_sni("a.example", contexts["b.a.example"])
			contexts["a.example"]:free()
			collectgarbage()
			client.conn:write "still here"
			world.wait(loop, "the echo came", function() return client.text == "still here" end)
			assert.equal(32, #server.conn:tls().end_point)
			assert.equal("b.a.example", chosen "a.example")
			default:clear_sni()
			assert.equal("default.example", chosen "a.example")
		end)

		it("may be freed while a connection still has it", function()
			local _, client = secured(default, world.client_context(), { data = echo }, nil, "a.example")
			default:free()
			client.conn:write "still here"
			world.wait(loop, "the echo came", function() return client.text == "still here" end)
		end)
	end)

	describe("ALPN", function()
		local function agreed(offer, ours)
			local server, client = secured(world.server_context("a.example", { alpn = ours or "xmpp-client" }),
				world.client_context(), nil, nil, nil, offer)
			if server.closed or client.closed then
				world.wait(loop, "both are closed", function() return server.closed and client.closed end)
				return nil, server.closed, client.closed
			end
			return server.conn:tls().alpn, client.conn:tls().alpn
		end

		it("selects ours when it is offered, and nothing when nothing is", function()
			assert.same({ "xmpp-client", "xmpp-client" }, { agreed "xmpp-client" })
			assert.same({ "xmpp-client", "xmpp-client" }, { agreed "h2,xmpp-client" })
			assert.same({ "", "" }, { agreed(nil) })
		end)

		it("prefers our order", function()
			assert.equal("xmpp-client", (agreed("http/1.1,xmpp-client", "xmpp-client,http/1.1")))
			assert.equal("http/1.1", (agreed("h2,http/1.1", "xmpp-client,http/1.1")))
		end)

		it("refuses a client that wants something else", function()
			local none, server_why, client_why = agreed "http/1.1"
			assert.is_nil(none)
			assert.equal("TLS: no application protocol", server_why)
			assert.is_truthy(client_why:find("no application protocol", 1, true))
			assert.is_nil((agreed "xmpp-server"))
			assert.is_nil((agreed "xmpp-clien"))
		end)
	end)

	describe("started on a plain stream", function()
		local context
		before_each(function() context = world.server_context "a.example" end)

		local function starting(after)
			return function(conn, text, events)
				if conn:facts().secure then return end
				events.first = text
				conn:write "proceed"
				events.started = conn:start_tls_server(context)
				if after then after(conn) end
			end
		end

		it("sends what was queued in plain and all that comes later encrypted", function()
			local server, client = world.pair(loop, { data = starting(function(conn) conn:write "secret" end) }, {
				data = function(conn, text)
					if text == "proceed" then assert(conn:start_tls_client(world.client_context()) == 0) end
				end })
			client.conn:write "starttls"
			world.wait(loop, "both are secured", function() return server.secured_times + client.secured_times == 2 end)
			world.wait(loop, "the secret came", function() return client.text == "proceedsecret" end)
			assert.same({ "opened", "data", "secured", "data" }, client.names)
			assert.equal(-1, server.conn:start_tls_server(context))
			client.conn:write "inside"
			world.wait(loop, "it arrived", function() return server.text == "starttlsinside" end)
		end)

		it("never sends in plain what was meant to be encrypted", function()
			local _, client = world.pair(loop, { data = starting(function(conn)
				conn:write "secret"
				conn:close "changed my mind"
			end) })
			client.conn:write "starttls"
			world.wait(loop, "it is closed", function() return client.closed end)
			assert.equal("proceed", client.text)
			-- and when the handshake fails
			local server2, client2 = world.pair(loop, { data = starting(function(conn) conn:write "secret" end) })
			client2.conn:write "starttls"
			world.wait(loop, "proceed came", function() return client2.text == "proceed" end)
			client2.conn:write "this is no client hello"
			world.wait(loop, "it is closed", function() return client2.closed and server2.closed end)
			assert.is_nil(client2.text:find("secret", 1, true))
			assert.is_truthy(server2.closed:find("^TLS: "))
		end)

		it("is refused when input waits behind the command", function()
			local peer = assert(socket.tcp())
			local callbacks, server = world.recorder { data = function(conn, _, events)
				-- The kernel holds more than the 16 KiB of this call.
				events.started = conn:start_tls_server(context)
			end }
			local listener = assert(loop:listen(callbacks))
			assert(peer:connect("127.0.0.1", listener:port()))
			peer:send(("x"):rep(20 * KB))
			world.wait(loop, "data came", function() return server.data_times > 0 end)
			assert.equal(-1, server.started)
			peer:close()
		end)

		it("ends the connection when input comes before our answer left", function()
			local peer = assert(socket.tcp())
			local callbacks, server = world.recorder { data = function(conn, _, events)
				conn:write "proceed"
				events.started = conn:start_tls_server(context)
				peer:send "<iq type='set'/>" -- arrives at once, before this turn's end
			end }
			local listener = assert(loop:listen(callbacks))
			assert(peer:connect("127.0.0.1", listener:port()))
			peer:send "starttls"
			world.wait(loop, "it is closed", function() return server.closed end)
			assert.equal(0, server.started)
			assert.equal("data sent before TLS was started", server.closed)
			assert.equal("starttls", server.text)
			peer:settimeout(1)
			assert.not_equal("proceed", (peer:receive(7)))
			peer:close()
		end)
	end)

	describe("tells of the peer", function()
		local function ca_client(extra)
			extra = extra or {}
			extra.ca_file = certs.path "ca.crt"
			return world.client_context(extra)
		end
		local function ca_server(extra)
			extra = extra or {}
			extra.server, extra.certificate, extra.key = true, certs.path "server.crt", certs.path "server.key"
			extra.ca_file = certs.path "ca.crt"
			return assert(T.net.tls(extra))
		end

		it("whether its chain leads to a trust anchor", function()
			local _, client = secured(ca_server(), ca_client())
			assert.is_true((client.conn:is_valid(true)))
			local _, distrustful = secured(world.server_context "a.example", ca_client())
			local valid, why = distrustful.conn:is_valid(true)
			assert.is_false(valid)
			assert.equal("self-signed certificate", why)
		end)

		it("that it showed no certificate", function()
			local server = secured(ca_server { ask_client_certificate = true }, ca_client())
			local valid, why = server.conn:is_valid(false)
			assert.is_false(valid)
			assert.equal("no certificate was presented", why)
			assert.is_nil(server.conn:tls().chain)
			assert.is_nil(server.conn:tls().fingerprint)
		end)

		it("what certificate a client showed, and whether that is for its purpose", function()
			local server, client = secured(ca_server { ask_client_certificate = true },
				ca_client { certificate = certs.path "romeo.crt", key = certs.path "romeo.key" })
			assert.is_true((server.conn:is_valid(false)))
			assert.equal(world.read(certs.path "romeo.crt"), server.conn:tls().chain)
			local fingerprint = io.popen(("openssl x509 -in %s -outform DER | openssl dgst -sha256 -binary")
				:format(certs.path "romeo.crt")):read "a"
			assert.equal(fingerprint, server.conn:tls().fingerprint)
			local valid, why = server.conn:is_valid(true)
			assert.is_false(valid)
			assert.is_truthy(why:find("purpose", 1, true), why)
			assert(client)
		end)

		it("takes any certificate of a client into the handshake, to judge it later", function()
			local certificate, key = world.certificate "self.example"
			local server = secured(ca_server { ask_client_certificate = true },
				ca_client { certificate = certificate, key = key })
			assert.equal(world.read(certificate), server.conn:tls().chain)
			assert.is_false((server.conn:is_valid(false)))
		end)
	end)

	describe("what TLSA records say of a peer (RFC 6698, RFC 7671)", function()
		local client

		-- What openssl makes of a file's first certificate.
		local function read(command, path)
			local pipe = io.popen(command:format(path))
			local bytes = pipe:read "a"
			pipe:close()
			return bytes
		end
		local to_der = "openssl x509 -in %s -outform DER"
		local to_key = "openssl x509 -in %s -noout -pubkey | openssl pkey -pubin -outform DER"
		local function digest(path, selector, bits)
			return read((selector == 1 and to_key or to_der) .. (" | openssl dgst -sha%d -binary"):format(bits), path)
		end

		-- Our client, connected to a server with a certificate of the authority or a self-signed one.
		local function connected(is_self_signed)
			local context = is_self_signed and world.server_context "a.example" or assert(T.net.tls { server = true,
				certificate = certs.path "server.crt", key = certs.path "server.key" })
			local _, one = secured(context, assert(T.net.tls { ca_file = certs.path "ca.crt" }))
			client = one.conn
			return is_self_signed and (world.certificate "a.example") or certs.path "server.crt"
		end

		it("of usage 3 is all it takes, in each form", function()
			for _, is_self_signed in ipairs { true, false } do
				local path = connected(is_self_signed)
				for _, record in ipairs {
					{ 3, 0, 0, read(to_der, path) }, { 3, 1, 0, read(to_key, path) },
					{ 3, 0, 1, digest(path, 0, 256) }, { 3, 1, 1, digest(path, 1, 256) },
					{ 3, 0, 2, digest(path, 0, 512) }, { 3, 1, 2, digest(path, 1, 512) },
				} do
					assert.equal("certificate", (client:dane({ record }, true)))
				end
			end
		end)

		it("of usages 0 to 2 leaves the names to be looked at, and of 0 and 1 wants trust besides", function()
			local path = connected(false)
			local ca = certs.path "ca.crt"
			for _, record in ipairs { { 2, 0, 1, digest(ca, 0, 256) }, { 2, 1, 1, digest(ca, 1, 256) },
				{ 0, 0, 1, digest(ca, 0, 256) }, { 1, 1, 1, digest(path, 1, 256) } } do
				assert.equal("chain", (client:dane({ record }, true)))
			end
			path = connected(true)
			local verdict, why = client:dane({ { 1, 1, 1, digest(path, 1, 256) } }, true)
			assert.is_nil(verdict)
			assert.equal("self-signed certificate", why)
		end)

		it("refuses what it does not name, however trusted", function()
			connected(false)
			assert.is_true((client:is_valid(true)))
			for usage = 0, 3 do
				local verdict, why = client:dane({ { usage, 1, 1, ("x"):rep(32) } }, true)
				assert.is_nil(verdict)
				assert.matches("%a", why)
			end
			assert.is_true((client:is_valid(true))) -- and leaves no trace
		end)

		it("is as if not there when it is of no kind we know", function()
			connected(true)
			for _, record in ipairs { { 4, 1, 1, ("x"):rep(32) }, { 3, 2, 1, ("x"):rep(32) }, { 3, 1, 3, ("x"):rep(32) },
				{ 3, 1, 1, "short" }, { 3, 1, 1, ("x"):rep(33) }, { 3, 0, 0, "no certificate" }, { 3, 1, 0, "no key" } } do
				assert.equal("unusable", (client:dane({ record }, true)))
			end
			assert.equal("unusable", (client:dane({}, true)))
		end)

		it("may be one of many; beyond a hundred nobody looks", function()
			local path = connected(true)
			local records = {}
			for i = 1, 99 do records[i] = { 3, 1, 1, ("%032d"):format(i) } end
			records[100] = { 3, 1, 1, digest(path, 1, 256) }
			assert.equal("certificate", (client:dane(records, true)))
			table.insert(records, 1, { 3, 1, 1, ("y"):rep(32) })
			assert.is_nil((client:dane(records, true)))
		end)
	end)

	describe("channel bindings", function()
		it("of TLS 1.3 are the same at both ends and different for each connection", function()
			local context = world.server_context "a.example"
			local server, client = secured(context, world.client_context())
			local ours, theirs = server.conn:tls(), client.conn:tls()
			assert.equal(32, #ours.exporter)
			assert.equal(theirs.exporter, ours.exporter)
			assert.equal(theirs.end_point, ours.end_point)
			assert.equal(theirs.unique, ours.unique) -- what Python's ssl calls tls-unique there
			local other = secured(context, world.client_context())
			assert.not_equal(ours.exporter, other.conn:tls().exporter)
			assert.equal(ours.end_point, other.conn:tls().end_point)
		end)

		it("name the certificate by the hash of its signature's algorithm", function()
			local server = secured(world.server_context "a.example", world.client_context())
			local der = ("openssl x509 -in %s -outform DER | openssl dgst -sha256 -binary")
				:format((world.certificate "a.example"))
			assert.equal(io.popen(der):read "a", server.conn:tls().end_point)
		end)

		it("of TLS 1.2 agree with an outside client", function()
			local port, server = tls_listener(world.server_context "a.example")
			local peer = assert(outside_client(port, { protocol = "tlsv1_2" }))
			world.wait(loop, "the server is secured", function() return server.secured_times == 1 end)
			local ours = server.conn:tls()
			assert.equal("TLSv1.2", ours.protocol)
			assert.equal(12, #ours.unique)
			assert.equal(peer:getfinished(), ours.unique)
			assert.equal(32, #ours.exporter)
			peer:close()
		end)
	end)

	describe("contexts", function()
		local function why(config)
			local context, text = T.net.tls(config)
			assert.is_nil(context)
			return text
		end

		it("say which file is missing, wrong, or not of the other's kind", function()
			local certificate, key = world.certificate "a.example"
			local _, other_key = world.certificate "b.example"
			assert.equal("TLS: cannot read the certificate /nonexistent.crt: No such file or directory",
				why { server = true, certificate = "/nonexistent.crt", key = key })
			assert.equal("TLS: cannot read the key /nonexistent.key: No such file or directory",
				why { server = true, certificate = certificate, key = "/nonexistent.key" })
			assert.equal(("TLS: the key %s does not belong to the certificate %s"):format(other_key, certificate),
				why { server = true, certificate = certificate, key = other_key })
			assert.is_truthy(why { server = true, certificate = key, key = key }
				:find("holds no usable PEM certificate chain", 1, true))
			assert.is_truthy(why { server = true, certificate = certificate, key = certificate }
				:find("holds no usable PEM key", 1, true))
			assert.equal("TLS: a server needs a certificate, and none is configured", why { server = true })
			assert.is_truthy(why { ca_file = "/nonexistent.pem" }:find("cannot read the file of trust anchors", 1, true))
		end)

		it("refuse settings they do not know", function()
			assert.is_truthy(why { min_protocol = "tlsv1" }:find('not "tlsv1"', 1, true))
			assert.is_truthy(why { ciphers = "NONSENSE" }:find('no usable cipher in "NONSENSE"', 1, true))
			assert.is_truthy(why { curves = "P-1" }:find('unknown curve in "P-1"', 1, true))
			local certificate, key = world.certificate "a.example"
			assert.is_truthy(why { server = true, certificate = certificate, key = key, alpn = "a,,b" }
				:find("no list of ALPN protocols", 1, true))
		end)

		it("never ask for the password of a key", function()
			local certificate, key = world.certificate "a.example"
			local locked = os.tmpname()
			assert(os.execute(("openssl ec -aes256 -passout pass:x -in %s -out %s 2>/dev/null"):format(key, locked)))
			assert.is_truthy(why { server = true, certificate = certificate, key = locked }
				:find("one without a password", 1, true))
			os.remove(locked)
		end)
	end)
end)
