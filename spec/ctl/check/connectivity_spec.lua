--- coupletctl check connectivity, with servers of ours at the addresses that a name server of the spec gives.

local federation = require "spec.support.federation"
local Server = require "spec.support.server"

describe("coupletctl check connectivity", function ()
	local server, names

	after_each(function ()
		if server then server:stop() end
		if names then names:close() end
		server, names = nil, nil
	end)

	-- A server for montague.example, which the DNS leads to. Gives its port for servers.
	local function start()
		local s2s_port = Server.free_port()
		names = federation.name_server {}
		server = Server.start {
			hosts = { ["montague.example"] = "" }, with_s2s = true,
			config = ("s2s_ports = { %d }\nunbound = { resolvconf = false; hoststxt = false; trusted = {}; "):format(s2s_port)
				.. ("forward = '127.0.0.1@%d' }\n"):format(names.port),
		}
		server:awaits_log "Activated service 's2s'"
		names.ports["_xmpp-client._tcp.montague.example"] = server.port
		names.ports["_xmpps-client._tcp.montague.example"] = server.direct_port
		names.ports["_xmpp-server._tcp.montague.example"] = s2s_port
		return s2s_port
	end

	local function says(output, text) assert.is_truthy(output:find(text, 1, true), output) end

	it("finds nothing where clients and servers get in", function ()
		local s2s_port = start()
		local output, code = server:ctl("check", "connectivity")
		assert.equal(0, code, output)
		local where = "montague.example for %s: here.example [127.0.0.1] port %d%s: TLSv1.3, the certificate is good"
		says(output, where:format("clients", server.port, ""))
		says(output, where:format("clients", server.direct_port, ", direct TLS"))
		says(output, where:format("servers", s2s_port, ""))
	end)

	it("finds ports that nobody answers, and where TLS is not what it should be", function ()
		start()
		names.ports["_xmpp-client._tcp.montague.example"] = Server.free_port()
		names.ports["_xmpps-client._tcp.montague.example"] = server.port
		local output, code = server:ctl("check", "connectivity")
		assert.equal(2, code)
		says(output, ("port %d: "):format(names.ports["_xmpp-client._tcp.montague.example"]))
		says(output, "refused")
		assert.matches(("problem: [^\n]+ port %d, direct TLS: "):format(server.port), output)
		says(output, "2 problems were found")
	end)

	it("finds a certificate that others do not trust", function ()
		start()
		local strange = federation.certificate("self").certificate -- the only authority that those others know
		server:configure { hosts = { ["montague.example"] = ("ssl = { cafile = %q }\n"):format(strange) } }
		local output, code = server:ctl("check", "connectivity")
		assert.equal(2, code)
		says(output, "others do not trust the certificate: self-signed certificate in certificate chain")
		says(output, "3 problems were found")
	end)

	it("notices that the server still shows an old certificate", function ()
		start()
		local new = federation.certificate "montague"
		server:configure { hosts = { ["montague.example"] = ("ssl = { certificate = %q; key = %q }\n"):format(
			new.certificate, new.key) } }
		local output, code = server:ctl("check", "connectivity")
		assert.equal(0, code, output)
		says(output, "shows another certificate than " .. new.certificate)
		server:reload()
		output, code = server:ctl("check", "connectivity")
		assert.equal(0, code, output)
		assert.is_nil(output:find("another certificate", 1, true), output)
	end)

	it("finds a server that does not serve the host", function ()
		start()
		server:configure { hosts = { ["montague.example"] = "", ["verona.example"] = "" } }
		for _, service in ipairs { "_xmpp-client._tcp.", "_xmpps-client._tcp.", "_xmpp-server._tcp." } do
			names.ports[service .. "verona.example"] = names.ports[service .. "montague.example"]
		end
		local output, code = server:ctl("check", "connectivity")
		assert.equal(2, code)
		assert.matches("verona.example for clients: [^\n]+: the stream ended with host%-unknown", output)
		says(output, "the certificate does not name verona.example")
	end)
end)
