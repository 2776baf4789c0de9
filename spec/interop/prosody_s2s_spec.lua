-- Our server and Debian's Prosody: users of both meet, by each path on which both can prove themselves.

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
