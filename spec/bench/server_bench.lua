--- The server beside Debian's Prosody, in one run: CPU per message, memory per idle session, CPU per login, start-up.
--
-- Every figure is taken on a server started for it, with the same accounts, the same modules and the same load
-- (spec/bench/load.c). Prosody runs as shipped, with its generational collector, and with 2,000 idle sessions beside
-- the ones that chat; so does ours. Ratios are what counts: the machine's speed drifts.
--
-- Usage: make bench BENCH=server, or lua5.4 spec/bench/server_bench.lua [chat|idle|login|start ...]

local socket = require "socket";

local build = os.getenv "COUPLET_BUILD" or "build";
local load_program = build.."/bench/load";
local scratch = os.getenv "TMPDIR" or "/tmp";
local dir = ("%s/couplet-bench-%d"):format(scratch, math.random(1 << 30));
local accounts, idle_sessions = 3200, 2000;

local function run(format, ...)
	local command = format:format(...);
	local pipe = assert(io.popen(command, "r"));
	local out = pipe:read "a";
	local ok = pipe:close();
	assert(ok, command.." failed: "..out);
	return out;
end

-- One record for all accounts: salt "benchmark", 4096 rounds of SHA-1, password "secret".
local account = [[return {
	["iteration_count"] = 4096;
	["salt"] = "benchmark";
	["stored_key"] = "%s";
	["server_key"] = "%s";
};
]];

local function write(path, text)
	local file = assert(io.open(path, "w"));
	file:write(text);
	file:close();
end

