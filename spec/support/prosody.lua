--- Debian's Prosody as capulet.example, the server that ours meets.

local certs = require "spec.support.certs"
local federation = require "spec.support.federation"
local Server = require "spec.support.server"

local prosody = { is_here = os.execute "command -v prosody >/dev/null 2>&1" }

local function ssl(name, files)
	return ("%s = { certificate = %q; key = %q; cafile = %q }\n"):format(name, files.certificate, files.key,
		certs.path "ca.crt")
end

--- Starts it for a path of spec.support.meeting. path.their_modules: beside the usual ones; their_config.
function prosody.start(path, ports)
	local files = federation.certificate(path.their_certificate or "capulet")
	local modules = table.move(path.their_modules or {}, 1, 10, 6, { "roster", "saslauth", "tls", "disco", "ping" })
	table.insert(modules, "vcard")
	local capulet = Server.start {
		program = "prosody", with_s2s = true, hosts = { ["capulet.example"] = "" }, wait = false, modules = modules,
		config = ssl("s2s_ssl", files) .. ssl("s2s_direct_tls_ssl", files)
			.. ("s2s_ports = { %d }; s2s_direct_tls_ports = { %d }\n"):format(ports.theirs, ports.their_direct)
			.. ("s2s_secure_auth = %s\n"):format(path.their_certificate and "false" or "true")
			.. ("unbound = { resolvconf = false; hoststxt = false; forward = '127.0.0.1@%d'; "
				.. "options = { ['do-not-query-localhost:'] = 'no' }; trusted = %s }\n"):format(ports.name_server,
					ports.trusted and ("%q"):format(ports.trusted) or "nil")
			.. (path.their_config or ""),
	}
	capulet:awaits_log "Activated service 's2s_direct_tls'"
	return capulet
end

return prosody
