-- The page around Converse.js: what it is told of the host, and what it may not do. Converse itself runs in
-- spec/interop/browser_spec.lua.

local http = require "spec.support.http"
local json = require "util.json"
local Server = require "spec.support.server"

describe("Chat in a browser", function()
	local server, folder
	setup(function()
		local pipe <close> = io.popen "mktemp -d /tmp/couplet-web.XXXXXX"
		folder = pipe:read "l"
		assert(os.execute(([[cd '%s' && mkdir empty && printf script >converse.min.js &&
			printf 'a { }' >converse.min.css && gzip -k converse.min.css]]):format(folder)))
		server = Server.start {
			with_http = true, more_modules = { "conversejs" }, config = ("conversejs_resources = %q"):format(folder),
			hosts = {
				localhost = [[
					modules_enabled = { "register_ibr" }; allow_registration = true
					conversejs_name = "<Home> & \"hearth\""
					conversejs_options = { theme = "nordic"; websocket_url = false; nickname = "</script>" }]],
				["montague.example"] = 'http_external_url = "https://chat.montague.example/web/"',
				["guests.example"] = 'authentication = "anonymous"',
				["bare.example"] = ("conversejs_resources = %q"):format(folder .. "/empty"),
			},
		}
		server:expects_error "there is no converse.min.js"
	end)
	teardown(function()
		server:stop()
		os.execute(("rm -rf '%s'"):format(folder))
	end)

	local function settings(host)
		local script = http.get(server, "/conversejs/start.js", { Host = host })
		assert.equal("text/javascript; charset=utf-8", script.headers["content-type"])
		return json.decode(script.body:match "^window%.converse%.initialize%((.*)%);\n$")
	end

	-- As through a proxy that did TLS, without which the page is elsewhere.
	local function get_page() return http.get(server, "/conversejs/", { Host = "localhost:" .. server.https_port }) end

	it("sends whoever came without TLS to where it is", function()
		local answer = http.get(server, "/conversejs/")
		assert.same({ 302, ("https://localhost:%d/conversejs/"):format(server.https_port) },
			{ answer.status, answer.headers.location })
	end)

	it("is a page with Converse's files, and the path without a slash leads there", function()
		assert.equal("/conversejs/", http.get(server, "/conversejs").headers.location)
		local page = get_page()
		assert.same({ 200, "text/html; charset=utf-8" }, { page.status, page.headers["content-type"] })
		for _, path in ipairs { "start.js", "page.js", "page.css", "manifest.json" } do
			assert.truthy(page.body:find('"' .. path .. '"', 1, true), path)
			assert.equal(200, http.get(server, "/conversejs/" .. path).status)
		end
		assert.equal("script", http.get(server, "/conversejs/dist/converse.min.js").body)
		assert.equal(404, http.get(server, "/conversejs/dist/other/converse.min.js").status)
		assert.equal(400, http.get(server, "/conversejs/dist/../../secret").status)
	end)

	it("lets browsers keep Converse's files for good, under a path that changes with the build", function()
		local path = get_page().body:match '"(dist/%w+)/converse.min.js"'
		local script = http.get(server, "/conversejs/" .. path .. "/converse.min.js")
		assert.same({ 200, "script", "public, max-age=31536000, immutable" },
			{ script.status, script.body, script.headers["cache-control"] })
		assert.equal("/conversejs/" .. path .. "/", settings("localhost").assets_path)
		assert.equal("no-cache", http.get(server, "/conversejs/dist/converse.min.js").headers["cache-control"])
		assert.equal("no-cache", http.get(server, "/conversejs/start.js").headers["cache-control"])
	end)

	it("sends what is compressed already to browsers that take it so (RFC 9110 12.5.3)", function()
		local path = "/conversejs/dist/converse.min.css"
		local plain = http.get(server, path)
		assert.same({ 200, "a { }", "Accept-Encoding" }, { plain.status, plain.body, plain.headers.vary })
		assert.is_nil(plain.headers["content-encoding"])
		local packed = http.get(server, path, { ["Accept-Encoding"] = "br, gzip;q=0.5" })
		assert.same({ "gzip", "text/css; charset=utf-8", "Accept-Encoding" }, { packed.headers["content-encoding"],
			packed.headers["content-type"], packed.headers.vary })
		assert.equal("\31\139", packed.body:sub(1, 2))
		assert.not_equal(plain.headers.etag, packed.headers.etag)
		assert.equal("a { }", http.get(server, path, { ["Accept-Encoding"] = "gzip;q=0, *" }).body)
		assert.equal(304, http.get(server, path,
			{ ["Accept-Encoding"] = "gzip", ["If-None-Match"] = packed.headers.etag }).status)
	end)

	it("tells Converse where the host is, over TLS and from the outside's point of view", function()
		local here = settings "montague.example"
		assert.same({
			"wss://chat.montague.example/web/xmpp-websocket", "https://chat.montague.example/web/http-bind",
			true, "montague.example", "login", false,
		}, { here.websocket_url, here.bosh_service_url, here.assets_path:find "^/web/conversejs/dist/%w+/$" ~= nil,
			here.locked_domain, here.authentication,
			here.allow_registration })
	end)

	it("lets guests in without a question", function()
		local here = settings "guests.example"
		assert.same({ "anonymous", true, "guests.example" }, { here.authentication, here.auto_login, here.jid })
	end)

	it("takes the admin's settings over ours, and shows registration when it is open", function()
		local here = settings "localhost"
		assert.same({ "nordic", false, true, ("https://localhost:%d/http-bind"):format(server.https_port) },
			{ here.theme, here.websocket_url, here.allow_registration, here.bosh_service_url })
		local page = get_page().body
		assert.truthy(page:find("<title>&lt;Home&gt; &amp; &quot;hearth&quot;</title>", 1, true), page)
	end)

	it("runs no script but its own, and may not be framed", function()
		local page = get_page()
		local policy = "; " .. page.headers["content-security-policy"] .. ";"
		for _, directive in ipairs { "script-src 'self' 'wasm-unsafe-eval'", "object-src 'none'", "base-uri 'none'",
			"frame-ancestors 'none'", "frame-src 'none'" } do
			assert.truthy(policy:find("; " .. directive .. ";", 1, true), directive)
		end
		for script in page.body:gmatch "<script.->(.-)</script>" do assert.equal("", script) end
		assert.same({ "nosniff", "no-referrer" }, { page.headers["x-content-type-options"], page.headers["referrer-policy"] })
	end)

	it("without Converse's files is not there, and the log says how to get them", function()
		assert.equal(404, http.get(server, "/conversejs/", { Host = "bare.example" }).status)
		assert.truthy(server:log():find('run "make conversejs"', 1, true))
	end)
end)
