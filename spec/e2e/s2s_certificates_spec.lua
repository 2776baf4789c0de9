-- Which certificates prove a domain (RFC 9525, RFC 6120 13.7.1.2, XEP-0178; SECURITY C3, C5, C6), when another server
-- comes to us, and when we come to it.

local federation = require "spec.support.federation"
local loop = require "spec.support.loop"
local Server = require "spec.support.server"
local sha = require "spec.support.sha"

local NS_SASL = "urn:ietf:params:xml:ns:xmpp-sasl"

-- What proves verona.example (or domain), both ways; only: "in" when they come to us, "out" when we come to them.
local good = {
	verona = { "names the domain" },
	server_only = { "is for servers only (as authorities issue them)" },
	client_only = { "is for clients only", only = "in" },
	srv_name = { "names the service by SRVName" },
	xmpp_addr = { "names the domain by xmppAddr" },
	wildcard = { "stands for all names one label below", domain = "a.verona.example" },
	punycode = { "names an IDN by its A-label", domain = "bücher.example" },
	thousand = { "names it as the last of a thousand" },
	by_only_verona = { "is signed by who may sign for that name" },
}
-- What does not, and what the refusal says.
local bad = {
	self = { "is self-signed", says = "self%-signed" },
	strange = { "is by an authority that nobody knows", says = "self%-signed certificate in certificate chain" },
	expired = { "has expired", says = "expired" },
	future = { "is not valid yet", says = "not yet valid" },
	cn_only = { "names the domain in its common name only" },
	wildcard = { "stands for what is below the domain" },
	wildcard_deep = { "stands for fewer labels", file = "wildcard", domain = "a.c.verona.example" },
	double = { "has two wildcards", domain = "a.c.verona.example" },
	wildcard_top = { "stands for all below a top-level domain" },
	partial = { "has a wildcard for a part of a label" },
	nul = { "names it before a NUL" },
	ulabel = { "names an IDN by its U-label", domain = "bücher.example" },
	address = { "names an address" },
	person = { "names a person of the domain" },
	client_srv = { "names another service" },
	mail_only = { "is for mail only", says = "purpose" },
	client_only = { "is for clients only", only = "out", says = "purpose" },
	montague = { "names another domain" },
	leaf_issuer = { "is signed by who may not sign", says = "invalid CA certificate" },
	by_only_montague = { "is signed by who may not sign for that name", says = "permitted subtree violation" },
	revoked = { "was revoked", says = "revoked" },
}

