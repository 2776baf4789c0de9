--- The web beside nginx and Debian's Prosody, in one run: CPU per small GET (a file, and an answer of a module), and
-- per message over WebSocket and BOSH beside plain TCP; memory per idle session over WebSocket.
--
-- GETs come from wrk on 16 connections that are kept; messages from spec/bench/load.c, 50 pairs with 4 in flight each.
-- Prosody runs as shipped, with the same modules.
--
-- Usage: make bench BENCH=web, or lua5.4 spec/bench/web_bench.lua [get|websocket|bosh|idle ...]

local bench = require "spec.bench.support"

local dir, run, verdict = bench.dir, bench.run, bench.verdict
local get_seconds, idle_sessions = 4, 2000

local config = [[
data_path = %q
pidfile = %q
run_as_root = true
interfaces = { "127.0.0.1" }
c2s_ports = { %d }
http_ports = { %d }
http_interfaces = { "127.0.0.1" }
https_ports = {}
c2s_direct_tls_ports = {}
s2s_ports = {}
admin_socket = %q
plugin_paths = { %q }
http_files_dir = %q
http_paths = { files = "/files" }
http_default_host = "localhost"
modules_enabled = { "roster", "saslauth", "tls", "disco", "private", "blocklist", "version", "uptime", "time", "ping",
	"http_files", "websocket", "bosh", "greeting" }
modules_disabled = { "s2s" }
c2s_require_encryption = false
authentication = "internal_hashed"
storage = "internal"
log = { error = %q }
%s
VirtualHost "localhost"
]]

local greeting = [[
module:depends("http")
module:provides("http", { default_path = "/greeting", route = { GET = function (event)
	event.response.headers.content_type = "text/plain"
	return "hello world\n"
end } })
]]

local nginx_config = [[
pid %s/pid;
error_log %s/error;
worker_processes 1;
events { worker_connections 512; }
http {
	access_log off;
	types { text/plain txt; }
	client_body_temp_path %s/body; proxy_temp_path %s/proxy; fastcgi_temp_path %s/fastcgi;
	uwsgi_temp_path %s/uwsgi; scgi_temp_path %s/scgi;
	server { listen 127.0.0.1:%d; root %s; }
}
]]

local function start(name)
	if name == "nginx" then
		local server = bench.start("nginx", 1, function (home, port)
			return (nginx_config:gsub("%%s", home, 7)):format(port, dir.."/www")
		end, function (path) return "nginx -e stderr -g \"daemon off;\" -c "..path end)
		server.http_port, server.worker = server.port, tonumber(run("pgrep -P %d", server.pid))
		return server
	end
	local server = bench.start(name, 2, function (home, c2s, http)
		return config:format(home.."/data", home.."/pid", c2s, http, home.."/socket", dir.."/plugins", dir.."/www",
			home.."/log", "")
	end, bench.commands[name])
	server.http_port = server.ports[2]
	return server
end

local function with_server(name, fn)
	local server = start(name)
	local ok, a, b = pcall(fn, server)
	server.stop()
	assert(ok, a)
	return a, b
end

-- Microseconds of CPU per GET, and GETs per second.
local function get(name, path)
	return with_server(name, function (server)
		local url = ("http://localhost:%d%s"):format(server.http_port, path)
		local pid = server.worker or server.pid
		run("wrk -t1 -c16 -d1s %s", url)
		local before = bench.cpu_s(pid)
		local said = run("wrk -t1 -c16 -d%ds %s", get_seconds, url)
		local used = bench.cpu_s(pid) - before
		assert(not said:find "Non%-2xx", said)
		local requests = tonumber(said:match "(%d+) requests in")
		return used * 1e6 / requests, tonumber(said:match "Requests/sec:%s+([%d.]+)")
	end)
end

local benches = {}

function benches.get()
	for _, what in ipairs {
		{ title = "Small file, GET", path = "/files/small.txt", servers = { "couplet", "prosody", "nginx" }, budget = 0.09 },
		{ title = "Answer of a module, GET", path = "/greeting", servers = { "couplet", "prosody" }, budget = 0.1 },
	} do
		print(what.title)
		local cost = {}
		for _, name in ipairs(what.servers) do
			local per_second = {}
			cost[name] = bench.median(3, function ()
				local us, rate = get(name, name == "nginx" and "/small.txt" or what.path)
				per_second[#per_second + 1] = rate
				return us
			end)
			table.sort(per_second)
			print(("  %-26s %7.1f µs of CPU per GET, %d a second"):format(name, cost[name], per_second[2] // 1))
		end
		-- The aim is a tenth; half of what we take is the kernel's, as with nginx.
		verdict("of Prosody", cost.couplet / cost.prosody, what.budget)
		if cost.nginx then
			print(("  %-58s %8.3f"):format("of nginx", cost.couplet / cost.nginx))
		end
	end
end

-- Messages over a way, beside plain TCP on the same server.
local function messages(title, way, port, count, budget)
	print(title)
	local cost = {}
	for _, name in ipairs { "couplet", "prosody" } do
		local least, most
		cost[name], least, most = bench.median(3, function ()
			return with_server(name, function (server)
				local what = ("%s chat 50 4 %d"):format(way, name == "couplet" and count or count // 4)
				return bench.figures(server[port], server.pid, what).cpu_us_per_message
			end)
		end)
		print(("  %-26s %7.1f µs of CPU per message  (%.1f-%.1f)"):format(name, cost[name], least, most))
	end
	verdict("of Prosody", cost.couplet / cost.prosody, budget)
	return cost.couplet
end

local function tcp_cost()
	return bench.median(3, function ()
		return with_server("couplet", function (server)
			return bench.figures(server.port, server.pid, "chat 50 4 40000").cpu_us_per_message
		end)
	end)
end

function benches.websocket()
	local cost, tcp = messages("Chat over WebSocket", "websocket", "http_port", 40000, 0.1), tcp_cost()
	verdict(("of ours over TCP (%.1f µs)"):format(tcp), cost / tcp, 1.3)
end

function benches.bosh()
	messages("Chat over BOSH", "bosh", "http_port", 20000, 0.1)
end

function benches.idle()
	print(("Memory per idle session over WebSocket (%d of them, without TLS; anonymous memory)"):format(idle_sessions))
	local kib = bench.median(3, function ()
		return with_server("couplet", function (server)
			return bench.figures(server.http_port, server.pid, ("websocket idle %d"):format(idle_sessions))
				.anon_kib_per_session
		end)
	end)
	verdict("couplet, KiB", kib, 9, " KiB")
end

bench.prepare(idle_sessions)
run("mkdir -p %s/plugins %s/www && chmod 755 %s", dir, dir, dir)
bench.write(dir.."/plugins/mod_greeting.lua", greeting)
bench.write(dir.."/www/small.txt", "hello world\n")
for _, name in ipairs(#arg > 0 and arg or { "get", "websocket", "bosh", "idle" }) do
	assert(benches[name], "no benchmark called "..name)()
end
bench.finish()
