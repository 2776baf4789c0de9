--- Does anybody notice a flood? 1, 10 and 100 clients write to one user of the same server as fast as their connections
-- take it, with nothing that limits them; another user pings meanwhile, from a process of their own. Beside Prosody,
-- with as little to limit.
--
-- The budget is SECURITY's: of a hundred pings 99 within 50 ms. What there is beside it is the machine's.
--
-- Usage: make bench BENCH=fair, or FLOOD_MESSAGES=1000000 ...

local bench = require "spec.bench.support"
local canary = require "spec.support.canary"
local outside = require "spec.support.outside"

local config = [[
data_path = %q
pidfile = %q
run_as_root = true
interfaces = { "127.0.0.1" }
c2s_ports = { %d }
c2s_direct_tls_ports = {}
s2s_ports = {}
admin_socket = %q
modules_enabled = { "roster", "saslauth", "tls", "disco", "ping" }
modules_disabled = { "s2s", "limits" }
c2s_require_encryption = false
authentication = "internal_hashed"
storage = "internal"
certificates = %q
log = { error = %q }
VirtualHost "localhost"
]]

local QUIET_SECONDS, SECONDS_MAX = "1", 60
local messages = { couplet = tonumber(os.getenv "FLOOD_MESSAGES") or 300000, prosody = 20000 }

local function flood(name, senders)
	local server = bench.start(name, 1, function (home, port)
		return config:format(home.."/data", home.."/pid", port, home.."/socket", bench.dir, home.."/log")
	end, bench.commands[name])
	local user = canary.watch("localhost", server.port, "user999", "secret", "none")
	local quiet = user:notices(function () outside.run { "sleep", QUIET_SECONDS } end)
	local figures = {}
	local noticed = user:notices(function ()
		local said = outside.run({ bench.load_program, tostring(server.port), tostring(server.pid), "flood",
			tostring(senders), tostring(messages[name]) }, { seconds = SECONDS_MAX })
		for key, value in said:gmatch "(%S+) (%S+)\n" do figures[key] = tonumber(value) end
	end)
	user:stop()
	server.stop()
	print(("%s, %d at once: %.0f messages per second, %.1f µs of CPU for each%s"):format(name, senders,
		figures.messages_per_s, figures.cpu_us_per_message, figures.messages < messages[name] // senders * senders
		and (" (the reader was closed after %.0f messages)"):format(figures.messages) or ""))
	print("  "..canary.tell("before", quiet))
	print("  "..canary.tell("meanwhile", noticed))
	return noticed
end

bench.prepare(1000)
for _, senders in ipairs { 1, 10, 100 } do
	local noticed = flood("couplet", senders)
	bench.verdict("99 of a hundred pings within", noticed.p99 * 1e3, 50, " ms")
	flood("prosody", senders)
end
bench.finish()
