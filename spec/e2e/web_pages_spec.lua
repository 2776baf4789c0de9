-- What people and the admin's machines read of the server on the web: the page of a host, its health, and the way from
-- HTTP to HTTPS (RFC 6797).

local http = require "spec.support.http"
local Server = require "spec.support.server"

describe("The page of a host", function()
	local server
	setup(function()
		server = Server.start {
			with_http = true, more_modules = { "http_landing" },
			hosts = {
				localhost = [[
					modules_enabled = { "register_ibr"; "server_contact_info" }
					allow_registration = true
					contact_info = { support = { "xmpp:help@localhost", "mailto:help@localhost?subject=Hi" },
						abuse = "javascript:alert(1)" }]],
				["montague.example"] = [[
					landing_title = "<b>Montague</b> & \"sons\""
					landing_text = { "One <script>", "Two" }
					landing_clients = { { name = "Mine", url = "https://mine.example/?a=1&b='2'" } } ]],
				["guests.example"] = [[authentication = "anonymous"; http_paths = { landing = "/about" }]],
			},
		}
	end)
	teardown(function() server:stop() end)

	it("says what the server is, how to join, which apps there are and whom to ask", function()
		local page = http.get(server, "/")
		assert.same({ 200, "text/html; charset=utf-8" }, { page.status, page.headers["content-type"] })
		for _, text in ipairs {
			'<html lang="en">', "<h1>localhost</h1>", "<code>you@localhost</code>", "Let it make an account",
			'<a href="https://conversations.im/">Conversations</a> <span>Android</span>',
			'<a href="xmpp:help@localhost">help@localhost</a>', '<a href="mailto:help@localhost?subject=Hi">help@localhost</a>',
		} do assert.truthy(page.body:find(text, 1, true), text .. " is missing in\n" .. page.body) end
		assert.falsy(page.body:find "[{}]", "something was not filled in:\n" .. page.body)
		assert.falsy(page.body:find "other server") -- s2s is not loaded
	end)

	it("has no script, asks no other site for anything, and may not be framed", function()
		local page = http.get(server, "/")
		assert.falsy(page.body:find "<script")
		assert.falsy(page.body:find "style=")
		for address in page.body:gmatch 'src="([^"]*)' do assert.truthy(address:find "^/", address) end
		local policy = page.headers["content-security-policy"]
		assert.truthy(policy:find("default-src 'none'", 1, true) and policy:find("frame-ancestors 'none'", 1, true))
		assert.falsy(policy:find "unsafe")
		for path, kind in pairs { ["/landing.css"] = "text/css; charset=utf-8", ["/landing.svg"] = "image/svg+xml" } do
			local part = http.get(server, path)
			assert.same({ 200, kind }, { part.status, part.headers["content-type"] })
			assert.truthy(page.body:find('"' .. path .. '"', 1, true))
		end
	end)

	it("shows an address that no browser should follow as text", function()
		local body = http.get(server, "/").body
		assert.truthy(body:find("<dd>javascript:alert(1)</dd>", 1, true))
		assert.falsy(body:find 'href="javascript')
	end)

	it("takes title, text and apps from the configuration, escaped", function()
		local body = http.get(server, "/", { Host = "montague.example" }).body
		assert.truthy(body:find("<title>&lt;b&gt;Montague&lt;/b&gt; &amp; &quot;sons&quot;</title>", 1, true), body)
		assert.truthy(body:find("<p>One &lt;script&gt;</p>", 1, true))
		assert.truthy(body:find('href="https://mine.example/?a=1&amp;b=&apos;2&apos;">Mine</a>', 1, true))
		assert.truthy(body:find("<li>Ask the admin for an account.</li>", 1, true))
		assert.falsy(body:find("Contact", 1, true))
	end)

	it("can stand elsewhere, and tells guests that they need no account", function()
		assert.equal(404, http.get(server, "/", { Host = "guests.example" }).status)
		local page = http.get(server, "/about/", { Host = "guests.example" })
		assert.truthy(page.body:find("No account is needed", 1, true))
		assert.truthy(page.body:find('href="/about/landing.css"', 1, true))
		assert.equal(200, http.get(server, "/about/landing.css", { Host = "guests.example" }).status)
	end)
end)

