-- coupletctl s2s check: an admin asks what the DNS tells others of his hosts.

local dns = require "spec.support.dns"
local federation = require "spec.support.federation"
local Server = require "spec.support.server"

local port, direct = Server.free_port(), Server.free_port()

local zone = ([[
host A 127.0.0.1
pinned A 127.0.0.1
changed A 127.0.0.1
_xmpp-server._tcp.good     SRV 0 0 @port@ host
_xmpps-server._tcp.good    SRV 0 0 @direct@ host
_xmpp-server._tcp.pinned   SRV 0 0 @port@ pinned
_@port@._tcp.pinned        TLSA @right@
_xmpp-server._tcp.changed  SRV 0 0 @port@ changed
_@port@._tcp.changed       TLSA @wrong@
_xmpp-server._tcp.shut     SRV 0 0 7 host
_xmpp-server._tcp.nowhere  SRV 0 0 @port@ missing
_xmpp-server._tcp.closed   SRV 0 0 0 .
]]):gsub("@(%w+)@", {
	port = tostring(port), direct = tostring(direct), right = federation.tlsa("montague", "3 1 1"),
	wrong = federation.tlsa("capulet", "3 1 1"),
})
local name_server, missing = dns.start { example = zone }
if not name_server then
	describe("coupletctl s2s check", function () pending("needs a name server: " .. missing) end)
	return
end

describe("coupletctl s2s check", function ()
	local server

	setup(function ()
		local hosts = { ["host.broken"] = "", ["host.expired"] = "" }
		for _, name in ipairs { "good", "pinned", "changed", "shut", "nowhere", "closed", "bare" } do
			hosts[name .. ".example"] = ""
		end
		server = Server.start {
			with_s2s = true, hosts = hosts,
			config = federation.ssl "montague" .. name_server:configuration()
				.. ("s2s_ports = { %d }; s2s_direct_tls_ports = { %d }\n"):format(port, direct),
		}
	end)
	teardown(function ()
		server:stop()
		name_server:stop()
	end)

	local function check(host)
		local said, code = server:ctl("s2s", "check", host)
		return said, code
	end

	it("finds nothing where all is well, and shows what there is", function ()
		local said, code = check "good.example"
		assert.equal(0, code, said)
		assert.matches("No problems were found", said)
		assert.matches("_xmpp%-server._tcp.good.example SRV: 0 0 %d+ host.example. %(validated by DNSSEC%)", said)
		assert.matches("_xmpps%-server._tcp.good.example SRV: 0 0 %d+ host.example.", said)
		assert.matches("host.example. A: 127.0.0.1", said)
		assert.matches("This machine has none of these addresses: right if a router forwards port", said)
		assert.equal(0, select(2, check "pinned.example"))
		assert.equal(0, select(2, check "closed.example"))
	end)

	it("finds ports on which nobody listens", function ()
		local said, code = check "shut.example"
		assert.equal(1, code)
		assert.matches("problem: nothing here listens for STARTTLS on port 7: see s2s_ports", said)
	end)

	it("finds names without an address", function ()
		assert.matches("problem: missing.example. has no address: add an A or AAAA record", (check "nowhere.example"))
		local said = check "bare.example"
		assert.matches("Without SRV records others look for bare.example itself, port 5269", said)
		assert.matches("problem: bare.example has no address", said)
		assert.matches("problem: nothing here listens for STARTTLS on port 5269", said)
	end)

	it("finds certificates that are not what TLSA records say, and tells the right record", function ()
		local said = check "changed.example"
		assert.matches("problem: no TLSA record of _%d+._tcp.changed.example. fits .*montague.crt: who obeys DANE refuses us",
			said)
		assert.truthy(said:find("Publish " .. federation.tlsa("montague", "3 1 1"), 1, true), said)
	end)

	it("finds zones that fail validation", function ()
		assert.matches("problem: _xmpp%-server._tcp.host.expired fails validation", (check "host.expired"))
		local said = check "host.broken"
		assert.matches("problem: host.broken. fails validation", said)
		assert.is_nil(said:find("has no address", 1, true))
	end)

	it("looks at all hosts when none is named, and knows which there are", function ()
		local said, code = server:ctl("s2s", "check")
		assert.equal(1, code)
		assert.matches("\ngood.example\n", said)
		assert.matches("\nnowhere.example\n", said)
		assert.matches("%d problems were found", said)
		assert.matches("There is no host verona.example", (check "verona.example"))
	end)
end)
