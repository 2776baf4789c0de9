--- coupletctl check dns, as to TLSA records: do they fit the certificate?

local ctl = require "spec.support.ctl"
local dns = require "spec.support.dns"
local federation = require "spec.support.federation"

local zone = ([[
good     A 192.0.2.1
changed  A 192.0.2.1
byname   A 192.0.2.1
tampered A 192.0.2.1
_xmpp-server._tcp.good     SRV 0 0 5269 good
_5269._tcp.good            TLSA %s
_5269._tcp.good            TLSA %s
_xmpp-server._tcp.changed  SRV 0 0 5269 changed
_5269._tcp.changed         TLSA %s
_xmpp-server._tcp.byname   SRV 0 0 5269 byname
_5269._tcp.byname          TLSA 2 0 1 %s
_xmpp-server._tcp.tampered SRV 0 0 5269 tampered
_5269._tcp.tampered        TLSA 3 1 1 baddbadd%s
]]):format(federation.tlsa("verona", "3 0 1"), federation.tlsa("capulet", "3 1 1"), federation.tlsa("capulet", "3 1 1"),
	("ab"):rep(32), ("ab"):rep(28))
local open_zone = ("good A 192.0.2.1\n_xmpp-server._tcp.good SRV 0 0 5269 good\n_5269._tcp.good TLSA %s\n"):format(
	federation.tlsa("verona", "3 1 1"))
local name_server, missing = dns.start({ example = zone }, { open = open_zone })
if not name_server then
	describe("coupletctl check dns", function () pending("has no name server here: " .. missing) end)
	return
end

describe("coupletctl check dns, as to TLSA records,", function ()
	local place

	teardown(function () name_server:stop() end)
	after_each(function () place:remove() end)

	local function check(host)
		place = ctl.place(name_server:configuration() .. ([[
			interfaces = { "127.0.0.1" }
			external_addresses = { "192.0.2.1" }
			modules_disabled = { "c2s" }
			s2s_ssl = %s
			VirtualHost %q
		]]):format(federation.ssl_option "verona", host))
		return place:run("check", "dns")
	end

	it("finds nothing where one names the certificate", function ()
		local output, code = check "good.example"
		assert.equal(0, code, output)
		assert.matches("_5269._tcp.good.example TLSA: 3 ", output)
		assert.matches("No problems were found", output)
	end)

	it("finds those that do not fit, and gives the right line", function ()
		local output, code = check "changed.example"
		assert.equal(2, code)
		assert.matches("problem: the TLSA records of changed.example do not fit .*verona.crt, so who obeys DANE", output)
		local line = "in the zone: _5269._tcp.changed.example. IN TLSA " .. federation.tlsa("verona", "3 1 1")
		assert.truthy(output:find(line, 1, true), output)
	end)

	it("leaves those about authorities to others", function ()
		local output, code = check "byname.example"
		assert.equal(0, code, output)
	end)

	it("finds those that fail validation, and those that nobody obeys", function ()
		local output, code = check "tampered.example"
		assert.equal(2, code)
		assert.matches("_5269._tcp.tampered.example TLSA: failed validation", output)
		place:remove()
		output, code = check "good.open"
		assert.equal(0, code, output)
		assert.matches("hint: .*not validated, so nobody obeys them: is the zone signed%?", output)
	end)
end)