local function each(cases, direction)
	local names, at = {}, 0
	for name, case in pairs(cases) do
		if not case.only or case.only == direction then names[#names + 1] = name end
	end
	table.sort(names)
	return function ()
		at = at + 1
		local case = cases[names[at]]
		if case then return names[at], case.file or names[at], case.domain or "verona.example", case end
	end
end

-- montague, which does not believe what this list says was revoked.
local function with_list(list)
	local files = federation.certificate "montague"
	return ("s2s_ssl = { certificate = %q; key = %q; cafile = %q; crlfile = %q }\n"):format(files.certificate, files.key,
		require "spec.support.certs".path "ca.crt", (federation.certificate(list).certificate:gsub("crt$", "crl")))
end

describe("A server that comes to us", function()
	local server

	setup(function()
		server = federation.alone { more_modules = { "dialback" }, config = with_list "revoked" }
	end)
	teardown(function() server:stop() end)
	after_each(function() server:forget_clients() end)

	for _, file, domain, case in each(good, "in") do
		it(("is believed when its certificate %s (%s)"):format(case[1], file), function()
			local verona = federation.peer(server, { from = domain, certificate = file })
			verona:logs_in_with_certificate()
			verona:sends(("<iq type='get' id='p' from='%s' to='montague.example'><ping xmlns='urn:xmpp:ping'/></iq>")
				:format(domain))
			verona:settles()
			assert.is_nil(verona.closed)
			verona:vanishes()
		end)
	end

	for _, file, domain, case in each(bad, "in") do
		it(("is not believed when its certificate %s (%s)"):format(case[1], file), function()
			local verona = federation.peer(server, { from = domain, certificate = file })
			verona:under_tls()
			verona:opens_only()
			local text = verona:is_thrown_out("not-authorized"):child("text"):text()
			assert.matches(case.says or "trusted, but not for " .. domain, text)
		end)
	end

	it("cannot even finish the handshake with a certificate of ten thousand names", function()
		local verona = federation.peer(server, { from = "verona.example", certificate = "many" })
		verona:under_tls()
		verona:opens_only()
		assert.truthy(verona.closed)
		server:awaits_log "excessive message size"
	end)

	it("is not believed without a certificate", function()
		local verona = federation.peer(server, { from = "verona.example" })
		verona:under_tls()
		verona:opens_only()
		local text = verona:is_thrown_out("not-authorized"):child("text"):text()
		assert.truthy(text:find("no certificate was shown", 1, true), text)
	end)

	it("is not offered anything but TLS before TLS, and nothing else is taken", function()
		local verona = federation.peer(server, { from = "verona.example", certificate = "verona" }):connect()
		local features = verona:opens()
		assert.truthy(features:at("starttls", "required"))
		assert.is_nil(features:child("mechanisms", NS_SASL))
		verona:sends_raw(("<auth xmlns='%s' mechanism='EXTERNAL'>=</auth>"):format(NS_SASL))
		verona:receives(("<failure xmlns='%s'><encryption-required/></failure>"):format(NS_SASL))
	end)

	it("may come by direct TLS, with the protocol's name", function()
		local verona = federation.peer(server, { from = "verona.example", certificate = "verona", tls = "direct",
			alpn = "xmpp-server" })
		verona:logs_in_with_certificate()
		verona:settles()
		verona:vanishes()
	end)

	it("says who it is in the stream's header; an identity beside it must be the same (C6)", function()
		for _, authzid in ipairs { "capulet.example", "romeo@verona.example", "montague.example" } do
			local verona = federation.peer(server, { from = "verona.example", certificate = "verona" }):under_tls()
			verona:opens()
			verona:sends_raw(("<auth xmlns='%s' mechanism='EXTERNAL'>%s</auth>"):format(NS_SASL, sha.base64(authzid)))
			verona:receives(("<failure xmlns='%s'><invalid-authzid/></failure>"):format(NS_SASL))
			verona:sees_the_end()
		end
		local verona = federation.peer(server, { from = "verona.example", certificate = "verona" }):under_tls()
		verona:opens()
		verona:sends_raw(("<auth xmlns='%s' mechanism='EXTERNAL'>=</auth>"):format(NS_SASL))
		verona:receives(("<success xmlns='%s'/>"):format(NS_SASL))
		verona:vanishes()
	end)

	it("is offered nothing it could log in with when it does not say who it is", function()
		local verona = federation.peer(server, { certificate = "verona" }):under_tls()
		assert.is_nil(verona:opens():child("mechanisms", NS_SASL))
		verona:vanishes()
	end)
end)

describe("A server that we come to", function()
	local server, romeo, listener

	setup(function()
		listener = federation.listener "verona.example"
		local routes = {}
		for _, domain in ipairs { "verona.example", "a.verona.example", "a.c.verona.example", "bücher.example" } do
			routes[domain] = { port = listener.port, direct_tls = true }
		end
		server = federation.alone { routes = routes, config = with_list "revoked" }
		romeo = server:person "romeo"
	end)
	teardown(function()
		server:stop()
		listener:close()
	end)

	-- We call it, and it answers with that certificate. Gives the peer, under TLS.
	local function calls(domain, file)
		server:ctl("s2s", "close", domain)
		romeo:forgets()
		romeo:sends(("<message to='juliet@%s' id='m1'><body>hello</body></message>"):format(domain))
		local verona = listener:accepts()
		local files = federation.certificate(file)
		verona.options.sni = false
		verona:handshake { mode = "server", certificate = files.certificate, key = files.key }
		return verona
	end

	for _, file, domain, case in each(good, "out") do
		it(("is believed when its certificate %s (%s)"):format(case[1], file), function()
			local verona = calls(domain, file)
			verona:new_parser()
			loop.await(function() return verona.header or verona.closed end, "our header")
			verona:sends_raw(verona:header_text { xmlns = "jabber:server", from = domain, to = "montague.example", id = "1" }
				.. ("<stream:features><mechanisms xmlns='%s'><mechanism>EXTERNAL</mechanism></mechanisms></stream:features>")
					:format(NS_SASL))
			verona:receives(("<auth xmlns='%s' mechanism='EXTERNAL'/>"):format(NS_SASL))
			verona:vanishes()
			romeo:awaits "<message type='error' id='m1'/>"
		end)
	end

	for _, file, domain, case in each(bad, "out") do
		it(("gets nothing when its certificate %s (%s), and the sender learns what"):format(case[1], file), function()
			local verona = calls(domain, file)
			local text = romeo:awaits("<message type='error' id='m1'/>"):at("error", "text"):text()
			assert.matches("could not prove that it is " .. domain, text)
			assert.matches(case.says or "trusted, but not for " .. domain, text)
			verona:vanishes()
		end)
	end

	it("cannot even finish the handshake with a certificate of ten thousand names", function()
		local verona = calls("verona.example", "many")
		local text = romeo:awaits("<message type='error' id='m1'/>"):at("error", "text"):text()
		assert.matches("excessive message size", text)
		verona:vanishes()
	end)
end)

describe("Certificates of the past,", function()
	local weak

	setup(function() -- OpenSSL itself would not serve them
		weak = os.tmpname()
		local file <close> = assert(io.open(weak, "w"))
		file:write "openssl_conf = all\n[all]\nssl_conf = ssl\n[ssl]\nsystem_default = weak\n"
		file:write "[weak]\nCipherString = DEFAULT:@SECLEVEL=0\n"
	end)
	teardown(function() os.remove(weak) end)

	for name, what in pairs { md5 = "CA signature digest algorithm too weak", rsa1024 = "EE certificate key too weak",
		sha1 = "CA signature digest algorithm too weak" } do
		it(("such as %s, prove nothing in either direction"):format(name), function()
			local pair = federation.pair { certificates = { capulet = name }, env = { capulet = { OPENSSL_CONF = weak } } }
			finally(function() pair:stop() end)
			local romeo, juliet = pair.montague:person "romeo", pair.capulet:person "juliet"
			romeo:sends "<message to='juliet@capulet.example' id='m1'><body>hello</body></message>"
			assert.matches(what, romeo:awaits("<message type='error' id='m1'/>"):at("error", "text"):text())
			juliet:sends "<message to='romeo@montague.example' id='m2'><body>hello</body></message>"
			assert.matches(what, juliet:awaits("<message type='error' id='m2'/>"):at("error", "text"):text())
		end)
	end

	it("are not those with RSA keys of 2048 bits", function()
		local pair = federation.pair { certificates = { capulet = "rsa2048" } }
		finally(function() pair:stop() end)
		local romeo, juliet = pair.montague:person "romeo", pair.capulet:person "juliet"
		romeo:sends "<message to='juliet@capulet.example'><body>hello</body></message>"
		juliet:awaits "<message/>"
		juliet:sends "<message to='romeo@montague.example'><body>hello</body></message>"
		romeo:awaits "<message/>"
	end)
end)

describe("Lists of revoked certificates", function()
	it("are not needed", function()
		local server = federation.alone {}
		finally(function() server:stop() end)
		federation.peer(server, { from = "verona.example", certificate = "revoked" }):logs_in_with_certificate():vanishes()
	end)

	it("that have expired make their authority worth nothing", function()
		local server = federation.alone { config = with_list "expired" }
		finally(function() server:stop() end)
		local verona = federation.peer(server, { from = "verona.example", certificate = "verona" }):under_tls()
		verona:opens_only()
		assert.matches("CRL has expired", verona:is_thrown_out("not-authorized"):child("text"):text())
	end)

	it("that are none are told to the admin", function()
		local server = Server.start { with_s2s = true, hosts = { ["montague.example"] = "" }, wait = false,
			config = with_list("revoked"):gsub("revoked%.crl", "verona.crt") }
		finally(function() server:stop() end)
		server:expects_error "holds no usable list of revoked certificates"
		server:awaits_log "holds no usable list of revoked certificates (CRL) in PEM form"
	end)
end)

describe("A pinned certificate", function()
	local function fingerprint_of(name)
		local pipe = io.popen(("openssl x509 -in %s -noout -fingerprint -sha256"):format(
			federation.certificate(name).certificate))
		local fingerprint = pipe:read("a"):match "=([%x:]+)"
		pipe:close()
		return fingerprint
	end

	it("is believed, whoever made it", function()
		local pair = federation.pair { certificates = { capulet = "capulet_self" },
			fingerprints = { ["capulet.example"] = fingerprint_of "capulet_self" } }
		finally(function() pair:stop() end)
		local romeo, juliet = pair.montague:person "romeo", pair.capulet:person "juliet"
		romeo:sends "<message to='juliet@capulet.example' id='m1'><body>hello</body></message>"
		assert.equal("hello", juliet:awaits("<message/>"):child("body"):text())
	end)

	it("makes any other worthless, however good", function()
		local pair = federation.pair { fingerprints = { ["capulet.example"] = ("0"):rep(64) } }
		finally(function() pair:stop() end)
		local romeo = pair.montague:person "romeo"
		romeo:sends "<message to='juliet@capulet.example' id='m1'><body>hello</body></message>"
		local text = romeo:awaits("<message type='error' id='m1'/>"):child("error"):child("text"):text()
		assert.truthy(text:find("fingerprint", 1, true), text)
	end)
end)
