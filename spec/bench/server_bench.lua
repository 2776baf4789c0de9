--- The server beside Debian's Prosody, in one run: CPU per message, memory per idle session, CPU per login, start-up.
--
-- Every figure is taken on a server started for it, with the same accounts, the same modules and the same load
-- (spec/bench/load.c). Prosody runs as shipped, with its generational collector, and with 2,000 idle sessions beside
-- the ones that chat; so does ours. Ratios are what counts: the machine's speed drifts.
--
-- Usage: make bench BENCH=server, or lua5.4 spec/bench/server_bench.lua [chat|sm|idle|login|start ...]

local socket = require "socket"
local bench = require "spec.bench.support"

local dir, verdict, load_program = bench.dir, bench.verdict, bench.load_program
local accounts, idle_sessions = 3200, 2000

local config = [[
data_path = %q
pidfile = %q
run_as_root = true
interfaces = { "127.0.0.1" }
c2s_ports = { %d }
c2s_direct_tls_ports = {}
s2s_ports = {}
admin_socket = %q
modules_enabled = { "roster", "saslauth", "tls", "disco", "private", "blocklist", "version", "uptime", "time", "ping",
	"smacks" }
modules_disabled = { "s2s" }
c2s_require_encryption = false
authentication = "internal_hashed"
storage = "internal"
certificates = %q
log = { error = %q }
ssl = { key = %q; certificate = %q }
%s
VirtualHost "localhost"
]]

local function start(name, extra)
	return bench.start(name, 1, function (home, port)
		return config:format(home.."/data", home.."/pid", port, home.."/socket", dir, home.."/log",
			dir.."/localhost.key", dir.."/localhost.crt", extra or "")
	end, bench.commands[name])
end

local function load_figures(server, what)
	return bench.figures(server.port, server.pid, what)
end

local variants = {
	{ key = "couplet", label = "couplet", server = "couplet" },
	{ key = "couplet_idle", label = "couplet, 2000 idle", server = "couplet", idle = true },
	{ key = "shipped", label = "prosody", server = "prosody" },
	{ key = "tuned", label = "prosody, generational", server = "prosody", extra = 'gc = { mode = "generational" }' },
	{ key = "prosody_idle", label = "prosody, 2000 idle", server = "prosody", idle = true },
}

local function with_server(variant, fn)
	local server = start(variant.server, variant.extra)
	local hold
	if variant.idle then
		hold = assert(io.popen(("%s %d %d hold %d >%s/hold"):format(load_program, server.port, server.pid,
			idle_sessions, dir), "w"))
		repeat
			local file = io.open(dir.."/hold")
			local text = file and file:read "a" or ""
			if file then file:close() end
			socket.select(nil, nil, 0.05)
		until text:find "ready"
	end
	local ok, result = pcall(fn, server)
	if hold then
		hold:close()
		os.remove(dir.."/hold")
	end
	server.stop()
	assert(ok, result)
	return result
end

-- The median of three, each on a server of its own.
local function median(variant, what, field)
	return bench.median(3, function ()
		return with_server(variant, function (server) return load_figures(server, what)[field] end)
	end)
end

local benches = {}

local function bench_chat(title, what)
	print(title)
	local cost = {}
	for _, variant in ipairs(variants) do
		local value, least, most = median(variant, what, "cpu_us_per_message")
		cost[variant.key] = value
		print(("  %-26s %7.1f µs of CPU per message  (%.1f-%.1f)"):format(variant.label, value, least, most))
	end
	verdict("of shipped Prosody", cost.couplet / cost.shipped, 0.1)
	verdict("of tuned Prosody", cost.couplet / cost.tuned, 0.2)
	verdict("with 2000 idle sessions, of itself without", cost.couplet_idle / cost.couplet, 1.25)
end

function benches.chat()
	bench_chat("Chat, plain: 50 pairs, 4 messages in flight each", "chat 50 4 40000")
	bench_chat("Chat, TLS: 50 pairs, 4 messages in flight each", "tls chat 50 4 40000")
end

function benches.sm()
	bench_chat("Chat with stream management, plain: 50 pairs, 4 messages in flight each", "sm chat 50 4 40000")
end

local names = { [""] = "plain", ["tls "] = "TLS", ["sm "] = "plain, stream management" }

function benches.idle()
	print "Memory per idle session (2,000 of them; anonymous memory, since code pages are not a session's)"
	for _, tls in ipairs { "", "tls ", "sm " } do
		for _, variant in ipairs { variants[1], variants[3] } do
			local figures = with_server(variant, function (server)
				return load_figures(server, ("%sidle %d"):format(tls, idle_sessions))
			end)
			print(("  %-26s %7.2f KiB %s (CPU while idle %.2f %%)"):format(variant.label, figures.anon_kib_per_session,
				names[tls], figures.idle_cpu_percent))
			if variant.key == "couplet" then
				verdict("KiB per session", figures.anon_kib_per_session, tls == "tls " and 20 or 6, " KiB")
			end
		end
	end
end

function benches.login()
	print "Logins (SCRAM-SHA-1, 4,096 rounds; 1,000 of them, 10 at a time)"
	for _, tls in ipairs { "", "tls " } do
		local couplet = median(variants[1], tls.."login 1000", "cpu_ms_per_login")
		local prosody = median(variants[3], tls.."login 1000", "cpu_ms_per_login")
		print(("  couplet %.3f ms, prosody %.3f ms of CPU per login, %s"):format(couplet, prosody,
			tls == "" and "plain" or "TLS"))
		print(("  %-58s %8.3f"):format("of Prosody", couplet / prosody))
	end
end

function benches.start()
	print "From exec to the first accepted connection"
	for _, variant in ipairs { variants[1], variants[3] } do
		local values = {}
		for i = 1, 5 do
			local server = start(variant.server)
			values[i] = server.start_ms
			server.stop()
		end
		table.sort(values)
		print(("  %-26s %7.1f ms (%.1f-%.1f)"):format(variant.label, values[3], values[1], values[5]))
		if variant.key == "couplet" then
			verdict("ms", values[3], 50, " ms")
		end
	end
end

bench.prepare(accounts)
local chosen = #arg > 0 and arg or { "start", "login", "idle", "chat", "sm" }
for _, name in ipairs(chosen) do
	assert(benches[name], "no benchmark called "..name)()
end
bench.finish()
