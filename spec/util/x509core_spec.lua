require "couplet_core"
local x509 = require "util.x509core"

local function output_of(command)
	local pipe = io.popen(command .. " 2>&1")
	local output = pipe:read "a"
	pipe:close()
	return output
end

local function read_file(path)
	local file = assert(io.open(path, "rb"))
	local text = file:read "a"
	file:close()
	return text
end

local folder = output_of "mktemp -d":match "^[^\n]+"
local n_paths = 0
local function new_path()
	n_paths = n_paths + 1
	return ("%s/%d.pem"):format(folder, n_paths)
end

-- A certificate made by the openssl program, with these lines of its configuration as extensions.
local function openssl_certificate(...)
	local config, path = new_path(), new_path()
	local file = assert(io.open(config, "w"))
	file:write("[req]\ndistinguished_name=dn\nx509_extensions=ext\nprompt=no\n[dn]\nC=XX\nCN=First\n[ext]\n",
		table.concat({ ... }, "\n"), "\n")
	file:close()
	local output = output_of(("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 10 -config %s "
		.. "-keyout /dev/null -out %s"):format(config, path))
	local found = io.open(path)
	if not found then error(output) end
	found:close()
	return assert(x509.from_pem(read_file(path))), path
end

describe("A certificate we made", function()
	local key_path, cert_path = new_path(), new_path()
	local key = assert(x509.generate_key(key_path))
	local cert = assert(x509.self_sign {
		key = key, names = { "montague.lit", "BÜCHER.example.", "*.montague.lit" }, days = 30, path = cert_path,
	})

	it("names its hosts in every way RFC 6120 13.7.1.2 asks for", function()
		assert.same({
			dns = { "montague.lit", "xn--bcher-kva.example", "*.montague.lit" },
			xmpp = { "montague.lit", "bücher.example" },
			srv = { "_xmpp-client.montague.lit", "_xmpp-server.montague.lit", "_xmpp-client.xn--bcher-kva.example",
				"_xmpp-server.xn--bcher-kva.example" },
			ip = {}, common_name = "montague.lit",
		}, cert:names())
	end)

	it("is one that openssl understands, too", function()
		local text = output_of("openssl x509 -noout -text -in " .. cert_path)
		for _, expected in ipairs { "Version: 3", "Public Key Algorithm: id-ecPublicKey", "ASN1 OID: prime256v1",
			"Signature Algorithm: ecdsa-with-SHA256", "DNS:montague.lit, othername: XmppAddr::montague.lit, "
			.. "othername: SRVName::_xmpp-client.montague.lit, othername: SRVName::_xmpp-server.montague.lit, "
			.. "DNS:xn--bcher-kva.example", "DNS:*.montague.lit", "CA:FALSE", "Digital Signature",
			"TLS Web Server Authentication, TLS Web Client Authentication", "Subject: CN = montague.lit" } do
			assert.is_truthy(text:find(expected, 1, true), expected .. " in\n" .. text)
		end
		assert.matches(": OK\n$", output_of(("openssl verify -CAfile %s %s"):format(cert_path, cert_path)))
		assert.equal(output_of("openssl x509 -noout -serial -in " .. cert_path), "serial=" .. cert:serial() .. "\n")
		assert.equal(output_of("openssl x509 -noout -fingerprint -sha256 -in " .. cert_path):gsub(":", ""):lower(),
			("sha256 fingerprint=%s\n"):format(cert:digest "sha256"))
		assert.equal(output_of("openssl x509 -noout -pubkey -in " .. cert_path), (cert:pubkey()))
		assert.equal("notAfter=" .. select(2, cert:notafter()) .. "\n",
			output_of("openssl x509 -noout -enddate -in " .. cert_path))
	end)

	it("is valid from an hour ago for as long as was asked", function()
		local now = os.time()
		local from, to = cert:notbefore(), cert:notafter()
		assert.is_true(math.abs(from - (now - 3600)) <= 60)
		assert.is_true(math.abs(to - (now + 30 * 86400)) <= 60)
		assert.is_true(cert:validat())
		assert.is_true(cert:validat(now))
		assert.is_true(cert:validat(from + 1))
		assert.is_true(cert:validat(to - 1))
		assert.is_false(cert:validat(from - 1))
		assert.is_false(cert:validat(to + 1))
	end)

	it("tells its subject, issuer, key and use", function()
		local dn = { { oid = "2.5.4.3", name = "commonName", value = "montague.lit" } }
		assert.same(dn, cert:subject())
		assert.same(dn, cert:issuer())
		local _, kind, bits = cert:pubkey()
		assert.same({ "EC", 256 }, { kind, bits })
		assert.same({ "EC", 256 }, { key:type() })
		assert.same({ ca = false, server = true, client = true, sign = true }, cert:usage())
	end)

	it("comes back the same through PEM", function()
		assert.equal(read_file(cert_path), cert:pem())
		assert.equal(cert:digest(), x509.from_pem(cert:pem()):digest())
		assert.equal(40, #cert:digest "sha1")
		assert.is_nil((cert:digest "sha257"))
	end)

	it("shows LuaSec's shape to modules", function()
		local names = cert:extensions()["2.5.29.17"]
		assert.same(cert:names().dns, names.dNSName)
		assert.same(cert:names().xmpp, names["1.3.6.1.5.5.7.8.5"])
		assert.same(cert:names().srv, names["1.3.6.1.5.5.7.8.7"])
	end)

	it("belongs to its key, and to no other", function()
		assert.is_true(cert:matches(key))
		assert.is_true(cert:matches(assert(x509.load_key(key_path))))
		assert.is_false(cert:matches(assert(x509.generate_key(new_path()))))
	end)

	it("has another serial each time", function()
		local other = assert(x509.self_sign { key = key, names = { "montague.lit" } })
		assert.is_not.equal(cert:serial(), other:serial())
		assert.equal(32, #other:serial())
	end)

	it("names hosts that are called by addresses as addresses", function()
		local made = assert(x509.self_sign { key = key, names = { "192.0.2.1", "[2001:db8::1]", "montague.lit" } })
		local names = made:names()
		assert.same({ "192.0.2.1", "2001:db8::1" }, names.ip)
		assert.same({ "montague.lit" }, names.dns)
		assert.equal("192.0.2.1", names.common_name)
		assert.equal("2001:db8::1", x509.self_sign({ key = key, names = { "[2001:db8::1]" } }):names().common_name)
		for _, wrong in ipairs { "[192.0.2.1]", "[2001:db8::g]", "2001:db8::1", "[]" } do
			assert.is_nil((x509.self_sign { key = key, names = { wrong } }), wrong)
		end
	end)

	it("lies in files that others cannot read, and never takes the place of one", function()
		assert.equal("600\n", output_of("stat -c %a " .. key_path))
		assert.equal("640\n", output_of("stat -c %a " .. cert_path))
		local before = read_file(key_path)
		for _, result in ipairs { table.pack(x509.generate_key(key_path)),
			table.pack(x509.self_sign { key = key, names = { "a.lit" }, path = key_path }),
			table.pack(x509.request { key = key, names = { "a.lit" }, path = key_path }) } do
			assert.is_nil(result[1])
			assert.equal(key_path .. ": File exists", result[2])
		end
		assert.equal(before, read_file(key_path))
		local link = new_path()
		assert(os.execute(("ln -s %s/nowhere %s"):format(folder, link)))
		assert.is_nil((x509.generate_key(link)))
		assert.is_nil(io.open(folder .. "/nowhere"))
		local group_path = new_path()
		assert(x509.generate_key(group_path, "0640"))
		assert.equal("640\n", output_of("stat -c %a " .. group_path))
		assert.has_error(function() x509.generate_key(new_path(), "0644") end)
		assert.matches("No such file", select(2, x509.generate_key(folder .. "/no/such/key")))
	end)

	it("is refused for names that are no hosts, and for terms that make no sense", function()
		for _, name in ipairs { "", "a b", "-a", "a..b", "a_b.c", "*", "*.*.a", "a.*.b", "a\0.b", "x@y", "\xff" } do
			local made, why = x509.self_sign { key = key, names = { "ok.lit", name } }
			assert.is_nil(made, name)
			assert.matches("not a host name", why)
		end
		for _, options in ipairs { {}, { key = key }, { key = key, names = {} }, { key = key, names = { 1, 2, {} } },
			{ key = "x", names = { "a" } }, { names = { "a" } }, { key = key, names = { "a" }, days = 0 },
			{ key = key, names = { "a" }, days = 40000 } } do
			assert.has_error(function() x509.self_sign(options) end)
		end
	end)

	it("may have a name too long for a common name", function()
		local long = ("abcdefgh."):rep(10) .. "lit"
		local path = new_path()
		local made = assert(x509.self_sign { key = key, names = { long }, path = path })
		assert.same({}, made:subject())
		assert.same({ long }, made:names().dns)
		assert.matches("Subject Alternative Name: critical", output_of("openssl x509 -noout -text -in " .. path))
	end)
end)

describe("A signing request", function()
	it("is one that openssl verifies, with the names in it", function()
		local key, path = assert(x509.generate_key(new_path())), new_path()
		local pem = assert(x509.request { key = key, names = { "montague.lit", "chat.montague.lit" }, path = path })
		assert.equal(pem, read_file(path))
		local text = output_of("openssl req -verify -noout -text -in " .. path)
		for _, expected in ipairs { "verify OK", "Subject: CN = montague.lit", "DNS:montague.lit", "DNS:chat.montague.lit",
			"XmppAddr::chat.montague.lit", "SRVName::_xmpp-server.montague.lit" } do
			assert.is_truthy(text:find(expected, 1, true), expected .. " in\n" .. text)
		end
	end)
end)

describe("A key", function()
	it("is read whatever its kind, and never asked a password for", function()
		local path = new_path()
		output_of("openssl genrsa -out " .. path .. " 2048")
		local key = assert(x509.load_key(path))
		assert.same({ "RSA", 2048 }, { key:type() })
		assert(x509.self_sign { key = key, names = { "a.lit" } })
		output_of("openssl genpkey -algorithm ed25519 -out " .. path)
		key = assert(x509.load_key(path))
		assert.equal("ED25519", (key:type()))
		assert.is_true(assert(x509.self_sign { key = key, names = { "a.lit" } }):matches(key))
		output_of("openssl genrsa -aes128 -passout pass:secret -out " .. path .. " 2048")
		assert.is_nil((x509.load_key(path)))
	end)

	it("is refused with a reason when it is none", function()
		local key, why = x509.load_key(folder .. "/missing")
		assert.is_nil(key)
		assert.equal(folder .. "/missing: No such file or directory", why)
		local path = new_path()
		local file = io.open(path, "w")
		file:write "no key"
		file:close()
		key, why = x509.load_key(path)
		assert.is_nil(key)
		assert.is_string(why)
	end)
end)

describe("A certificate from elsewhere", function()
	it("keeps a name with a NUL to itself", function()
		-- SEQUENCE { [2] "b.test\0.evil", [2] "ok.test" }
		local cert = openssl_certificate("subjectAltName=DER:30:17:"
			.. "82:0c:62:2e:74:65:73:74:00:2e:65:76:69:6c:82:07:6f:6b:2e:74:65:73:74")
		assert.same({ "ok.test" }, cert:names().dns)
	end)

	it("has other names only of the type they must have", function()
		local cert = openssl_certificate("subjectAltName=@names", "[names]",
			"otherName.1=1.3.6.1.5.5.7.8.5;UTF8:romeo@montague.lit", "otherName.2=1.3.6.1.5.5.7.8.5;IA5:evil@montague.lit",
			"otherName.3=1.3.6.1.5.5.7.8.7;IA5:_xmpp-server.montague.lit", "otherName.4=1.3.6.1.5.5.7.8.7;UTF8:_evil.lit",
			"otherName.5=1.2.3.4;UTF8:other", "DNS.1=montague.lit", "IP.1=192.0.2.1", "IP.2=2001:db8::1",
			"email.1=a@b", "URI.1=http://x")
		assert.same({ dns = { "montague.lit" }, xmpp = { "romeo@montague.lit" }, srv = { "_xmpp-server.montague.lit" },
			ip = { "192.0.2.1", "2001:db8::1" }, common_name = "First" }, cert:names())
		assert.same({ "192.0.2.1", "2001:db8::1" }, cert:extensions()["2.5.29.17"].iPAddress)
	end)

	it("has no names at all when there are none but the common one", function()
		local cert = openssl_certificate "basicConstraints=CA:TRUE"
		assert.same({ dns = {}, xmpp = {}, srv = {}, ip = {}, common_name = "First" }, cert:names())
		assert.same({}, cert:extensions())
		assert.same({ { oid = "2.5.4.6", name = "countryName", value = "XX" },
			{ oid = "2.5.4.3", name = "commonName", value = "First" } }, cert:subject())
		assert.is_true(cert:usage().ca)
		assert.is_true(cert:usage().server)
	end)

	it("may be limited in its use", function()
		assert.same({ ca = false, server = true, client = false, sign = false },
			openssl_certificate("basicConstraints=CA:FALSE", "extendedKeyUsage=serverAuth", "keyUsage=keyAgreement"):usage())
		assert.same({ ca = false, server = false, client = true, sign = true },
			openssl_certificate("basicConstraints=CA:FALSE", "extendedKeyUsage=clientAuth"):usage())
	end)

	it("comes in chains, the leaf first", function()
		local one, two = openssl_certificate "basicConstraints=CA:FALSE", openssl_certificate "basicConstraints=CA:TRUE"
		local chain = assert(x509.parse_chain("text before\n" .. one:pem() .. "between\n" .. two:pem() .. "after"))
		assert.equal(2, #chain)
		assert.equal(one:digest(), chain[1]:digest())
		assert.equal(two:digest(), chain[2]:digest())
		assert.equal(32, #assert(x509.parse_chain(one:pem():rep(32))))
		assert.is_nil((x509.parse_chain(one:pem():rep(33))))
		assert.is_nil((x509.parse_chain(one:pem() .. one:pem():gsub("MII", "MIX", 1))))
	end)

	it("is refused when it is none, however it is broken", function()
		local pem = openssl_certificate "basicConstraints=CA:FALSE":pem()
		for _, text in ipairs { "", "x", "-----BEGIN CERTIFICATE-----", pem:sub(1, -30), pem:gsub("MII", "AAA", 1), "\0" } do
			local cert, why = x509.from_pem(text)
			assert.is_nil(cert)
			assert.is_string(why)
			assert.is_nil((x509.parse_chain(text)))
		end
		math.randomseed(5)
		local function ask(cert)
			for _, method in ipairs { "subject", "issuer", "notbefore", "notafter", "validat", "pubkey", "serial", "digest",
				"pem", "names", "extensions", "usage" } do
				cert[method](cert)
			end
		end
		for _ = 1, 2000 do
			local at = math.random(30, #pem - 30)
			local damaged = pem:sub(1, at - 1) .. string.char(math.random(65, 90)) .. pem:sub(at + 1)
			local cert = x509.from_pem(damaged)
			if cert then ask(cert) end
		end
	end)

	it("is not reached through its metatable", function()
		assert.equal("x509", getmetatable(openssl_certificate "basicConstraints=CA:FALSE"))
	end)
end)

teardown(function() os.execute("rm -rf " .. folder) end)