describe("Redirects", function()
	local server
	setup(function()
		server = Server.start { with_http = true, more_modules = { "http_redirect" }, config = [[
			http_redirects = {
				["/chat"] = "/conversejs/"; ["/moved"] = { "https://new.example/", permanent = true };
				["/blog/*"] = "https://blog.example/"; ["/here/*"] = "/"; ["nonsense"] = "/";
			}]] }
		server:expects_error "http_redirects"
	end)
	teardown(function() server:stop() end)

	local function leads(path)
		local response = http.get(server, path)
		return response.status .. " " .. tostring(response.headers.location)
	end

	it("lead where the configuration says", function()
		assert.equal("302 /conversejs/", leads "/chat?x=y")
		assert.equal("301 https://new.example/", leads "/moved")
		assert.equal("302 https://blog.example/2026/a%20b?c=d", leads "/blog/2026/a%20b?c=d")
		assert.equal("404 nil", leads "/other")
	end)

	it("lead to no other site, whatever is asked for", function()
		assert.equal("302 /evil.example/", leads "/here//evil.example/")
		assert.equal("302 https://blog.example/evil.example", leads "/blog///evil.example")
		assert.equal("302 https://blog.example/%22%3Cscript%3E", leads "/blog/%22%3cscript%3e")
		assert.equal("400 nil", leads "/blog/%0d%0aSet-Cookie:%20a=b")
	end)
end)

describe("Health", function()
	it("is OK, until a module says that it is not", function()
		local server = Server.start { with_http = true, more_modules = { "http_health" } }
		local response = http.get(server, "/health", { Host = "whatever" })
		assert.same({ 200, "OK\n", "no-store" }, { response.status, response.body, response.headers["cache-control"] })
		server:ctl("shell", [[> hosts.localhost.modules.ping.module:set_status("error", "out of order")]])
		response = http.get(server, "/health")
		assert.same({ 500, "localhost: mod_ping: out of order\n" }, { response.status, response.body })
		server:stop()
	end)

	it("is told to those who may know, and never through a proxy that was not named", function()
		local function start(config)
			return Server.start { with_http = true, more_modules = { "http_health" }, config = config }
		end
		local server = start()
		assert.equal(403, http.get(server, "/health", { ["X-Forwarded-For"] = "127.0.0.1" }).status)
		assert.equal(403, http.get(server, "/health", { Forwarded = "for=127.0.0.1" }).status)
		server:stop()
		server = start 'health_allow_ips = { "192.0.2.0/24", "nonsense" }; trusted_proxies = { "127.0.0.1" }'
		server:expects_error '"nonsense" is neither an address nor a network'
		assert.equal(403, http.get(server, "/health").status)
		assert.equal(200, http.get(server, "/health", { ["X-Forwarded-For"] = "192.0.2.7" }).status)
		assert.equal(403, http.get(server, "/health", { ["X-Forwarded-For"] = "127.0.0.1" }).status)
		server:stop()
	end)
end)

describe("Strict HTTPS", function()
	local server
	setup(function()
		server = Server.start {
			with_http = true, more_modules = { "strict_https", "http_landing", "bosh", "http_health" },
			hosts = {
				localhost = "",
				["montague.example"] = 'http_external_url = "https://chat.montague.example/"',
				["capulet.example"] = [[http_host = "web.capulet.example"
					http_external_url = "https://chat.capulet.example/x/"]],
			},
		}
	end)
	teardown(function() server:stop() end)

	it("tells browsers to come back with TLS only, and says so inside TLS only", function()
		local inside = http.get(server, "/", nil, { tls = true })
		assert.same({ 200, "max-age=31556952" }, { inside.status, inside.headers["strict-transport-security"] })
		assert.is_nil(http.get(server, "/").headers["strict-transport-security"])
	end)

	it("sends those without TLS to HTTPS, with the method they had", function()
		local response = http.get(server, "/?a=b")
		assert.same({ 301, ("https://localhost:%d/?a=b"):format(server.https_port) },
			{ response.status, response.headers.location })
		response = http.request(server, "POST", "/http-bind", { ["Content-Type"] = "text/xml" }, "<body/>")
		assert.same({ 308, ("https://localhost:%d/http-bind"):format(server.https_port) },
			{ response.status, response.headers.location })
	end)

	it("names the address the outside knows, and is not led to another site", function()
		local there = { Host = "montague.example" }
		assert.equal("https://chat.montague.example/", http.get(server, "/", there).headers.location)
		assert.equal(404, http.get(server, "//evil.example/", there).status)
		assert.equal("https://chat.capulet.example/landing.css",
			http.get(server, "/landing.css", { Host = "web.capulet.example" }).headers.location)
	end)

	it("leaves alone what machines read of the whole server", function()
		assert.equal(200, http.get(server, "/health").status)
	end)
end)
