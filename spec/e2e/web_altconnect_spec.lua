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
end)
