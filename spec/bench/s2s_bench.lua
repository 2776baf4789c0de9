--- From user to user across two servers: CPU of both per message, two of ours beside two of Debian's Prosody, in one
-- run.
--
-- 50 pairs chat, 4 messages in flight each, one of a pair on either server (spec/bench/load.c). Clients come without
-- TLS; between the servers there is TLS, and both are proven by certificates. Prosody runs as shipped, with the same
-- modules.
--
-- Usage: make bench BENCH=s2s

local bench = require "spec.bench.support"
local certs = require "spec.support.certs"
local federation = require "spec.support.federation"

local outside = require "spec.support.outside"

local accounts, seconds_max = 100, 100
local dir, run = bench.dir, bench.run
local domains = { "montague.example", "capulet.example" }

local config = [[
data_path = %q
pidfile = %q
run_as_root = true
interfaces = { "127.0.0.1" }
c2s_ports = { %d }
c2s_direct_tls_ports = {}
s2s_ports = { %d }
s2s_direct_tls_ports = {}
admin_socket = %q
modules_enabled = { "roster", "saslauth", "tls", "disco", "private", "blocklist", "version", "uptime", "time", "ping" }
c2s_require_encryption = false
s2s_secure_auth = true
authentication = "internal_hashed"
storage = "internal"
log = { error = %q }
%s
VirtualHost %q
]]

-- Where the other server is: ours is told, Prosody asks.
local function route(program, other, ports, i)
	if program == "couplet" then return federation.routes { [other] = { port = ports[3 - i] } } end
	return ("unbound = { resolvconf = false; hoststxt = false; forward = '127.0.0.1@%d'; "
		.."options = { ['do-not-query-localhost:'] = 'no' } }"):format(ports.names)
end

local function ssl(domain)
	local files = federation.certificate(domain:match "^[^.]+")
	return ("ssl = { certificate = %q; key = %q; cafile = %q; capath = false }\n"):format(files.certificate, files.key,
		certs.path "ca.crt")
end

-- Both servers of a kind, which know each other. Gives fn's value.
local function with_pair(program, fn)
	local ports = { bench.free_port(), bench.free_port() }
	local names = federation.name_server {
		["_xmpp-server._tcp."..domains[1]] = ports[1], ["_xmpp-server._tcp."..domains[2]] = ports[2],
	}
	ports.names = names.port
	local servers = {}
	for i, domain in ipairs(domains) do
		servers[i] = bench.start(program, 1, function (home, port)
			return config:format(home.."/data", home.."/pid", port, ports[i], home.."/socket", home.."/log",
				ssl(domain)..route(program, domains[3 - i], ports, i), domain)
		end, bench.commands[program])
	end
	local ok, result = pcall(fn, servers[1], servers[2])
	for _, server in ipairs(servers) do server.stop() end
	names:close()
	assert(ok, result)
	return result
end

local function cost(program)
	return bench.median(3, function ()
		return with_pair(program, function (first, second)
			local argv = { bench.load_program, first.port, first.pid, "between", domains[1], domains[2], second.port,
				second.pid, "chat", 50, 4, 40000 }
			for i, value in ipairs(argv) do argv[i] = tostring(value) end
			local said = outside.run(argv, { seconds = seconds_max }) -- names are looked up meanwhile
			return assert(tonumber(said:match "cpu_us_per_message (%S+)"), said)
		end)
	end)
end

bench.prepare(accounts)
for _, domain in ipairs(domains) do
	run("cp -R %s/data/localhost %s/data/%s", dir, dir, (domain:gsub("%.", "%%2e")))
end
print "Between two servers: 50 pairs, 4 messages in flight each; CPU of both servers"
local values = {}
for _, program in ipairs { "couplet", "prosody" } do
	local value, least, most = cost(program)
	values[program] = value
	print(("  %-26s %7.1f µs of CPU per message  (%.1f-%.1f)"):format(program, value, least, most))
end
bench.verdict("of Prosody", values.couplet / values.prosody, 0.1)
bench.finish()
