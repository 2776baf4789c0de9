-- DANE (RFC 6698, RFC 7671, RFC 7673, RFC 7712): TLSA records in signed zones prove certificates that no authority has
-- signed, and refuse others whoever has signed them; when we come to a server, and when it comes to us.

local dns = require "spec.support.dns"
local federation = require "spec.support.federation"
local loop = require "spec.support.loop"
local Server = require "spec.support.server"

local certs = require "spec.support.certs"
local tlsa = federation.tlsa
local ports = { montague = Server.free_port(), capulet = Server.free_port() }

-- Domains of capulet: certificate, TLSA records of its server (a host of its own), what it tests. "dane" is good by
-- authority, "self", "capulet_self" and "strange..." are not.
local other_key = "3 1 1 " .. ("ab"):rep(32)
local good = {
	ee = { "capulet_self", { tlsa("capulet_self", "3 1 1") }, "has a key that is named (3 1 1), whatever its names" },
	full = { "self", { tlsa("self", "3 0 1") }, "is named itself (3 0 1)" },
	rollover = { "self", { other_key, tlsa("self", "3 1 1") }, "is one of two that are named" },
	ta = { "strange_ta", { tlsa("strange_ca", "2 0 1") }, "is signed by an authority that is named (2 0 1)" },
	pkix_ee = { "dane", { tlsa("dane", "1 1 1") }, "is named and trusted (1 1 1)" },
	pkix_ta = { "dane", { "0 0 1 " .. "@ca@" }, "is signed by an authority that is named and trusted (0 0 1)" },
	unusable = { "dane", { "9 1 1 00ff", "3 1 1 00ff" }, "is trusted, and the records are of no kind we know" },
	delegated = { "host", {}, "is trusted and names the server that validated records name" },
	none = { "dane", {}, "is trusted, and there are no records" },
}
local bad = {
	wrong = { "dane", { other_key }, "is not the one that is named, though it is trusted",
		"not the one that the TLSA records of host%-wrong.example. name" },
	wrong_self = { "self", { other_key }, "is neither named nor trusted", "TLSA records of host%-wrong%-self" },
	ta_name = { "strange", { tlsa("strange_ca", "2 0 1") }, "is signed by who is named, for somebody else",
		"fits the TLSA records of host%-ta%-name.example., but is not for ta%-name.example" },
	pkix_self = { "self", { tlsa("self", "1 1 1") }, "is named, but would have to be trusted too (1 1 1)",
		"TLSA records of host%-pkix%-self" },
	unusable_self = { "self", { "9 1 1 00ff" }, "is not trusted, and the records are of no kind we know",
		"certificate is not trusted: self%-signed" },
	other_host = { "host", {}, "is trusted, but names another server", "trusted, but not for other%-host.example" },
	none_self = { "self", {}, "is not trusted, and there are no records", "certificate is not trusted: self%-signed" },
	tampered = { "dane", { "3 1 1 baddbadd" .. ("ab"):rep(28) }, "is trusted, but its records were tampered with",
		"TLSA records of host%-tampered.example.: validation failure" },
	silent = { "dane", { tlsa("dane", "3 1 1") }, "is named by records that nobody answers for",
		"TLSA records of host%-silent.example.: no answer" },
}

local function dashed(name) return (name:gsub("_", "-")) end

local function zone_of(domains)
	local lines = {}
	for name, domain in pairs(domains) do
		name = dashed(name)
		table.insert(lines, ("host-%s A 127.0.0.1"):format(name))
		table.insert(lines, ("_xmpp-server._tcp.%s SRV 0 0 %d host-%s"):format(name, ports.capulet, name))
		for _, record in ipairs(domain[2]) do
			table.insert(lines, ("_%d._tcp.host-%s TLSA %s"):format(ports.capulet, name, record))
		end
	end
	return table.concat(lines, "\n") .. "\n"
end

local function ca_digest()
	local pipe = io.popen(("openssl x509 -in '%s' -outform DER | openssl dgst -sha256 -r"):format(certs.path "ca.crt"))
	local digits = pipe:read("a"):match "^%x+"
	pipe:close()
	return digits
end

local signed = (zone_of(good):gsub("@ca@", ca_digest)) .. zone_of(bad) .. ([[
host A 127.0.0.1
_xmpp-server._tcp.montague SRV 0 0 %d host
at-home A 127.0.0.1
_5269._tcp.at-home TLSA %s
]]):format(ports.montague, tlsa("self", "3 1 1"))

