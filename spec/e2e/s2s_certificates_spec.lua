-- Which certificates prove a domain (RFC 9525, RFC 6120 13.7.1.2, XEP-0178; SECURITY C3, C5, C6), when another server
-- comes to us, and when we come to it.

local federation = require "spec.support.federation"
local sha = require "spec.support.sha"

local NS_SASL = "urn:ietf:params:xml:ns:xmpp-sasl"

local good = {
	verona = "names the domain", server_only = "is for servers only (as authorities issue them)",
	srv_name = "names the service by SRVName", xmpp_addr = "names the domain by xmppAddr",
}
local bad = {
	self = "is self-signed", expired = "has expired", cn_only = "names the domain in its common name only",
	wildcard = "stands for what is below the domain", wildcard_top = "stands for all below a top-level domain",
	partial = "has a wildcard for a part of a label", address = "names an address",
	person = "names a person of the domain",
	client_srv = "names another service", mail_only = "is for mail only", montague = "names another domain",
}

describe("A server that comes to us", function()
	local server

	setup(function() server = federation.alone { more_modules = { "dialback" } } end)
	teardown(function() server:stop() end)
	after_each(function() server:forget_clients() end)

	for name, what in pairs(good) do
		it("is believed when its certificate " .. what, function()
			local verona = federation.peer(server, { from = "verona.example", certificate = name })
			verona:logs_in_with_certificate()
			verona:sends "<iq type='get' id='p' from='verona.example' to='montague.example'><ping xmlns='urn:xmpp:ping'/></iq>"
			verona:settles()
			assert.is_nil(verona.closed)
			verona:vanishes()
		end)
	end

	for name, what in pairs(bad) do
		it("is not believed when its certificate " .. what, function()
			local verona = federation.peer(server, { from = "verona.example", certificate = name })
			verona:under_tls()
			verona:opens_only()
			verona:is_thrown_out "not-authorized"
		end)
	end

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
	local function how_it_ends(certificate, more, fingerprint)
		local pair = federation.pair { certificates = { capulet = certificate }, montague = more,
			fingerprints = { ["capulet.example"] = fingerprint } }
		local romeo, juliet = pair.montague:person "romeo", pair.capulet:person "juliet"
		romeo:sends "<message to='juliet@capulet.example' id='m1'><body>hello</body></message>"
		local answer
		if certificate == "capulet" or fingerprint then
			answer = juliet:awaits "<message/>"
		else
			answer = romeo:awaits "<message type='error' id='m1'/>"
		end
		pair:stop()
		return answer
	end

	it("is believed when its certificate is good", function()
		assert.equal("hello", how_it_ends("capulet"):child("body"):text())
	end)

	for name, what in pairs { capulet_self = "self-signed certificate", verona = "not for capulet.example",
		cn_only = "not for capulet.example", mail_only = "certificate purpose" } do
		it(("gets no stanza when there is something wrong (%s); the sender learns what"):format(name), function()
			local error = how_it_ends(name):child "error"
			assert.truthy(error:child "remote-server-timeout")
			local text = error:child("text"):text()
			assert.truthy(text:find("could not prove that it is capulet.example", 1, true), text)
			assert.truthy(text:find(what, 1, true), text)
		end)
	end

	it("is believed with the certificate whose fingerprint the admin has written down, whoever made it", function()
		local pipe = io.popen(("openssl x509 -in %s -noout -fingerprint -sha256"):format(
			federation.certificate("capulet_self").certificate))
		local fingerprint = pipe:read("a"):match "=([%x:]+)"
		pipe:close()
		assert.equal("hello", how_it_ends("capulet_self", "", fingerprint):child("body"):text())
	end)

	it("is not believed with another one than that, however good", function()
		local pair = federation.pair { fingerprints = { ["capulet.example"] = ("0"):rep(64) } }
		finally(function() pair:stop() end)
		local romeo = pair.montague:person "romeo"
		romeo:sends "<message to='juliet@capulet.example' id='m1'><body>hello</body></message>"
		local text = romeo:awaits("<message type='error' id='m1'/>"):child("error"):child("text"):text()
		assert.truthy(text:find("fingerprint", 1, true), text)
	end)
end)
