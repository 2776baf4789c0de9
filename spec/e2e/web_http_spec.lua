-- The web server as a process (RFC 9110, RFC 9112, SECURITY E1, E7, E8).
--
-- SLOW_HEADS (200) is how many begin a request at once and never end it; 5000 is the long run. spec/support/crowd.c is
-- who they are.

local compile = require "spec.support.compile"
local http = require "spec.support.http"
local lfs = require "lfs"
local loop = require "spec.support.loop"
local process = require "process"
local Server = require "spec.support.server"

local slow_heads = tonumber(os.getenv "SLOW_HEADS") or 200

local module_text = [[
module:depends("http")
local async = require "prosody.util.async"
local promise = require "prosody.util.promise"
local timer = require "prosody.util.timer"
local ended = 0
module:provides("http", { name = "test"; route = {
	["GET /text"] = "hello";
	["GET /number"] = 418;
	["GET /table"] = { status_code = 201, headers = { x_seen = "yes" }, body = "made" };
	["GET /later"] = function(event)
		timer.add_task(0.05, function() event.response:send("later") end)
		return true
	end;
	["GET /never"] = function(event)
		event.response.on_destroy = function() ended = ended + 1 end
		return true
	end;
	["GET /ended"] = function() return tostring(ended) end;
	["GET /wait"] = function() async.sleep(0.05) return "waited" end;
	["GET /answered"] = function(event)
		event.response:send("answered")
		async.sleep(0.05)
		error "a mistake afterwards"
	end;
	["GET /promise"] = function() return promise.resolve("promised") end;
	["GET /broken-promise"] = function() return promise.reject("oh") end;
	["GET /mistake"] = function() error "a mistake in a module" end;
	["GET /greed"] = function() local all = {} while true do all[#all + 1] = ("x"):rep(60 << 20) end end;
	["GET /late-greed"] = function()
		async.sleep(0.05)
		local all = {} while true do all[#all + 1] = ("x"):rep(60 << 20) end
	end;
	["GET /split"] = function(event) event.response.headers.location = "/\r\nSet-Cookie: x=y" return 302 end;
	["GET /chunks"] = function(event)
		local response = event.response
		response:write_headers()
		response:write("one")
		response:write("two")
		response:done()
		return true
	end;
	["GET /large"] = function() return ("0123456789"):rep(1000000) end;
	["GET /who"] = function(event) return tostring(event.request.ip) .. " " .. tostring(event.request.secure) end;
	["GET /url"] = function() return module:http_url("test") end;
	["GET /wild/*"] = function(_, rest) return "rest " .. rest end;
	["GET /wild/known"] = "known";
	["POST /echo"] = function(event) return event.request.body end;
	["GET /secret"] = { body = "for the same origin only" };
	["GET"] = "root";
} })
module:provides("http", { name = "open"; cors = { enabled = true; origins = { "https://chat.example" } }; route = {
	["GET"] = "open";
} })
module:provides("http", { name = "upload"; streaming_uploads = true; route = {
	["PUT /*"] = function(event, name)
		local request = event.request
		if name == "no" then return 403 end
		if request.body == false then
			local pieces, bytes = 0, 0
			request.body_sink = {
				write = function(_, piece)
					if name == "slow" and pieces == 0 then async.sleep(0.05) end
					pieces, bytes = pieces + 1, bytes + #piece
					return name ~= "full"
				end;
				close = function() pieces = pieces end;
				said = function() return pieces .. " " .. bytes end;
			}
			return true
		end
		return "stored " .. request.body_sink.said():match(" (%d+)")
	end;
} })
]]

describe("The web server", function()
	local server, folder

	setup(function()
		local pipe <close> = io.popen "mktemp -d /tmp/couplet-web.XXXXXX"
		folder = pipe:read "l"
		assert(os.execute(([[cd '%s' && mkdir -p www/sub plugins && printf 'hello world' >www/a.txt
			printf '<p>' >www/sub/index.html
			for name in written renamed linked gone; do printf first >www/$name.txt && touch -r / www/$name.txt; done
			mkdir www/empty && printf secret >secret && ln -s ../secret www/link && printf x >'www/a b.svg']]):format(folder)))
		local file <close> = assert(io.open(folder .. "/plugins/mod_webtest.lua", "w"))
		file:write(module_text)
		file:close()
		server = Server.start {
			with_http = true, more_modules = { "webtest", "http_files" },
			config = ([[plugin_paths = { %q }
				http_files_dir = %q
				http_paths = { files = "/" }
				http_max_content_size = 10000
				trusted_proxies = { "127.0.0.2", "10.0.0.0/8" }]]):format(folder .. "/plugins", folder .. "/www"),
			hosts = { localhost = "", ["montague.example"] = [[http_host = "web.montague.example"
				http_external_url = "https://chat.example/x/"]] },
		}
		for _, text in ipairs { "a mistake in a module", "a mistake afterwards", "cannot be sent", "promised answer",
			"could not be stored", "interrupted" } do
			server:expects_error(text)
		end
	end)
	teardown(function()
		server:stop()
		os.execute(("rm -rf '%s'"):format(folder))
	end)
	after_each(function() server:forget_clients() end)

	local function get(path, headers, options) return http.get(server, path, headers, options) end

	for _, path in ipairs { "/test/greed", "/test/late-greed", "/test/mistake" } do
		it("answers 500 for a handler that is ended, and goes on: " .. path, function()
			local conn = http.connect(server)
			conn:sends("GET " .. path .. " HTTP/1.1\r\nHost: localhost\r\n\r\n")
			assert.equal(500, conn:response().status)
			conn:sends "GET /test/text HTTP/1.1\r\nHost: localhost\r\n\r\n"
			assert.equal("hello", conn:response().body)
		end)
	end

	describe("asks modules", function()
		for path, expected in pairs {
			["/test/text"] = { 200, "hello" }, ["/test/number"] = { 418 }, ["/test/table"] = { 201, "made" },
			["/test/later"] = { 200, "later" }, ["/test/wait"] = { 200, "waited" }, ["/test/promise"] = { 200, "promised" },
			["/test/broken-promise"] = { 500 }, ["/test/mistake"] = { 500 }, ["/test/split"] = { 500, "" },
			["/test/chunks"] = { 200, "onetwo" }, ["/test/wild/a/b%20c"] = { 200, "rest a/b c" },
			["/test/wild/known"] = { 200, "known" }, ["/test/wild/"] = { 200, "rest " }, ["/test"] = { 200, "root" },
			["/test/large"] = { 200, ("0123456789"):rep(1000000) }, ["/test/url"] = { 200 }, ["/testing"] = { 404 },
		} do
			it(("for %s"):format(path), function()
				local response = get(path)
				assert.equal(expected[1], response.status)
				if expected[2] then assert.is_true(expected[2] == response.body, response.body:sub(1, 100)) end
			end)
		end

		it("for several things on one connection, in their order", function()
			local conn = http.connect(server)
			local request = "GET /test/%s HTTP/1.1\r\nHost: localhost\r\n\r\n"
			conn:sends(request:format "later" .. request:format "text" .. request:format "wait" .. request:format "number")
			assert.equal("later", conn:response().body)
			assert.equal("hello", conn:response().body)
			assert.equal("waited", conn:response().body)
			assert.equal(418, conn:response().status)
			assert.is_true(conn:is_open())
		end)

		it("for a hundred things on a connection, and then ends it", function()
			local conn = http.connect(server)
			for i = 1, 100 do
				conn:sends "GET /test/text HTTP/1.1\r\nHost: localhost\r\n\r\n"
				assert.equal(i == 100, conn:response().headers.connection == "close")
			end
			conn:ends()
		end)

		it("only about the host they are on", function()
			assert.equal(200, get("/test/text", { Host = "localhost:1234" }).status)
			assert.equal(200, get("/test/text", { Host = "LOCALHOST" }).status)
			assert.equal(200, get("/test/text", { Host = "web.montague.example" }).status)
			assert.equal(404, get("/test/text", { Host = "montague.example" }).status)
			assert.equal(404, get("/test/text", { Host = "127.0.0.1" }).status)
		end)

		it("and tells them their URL", function()
			assert.equal(("https://localhost:%d/test"):format(server.https_port), get("/test/url").body)
			assert.equal("https://chat.example/x/test", get("/test/url", { Host = "web.montague.example" }).body)
		end)

		it("whose handlers go on after their answer, and may fail then, before the next thing", function()
			local conn = http.connect(server)
			local request = "GET /test/%s HTTP/1.1\r\nHost: localhost\r\n\r\n"
			for _ = 1, 3 do conn:sends(request:format "answered" .. request:format "text") end
			for _ = 1, 3 do
				assert.equal("answered", conn:response().body)
				assert.equal("hello", conn:response().body)
			end
			assert.is_true(conn:is_open())
		end)

		it("and lets them wait for clients that have left", function()
			for _ = 1, 20 do
				http.connect(server):sends("GET /test/wait HTTP/1.1\r\nHost: localhost\r\n\r\n"):vanishes()
			end
			assert.equal("waited", get("/test/wait").body)
		end)

		it("and tells them when a client leaves before its answer", function()
			local conn = http.connect(server):sends "GET /test/never HTTP/1.1\r\nHost: localhost\r\n\r\n"
			assert.equal("0", get("/test/ended").body)
			conn:vanishes()
			loop.await(function() return get("/test/ended").body == "1" end, "on_destroy")
		end)

		it("with HEAD, which has no body", function()
			local response = http.request(server, "HEAD", "/test/text")
			assert.equal("5", response.headers["content-length"])
			local conn = http.connect(server)
			conn:sends "HEAD /test/chunks HTTP/1.1\r\nHost: localhost\r\n\r\nGET /test/text HTTP/1.1\r\nHost: localhost\r\n\r\n"
			assert.equal(200, conn:response("HEAD").status)
			assert.equal("hello", conn:response().body)
		end)

		it("with HTTP/1.0, and closes", function()
			local conn = http.connect(server):sends "GET /test/chunks HTTP/1.0\r\nHost: localhost\r\n\r\n"
			local response = conn:response()
			assert.equal("onetwo", response.body)
			assert.is_nil(response.headers["transfer-encoding"])
		end)

		it("which methods there are", function()
			local response = http.request(server, "DELETE", "/test/echo")
			assert.same({ 405, "GET, HEAD, POST" }, { response.status, response.headers.allow })
			assert.equal(204, http.request(server, "OPTIONS", "/test/echo").status)
		end)

		it("over TLS, where they are told that it is secure", function()
			assert.equal("127.0.0.1 false", get("/test/who").body)
			assert.equal("127.0.0.1 true", get("/test/who", nil, { tls = true }).body)
			assert.equal("127.0.0.1 true", get("/test/who", nil, { tls = true, alpn = { "h2", "http/1.1" } }).body)
		end)
	end)

	describe("takes bodies", function()
		it("of a length, in chunks, and after a 100", function()
			local conn = http.connect(server)
			conn:sends "POST /test/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nabcd"
			assert.equal("abcd", conn:response().body)
			conn:sends("POST /test/echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
				.. "2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n")
			assert.equal("abcd", conn:response().body)
			conn:sends "POST /test/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
			assert.equal(100, conn:response().status)
			conn:sends "abcd"
			assert.equal("abcd", conn:response().body)
		end)

		it("up to http_max_content_size", function()
			local function post(n) return http.request(server, "POST", "/test/echo", nil, ("x"):rep(n)).status end
			assert.equal(200, post(10000))
			assert.equal(413, post(10001))
			local conn = http.connect(server)
			conn:sends "POST /test/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20000\r\nExpect: 100-continue\r\n\r\n"
			assert.equal(413, conn:response().status)
			conn:ends()
		end)

		it("as they come, where a module wants them so", function()
			local response = http.request(server, "PUT", "/upload/x", nil, ("x"):rep(3000000))
			assert.equal("stored 3000000", response.body)
			assert.equal(403, http.request(server, "PUT", "/upload/no", nil, "x").status)
			assert.equal(500, http.request(server, "PUT", "/upload/full", nil, "x").status)
			assert.equal("stored 300000", http.request(server, "PUT", "/upload/slow", nil, ("x"):rep(300000)).body)
			local conn = http.connect(server)
			conn:sends "PUT /upload/x HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
			assert.equal(100, conn:response().status)
			conn:sends "abc"
			assert.equal("stored 3", conn:response().body)
			conn:sends "PUT /upload/no HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
			assert.equal(403, conn:response().status)
			conn:ends()
		end)

		it("but none that are compressed", function()
			assert.equal(415, http.request(server, "POST", "/test/echo", { ["Content-Encoding"] = "gzip" }, "x").status)
		end)
	end)

	describe("serves files", function()
		it("with their type, size and age", function()
			local response = get "/a.txt"
			assert.same({ 200, "hello world", "text/plain; charset=utf-8", "11", "nosniff" }, { response.status, response.body,
				response.headers["content-type"], response.headers["content-length"],
				response.headers["x-content-type-options"] })
			assert.equal("image/svg+xml; charset=utf-8", get("/a%20b.svg").headers["content-type"])
		end)

		it("again only when they have changed", function()
			local headers = get("/a.txt").headers
			assert.equal(304, get("/a.txt", { ["If-None-Match"] = headers.etag }).status)
			assert.equal(304, get("/a.txt", { ["If-None-Match"] = '"x", W/' .. headers.etag }).status)
			assert.equal(304, get("/a.txt", { ["If-None-Match"] = "*" }).status)
			assert.equal(200, get("/a.txt", { ["If-None-Match"] = '"x"' }).status)
			assert.equal(304, get("/a.txt", { ["If-Modified-Since"] = headers["last-modified"] }).status)
			assert.equal(200, get("/a.txt", { ["If-Modified-Since"] = "Sun, 06 Nov 1994 08:49:37 GMT" }).status)
			assert.equal(200, get("/a.txt", { ["If-None-Match"] = '"x"',
				["If-Modified-Since"] = headers["last-modified"] }).status)
			assert.equal(412, get("/a.txt", { ["If-Match"] = '"x"' }).status)
			assert.equal(200, get("/a.txt", { ["If-Match"] = headers.etag }).status)
			assert.equal(412, get("/a.txt", { ["If-Unmodified-Since"] = "Sun, 06 Nov 1994 08:49:37 GMT" }).status)
		end)

		for range, expected in pairs {
			["bytes=0-0"] = { 206, "h", "bytes 0-0/11" }, ["bytes=6-"] = { 206, "world", "bytes 6-10/11" },
			["bytes=-3"] = { 206, "rld", "bytes 8-10/11" }, ["bytes=-100"] = { 206, "hello world", "bytes 0-10/11" },
			["bytes=3-100"] = { 206, "lo world", "bytes 3-10/11" }, ["bytes=11-"] = { 416, nil, "bytes */11" },
			["bytes=-0"] = { 416, nil, "bytes */11" }, ["bytes=5-2"] = { 200, "hello world" },
			["bytes=0-0,2-2"] = { 200, "hello world" }, ["lines=1-2"] = { 200, "hello world" }, ["bytes=-"] = { 200 },
			["bytes=9999999999999999999-"] = { 200 },
		} do
			it("in part: " .. range, function()
				local response = get("/a.txt", { Range = range })
				assert.equal(expected[1], response.status)
				if expected[2] then assert.equal(expected[2], response.body) end
				assert.equal(expected[3], response.headers["content-range"])
			end)
		end

		it("in part only when they are what the client thinks", function()
			local headers = get("/a.txt").headers
			assert.equal(206, get("/a.txt", { Range = "bytes=0-0", ["If-Range"] = headers.etag }).status)
			assert.equal(206, get("/a.txt", { Range = "bytes=0-0", ["If-Range"] = headers["last-modified"] }).status)
			assert.equal(200, get("/a.txt", { Range = "bytes=0-0", ["If-Range"] = '"x"' }).status)
			assert.equal(200, get("/a.txt", { Range = "bytes=0-0", ["If-Range"] = "W/" .. headers.etag }).status)
		end)

		it("of directories by their index", function()
			assert.equal("<p>", get("/sub/").body)
			assert.equal("/sub/?a=b", get("/sub?a=b").headers.location)
			assert.equal(403, get("/empty/").status)
		end)

		-- SECURITY E1
		local dots = { "..", "%2e%2e", "%2E.", ".%2e", "%252e%252e", "%u002e%u002e", "%c0%ae%c0%ae", "..%00", "..%5c",
			"..;a=b" }
		local slashes = { "/", "%2f", "%2F", "//", "/./", "%5c", "\\" }
		it("below their directory and nowhere else", function()
			local asked = 0
			local conn = http.connect(server)
			for _, dot in ipairs(dots) do
				for _, slash in ipairs(slashes) do
					for _, prefix in ipairs { "/", "/sub/", "/sub", "//", "/sub/x/../" } do
						for _, tail in ipairs { "secret", "secret%00.txt", "www/a.txt", "../etc/passwd" } do
							if not conn:is_open() then conn = http.connect(server) end
							conn:sends(("GET %s%s%s%s HTTP/1.1\r\nHost: localhost\r\n\r\n"):format(prefix, dot, slash, tail))
							local response = conn:response()
							asked = asked + 1
							assert.truthy(response.status == 400 or response.status == 404 or response.status == 403,
								prefix .. dot .. slash .. tail .. ": " .. response.status)
							assert.is_nil(response.body:find "secret" or response.body:find "root:")
							if response.headers.connection == "close" then conn:ends() end
						end
					end
				end
			end
			assert.truthy(asked > 1300)
		end)

		it("and not what links lead to", function() assert.equal(403, get("/link").status) end)

		-- Small ones that have not changed lately are kept in memory (net.http.kept).
		it("as they are now, whatever became of them since they were asked for last", function()
			local function run(command) assert(os.execute(("cd '%s/www' && %s"):format(folder, command))) end
			local names = { "written", "renamed", "linked", "gone" }
			loop.await(function()
				return os.time() - lfs.attributes(folder .. "/www/gone.txt", "change") > 3
			end, "the files to be old")
			local tags = {}
			for _ = 1, 3 do
				for _, name in ipairs(names) do
					local response = get("/" .. name .. ".txt")
					assert.same({ 200, "first" }, { response.status, response.body })
					tags[name] = response.headers.etag
				end
			end
			assert.equal("rs", get("/gone.txt", { Range = "bytes=2-3" }).body)
			assert.equal("5", http.request(server, "HEAD", "/gone.txt").headers["content-length"])
			assert.equal(304, get("/gone.txt", { ["If-None-Match"] = tags.gone }).status)
			run "printf other >written.txt && touch -r / written.txt" -- as long and, it says, as old
			run "printf other >new && mv new renamed.txt && mv linked.txt old && ln -s old linked.txt && rm gone.txt"
			for name, expected in pairs { written = 200, renamed = 200, linked = 403, gone = 404 } do
				local response = get("/" .. name .. ".txt")
				assert.equal(expected, response.status, name)
				assert.equal(expected == 200, response.body == "other", name)
			end
			assert.equal(200, get("/renamed.txt", { ["If-None-Match"] = tags.renamed }).status)
		end)
	end)

	it("shows browsers a page for errors", function()
		local response = get("/none", { Accept = "text/html" })
		assert.equal("text/html; charset=utf-8", response.headers["content-type"])
		assert.truthy(response.body:find("<h1>404 Not Found</h1>", 1, true))
		assert.truthy(response.headers["content-security-policy"]:find("default-src 'none'", 1, true))
	end)

	describe("lets pages of other origins", function()
		it("call modules that say so", function()
			local response = get("/open", { Origin = "https://chat.example" })
			assert.equal("https://chat.example", response.headers["access-control-allow-origin"])
			assert.is_nil(response.headers["access-control-allow-credentials"])
			response = http.request(server, "OPTIONS", "/open", { Origin = "https://chat.example",
				["Access-Control-Request-Method"] = "GET" })
			assert.same({ 204, "GET" }, { response.status, response.headers["access-control-allow-methods"] })
			assert.is_nil(get("/open", { Origin = "https://evil.example" }).headers["access-control-allow-origin"])
		end)

		it("call no others", function()
			assert.is_nil(get("/test/text", { Origin = "https://chat.example" }).headers["access-control-allow-origin"])
		end)
	end)

	describe("believes", function()
		local function who(ip, headers)
			return get("/test/who", headers, { from_ip = ip }).body
		end

		it("nobody about where they come from", function()
			assert.equal("127.0.0.1 false", who("127.0.0.1", { ["X-Forwarded-For"] = "6.6.6.6", ["X-Forwarded-Proto"] = "https",
				Forwarded = "for=6.6.6.6;proto=https" }))
		end)

		it("a proxy that is trusted, and what other such proxies told it", function()
			assert.equal("192.0.2.7 true", who("127.0.0.2", { ["X-Forwarded-For"] = "192.0.2.7",
				["X-Forwarded-Proto"] = "https" }))
			assert.equal("192.0.2.7 false", who("127.0.0.2", { ["X-Forwarded-For"] = "6.6.6.6, 192.0.2.7, 10.1.2.3" }))
			assert.equal("10.1.2.3 false", who("127.0.0.2", { ["X-Forwarded-For"] = "6.6.6.6, nonsense, 10.1.2.3" }))
			assert.equal("127.0.0.2 false", who("127.0.0.2", { X_Forwarded_For = "6.6.6.6", Forwarded = "for=6.6.6.6" }))
		end)
	end)

	describe("refuses", function()
		for name, case in pairs {
			["two lengths"] = { "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", 400 },
			["a length and chunks"] = {
				"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400 },
			["lone line feeds"] = { "GET / HTTP/1.1\nHost: localhost\n\n", 400 },
			["no host"] = { "GET / HTTP/1.1\r\n\r\n", 400 },
			["a huge head"] = { "GET / HTTP/1.1\r\nHost: localhost\r\nA: " .. ("x"):rep(9000) .. "\r\n\r\n", 431 },
			["another protocol"] = { "<?xml version='1.0'?><stream:stream to='localhost'>\r\n\r\n", 400 },
		} do
			it(name .. ", and closes", function()
				local conn = http.connect(server)
				conn:sends(case[1])
				local response = conn:response()
				assert.equal(case[2], response.status)
				assert.equal("close", response.headers.connection)
				conn:ends()
			end)
		end

		it("what follows a request it refused", function()
			local conn = http.connect(server)
			conn:sends("POST /test/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
				.. "0\r\n\r\nGET /test/text HTTP/1.1\r\nHost: localhost\r\n\r\n")
			assert.equal(400, conn:response().status)
			conn:ends()
			assert.equal("", conn:raw())
		end)

		it("heads that take longer than ten seconds, and bodies slower than 500 bytes a second", function()
			local before_kib, crowd_says, is_crowd_gone = server:memory(), {}, false
			local crowd = process.spawn({ compile "crowd", tostring(server.http_port), tostring(slow_heads),
				tostring(loop.deadline_seconds), "GET / HTTP/1.1\r\nHost: localhost\r\nA: " }, {})
			loop.watch(crowd, function()
				local bytes = crowd:read()
				if bytes then crowd_says[#crowd_says + 1] = bytes end
				if bytes == false then
					is_crowd_gone = true
					loop.forget(crowd)
				end
			end)
			local head = http.connect(server):sends "GET / HTTP/1.1\r\nHost: localhost\r\nA: "
			local body = http.connect(server)
				:sends "POST /test/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000\r\n\r\n"
			local started = loop.now()
			while loop.now() - started < loop.deadline_seconds and not (head.client.closed and body.client.closed) do
				loop.try_await(function() return head.client.closed and body.client.closed end, 1)
				for _, conn in ipairs { head, body } do
					if conn:raw() == "" then conn:sends "x" end -- which puts nothing off
				end
				assert.equal("hello", get("/test/text").body) -- for others nothing is slow
			end
			assert.truthy(head.client.closed and body.client.closed)
			assert.equal(408, head:response().status)
			assert.equal(408, body:response().status)
			loop.await(function() return is_crowd_gone end, "the crowd to be gone")
			assert.equal(("408 %d\nclosed 0\nopen 0\n"):format(slow_heads), table.concat(crowd_says))
			server:awaits(function() return server:memory() - before_kib < 5120 end, "its memory to be given back")
		end)

		it("nobody because others are slow", function()
			local slow = {}
			for i = 1, 200 do
				slow[i] = http.connect(server):sends "GET /test/text HTTP/1.1\r\nHost: localhost\r\nA: b\r\n"
			end
			assert.equal("hello", get("/test/text").body)
			for i, conn in ipairs(slow) do
				conn:sends(("B: %d\r\n\r\n"):format(i))
				assert.equal("hello", conn:response().body)
			end
		end)
	end)

	it("keeps nothing of what it was asked: hosts, paths, methods, headers (SECURITY E9)", function()
		local function ask(from, to)
			for hundred = from, to do
				local conn, texts = http.connect(server), {}
				for i = 1, 100 do
					local n = hundred * 100 + i
					texts[i] = ("M%d /path%d/%d?q%d HTTP/1.1\r\nHost: h%d.example\r\nX-H%d: v%d\r\n\r\n"):format(n, n, n, n, n, n, n)
				end
				conn:sends(table.concat(texts))
				conn:ends()
				assert.equal(100, (select(2, conn:raw():gsub("HTTP/1.1 404 ", ""))))
			end
		end
		ask(1, 10)
		local before = server:memory()
		ask(11, os.getenv "COUPLET_TRICKLE" and 20 or 210)
		assert.truthy(server:memory() - before < 2048, server:memory() - before)
	end)

	it("sends a hundred megabytes without growing", function()
		local path = folder .. "/www/big.bin"
		assert(os.execute(("head -c 104857600 /dev/zero >'%s'"):format(path)))
		local before = server:memory()
		for _, tls in ipairs { false, true } do
			local conn = http.connect(server, { tls = tls })
			conn:sends "GET /big.bin HTTP/1.1\r\nHost: localhost\r\n\r\n"
			local got, most = 0, 0
			loop.await(function()
				local raw = conn:raw()
				got = got + #raw
				conn.client.raw = ""
				if #raw > 0 and got // 10000000 > most then
					most = got // 10000000
					assert.truthy(server:memory() - before < 6000, server:memory() - before)
				end
				return got > 104857600
			end, "all of the file", 60)
		end
		assert(os.remove(path))
	end)

	it("has nothing open in the end", function()
		server:forget_clients()
		local known = lfs.attributes(folder).mode == "directory" and server:open_files()
		loop.await(function() return server:open_files() <= known end, "its files to be closed")
	end)
end)
