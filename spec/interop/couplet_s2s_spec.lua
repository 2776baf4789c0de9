-- Two servers of ours: slixmpp users of both meet, by each path on which servers can prove themselves, just as with the
-- servers of other people (prosody_s2s_spec, ejabberd_s2s_spec).

local federation = require "spec.support.federation"
local meeting = require "spec.support.meeting"
local Server = require "spec.support.server"

-- The same on both sides.
local function path(t)
	if t.is_self_signed then t.certificate, t.their_certificate = "montague_self", "capulet_self" end
	return t
end

meeting.suite(_ENV, "another server of ours", {
	path { name = "certificates", told = "SASL EXTERNAL", heard = "proven by EXTERNAL" },
	path { name = "certificates over direct TLS", direct_tls = true, told = "with direct TLS",
		heard = "proven by EXTERNAL" },
	path { name = "dialback over TLS", modules = { "dialback" }, is_self_signed = true,
		config = "s2s_secure_auth = false", told = "our dialback key is sent", heard = "proven by dialback" },
	path { name = "one stream for both directions", modules = { "dialback", "s2s_bidi" }, streams = 1,
		told = "both directions" },
	path { name = "trust on first use", is_self_signed = true, config = "s2s_trust_on_first_use = { '*.example' }",
		told = "trusted on first use", heard = "proven by EXTERNAL" },
}, function (the_path, ports)
	local capulet = Server.start {
		with_s2s = true, hosts = { ["capulet.example"] = "" }, more_modules = the_path.modules, wait = false,
		config = federation.ssl(the_path.their_certificate or "capulet")
			.. ("s2s_ports = { %d }; s2s_direct_tls_ports = { %d }\n"):format(ports.theirs, ports.their_direct)
			.. federation.routes { ["montague.example"] = {
				port = the_path.direct_tls and ports.our_direct or ports.ours, direct_tls = the_path.direct_tls,
			} } .. (the_path.config or ""),
	}
	capulet:awaits_log "Activated service 's2s_direct_tls'"
	return capulet
end)
