local x509 = require "prosody.util.x509"
local core = require "prosody.util.x509core"

local function certificate(names)
	return { names = function () return names end }
end

local function verifies(host, names, service)
	return x509.verify_identity(host, service or "xmpp-server", certificate(names))
end

describe("util.x509", function ()
	it("finds a host among the DNS names, whatever their case", function ()
		assert.is_true(verifies("b.test", { dns = { "a.test", "B.Test" } }))
		assert.is_true(verifies("B.test", { dns = { "b.test" } }))
		assert.is_false(verifies("b.test", { dns = { "a.test", "b.test.evil", "xb.test", "test" } }))
		assert.is_false(verifies("b.test", {}))
	end)

	it("never looks at the common name", function ()
		assert.is_false(verifies("b.test", { common_name = "b.test" }))
	end)

	it("takes a wildcard for one whole label (RFC 9525 6.3)", function ()
		assert.is_true(verifies("a.b.test", { dns = { "*.b.test" } }))
		assert.is_false(verifies("b.test", { dns = { "*.b.test" } }))
		assert.is_false(verifies("a.c.b.test", { dns = { "*.b.test" } }))
		for _, name in ipairs { "*.test", "*", "f*.b.test", "*f.b.test", "*.*.test", "a.*.test", "**.b.test", "*.b.test." } do
			assert.is_false(verifies("foo.b.test", { dns = { name } }), name)
			assert.is_false(verifies("b.test", { dns = { name } }), name)
		end
	end)

	it("compares A-labels", function ()
		assert.is_true(verifies("bücher.test", { dns = { "xn--bcher-kva.test" } }))
		assert.is_false(verifies("bücher.test", { dns = { "bücher.test" } }))
	end)

	it("takes an SRV name for its service alone", function ()
		local names = { srv = { "_xmpp-server.b.test" } }
		assert.is_true(verifies("b.test", names, "xmpp-server"))
		assert.is_false(verifies("b.test", names, "xmpp-client"))
		assert.is_false(verifies("c.test", names, "xmpp-server"))
		assert.is_false(verifies("a.b.test", { srv = { "_xmpp-server.*.b.test" } }))
	end)

	it("takes an XMPP address of a server, not of a person", function ()
		assert.is_true(verifies("b.test", { xmpp = { "B.test" } }))
		assert.is_true(verifies("bücher.test", { xmpp = { "bücher.test" } }))
		assert.is_false(verifies("b.test", { xmpp = { "romeo@b.test", "b.test/x" } }))
	end)

	it("takes an address for a host that is called by it, and nothing else (RFC 9525 6.5)", function ()
		assert.is_true(verifies("192.0.2.1", { ip = { "192.0.2.1" } }))
		assert.is_true(verifies("[2001:db8::1]", { ip = { "2001:db8:0:0::1" } }))
		assert.is_false(verifies("192.0.2.1", { ip = { "192.0.2.2" }, dns = { "192.0.2.1" }, xmpp = { "192.0.2.1" } }))
		assert.is_false(verifies("192.0.2.1", { srv = { "_xmpp-server.192.0.2.1" } }))
		assert.is_false(verifies("[::ffff:192.0.2.1]", { ip = { "192.0.2.1" } }))
		assert.is_false(verifies("b.test", { ip = { "192.0.2.1" } }))
	end)

	it("refuses hosts that are none", function ()
		assert.is_false(verifies("", { dns = { "" } }))
		assert.is_false(verifies("a b", { dns = { "a b" } }))
	end)

	it("tells what a certificate is for", function ()
		assert.same({
			["b.test"] = { ["*"] = true, ["xmpp-client"] = true }, ["*.b.test"] = { ["*"] = true },
			["c.test"] = { ["xmpp-client"] = true, ["xmpp-server"] = true },
		}, x509.get_identities(certificate {
			dns = { "b.test", "*.b.test" }, srv = { "_xmpp-client.b.test", "nonsense" }, xmpp = { "c.test", "romeo@d.test" },
		}))
		assert.same({ "romeo@d.test" }, x509.get_client_jids(certificate { xmpp = { "c.test", "romeo@d.test" } }))
	end)

	it("reads real certificates, and their names as LuaSec gives them", function ()
		local path = os.tmpname()
		os.remove(path)
		local key = assert(core.generate_key(path .. ".key"))
		assert(core.self_sign { key = key, names = { "b.test", "*.b.test" }, path = path .. ".crt" })
		local cert = assert(x509.load(path .. ".crt"))
		os.remove(path .. ".key")
		os.remove(path .. ".crt")
		assert.is_true(x509.verify_identity("b.test", "xmpp-client", cert))
		assert.is_true(x509.verify_identity("a.b.test", "xmpp-client", cert))
		assert.is_false(x509.verify_identity("c.test", "xmpp-client", cert))
		local luasec = { extensions = function () return cert:extensions() end }
		assert.is_true(x509.verify_identity("b.test", "xmpp-client", luasec))
		local pem = cert:pem()
		local der, kind = x509.pem2der(pem)
		assert.equal("CERTIFICATE", kind)
		assert.equal((pem:gsub("%s", "")), (x509.der2pem(der):gsub("%s", "")))
		for line in x509.der2pem(der):gmatch("[^\n]+") do assert.is_true(#line <= 64) end
	end)

	it("says why a file cannot be read", function ()
		local cert, err = x509.load("/nonexistent.crt")
		assert.is_nil(cert)
		assert.matches("/nonexistent.crt", err)
		assert.is_nil((x509.pem2der("nothing")))
	end)
end)
