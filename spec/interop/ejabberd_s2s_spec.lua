-- Our server and Debian's ejabberd: users of both meet, by each path on which both can prove themselves. Bidirectional
-- streams (XEP-0288) came to ejabberd later than to Debian 12; when they come there, this says so.

local ejabberd = require "spec.support.ejabberd"
local federation = require "spec.support.federation"
local meeting = require "spec.support.meeting"
local Server = require "spec.support.server"

if not ejabberd.is_installed() then
	describe("ejabberd", function() pending "needs Debian's ejabberd" end)
	return
end

meeting.suite(_ENV, "ejabberd", {
	{ name = "certificates", told = "SASL EXTERNAL", heard = "proven by EXTERNAL" },
	{ name = "certificates over direct TLS", direct_tls = true, told = "with direct TLS", heard = "proven by EXTERNAL" },
	{ name = "dialback over TLS", modules = { "dialback" }, their_modules = "  mod_s2s_dialback: {}\n",
		certificate = "montague_self", their_certificate = "capulet_self", config = "s2s_secure_auth = false",
		told = "our dialback key is sent", heard = "proven by dialback" },
	{ name = "dialback from theirs, a certificate from ours", modules = { "dialback" },
		their_modules = "  mod_s2s_dialback: {}\n", their_certificate = "capulet_self",
		config = "s2s_insecure_domains = { 'capulet.example' }", told = "SASL EXTERNAL", heard = "proven by dialback" },
}, function(path, ports)
	return ejabberd.start {
		host = "capulet.example", certificate = federation.certificate(path.their_certificate or "capulet"),
		port = ports.theirs, direct_port = ports.their_direct, name_server = ports.name_server,
		modules = path.their_modules,
	}
end, "localhost") -- addresses it asks of the system, not of the name server

describe("ejabberd", function()
	local capulet

	setup(function()
		local port = Server.free_port()
		capulet = ejabberd.start {
			host = "capulet.example", certificate = federation.certificate "capulet", port = port,
			direct_port = Server.free_port(), name_server = 53,
		}
		capulet.s2s_port = port
		capulet:await_ready()
	end)
	teardown(function() capulet:stop() end)

	-- With bidirectional streams there is one more path for the suite above.
	it("does not offer bidirectional streams, neither before TLS nor to who shows a certificate", function()
		local peer = federation.peer(capulet, { from = "montague.example", to = "capulet.example",
			certificate = "montague" })
		peer:connect()
		local features = { peer:opens() }
		assert(peer:starts_tls())
		features[2] = peer:opens()
		assert.truthy(features[1]:child("starttls", "urn:ietf:params:xml:ns:xmpp-tls"))
		assert.truthy(features[2]:child("mechanisms", "urn:ietf:params:xml:ns:xmpp-sasl"))
		peer:proves_itself()
		features[3] = peer.features
		for _, one in ipairs(features) do
			assert.is_nil(one:child("bidi", "urn:xmpp:features:bidi"),
				"ejabberd offers bidirectional streams now: the suite above needs a path with mod_s2s_bidi")
		end
		peer:vanishes()
	end)
end)