local function make_accounts(data)
	local keys = run([[python3 -c '
import hashlib, hmac
p = hashlib.pbkdf2_hmac("sha1", b"secret", b"benchmark", 4096)
c = hmac.new(p, b"Client Key", "sha1").digest()
print(hashlib.sha1(c).hexdigest(), hmac.new(p, b"Server Key", "sha1").hexdigest())']]);
	local stored_key, server_key = keys:match "(%x+) (%x+)";
	run("mkdir -p %s/localhost/accounts", data);
	for i = 0, accounts - 1 do
		write(("%s/localhost/accounts/user%d.dat"):format(data, i), account:format(stored_key, server_key));
	end
end

local config = [[
data_path = %q
pidfile = %q
run_as_root = true
interfaces = { "127.0.0.1" }
c2s_ports = { %d }
c2s_direct_tls_ports = {}
s2s_ports = {}
admin_socket = %q
modules_enabled = { "roster", "saslauth", "tls", "disco", "private", "blocklist", "version", "uptime", "time", "ping" }
modules_disabled = { "s2s" }
c2s_require_encryption = false
authentication = "internal_hashed"
storage = "internal"
certificates = %q
log = { error = %q }
ssl = { key = %q; certificate = %q }
%s
VirtualHost "localhost"
]];

local function free_port()
	local server = assert(socket.bind("127.0.0.1", 0));
	local _, port = server:getsockname();
	server:close();
	return math.tointeger(tonumber(port));
end

local function accepts(port)
	local conn = socket.tcp();
	conn:settimeout(1);
	local ok = conn:connect("127.0.0.1", port);
	conn:close();
	return ok;
end

-- Starts a server and waits until it takes connections. Gives { port =, pid =, stop =, start_ms = }.
local function start(name, extra)
	local home = ("%s/%s-%d"):format(dir, name, math.random(1 << 30));
	run("mkdir -p %s && cp -R %s/data %s/data && chmod -R go-w %s", home, dir, home, home);
	local port = free_port();
	local path = home.."/config.lua";
	write(path, config:format(home.."/data", home.."/pid", port, home.."/socket", dir, home.."/log",
		dir.."/localhost.key", dir.."/localhost.crt", extra or ""));
	local program = name == "prosody" and "prosody -F --config "..path or build.."/couplet -F -c "..path;
	local started = socket.gettime();
	local pid = math.tointeger(tonumber(run("sh -c '%s >%s/out 2>&1 & echo $!'", program, home)));
	while not accepts(port) do
		assert(socket.gettime() - started < 20, name.." did not start: see "..home);
	end
	local start_ms = (socket.gettime() - started) * 1000;
	return {
		port = port, pid = pid, start_ms = start_ms;
		stop = function ()
			os.execute(("kill %d"):format(pid));
			local asked = socket.gettime();
			while os.execute(("kill -0 %d 2>/dev/null"):format(pid)) do
				socket.select(nil, nil, 0.02); -- until it is gone
				if socket.gettime() - asked > 5 then -- a peer may hang in its own shutdown
					os.execute(("kill -9 %d"):format(pid));
				end
			end
		end;
	};
end

local function load_figures(server, what)
	local figures = {};
	for name, value in run("%s %d %d %s", load_program, server.port, server.pid, what):gmatch "(%S+) (%S+)\n" do
		figures[name] = tonumber(value);
	end
	return figures;
end

local variants = {
	{ key = "couplet"; label = "couplet"; server = "couplet" };
	{ key = "couplet_idle"; label = "couplet, 2000 idle"; server = "couplet"; idle = true };
	{ key = "shipped"; label = "prosody"; server = "prosody" };
	{ key = "tuned"; label = "prosody, generational"; server = "prosody"; extra = 'gc = { mode = "generational" }' };
	{ key = "prosody_idle"; label = "prosody, 2000 idle"; server = "prosody"; idle = true };
};

local function with_server(variant, fn)
	local server = start(variant.server, variant.extra);
	local hold;
	if variant.idle then
		hold = assert(io.popen(("%s %d %d hold %d >%s/hold"):format(load_program, server.port, server.pid,
			idle_sessions, dir), "w"));
		repeat
			local file = io.open(dir.."/hold");
			local text = file and file:read "a" or "";
			if file then file:close(); end
			socket.select(nil, nil, 0.05);
		until text:find "ready";
	end
	local ok, result = pcall(fn, server);
	if hold then
		hold:close();
		os.remove(dir.."/hold");
	end
	server.stop();
	assert(ok, result);
	return result;
end

-- The median of three, each on a server of its own.
local function median(variant, what, field)
	local values = {};
	for i = 1, 3 do
		values[i] = with_server(variant, function (server) return load_figures(server, what)[field]; end);
	end
	table.sort(values);
	return values[2], values[1], values[3];
end

local failures = 0;

local function verdict(label, value, limit, unit)
	local ok = value <= limit;
	failures = failures + (ok and 0 or 1);
	print(("  %-58s %8.3f  (budget %g%s)  %s"):format(label, value, limit, unit or "", ok and "ok" or "MISSED"));
end

local benches = {};

local function bench_chat(title, what)
	print(title);
	local cost = {};
	for _, variant in ipairs(variants) do
		local value, least, most = median(variant, what, "cpu_us_per_message");
		cost[variant.key] = value;
		print(("  %-26s %7.1f µs of CPU per message  (%.1f-%.1f)"):format(variant.label, value, least, most));
	end
	verdict("of shipped Prosody", cost.couplet / cost.shipped, 0.1);
	verdict("of tuned Prosody", cost.couplet / cost.tuned, 0.2);
	verdict("with 2000 idle sessions, of itself without", cost.couplet_idle / cost.couplet, 1.25);
end

function benches.chat()
	bench_chat("Chat, plain: 50 pairs, 4 messages in flight each", "chat 50 4 40000");
	bench_chat("Chat, TLS: 50 pairs, 4 messages in flight each", "tls chat 50 4 40000");
end

function benches.idle()
	print "Memory per idle session (2,000 of them; anonymous memory, since code pages are not a session's)";
	for _, tls in ipairs { "", "tls " } do
		for _, variant in ipairs { variants[1], variants[3] } do
			local figures = with_server(variant, function (server)
				return load_figures(server, ("%sidle %d"):format(tls, idle_sessions));
			end);
			print(("  %-26s %7.2f KiB %s (CPU while idle %.2f %%)"):format(variant.label, figures.anon_kib_per_session,
				tls == "" and "plain" or "TLS", figures.idle_cpu_percent));
			if variant.key == "couplet" then
				verdict("KiB per session", figures.anon_kib_per_session, tls == "" and 6 or 20, " KiB");
			end
		end
	end
end

function benches.login()
	print "Logins (SCRAM-SHA-1, 4,096 rounds; 1,000 of them, 10 at a time)";
	for _, tls in ipairs { "", "tls " } do
		local couplet = median(variants[1], tls.."login 1000", "cpu_ms_per_login");
		local prosody = median(variants[3], tls.."login 1000", "cpu_ms_per_login");
		print(("  couplet %.3f ms, prosody %.3f ms of CPU per login, %s"):format(couplet, prosody,
			tls == "" and "plain" or "TLS"));
		print(("  %-58s %8.3f"):format("of Prosody", couplet / prosody));
	end
end

function benches.start()
	print "From exec to the first accepted connection";
	for _, variant in ipairs { variants[1], variants[3] } do
		local values = {};
		for i = 1, 5 do
			local server = start(variant.server);
			values[i] = server.start_ms;
			server.stop();
		end
		table.sort(values);
		print(("  %-26s %7.1f ms (%.1f-%.1f)"):format(variant.label, values[3], values[1], values[5]));
		if variant.key == "couplet" then
			verdict("ms", values[3], 50, " ms");
		end
	end
end

math.randomseed(os.time());
run("mkdir -p %s/bench %s", build, dir);
run("cc -O2 -D_GNU_SOURCE -o %s spec/bench/load.c -lssl -lcrypto -Wno-deprecated-declarations 2>&1", load_program);
run([[openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=localhost \
	-addext subjectAltName=DNS:localhost -keyout %s/localhost.key -out %s/localhost.crt 2>/dev/null]], dir, dir);
make_accounts(dir.."/data");
local chosen = #arg > 0 and arg or { "start", "login", "idle", "chat" };
for _, name in ipairs(chosen) do
	assert(benches[name], "no benchmark called "..name)();
end
os.execute("rm -rf "..dir);
os.exit(failures == 0 and 0 or 1);
