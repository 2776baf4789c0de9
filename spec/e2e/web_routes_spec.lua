-- Which module answers which URL (mod_http): hosts, paths, what the configuration moves, what a reload changes; and
-- what trusted proxies say in the header Forwarded (RFC 7239).

local http = require "spec.support.http"
local Server = require "spec.support.server"

local function answers_with(text) return ("function() return %q end"):format(text) end

local modules = {
	shop = ([[module:depends("http")
		module:provides("http", { route = {
			["GET"] = %s; ["GET /*"] = function(_, rest) return "rest of shop " .. rest end;
			["GET /known"] = %s; ["GET /known/*"] = function(_, rest) return "below known " .. rest end;
			["POST"] = function(event) return "posted " .. event.request.body end;
			["nonsense"] = "never"; ["GET not-a-path"] = "never"; ["DELETE"] = false;
		} })
		module:provides("http", { name = "moved"; default_path = "/elsewhere"; route = {
			["GET"] = function() return module:http_url("moved", "/elsewhere") end } })
		module:provides("http", { name = "open"; cors = { enabled = true }; route = { ["GET"] = "open" } })
		module:provides("http", { name = "slash"; route = { ["GET /"] = %s } })]])
		:format(answers_with "shop", answers_with "known", answers_with "slash"),
	first = ([[module:depends("http")
		module:provides("http", { name = "shared"; default_path = "/shared"; route = {
			["GET /*"] = function(_, rest) if rest == "mine" then return "first" end end } })]]),
	second = ([[module:depends("http")
		module:provides("http", { name = "shared2"; default_path = "/shared"; route = { ["GET /*"] = %s } })]])
		:format(answers_with "second"),
	who = [[module:depends("http")
		module:provides("http", { route = { ["GET"] = function(event)
			return event.request.ip .. " " .. tostring(event.request.secure)
		end } })]],
}

