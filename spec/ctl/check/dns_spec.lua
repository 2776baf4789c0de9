--- coupletctl check dns, against a real name server that signs its zones.

local ctl = require "spec.support.ctl"
local dns = require "spec.support.dns"
local name_server, missing = dns.start()
if not name_server then
	describe("coupletctl check dns", function () pending("has no name server here: " .. missing) end)
	return
end

describe("coupletctl check dns", function ()
	local places = {}

	teardown(function () name_server:stop() end)
	after_each(function ()
		while places[1] do table.remove(places):remove() end
	end)

	local function check_dns(config)
		table.insert(places, ctl.place(config))
		return places[#places]:run("check", "dns")
	end

	-- What it says about hosts when this machine has these addresses, and its exit code.
	local function check(hosts, addresses, more)
		local lines = { name_server:configuration(), 'interfaces = { "127.0.0.1" }\n', (more or "") .. "\n" }
		table.insert(lines, ("external_addresses = { %s }\n"):format(addresses))
		for _, host in ipairs(hosts) do table.insert(lines, ("VirtualHost %q\n"):format(host)) end
		return check_dns(table.concat(lines))
	end

	local function says(output, text) assert.is_truthy(output:find(text, 1, true), output) end
	local function is_silent_about(output, text) assert.is_nil(output:find(text, 1, true), output) end

	it("finds nothing where records, ports and addresses fit", function ()
		local output, code = check({ "capulet.secure" }, '"192.0.2.10", "2001:db8::10", "192.0.2.4"',
			"s2s_direct_tls_ports = { 5270, 443 }")
		assert.equal(0, code, output)
		says(output, "_xmpp-client._tcp.capulet.secure: xmpp.secure port 5222")
		says(output, "_xmpp-server._tcp.capulet.secure: xmpp.secure port 5269")
		says(output, "_xmpps-server._tcp.capulet.secure: four.secure port 443")
		is_silent_about(output, "hint:")
	end)

	it("finds nothing where no record is needed", function ()
		local output, code = check({ "bare.secure", "localhost", "romeo.local", "romeo" }, '"192.0.2.5", "2001:db8::5"')
		assert.equal(0, code, output)
		says(output, "_xmpp-client._tcp.bare.secure: none, and none is needed")
		says(output, "localhost is this machine")
		says(output, "romeo.local is a name of the local network")
		says(output, "romeo is in no zone")
		says(output, "All is well")
	end)

	it("gives the line for the zone where a host is unknown to the DNS", function ()
		local output, code = check({ "missing.secure" }, '"192.0.2.5"', "c2s_direct_tls_ports = { 5223 }")
		assert.equal(2, code)
		says(output, "in the zone: _xmpp-client._tcp.missing.secure. 3600 IN SRV 0 5 5222 missing.secure.")
		says(output, "in the zone: _xmpp-server._tcp.missing.secure. 3600 IN SRV 0 5 5269 missing.secure.")
		says(output, "in the zone: _xmpps-client._tcp.missing.secure. 3600 IN SRV 0 5 5223 missing.secure.")
	end)

	it("finds ports that are not served, and gives the right line", function ()
		local output, code = check({ "verona.secure" }, '"192.0.2.4"')
		assert.equal(2, code)
		says(output, "leads to port 5333, but c2s is served on 5222; in the zone: "
			.. "_xmpp-client._tcp.verona.secure. 3600 IN SRV 0 5 5222 four.secure.")
		says(output, "_xmpps-client._tcp.verona.secure leads to four.secure port 5223, but nothing is served there; "
			.. "set c2s_direct_tls_ports = { 5223 }")
	end)

	it("finds records that lead to an alias (RFC 2782)", function ()
		local output, code = check({ "verona.secure" }, '"192.0.2.10", "2001:db8::10"')
		assert.equal(2, code)
		says(output, "alias.secure is an alias of xmpp.secure")
	end)

	it("finds addresses of other machines", function ()
		local output, code = check({ "capulet.secure" }, '"198.51.100.7"')
		assert.equal(2, code)
		says(output, "xmpp.secure leads to 2001:db8::10, 192.0.2.10, but this machine has 127.0.0.1, 198.51.100.7")
		says(output, "xmpp.secure. 3600 IN A 198.51.100.7")
		output, code = check({ "capulet.secure" }, '"192.0.2.10"', "s2s_direct_tls_ports = { 5270, 443 }")
		assert.equal(2, code)
		says(output, "hint:    xmpp.secure leads to 2001:db8::10 too")
		says(output, "problem: four.secure leads to 192.0.2.4")
	end)

	it("does not know what stands before a machine with private addresses, and asks", function ()
		local output, code = check({ "bare.secure" }, "")
		assert.equal(0, code, output)
		says(output, "_xmpp-client._tcp.bare.secure: none, and none is needed")
		output, code = check({ "only.secure" }, "")
		assert.equal(2, code, output) -- nothing says where its clients go
		says(output, 'external_addresses = { "192.0.2.4" }')
		says(output, "in the zone: _xmpp-client._tcp.only.secure. 3600 IN SRV 0 5 5222 four.secure.")
	end)

	it("finds services that the zone denies", function ()
		local output, code = check({ "closed.secure" }, '"192.0.2.4"')
		assert.equal(2, code)
		says(output, "_xmpp-server._tcp.closed.secure says that there is no such service")
		output, code = check({ "closed.secure" }, '"192.0.2.4"', 'modules_disabled = { "s2s"; "c2s" }')
		assert.equal(0, code, output)
	end)

	it("finds targets without an address", function ()
		local output, code = check({ "nowhere.secure" }, '"198.51.100.7"')
		assert.equal(2, code)
		says(output, "missing.secure has no address; in the zone: missing.secure. 3600 IN A 198.51.100.7")
	end)

	it("does not believe what fails validation", function ()
		local output, code = check({ "host.broken" }, '"192.0.2.66"')
		assert.equal(2, code)
		says(output, "host.broken A: failed validation")
	end)

	it("says when nobody answers, and waits only once", function ()
		local output, code = check({ "silent.secure", "silent2.secure" }, '"192.0.2.4"', "dns_timeout = 0.5")
		assert.equal(2, code)
		says(output, "_xmpp-client._tcp.silent.secure SRV: no answer within 0.5 seconds")
		says(output, "_xmpp-server._tcp.silent2.secure SRV: no answer within 0.5 seconds")
	end)

	it("asks nothing of clients for components", function ()
		local output, code = check_dns(name_server:configuration()
			.. 'interfaces = { "127.0.0.1" }; external_addresses = { "192.0.2.4" }\nComponent "only.secure"\n')
		assert.equal(0, code, output)
		says(output, "_xmpp-server._tcp.only.secure: four.secure port 5269")
		is_silent_about(output, "xmpp-client")
	end)
end)