local unsigned = zone_of { ee = good.ee, delegated = good.delegated }
local name_server, missing = dns.start({ example = signed }, { open = unsigned })
if not name_server then
	describe("DANE", function () pending("cannot be shown here: " .. missing) end)
	return
end

describe("DANE:", function ()
	local montague, capulet

	local function start_montague(port, more)
		local server = Server.start {
			with_s2s = true, hosts = { ["montague.example"] = "" },
			more_modules = { "dialback", "s2s_bidi", "s2s_auth_dane_in" },
			config = federation.ssl "montague" .. ("s2s_ports = { %d }\n"):format(port) .. name_server:configuration()
				.. 's2s_allow_private_targets = { "loopback" }; dns_timeout = 1\n' .. (more or ""),
		}
		server.s2s_port = port
		return server
	end

	setup(function ()
		name_server.relay.silent = { ["^_%d+%._tcp%.host%-silent%.example%./52"] = true }
		montague = start_montague(ports.montague, "use_dane = true")
		local hosts = {
			["ee.open"] = "s2s_ssl = " .. federation.ssl_option "capulet_self",
			["delegated.open"] = "s2s_ssl = " .. federation.ssl_option "host",
		}
		for _, domains in ipairs { good, bad } do
			for name, domain in pairs(domains) do
				hosts[dashed(name) .. ".example"] = "s2s_ssl = " .. federation.ssl_option(domain[1])
			end
		end
		capulet = Server.start {
			with_s2s = true, hosts = hosts,
			config = ("s2s_ports = { %d }\n"):format(ports.capulet) .. name_server:configuration()
				.. 's2s_allow_private_targets = { "loopback" }\n',
		}
	end)
	teardown(function ()
		montague:stop()
		capulet:stop()
		name_server:stop()
	end)

	local function ping(romeo, domain)
		return romeo:asks(("<iq type='get' to='%s'><ping xmlns='urn:xmpp:ping'/></iq>"):format(domain))
	end

	describe("a server that we come to", function ()
		local romeo
		setup(function () romeo = montague:person "romeo" end)

		for name, domain in pairs(good) do
			it("is believed when its certificate " .. domain[3], function ()
				local host = dashed(name) .. ".example"
				-- Its answer comes on a stream of its own, on which the same certificate has to prove it to us.
				local reply = ping(romeo, host)
				local told = montague:ctl("s2s", "explain", host)
				assert.equal("result", reply.attr.type, told)
				if name == "delegated" then assert.matches("valid for host%-delegated.example., to which validated", told) end
				local needs_dane = domain[2][1] and name ~= "unusable"
				assert.equal(needs_dane and true or false, told:find("name (DANE)", 1, true) ~= nil, told)
			end)
		end

		for name, domain in pairs(bad) do
			it("is not believed when its certificate " .. domain[3], function ()
				local reply = ping(romeo, dashed(name) .. ".example")
				assert.equal("error", reply.attr.type)
				assert.matches(domain[4], reply:at("error", "text"):text())
			end)
		end

		it("is not believed by records of a zone that is not signed", function ()
			local reply = ping(romeo, "ee.open")
			assert.matches("not trusted: self%-signed", reply:at("error", "text"):text())
			reply = ping(romeo, "delegated.open")
			assert.matches("trusted, but not for delegated.open", reply:at("error", "text"):text())
		end)
	end)

	it("what records refuse is refused even where policy wants no certificate", function ()
		local server = start_montague(Server.free_port(), "use_dane = true; s2s_secure_auth = false")
		finally(function () server:stop() end)
		local reply = ping(server:person "romeo", "wrong.example")
		assert.matches("TLSA records of host%-wrong", reply:at("error", "text"):text())
	end)

	it("is left alone unless use_dane says so", function ()
		local server = start_montague(Server.free_port())
		finally(function () server:stop() end)
		local romeo = server:person "romeo"
		assert.matches("not trusted: self%-signed", ping(romeo, "ee.example"):at("error", "text"):text())
		local from = server:log_position()
		romeo:sends "<message to='juliet@wrong.example'><body>hello</body></message>"
		server:awaits_log("montague.example talks to wrong.example", from)
	end)

	describe("a server that the configuration names", function ()
		local function start(host)
			local server = start_montague(Server.free_port(), ("use_dane = true; s2s_connect_overrides = { ['ee.open'] = "
				.. "{ host = %q; port = %d } }"):format(host, ports.capulet))
			finally(function () server:stop() end)
			return server, server:person "romeo"
		end

		it("is believed, in both directions, by its own records, whatever the zone of its domain is worth", function ()
			local server, romeo = start "host-ee.example"
			romeo:sends "<message to='juliet@ee.open' type='headline'><body>hello</body></message>"
			server:awaits_log "montague.example talks to ee.open"
			assert.matches("the TLSA records of host%-ee.example. name %(DANE%)", (server:ctl("s2s", "explain", "ee.open")))
			local peer = federation.peer(server, { from = "ee.open", certificate = "capulet_self" })
			peer:logs_in_with_certificate():settles()
			peer:vanishes()
			peer = federation.peer(server, { from = "ee.open", certificate = "self" }):under_tls()
			peer:opens_only()
			peer:is_thrown_out "not-authorized"
		end)

		it("is not believed when its records name another certificate, or when it has none", function ()
			for host, why in pairs { ["host-wrong.example"] = "TLSA records of host%-wrong",
				["host-other-host.example"] = "not trusted: self%-signed", ["127.0.0.1"] = "not trusted: self%-signed" } do
				local _, romeo = start(host)
				assert.matches(why, ping(romeo, "ee.open"):at("error", "text"):text())
			end
		end)
	end)

	describe("a server that comes to us", function ()
		local function comes(from, certificate)
			return federation.peer(montague, { from = from, certificate = certificate })
		end

		local function is_refused(from, certificate)
			local peer = comes(from, certificate):under_tls()
			peer:opens_only()
			peer:is_thrown_out "not-authorized"
		end

		it("is believed when its certificate is the one that is named for its domain's servers", function ()
			for domain, certificate in pairs { ["ee.example"] = "capulet_self", ["full.example"] = "self",
				["ta.example"] = "strange_ta", ["rollover.example"] = "self", ["delegated.example"] = "host" } do
				local peer = comes(domain, certificate):logs_in_with_certificate()
				peer:settles()
				peer:vanishes()
			end
		end)

		it("is believed by records of the domain itself when that has no SRV records", function ()
			comes("at-home.example", "self"):logs_in_with_certificate():vanishes()
		end)

		it("is not believed when it is not", function ()
			is_refused("ee.example", "self")
			is_refused("wrong-self.example", "self")
			is_refused("ta-name.example", "strange")
			is_refused("none-self.example", "self")
			is_refused("other-host.example", "host")
			is_refused("delegated.open", "host")
			is_refused("nobody.example", "self")
		end)

		it("is not believed by records that are not validated, or that nobody answers for", function ()
			is_refused("ee.open", "capulet_self")
			is_refused("tampered.example", "self")
			local began = loop.now()
			is_refused("silent.example", "self")
			assert.is_true(loop.now() - began < 30)
		end)

		it("may have another certificate than the one it is reached by, if that is trusted", function ()
			comes("wrong.example", "dane"):logs_in_with_certificate():vanishes()
		end)

		it("is sent nothing on its own stream (XEP-0288) unless its certificate is the one that is named", function ()
			local function offers_bidi(domain, certificate)
				local peer = comes(domain, certificate):under_tls()
				local is_offered = peer:opens():child("bidi", "urn:xmpp:features:bidi") ~= nil
				peer:vanishes()
				return is_offered
			end
			assert.is_true(offers_bidi("ee.example", "capulet_self"))
			assert.is_true(offers_bidi("none.example", "dane"))
			assert.is_true(offers_bidi("unusable.example", "dane"))
			assert.is_false(offers_bidi("wrong.example", "dane"))
			assert.is_false(offers_bidi("tampered.example", "dane"))
			assert.is_false(offers_bidi("silent.example", "dane"))
		end)

		it("is believed for further domains in the same way, without dialling back", function ()
			local peer = comes("full.example", "self"):logs_in_with_certificate()
			for domain, verdict in pairs { ["rollover.example"] = "valid", ["ee.example"] = "error" } do
				peer:sends_raw(("<db:result from='%s' to='montague.example'>key</db:result>"):format(domain))
				peer:awaits(("<db:result xmlns:db='jabber:server:dialback' from='montague.example' to='%s' type='%s'/>"):format(
					domain, verdict))
			end
			peer:vanishes()
		end)
	end)
end)
