-- Requests that modules make (net.http): a module of this spec runs what it is sent, against web servers that this spec
-- plays, byte by byte, and against the server's own.

local certs = require "spec.support.certs"
local http = require "spec.support.http"
local loop = require "spec.support.loop"
local Server = require "spec.support.server"
local socket = require "socket"

local module_text = [==[
module:depends "http"
local async = require "prosody.util.async"
local http = require "prosody.net.http"
module:provides("http", { name = "probe"; route = {
	["GET /peer"] = function (event) return event.request.conn:ssl_peerchain_pem() or "nobody" end;
	["POST"] = function (event)
		local env = setmetatable({ http = http, async = async, module = module, native = require "couplet.native",
			errors = require "prosody.net.http.errors" }, { __index = _G })
		-- The request, its result waited for: "code body", or what went wrong.
		function env.fetch(...)
			local response, err = async.wait_for(http.request(...))
			if not response then return ("%s: %s"):format(err.condition, err.text) end
			return response.code .. " " .. response.body
		end
		return tostring(assert(load(event.request.body, "=probe", "t", env))())
	end;
} })
]==]

-- A web server that says what the spec wants: answer(request text, connection) gives bytes, or nothing, having used
-- connection:send, :close. requests is what came.
local function web_server(answer)
	local listener = assert(socket.bind("127.0.0.1", 0))
	local peer = { requests = {}, connections = {} }
	local _, port = listener:getsockname()
	peer.port, peer.url = tonumber(port), ("http://127.0.0.1:%d"):format(port)

	local function on_input(conn)
		local bytes, why, partial = conn.socket:receive(65536)
		conn.got = conn.got .. (bytes or partial or "")
		if why == "closed" then return conn:close(true) end
		local head_end = select(2, conn.got:find("\r\n\r\n", 1, true))
		local length = head_end and tonumber(conn.got:match "[Cc]ontent%-[Ll]ength: (%d+)") or 0
		if not head_end or #conn.got < head_end + length then return end
		local request = conn.got:sub(1, head_end + length)
		conn.got = conn.got:sub(head_end + length + 1)
		table.insert(peer.requests, request)
		local bytes_out = answer(request, conn)
		if bytes_out then conn:send(bytes_out) end
	end

	local methods = {}
	function methods:send(bytes)
		self.waiting = self.waiting .. bytes
		loop.wants_write(self.socket, true)
	end
	function methods:close(by_peer)
		self.ended_by_peer = by_peer or false
		loop.forget(self.socket)
		self.socket:close()
	end

	loop.watch(listener, function ()
		local sock = listener:accept()
		if not sock then return end
		sock:settimeout(0)
		local conn = setmetatable({ socket = sock, got = "", waiting = "", n_sent = 0 }, { __index = methods })
		table.insert(peer.connections, conn)
		loop.watch(sock, function () on_input(conn) end, function ()
			local sent, _, partial = sock:send(conn.waiting)
			sent = sent or partial or 0
			conn.n_sent = conn.n_sent + sent
			conn.waiting = conn.waiting:sub(sent + 1)
			if conn.waiting == "" then
				loop.wants_write(sock, false)
				if conn.closes then conn:close() end
			end
		end)
	end)

	function peer.stop()
		loop.forget(listener)
		listener:close()
		for _, conn in ipairs(peer.connections) do
			if conn.ended_by_peer == nil then conn:close() end
		end
	end
	return peer
end