describe("The web of a server with several hosts", function()
	local server, folder

	local function write_module(name, text)
		local file <close> = assert(io.open(("%s/mod_%s.lua"):format(folder, name), "w"))
		file:write(text)
	end

	setup(function()
		local pipe <close> = io.popen "mktemp -d /tmp/couplet-routes.XXXXXX"
		folder = pipe:read "l"
		for name, text in pairs(modules) do write_module(name, text) end
		server = Server.start {
			with_http = true, more_modules = { "shop", "first", "second", "who" },
			config = ([[plugin_paths = { %q }
				http_default_host = "localhost"
				http_legacy_x_forwarded = false
				trusted_proxies = { "127.0.0.2", "2001:db8::/32", "192.0.2.0/24" }]]):format(folder),
			hosts = {
				localhost = [[http_paths = { moved = "/new/$host", open = "/" }]],
				["montague.example"] = [[http_host = "web.montague.example"
					http_paths = { shop = "/" }]],
				["escalus.example"] = 'http_host = "verona.example"',
				["paris.example"] = 'http_host = "verona.example"',
				["capulet.example"] = [[modules_disabled = { "shop" }
					http_external_url = "https://capulet.example/chat/"]],
			},
		}
		server:expects_error "is no route"
		server:awaits_log "Activated service 'http'"
	end)
	teardown(function()
		server:stop()
		os.execute(("rm -rf '%s'"):format(folder))
	end)
	after_each(function() server:forget_clients() end)

	local function get(path, host, options)
		return http.get(server, path, { Host = host or "localhost" }, options)
	end

	it("says in the log when hosts of one name want one path for different things", function()
		server:awaits_log "is not reached: at verona.example/who 'who' of"
	end)

	it("says in the log which routes are none, and serves the others", function()
		server:awaits_log "\"nonsense\" is no route"
		server:awaits_log "\"GET not-a-path\" is no route"
	end)

	for path, expected in pairs {
		["/shop"] = "shop", ["/shop?x=y"] = "shop", ["/shop/"] = "rest of shop ", ["/shop/a/b"] = "rest of shop a/b",
		["/shop/known"] = "known", ["/shop/known/"] = "below known ", ["/shop/known/x"] = "below known x",
		["/shop/knownx"] = "rest of shop knownx", ["/shop/%6bnown"] = "known", ["/slash/"] = "slash",
	} do
		it("answers " .. path, function() assert.equal(expected, get(path).body) end)
	end

	it("tells different methods apart", function()
		assert.equal("posted x=1", http.request(server, "POST", "/shop", nil, "x=1").body)
		local response = http.request(server, "DELETE", "/shop")
		assert.equal(405, response.status)
		assert.equal("GET, HEAD, POST", response.headers.allow)
		assert.equal(404, http.request(server, "DELETE", "/nothing").status)
	end)

	it("lets pages of other sites ask first, also at the root", function()
		local headers = { Origin = "https://a.example", ["Access-Control-Request-Method"] = "GET" }
		local response = http.request(server, "OPTIONS", "/", headers)
		assert.same({ 204, "GET" }, { response.status, response.headers["access-control-allow-methods"] })
		assert.equal("open", get("/").body)
	end)

	it("sends those who forgot a slash there, and never to another site", function()
		local response = get "/slash?a=b"
		assert.same({ 301, "/slash/?a=b" }, { response.status, response.headers.location })
		response = get "//slash"
		assert.truthy(response.status == 404 or not response.headers.location:find "^//")
	end)

	it("asks the next module when one has nothing to say", function()
		assert.equal("first", get("/shared/mine").body)
		assert.equal("second", get("/shared/other").body)
	end)

	it("has modules where the configuration puts them, and tells them so", function()
		assert.equal(404, get("/elsewhere").status)
		assert.equal(("http://localhost:%d/new/localhost"):format(server.http_port),
			(get("/new/localhost").body:gsub("^https://localhost:%d+", ("http://localhost:%d"):format(server.http_port))))
		assert.equal("https://capulet.example/chat/shared",
			server:ctl("shell", [[> prosody.hosts["capulet.example"].modules.second.module:http_url("shared2", "/shared")]])
				:match "https?://%S+")
	end)

	it("is each host's own", function()
		assert.equal("shop", get("/", "web.montague.example").body)
		assert.equal("known", get("/known", "WEB.montague.example:80").body)
		assert.equal("rest of shop shop", get("/shop", "web.montague.example").body)
		assert.equal(404, get("/shop", "capulet.example").status)
		assert.equal("second", get("/shared/x", "capulet.example").body)
		assert.equal("shop", get("/shop", "nobody.example").body) -- http_default_host
		assert.equal("shop", get("/shop", "montague.example").body) -- it is reached as http_host says
	end)

	it("changes with a module that is loaded anew or unloaded, without an end to connections", function()
		local conn = http.connect(server)
		local function ask()
			conn:sends "GET /shared/x HTTP/1.1\r\nHost: localhost\r\n\r\n"
			return conn:response()
		end
		assert.equal("second", ask().body)
		write_module("second", (modules.second:gsub('"second"', '"renewed"')))
		server:ctl("shell", "module", "reload", "second", "localhost")
		assert.equal("renewed", ask().body)
		assert.equal("second", get("/shared/x", "capulet.example").body)
		server:ctl("shell", "module", "unload", "second", "localhost")
		assert.equal(404, ask().status)
		server:ctl("shell", "module", "load", "second", "localhost")
		assert.equal("renewed", ask().body)
	end)

	describe("behind a proxy that sends Forwarded", function()
		for said, expected in pairs {
			["for=192.0.2.60;proto=https"] = "192.0.2.60 true", -- only proxies of ours: the outermost one is who asks
			["for=198.51.100.7;proto=https;by=203.0.113.43"] = "198.51.100.7 true",
			["For=\"[2001:db9::17]:4711\""] = "2001:db9::17 false",
			["for=6.6.6.6, for=198.51.100.7, for=192.0.2.1;proto=https"] = "198.51.100.7 true",
			["for=6.6.6.6, for=198.51.100.7, for=\"[2001:db8::1]\""] = "198.51.100.7 false",
			["for=198.51.100.7:8080"] = "198.51.100.7 false",
			["for=unknown"] = "127.0.0.2 false", ["for=_hidden"] = "127.0.0.2 false",
			["for=6.6.6.6, for=_hidden"] = "127.0.0.2 false",
			["this is no such header"] = "127.0.0.2 false",
		} do
			it("knows the client: " .. said, function()
				assert.equal(expected, http.get(server, "/who", { Forwarded = said }, { from_ip = "127.0.0.2" }).body)
			end)
		end

		it("believes nothing else, and nobody else", function()
			assert.equal("127.0.0.2 false", http.get(server, "/who", { ["X-Forwarded-For"] = "198.51.100.7",
				["X-Forwarded-Proto"] = "https" }, { from_ip = "127.0.0.2" }).body)
			assert.equal("127.0.0.3 false", http.get(server, "/who", { Forwarded = "for=198.51.100.7;proto=https" },
				{ from_ip = "127.0.0.3" }).body)
		end)
	end)
end)
