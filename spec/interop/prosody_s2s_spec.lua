-- Our server and Debian's Prosody: users of both meet, by each path on which both can prove themselves.

local certs = require "spec.support.certs"
local federation = require "spec.support.federation"
local meeting = require "spec.support.meeting"
local Server = require "spec.support.server"

if not os.execute "command -v prosody >/dev/null 2>&1" then
	describe("Prosody", function() pending "needs Debian's prosody" end)
	return
end

local function ssl(name, files)
	return ("%s = { certificate = %q; key = %q; cafile = %q }\n"):format(name, files.certificate, files.key,
		certs.path "ca.crt")
end

local function start_prosody(path, ports)
	local files = federation.certificate(path.their_certificate or "capulet")
	local modules = table.move(path.their_modules or {}, 1, 10, 6, { "roster", "saslauth", "tls", "disco", "ping" })
	table.insert(modules, "vcard")
	local capulet = Server.start {
		program = "prosody", with_s2s = true, hosts = { ["capulet.example"] = "" }, wait = false, modules = modules,
		config = ssl("s2s_ssl", files) .. ssl("s2s_direct_tls_ssl", files)
			.. ("s2s_ports = { %d }; s2s_direct_tls_ports = { %d }\n"):format(ports.theirs, ports.their_direct)
			.. ("s2s_secure_auth = %s\n"):format(path.their_certificate and "false" or "true")
			.. ("unbound = { resolvconf = false; hoststxt = false; forward = '127.0.0.1@%d'; "
				.. "options = { ['do-not-query-localhost:'] = 'no' } }\n"):format(ports.name_server),
	}
	capulet:awaits_log "Activated service 's2s_direct_tls'"
	return capulet
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
}, start_prosody)
