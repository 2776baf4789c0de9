-- Where web clients connect (XEP-0156).

local http = require "spec.support.http"
local Server = require "spec.support.server"
local xml = require "spec.support.xml"

describe("host-meta", function()
	local server
	setup(function()
		server = Server.start {
			with_http = true, more_modules = { "http_altconnect", "websocket" },
			hosts = { localhost = 'modules_enabled = { "bosh" }',
				["montague.example"] = [[http_external_url = "https://chat.montague.example/"
					altconnect_ips = { "192.0.2.1", "2001:db8::1" }; altconnect_ttl = "1 day"
					altconnect_pins = { "cGlu" }
					altconnect_links = { { rel = "urn:xmpp:alt-connections:quic", href = "https://q.example/" } }]] },
		}
	end)
	teardown(function() server:stop() end)

	it("names WebSocket and BOSH where they are served", function()
		local response = http.get(server, "/.well-known/host-meta")
		assert.same({ 200, "application/xrd+xml", "*" }, { response.status, response.headers["content-type"],
			response.headers["access-control-allow-origin"] })
		local meta = xml.parse((response.body:gsub("^<%?.-%?>%s*", "")))
		assert.equal("http://docs.oasis-open.org/ns/xri/xrd-1.0", meta.ns)
		local found = {}
		for _, link in ipairs(meta:children "Link") do found[link.attr.rel] = link.attr.href end
		assert.same({
			["urn:xmpp:alt-connections:websocket"] = ("wss://localhost:%d/xmpp-websocket"):format(server.https_port),
			["urn:xmpp:alt-connections:xbosh"] = ("https://localhost:%d/http-bind"):format(server.https_port),
		}, found)
	end)

	it("in JSON says the same", function()
		local response = http.get(server, "/.well-known/host-meta.json")
		assert.equal("application/json", response.headers["content-type"])
		local links = require "util.json".decode(response.body).links
		assert.equal(2, #links)
		assert.equal(("wss://localhost:%d/xmpp-websocket"):format(server.https_port), links[1].href)
	end)

	it("names what the outside sees, and what the admin adds", function()
		local response = http.get(server, "/.well-known/host-meta.json", { Host = "montague.example" })
		assert.same({ links = {
			{ rel = "urn:xmpp:alt-connections:websocket", href = "wss://chat.montague.example/xmpp-websocket" },
			{ rel = "urn:xmpp:alt-connections:quic", href = "https://q.example/" },
		} }, require "util.json".decode(response.body))
	end)

	it("says all there is to know when the admin has told the addresses, over TLS only (XEP-0487)", function()
		local response = http.get(server, "/.well-known/host-meta.json", { Host = "montague.example" }, { tls = true })
		assert.equal("max-age=86400", response.headers["cache-control"])
		local meta = require "util.json".decode(response.body)
		assert.same({ ttl = 86400, ["public-key-pins-sha-256"] = { "cGlu" } }, meta.xmpp)
		local ips = { "192.0.2.1", "2001:db8::1" }
		assert.same({
			{ rel = "urn:xmpp:alt-connections:websocket", href = "wss://chat.montague.example/xmpp-websocket",
				sni = "chat.montague.example", priority = 20, weight = 50, ips = ips },
			{ rel = "urn:xmpp:alt-connections:quic", href = "https://q.example/", sni = "q.example", priority = 20,
				weight = 50, ips = ips },
			{ rel = "urn:xmpp:alt-connections:tls", port = server.direct_port, sni = "montague.example", priority = 10,
				weight = 50, ips = ips },
		}, meta.links)
		local here = http.get(server, "/.well-known/host-meta.json", nil, { tls = true })
		assert.is_nil(require "util.json".decode(here.body).xmpp)
	end)
end)
