--- What the benchmarks that start servers share: accounts, start and stop, load, medians and budgets.
--
--	bench.prepare(accounts)                       keys, certificate, data, the load program
--	local server = bench.start("couplet", make_config)   { port =, pid =, start_ms =, stop() }
--	bench.figures(server.port, server.pid, "chat 50 4 40000")
--	bench.verdict("of Prosody", ratio, 0.1)
--	bench.finish()                                exit code 1 when a budget was missed
--
-- Every figure is taken on a server started for it. Ratios are what counts: the machine's speed drifts.

local socket = require "socket"

local build = os.getenv "COUPLET_BUILD" or "build"
local load_program = build.."/bench/load"
local scratch = os.getenv "TMPDIR" or "/tmp"

math.randomseed(os.time())

local bench = {}
bench.dir = ("%s/couplet-bench-%d"):format(scratch, math.random(1 << 30))
local dir = bench.dir

--- Runs a command (a format), gives what it printed.
local function run(format, ...)
	local command = format:format(...)
	local pipe = assert(io.popen(command, "r"))
	local out = pipe:read "a"
	local ok = pipe:close()
	assert(ok, command.." failed: "..out)
	return out
end

-- One record for all accounts: salt "benchmark", 4096 rounds of SHA-1, password "secret".
local account = [[return {
	["iteration_count"] = 4096;
	["salt"] = "benchmark";
	["stored_key"] = "%s";
	["server_key"] = "%s";
};
]]

local function write(path, text)
	local file = assert(io.open(path, "w"))
	file:write(text)
	file:close()
end

local function make_accounts(data, accounts)
	local keys = run([[python3 -c '
import hashlib, hmac
p = hashlib.pbkdf2_hmac("sha1", b"secret", b"benchmark", 4096)
c = hmac.new(p, b"Client Key", "sha1").digest()
print(hashlib.sha1(c).hexdigest(), hmac.new(p, b"Server Key", "sha1").hexdigest())']])
	local stored_key, server_key = keys:match "(%x+) (%x+)"
	run("mkdir -p %s/localhost/accounts", data)
	for i = 0, accounts - 1 do
		write(("%s/localhost/accounts/user%d.dat"):format(data, i), account:format(stored_key, server_key))
	end
end

local function free_port()
	local server = assert(socket.bind("127.0.0.1", 0))
	local _, port = server:getsockname()
	server:close()
	return math.tointeger(tonumber(port))
end

local function accepts(port)
	local conn = socket.tcp()
	conn:settimeout(1)
	local ok = conn:connect("127.0.0.1", port)
	conn:close()
	return ok
end

--- Keys and data that every server gets a copy of.
function bench.prepare(accounts)
	run("mkdir -p %s/bench %s", build, dir)
	run("cc -O2 -D_GNU_SOURCE -Wno-deprecated-declarations -o %s spec/bench/load*.c -lssl -lcrypto 2>&1",
		load_program)
	run([[openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=localhost \
		-addext subjectAltName=DNS:localhost -keyout %s/localhost.key -out %s/localhost.crt 2>/dev/null]], dir, dir)
	make_accounts(dir.."/data", accounts)
end

--- CPU seconds that a process has used.
function bench.cpu_s(pid)
	local file <close> = assert(io.open(("/proc/%d/stat"):format(pid)))
	local user, system = file:read "a":match "%) %S %S+ %S+ %S+ %S+ %S+ %S+ %S+ %S+ %S+ %S+ (%d+) (%d+)"
	return (tonumber(user) + tonumber(system)) / 100
end

-- Ends a process and waits until it is gone.
local function stop(pid)
	os.execute(("kill %d"):format(pid))
	local asked = socket.gettime()
	while os.execute(("kill -0 %d 2>/dev/null"):format(pid)) do
		socket.select(nil, nil, 0.02)
		if socket.gettime() - asked > 5 then -- a peer may hang in its own shutdown
			os.execute(("kill -9 %d"):format(pid))
		end
	end
end

--- Starts a server and waits until it takes connections on all its ports. make_config(home, ports...) gives the text of
-- its configuration; command(path) what is run. Gives { ports = list, port = the first, pid =, stop =, start_ms = }.
function bench.start(name, n_ports, make_config, command)
	local home = ("%s/%s-%d"):format(dir, name, math.random(1 << 30))
	run("mkdir -p %s && cp -R %s/data %s/data && chmod -R go-w %s", home, dir, home, home)
	local ports = {}
	for i = 1, n_ports do ports[i] = free_port() end
	local path = home.."/config.lua"
	write(path, make_config(home, table.unpack(ports)))
	local started = socket.gettime()
	local pid = math.tointeger(tonumber(run("sh -c '%s >%s/out 2>&1 & echo $!'", command(path), home)))
	for _, port in ipairs(ports) do
		while not accepts(port) do
			assert(socket.gettime() - started < 20, name.." did not start: see "..home)
		end
	end
	local start_ms = (socket.gettime() - started) * 1000
	return { ports = ports, port = ports[1], pid = pid, start_ms = start_ms, stop = function () stop(pid) end }
end

--- What is run for a server of that name.
local commands = {
	couplet = function (path) return build.."/couplet -F -c "..path end,
	prosody = function (path) return "prosody -F --config "..path end,
}
bench.commands = commands

--- What the load program says: name -> number.
function bench.figures(port, pid, what)
	local figures = {}
	for name, value in run("%s %d %d %s", load_program, port, pid, what):gmatch "(%S+) (%S+)\n" do
		figures[name] = tonumber(value)
	end
	return figures
end

--- The median, the least and the most of what fn gives when it is called that often.
function bench.median(times, fn)
	local values = {}
	for i = 1, times do values[i] = fn() end
	table.sort(values)
	return values[(times + 1) // 2], values[1], values[times]
end

local failures = 0

--- Prints a figure beside its budget.
function bench.verdict(label, value, limit, unit)
	local ok = value <= limit
	failures = failures + (ok and 0 or 1)
	print(("  %-58s %8.3f  (budget %g%s)  %s"):format(label, value, limit, unit or "", ok and "ok" or "MISSED"))
end

--- Removes what was made and ends, with 1 when a budget was missed.
function bench.finish()
	run("rm -rf %s", dir)
	os.exit(failures == 0 and 0 or 1, true)
end

bench.run, bench.write, bench.free_port, bench.load_program = run, write, free_port, load_program

return bench
