-- Our server and Debian's Prosody: users of both meet, by each path on which both can prove themselves.

local federation = require "spec.support.federation"
local meeting = require "spec.support.meeting"
local prosody = require "spec.support.prosody"

if not prosody.is_here then
	describe("Prosody", function() pending "needs Debian's prosody" end)
	return
end

meeting.suite(_ENV, "Prosody", {
	{ name = "certificates", told = "SASL EXTERNAL", heard = "proven by EXTERNAL" },
	{ name = "certificates over direct TLS", direct_tls = true, told = "with direct TLS", heard = "proven by EXTERNAL" },
	{ name = "what a name server says that knows no DNSSEC", by_dns = true, told = "(the name servers leave out DNSSEC)",
		heard = "proven by EXTERNAL" },
	{ name = "a certificate that nobody signed, but a signed zone names (DANE)", modules = { "s2s_auth_dane_in" },
		their_certificate = "capulet_self",
		config = "use_dane = true", their_config = "use_dane = true; s2s_secure_auth = true",
		told = "the one that the TLSA records of host.example. name (DANE)", heard = "proven by EXTERNAL",
		records = function(ports)
			return ([[
				host A 127.0.0.1
				_xmpp-server._tcp.montague SRV 0 0 %d host
				_xmpp-server._tcp.capulet SRV 0 0 %d host
				_%d._tcp.host TLSA %s
				_%d._tcp.host TLSA %s
			]]):gsub("\t", ""):format(ports.ours, ports.theirs, ports.ours, federation.tlsa("montague", "3 1 1"),
				ports.theirs, federation.tlsa("capulet_self", "3 1 1"))
		end },
	{ name = "dialback over TLS", modules = { "dialback" }, their_modules = { "dialback" },
		certificate = "montague_self", their_certificate = "capulet_self", config = "s2s_secure_auth = false",
		told = "our dialback key is sent", heard = "proven by dialback" },
	{ name = "one stream for both directions", modules = { "dialback", "s2s_bidi" }, streams = 1,
		their_modules = { "dialback", "s2s_bidi" }, told = "both directions" },
	{ name = "one stream for both directions, by dialback (which asks on another one)",
		modules = { "dialback", "s2s_bidi" }, streams = 2,
		their_modules = { "dialback", "s2s_bidi" }, certificate = "montague_self", their_certificate = "capulet_self",
		config = "s2s_secure_auth = false", told = "both directions" },
}, prosody.start)
