-- Our server and Debian's ejabberd: users of both meet, by each path on which both can prove themselves. (Bidirectional
-- streams came to ejabberd later than to Debian 12.)

local ejabberd = require "spec.support.ejabberd"
local federation = require "spec.support.federation"
local meeting = require "spec.support.meeting"

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