local function plain(body, status, headers)
	return ("HTTP/1.1 %s\r\n%sContent-Length: %d\r\n\r\n%s"):format(status or "200 OK", headers or "", #body, body)
end

-- SECURITY E3
describe("A URL that a user writes", function ()
	it("is fetched by nobody here", function ()
		local server = Server.start { with_http = true, more_modules = { "http_file_share", "offline" } }
		local peer = web_server(function () return plain "fetched" end)
		local romeo, juliet = server:person "romeo", server:person "juliet"
		local url = peer.url .. "/x"
		for _, inside in ipairs {
			"<x xmlns='jabber:x:oob'><url>%s</url></x>", "<reference xmlns='urn:xmpp:reference:0' uri='%s'/>",
			"<x xmlns='jabber:x:conference' jid='%s'/>",
			"<media-sharing xmlns='urn:xmpp:sims:1'><sources>%s</sources></media-sharing>",
			"<confirm xmlns='http://jabber.org/protocol/http-auth' id='a' method='GET' url='%s'/>",
		} do
			romeo:sends(("<message to='juliet@localhost' type='chat'><body>%s</body>%s</message>"):format(url,
				inside:format(url)))
			juliet:awaits "<message><body/></message>"
		end
		for _, iq in ipairs {
			"<vCard xmlns='vcard-temp'><PHOTO><EXTVAL>%s</EXTVAL></PHOTO><URL>%s</URL></vCard>",
			"<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'><url name='x' url='%s'/></storage></query>",
			"<enable xmlns='urn:xmpp:push:0' jid='%s' node='%s'/>",
			"<query xmlns='jabber:iq:oob'><url>%s</url></query>",
		} do
			romeo:asks("<iq type='set'>" .. iq:gsub("%%s", url) .. "</iq>")
		end
		romeo:asks(("<iq type='get' to='localhost'><request xmlns='urn:xmpp:http:upload:0' filename='%s' size='5'/></iq>")
			:format(url))
		romeo:settles()
		assert.equal(0, #peer.connections)
		peer.stop()
		server:stop()
	end)
end)

describe("A request of a module", function ()
	local server, peer

	setup(function ()
		server = Server.start { with_http = true, more_modules = { "probe" }, plugins = { probe = module_text },
			config = "http_max_content_size = 2000000" }
		server:expects_error "the sink has a mistake"
		server:expects_error "the callback has a mistake"
	end)
	teardown(function ()
		-- The server ends well while requests are under way.
		peer = web_server(function () end)
		local asked = http.request(server, "POST", "/probe", nil,
			('for i = 1, 20 do http.request("%s/", nil, print) end return "asked"'):format(peer.url))
		assert(asked.body == "asked", asked.body)
		server:stop()
		peer.stop()
	end)
	after_each(function ()
		if peer then peer.stop() end
		peer = nil
		server:forget_clients()
	end)

	-- What the code gives, run in the server; %s and %d are arguments.
	local function probe(code, ...)
		local response = http.request(server, "POST", "/probe", nil, code:format(...))
		assert.equal(200, response.status, server:tail())
		return response.body
	end

	it("gives the answer to a callback: body, code, response, request", function ()
		peer = web_server(function () return plain("hello", "202 Fine", "X-Two: a\r\nx-two: b\r\n") end)
		assert.equal("hello 202 202 1.1 a, b GET /a?b=c true", probe([[
			local wait, done = async.waiter()
			local said
			local request = http.request("%s/a?b=c#d", nil, function (body, code, response, request)
				said = ("%%s %%d %%d %%s %%s %%s %%s %%s"):format(body, code, response.code, response.httpversion,
					response.headers["X-Two"], request.method, request.path, tostring(response.request == request))
				done()
			end)
			wait()
			return said]], peer.url))
		assert.truthy(peer.requests[1]:find("^GET /a%?b=c HTTP/1.1\r\n"))
		assert.truthy(peer.requests[1]:find("\r\nUser%-Agent: Couplet/%d"))
	end)

	it("gives a promise without a callback", function ()
		peer = web_server(function () return plain("nothing here", "404 Not Found", "X-Seen: yes\r\n") end)
		assert.equal("yes yes nil", probe([[
			local headers = async.wait_for(http.request("%s/")).headers
			return headers.x_seen .. " " .. headers["x-seen"] .. " " .. tostring(headers.x_unseen)]], peer.url))
		assert.equal("404 nothing here", probe('return fetch("%s/")', peer.url))
	end)

	it("sends a method, headers and a body", function ()
		peer = web_server(function () return plain "thanks" end)
		assert.equal("200 thanks", probe([[return fetch("%s/form", { body = http.formencode { a = "1 2", b = "&" } })]],
			peer.url))
		assert.truthy(peer.requests[1]:find "^POST /form ")
		assert.truthy(peer.requests[1]:find "\r\nContent%-Type: application/x%-www%-form%-urlencoded\r\n")
		assert.truthy(peer.requests[1]:find "\r\n\r\na=1%+2&b=%%26$")
		probe([[return fetch("%s/x", { method = "PUT", body = ("x"):rep(100000), headers = {
			["Content-Type"] = "text/plain", ["X-Empty"] = "", ["X-Many"] = { "1", "2" }, ["User-Agent"] = "me" } })]], peer.url)
		local request = peer.requests[2]
		assert.truthy(request:find "^PUT /x ")
		assert.truthy(request:find "\r\nX%-Empty:\r\n")
		assert.truthy(request:find "\r\nX%-Many: 1\r\n" and request:find "\r\nX%-Many: 2\r\n")
		assert.truthy(request:find "\r\nUser%-Agent: me\r\n")
		assert.falsy(request:find "Expect")
		assert.equal(100000, #request:match "\r\n\r\n(.*)$")
	end)

	it("of HEAD has an answer without a body, and one of DELETE is sent as such", function ()
		peer = web_server(function (request)
			return request:find "^HEAD" and "HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n" or plain "gone"
		end)
		assert.equal("200 ", probe([[return fetch("%s/", { method = "HEAD" })]], peer.url))
		assert.equal("200 gone", probe([[return fetch("%s/", { method = "DELETE" })]], peer.url))
		assert.truthy(peer.requests[2]:find "^DELETE / ")
	end)

	it("cannot smuggle lines in", function ()
		peer = web_server(function () return plain "?" end)
		for _, options in ipairs {
			'{ headers = { ["X"] = "a\\r\\nY: b" } }', '{ headers = { ["X: 1\\r\\nY"] = "b" } }',
			'{ method = "GET / HTTP/1.1\\r\\nX:" }', '{ method = "" }', '{ headers = { [""] = "x" } }',
		} do
			assert.truthy(probe([[return fetch("%s/", %s)]], peer.url, options):find "could not be made", options)
		end
		for _, url in ipairs { "file:///etc/passwd", "gopher://127.0.0.1/", "//x/", "", "http://", "http://a b/",
			"http://a/\\r\\nX: y" } do
			assert.truthy(probe([[return fetch("%s")]], url):find "Not a URL", url)
		end
		assert.equal(0, #peer.requests)
	end)

	it("uses connections again", function ()
		peer = web_server(function () return plain "x" end)
		probe([[for i = 1, 5 do fetch("%s/" .. i) end return "done"]], peer.url)
		assert.equal(5, #peer.requests)
		assert.equal(1, #peer.connections)
	end)

	it("waits for its turn: 8 connections to one server", function ()
		local most, now = 0, 0
		local held = {}
		peer = web_server(function (_, conn)
			now = now + 1
			most = math.max(most, now)
			table.insert(held, conn)
			if #peer.requests >= 8 then -- more than eight never come at once
				for _, each in ipairs(held) do
					each:send(plain "x")
					now = now - 1
				end
				held = {}
			end
		end)
		assert.equal("32", probe([[
			local wait, done = async.waiter(32)
			local n = 0
			for i = 1, 32 do
				http.request("%s/" .. i, nil, function (_, code)
					n = n + (code == 200 and 1 or 0)
					done()
				end)
			end
			wait()
			return n]], peer.url))
		assert.is_true(most <= 8, most)
	end)

	it("understands chunks, 100 Continue and an answer that ends with the connection", function ()
		local answers = {
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-Late: 1\r\n\r\n",
			"HTTP/1.1 100 Continue\r\nX-Early: 1\r\n\r\n" .. plain "after all",
			"HTTP/1.0 200 OK\r\n\r\nuntil the end",
		}
		peer = web_server(function (_, conn)
			conn.closes = #peer.requests == 3
			return answers[#peer.requests]
		end)
		assert.equal("200 abcde", probe([[return fetch("%s/")]], peer.url))
		assert.equal("200 after all", probe([[return fetch("%s/")]], peer.url))
		assert.equal("200 until the end", probe([[return fetch("%s/")]], peer.url))
	end)

	it("follows redirects only as told", function ()
		peer = web_server(function (request)
			local n = tonumber(request:match "^%a+ /(%d+)")
			return n > 0 and plain("moved", "302 Found", ("Location: /%d\r\n"):format(n - 1)) or plain "arrived"
		end)
		assert.equal("302 moved", probe([[return fetch("%s/3")]], peer.url))
		assert.equal("200 arrived", probe([[return fetch("%s/3", { redirects = 3 })]], peer.url))
		assert.truthy(probe([[return fetch("%s/3", { redirects = 2 })]], peer.url):find "in circles")
		assert.equal("302 moved", probe([[return fetch("%s/3", { redirects = 3, body = "x" })]], peer.url))
	end)

	it("is not led to files or from https by a redirect, and keeps its secrets from other servers", function ()
		local other = web_server(function () return plain "other" end)
		peer = web_server(function (request)
			local to = request:find "^GET /file" and "file:///etc/passwd" or other.url .. "/"
			return plain("", "302 Found", ("Location: %s\r\n"):format(to))
		end)
		assert.truthy(probe([[return fetch("%s/file", { redirects = 3 })]], peer.url):find "Not a URL")
		probe([[return fetch("%s/", { redirects = 3, headers = { Authorization = "secret" } })]], peer.url)
		assert.truthy(peer.requests[2]:find "Authorization: secret")
		assert.equal(1, #other.requests)
		assert.falsy(other.requests[1]:find "secret")
		other.stop()
	end)

	describe("over TLS", function ()
		local function url(host) return ("https://%s:%d/probe"):format(host, server.https_port) end

		it("is for servers with a certificate of theirs that is trusted", function ()
			assert.equal("405 ", probe([[return (fetch("%s", { method = "DELETE", ssl = { cafile = %q } }):sub(1, 4))]],
				url "localhost", certs.path "ca.crt"))
		end)

		it("fails when it is trusted by nobody", function ()
			assert.truthy(probe([[return fetch("%s")]], url "localhost"):find "certificate is not trusted")
		end)

		it("fails when it is for another name", function ()
			local said = probe([[return fetch("%s", { ssl = { cafile = %q } })]], url "127.0.0.1", certs.path "ca.crt")
			assert.truthy(said:find "for another name", said)
		end)

		it("shows the certificate that it is given", function ()
			local verona = require "spec.support.federation".certificate "verona"
			local said = probe([[return fetch("%s", { ssl = { cafile = %q, certificate = %q, key = %q } })]],
				url "localhost" .. "/peer", certs.path "ca.crt", verona.certificate, verona.key)
			local file <close> = assert(io.open(verona.certificate))
			assert.equal(5, (said:find(file:read "a", 1, true)), said) -- behind "200 "
			assert.equal("200 nobody", probe([[return fetch("%s", { ssl = { cafile = %q } })]], url "localhost" .. "/peer",
				certs.path "ca.crt"))
		end)

		it("takes any only when told to be insecure", function ()
			assert.equal("405 ", probe([[return (fetch("%s", { method = "DELETE", insecure = true }):sub(1, 4))]],
				url "localhost"))
		end)
	end)

	describe("fails", function ()
		it("where nobody listens", function ()
			assert.truthy(probe([[return fetch("http://127.0.0.1:%d/")]], Server.free_port()):find "could not be reached")
		end)

		it("for a name that does not exist", function ()
			assert.truthy(probe [[return fetch("http://nobody.invalid/")]]:find "name is not known")
		end)

		it("when the server is silent for too long, wherever it stops", function ()
			for _, said in ipairs { "", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc" } do
				peer = web_server(function () return said end)
				assert.truthy(probe([[return fetch("%s/", { timeout = 0.2 })]], peer.url):find "no answer in time", said)
				peer.stop()
			end
		end)

		it("when the server ends the connection or speaks something else", function ()
			for said, expected in pairs {
				[""] = "ended the connection", ["HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"] = "ended the connection",
				["220 mail.example ESMTP\r\n"] = "does not speak HTTP",
				["HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"] = "does not speak HTTP",
			} do
				peer = web_server(function (_, conn)
					if said == "" then return conn:close() end
					conn.closes = true
					return said
				end)
				local result = probe([[return fetch("%s/")]], peer.url)
				assert.truthy(result:find(expected, 1, true), said .. result)
				peer.stop()
			end
		end)

		it("when the answer is larger than wanted, said or not", function ()
			for _, said in ipairs { plain(("x"):rep(5000)), "HTTP/1.1 200 OK\r\n\r\n" .. ("x"):rep(5000),
				"HTTP/1.1 200 OK\r\nX: " .. ("x"):rep(100000) .. "\r\n\r\n" } do
				peer = web_server(function (_, conn)
					conn.closes = true
					return said
				end)
				assert.truthy(probe([[return fetch("%s/", { body_size_limit = 4000 })]], peer.url):find "too large")
				peer.stop()
			end
		end)

		it("when there are too many others", function ()
			peer = web_server(function () end)
			assert.equal("1000 invalid-request", probe([[
				local pool = http.new()
				local wait, done = async.waiter()
				local n = 0
				for i = 1, 1001 do
					pool:request("%s/", nil, function (word) n = word done() end)
				end
				wait()
				local count = 0
				for _, engine in pairs(pool._engines) do count = engine.handle:count() end
				pool:close()
				return count .. " " .. n]], peer.url))
		end)
	end)

	it("to a private address is refused with block_private, whatever the name and the redirect say", function ()
		peer = web_server(function () return plain "inside" end)
		assert.equal("200 inside", probe([[return fetch("%s/")]], peer.url))
		for _, host in ipairs { "127.0.0.1", "localhost", "[::1]", "0.0.0.0", "2130706433", "[::ffff:127.0.0.1]" } do
			local result = probe([[return fetch("http://%s:%d/", { block_private = true })]], host, peer.port)
			assert.equal("forbidden: The address is one of a private network", result, host)
		end
		for _, address in ipairs { "10.1.2.3", "172.31.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "224.0.0.1",
			"[fd00::1]", "[fe80::1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[::]" } do
			assert.truthy(probe([[return fetch("http://%s/", { block_private = true, timeout = 5 })]], address)
				:find "private network", address)
		end
		assert.equal(1, #peer.requests)
	end)

	it("may come after a long rest, in which curl was let go", function ()
		peer = web_server(function () return plain "awake" end)
		assert.equal("200 awake, at rest, 200 awake", probe([[
			local pool = http.new()
			local function ask()
				local response = async.wait_for(pool:request("%s/"))
				return response.code .. " " .. response.body
			end
			local first = ask()
			for _, engine in pairs(pool._engines) do engine.idle_timer:restart(0.01) end
			while next(pool._engines) ~= nil do async.sleep(0.01) end
			return ("%%s, at rest, %%s"):format(first, ask())]], peer.url))
		assert.equal(2, #peer.connections)
	end)

	it("can be cancelled, with and without a word", function ()
		peer = web_server(function () end)
		assert.equal("cancelled 0 true | enough 0 true | nothing", probe([[
			local said = {}
			local function request()
				local wait, done = async.waiter(1, true)
				local one
				one = http.request("%s/", nil, function (word, code, request)
					table.insert(said, ("%%s %%d %%s"):format(word, code, tostring(request == one)))
					done()
				end)
				return one, wait
			end
			local one, wait = request()
			one:cancel()
			wait()
			one, wait = request()
			one:cancel "enough"
			wait()
			one = request()
			http.destroy_request(one)
			async.sleep(0)
			return table.concat(said, " | ") .. " | " .. (said[3] or "nothing")]], peer.url))
	end)

	it("whose callback waits or has a mistake hurts no other", function ()
		peer = web_server(function () return plain "x" end)
		assert.equal("x", probe([[
			local wait, done = async.waiter(2)
			local seen
			http.request("%s/", nil, function () error "the callback has a mistake" end)
			http.request("%s/", nil, function () async.sleep(0.02) done() end)
			http.request("%s/", nil, function (body) seen = body done() end)
			wait()
			return seen]], peer.url, peer.url, peer.url))
	end)

	describe("for a stream", function ()
		it("hears of the head first and then of the body as it comes", function ()
			local conn
			peer = web_server(function (_, c)
				conn = c
				return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n"
			end)
			local asking = http.connect(server)
			local code = ([[
				local wait, done = async.waiter()
				local pieces, ended = {}, nil
				http.request("%s/", { streaming_handler = function (response)
					pieces[1] = tostring(response.code)
					response.body_sink = { write = function (_, bytes)
						async.sleep(0.01) -- pieces keep their order
						table.insert(pieces, bytes)
						module:log("info", "a piece has come")
						return true
					end }
				end }, function (body, code) ended = tostring(body) .. code done() end)
				wait()
				return table.concat(pieces, " ") .. " " .. ended]]):format(peer.url)
			asking:sends(("POST /probe HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s"):format(#code, code))
			server:awaits_log "a piece has come"
			conn:send "3\r\ntwo\r\n0\r\n\r\n"
			assert.equal("200 one two nil200", asking:response().body)
		end)

		it("makes the server wait while its sink does", function ()
			local total = 32 * 1024 * 1024
			peer = web_server(function (_, conn)
				conn:send(("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"):format(total))
				conn:send(("x"):rep(total))
			end)
			local before = server:memory()
			local asking = http.connect(server)
			local code = ([[
				local wait, done = async.waiter()
				local open, n = nil, 0
				http.request("%s/", { streaming_handler = function (response)
					response.body_sink = { write = function (_, bytes)
						n = n + #bytes
						if not open then
							module:log("info", "the sink waits")
							local gate
							gate, open = async.waiter()
							module:add_timer(0.3, open)
							gate()
						end
						return true
					end }
				end }, function () done() end)
				wait()
				return n]]):format(peer.url)
			asking:sends(("POST /probe HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s"):format(#code, code))
			server:awaits_log "the sink waits"
			local stood_still = peer.connections[1].n_sent
			assert.is_true(stood_still < total, "nothing was held back")
			assert.equal(tostring(total), asking:response().body)
			assert.is_true(server:memory() - before < 8000, server:memory() - before)
		end)

		it("ends when its sink says no or has a mistake", function ()
			for _, write in ipairs { "return nil, 'full'", "error 'the sink has a mistake'" } do
				peer = web_server(function () return plain "some bytes" end)
				assert.equal("sink-failed closed", probe([[
					local wait, done = async.waiter()
					local said, closed
					http.request("%s/", { streaming_handler = function (response)
						response.body_sink = { write = function () %s end, close = function () closed = "closed" end }
					end }, function (word) said = word done() end)
					wait()
					return said .. " " .. tostring(closed)]], peer.url, write))
				peer.stop()
			end
		end)

		it("gets its body in one piece without a sink", function ()
			peer = web_server(function () return plain(("y"):rep(1000000)) end)
			assert.equal("1000000", probe([[
				local response = async.wait_for(http.request("%s/", { streaming_handler = function () end }))
				return #response.body]], peer.url))
		end)
	end)
end)
