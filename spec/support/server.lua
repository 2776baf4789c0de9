--- The server as a process: started on a configuration of its own in a folder of its own, with free ports.
--
--   local server = Server.start { config = "...", hosts = { localhost = "..." }, modules = { "ping" } }
--   server:register("romeo", "secret")         server:client { user = "romeo" }
--   server:restart()  server:kill9()  server:reload()  server:stop()
--
-- stop() asserts what is true of every run: exit code 0, nothing at level error in the log, no report of a sanitizer.
-- program = "prosody" (or COUPLET_PEER=prosody) starts Debian's Prosody in its place, to test the scenarios
-- themselves.

local certs = require "spec.support.certs"
local client = require "spec.support.client"
local lfs = require "lfs"
local loop = require "spec.support.loop"
local ports = require "spec.support.ports"
local process = require "process"
local socket = require "socket"
local unix = require "socket.unix"

local server = {}
server.__index = server

local build = os.getenv "COUPLET_BUILD" or "build/test"
-- The program itself is the normal one, except where the build is about the program.
local program_folder = (build:find "asan" or build:find "cover") and build or "build"

--- A port nobody listens on, nor will.
server.free_port = ports.free

local function write_file(path, text)
	local file <close> = assert(io.open(path, "w"))
	assert(file:write(text))
end

local function configuration(self)
	local options = self.options
	local lines = {
		("data_path = %q"):format(self.folder .. "/data"),
		("pidfile = %q"):format(self.folder .. "/pid"),
		options.plugins and ("plugin_paths = { %q }"):format(self.folder .. "/plugins") or "",
		("admin_socket = %q"):format(self.folder .. "/admin.sock"),
		"run_as_root = true",
		'log = { debug = "*console" }',
		('interfaces = { %s }'):format(options.interfaces or '"127.0.0.1"'),
		("c2s_ports = { %d }"):format(self.port),
		("c2s_direct_tls_ports = { %d }"):format(self.direct_port),
		("s2s_ports = { %s }; s2s_direct_tls_ports = {}; component_ports = { %s }"):format(self.s2s_port or "",
			self.component_port or ""),
		self.s2s_port and "" or 'modules_disabled = { "s2s" }',
		("http_ports = { %s }; https_ports = { %s }"):format(self.http_port or "", self.https_port or ""),
		("certificates = %q"):format(certs.path "ca.crt":match "^(.*)/"),
		("ssl = { certificate = %q; key = %q; cafile = %q; verify = { \"peer\" } }"):format(certs.path "server.crt",
			certs.path "server.key", certs.path "ca.crt"),
		("authentication = %q"):format(options.authentication or "internal_hashed"),
		"modules_enabled = { " .. table.concat((function()
			local quoted = {}
			for i, name in ipairs(self.modules) do quoted[i] = ("%q"):format(name) end
			return quoted
		end)(), "; ") .. " }",
		options.config or "",
	}
	for host, text in pairs(options.hosts or { localhost = "" }) do
		lines[#lines + 1] = ("VirtualHost %q\n%s"):format(host, text)
	end
	lines[#lines + 1] = options.components or ""
	return table.concat(lines, "\n") .. "\n"
end

local default_modules = {
	"roster", "saslauth", "tls", "disco", "ping", "private", "vcard", "version", "time", "uptime", "blocklist",
	"register", "admin_shell",
}

--- options: config (global lines), hosts (name → lines), components (lines at the end), modules (in place of the
-- defaults) or more_modules, plugins (name → text: modules of the admin's own, enabled or loaded), authentication,
-- outside_clients (whose sessions are ended before it stops), interfaces, with_s2s, with_http, with_component, max_fds,
-- env, prefix (a list: what runs the program), address (where clients find it, if not at 127.0.0.1), wait (if false: do
-- not wait until it serves). Gives the running server.
function server.start(options)
	local self = server.unstarted(options)
	self.config = self.folder .. "/server.cfg.lua"
	self:configure(self.options)
	self:run()
	return self
end

-- What the process says of itself by sd_notify(3), in .notices.
local function watch_notices(self)
	self.notices = {}
	local listening = assert(unix.dgram())
	assert(listening:bind(self.folder .. "/notify"))
	listening:settimeout(0)
	local function read()
		local notice = listening:receive()
		while notice do
			table.insert(self.notices, notice)
			notice = listening:receive()
		end
	end
	loop.watch(listening, read)
	self.stop_notices = function()
		read()
		loop.forget(listening)
		listening:close()
	end
end

--- The same before it is configured: with a folder, ports and a name.
function server.unstarted(options)
	local self = setmetatable({ options = options or {}, output = {}, clients = {}, expected_errors = {} }, server)
	options = self.options
	self.program = options.program or os.getenv "COUPLET_PEER" or "couplet"
	local pipe <close> = io.popen "mktemp -d /tmp/couplet-spec.XXXXXX"
	self.folder = pipe:read "l"
	assert(lfs.mkdir(self.folder .. "/data"))
	if options.data then
		assert(os.execute(("cp -R %s/. %s/data && chmod -R u+w %s/data"):format(options.data, self.folder, self.folder)))
	end
	self.port, self.direct_port = server.free_port(), server.free_port()
	if self.program == "couplet" then watch_notices(self) end
	if options.plugins then
		assert(lfs.mkdir(self.folder .. "/plugins"))
		for name, text in pairs(options.plugins) do self:plugin(name, text) end
	end
	if options.with_s2s then self.s2s_port = server.free_port() end
	if options.with_http then self.http_port, self.https_port = server.free_port(), server.free_port() end
	if options.with_component then self.component_port = server.free_port() end
	self.modules = table.move(options.modules or default_modules, 1, 100, 1, {})
	for _, name in ipairs(options.more_modules or {}) do table.insert(self.modules, name) end
	return self
end

--- Writes a module of the admin's own (options.plugins), to be loaded or reloaded.
function server:plugin(name, text) write_file(("%s/plugins/mod_%s.lua"):format(self.folder, name), text) end

--- Writes the configuration again, with some options replaced; the server is not told.
function server:configure(options)
	for key, value in pairs(options) do self.options[key] = value end
	write_file(self.config, configuration(self))
end

function server:command(name)
	if self.program == "prosody" then return name == "couplet" and "prosody" or "prosodyctl" end
	return ("%s/%s/%s"):format(lfs.currentdir(), program_folder, name)
end

--- The program and its arguments.
function server:arguments()
	if self.program == "prosody" then return { "prosody", "-F", "--config", self.config } end
	local prefix = table.move(self.options.prefix or {}, 1, 10, 1, {})
	return table.move({ self:command "couplet", "-F", "-c", self.config }, 1, 4, #prefix + 1, prefix)
end

--- Starts the process (again) and waits until it serves.
function server:run()
	local argv = self:arguments()
	local env = {
		ASAN_OPTIONS = "exitcode=99:abort_on_error=0:detect_leaks=1", NOTIFY_SOCKET = self.folder .. "/notify",
	}
	for name, value in pairs(self.options.env or {}) do env[name] = value end
	self.told_to_end, self.output_ended, self.notices = false, false, {}
	self.process = process.spawn(argv, { cwd = lfs.currentdir(), env = env, max_fds = self.options.max_fds })
	loop.watch(self.process, function() self:read() end)
	if self.options.wait ~= false then self:await_ready() end
end

function server:read()
	local bytes = self.process:read()
	if bytes then
		table.insert(self.output, bytes)
	elseif bytes == false then
		loop.forget(self.process)
		self.output_ended = true
	end
end

--- All it has said so far.
function server:log()
	local all = table.concat(self.output)
	self.output = { all }
	return all
end

--- Waits until the log has a line with this plain text (from position `after` on). Gives its end.
function server:awaits_log(text, after, seconds)
	local finish
	loop.await(function()
		local _, to = self:log():find(text, after or 1, true)
		finish = to
		return to or self.output_ended
	end, function() return ("the log to say %q; it ends:\n%s"):format(text, self:tail()) end, seconds, 2)
	if not finish then error(("the server ended without saying %q:\n%s"):format(text, self:tail()), 2) end
	return finish
end

--- Where the log ends now, for awaits_log(text, after).
function server:log_position()
	loop.turn(0)
	return #self:log() + 1
end

function server:tail()
	local lines = {}
	for line in self:log():gmatch "[^\n]+" do lines[#lines + 1] = line end
	return table.concat(lines, "\n", math.max(1, #lines - 40))
end

local function has_said_ready(self)
	for _, notice in ipairs(self.notices) do
		if notice == "READY=1" then return true end
	end
	return false
end

-- Who does not tell when it is ready serves when its ports are open.
local function has_open_ports(self)
	for _, port in ipairs { self.port, self.direct_port } do
		local probe = socket.connect(self.options.address or "127.0.0.1", port)
		if not probe then return false end
		probe:close()
	end
	return true
end

--- Waits until it serves: everything in its configuration is loaded, and its ports are open.
function server:await_ready()
	local is_couplet = self.program == "couplet"
	local deadline = loop.now() + loop.deadline_seconds
	while not (is_couplet and has_said_ready or has_open_ports)(self) do
		if self.output_ended or loop.now() > deadline then
			error("the server does not serve:\n" .. self:tail(), 3)
		end
		loop.turn(is_couplet and 1 or 0.05) -- what it says next, or the next look at its port
	end
end

-- ---- control ----

--- Runs coupletctl. Gives its output and exit code.
function server:ctl(...)
	local p = process.spawn({ self:command "coupletctl", "--config", self.config, ... },
		{ cwd = lfs.currentdir(), env = { ASAN_OPTIONS = "detect_leaks=0:exitcode=99" } })
	p:close_input()
	local said, ended = {}, false
	loop.watch(p, function()
		local bytes = p:read()
		if bytes then table.insert(said, bytes) elseif bytes == false then ended = true; loop.forget(p) end
	end)
	loop.await(function() return ended end, "coupletctl " .. table.concat({ ... }, " "), nil, 2)
	local _, code = p:wait(loop.deadline_seconds)
	return table.concat(said), code
end

--- What the admin's shell says to a line that must succeed.
function server:shell(line)
	local said, code = self:ctl("shell", line)
	if code ~= 0 then error(("%s ended with %d: %s"):format(line, code, said), 2) end
	return said
end

--- All events of the host localhost and of the server with the number of their hooks, as one text.
function server:hooks() return self:shell "debug events localhost" .. self:shell "debug events" end

--- Makes an account. host: the first of hosts, or localhost.
function server:register(user, password, host)
	local said, code = self:ctl("register", user, host or self:host(), password or "secret")
	if code ~= 0 then error(("register %s: exit code %s: %s"):format(user, code, said), 2) end
end

--- The host clients belong to when they say nothing else.
function server:host()
	if not self.options.hosts or self.options.hosts.localhost then return "localhost" end
	return (next(self.options.hosts))
end

--- A client of this server, not yet connected; options as for Client.new.
function server:client(options)
	local all = {
		host = self:host(), ip = self.options.address or "127.0.0.1",
		port = options.tls == "direct" and self.direct_port or self.port,
		password = "secret",
	}
	for key, value in pairs(options) do all[key] = value end
	local new = client.new(all)
	table.insert(self.clients, new)
	return new
end

--- Somebody with an account (made at first use), logged in and, unless options.appears is false, available.
function server:person(user, options)
	options = options or {}
	self.accounts = self.accounts or {}
	local host = options.host or self:host()
	if not self.accounts[user .. "@" .. host] then
		self:register(user, options.password or "secret", host)
		self.accounts[user .. "@" .. host] = true
	end
	local all = { user = user }
	for key, value in pairs(options) do all[key] = value end
	local one = self:client(all):logs_in()
	if options.appears ~= false then one:appears() end
	return one
end

--- Cuts off all clients there are, so that the next test starts alone.
function server:forget_clients()
	for _, one in ipairs(self.clients) do
		if one.socket and not one.closed then one:vanishes() end
	end
	self.clients = {}
end

-- Asked through the admin's shell, which evaluates what follows ">".
local LIVE = [[> (function(native)
		local counts, links = native.counts(), 0
		for session in native.sessions() do
			if session.type:find "^s2s" or session.hibernating then links = links + 1 end
		end
		return ("sessions=%d stanzas=%d"):format(counts.sessions - links, counts.live_stanzas)
	end)(require "couplet.native")]]

--- What is alive in the server now: { sessions = (one of each host included; streams between servers not, they stay
-- for an hour, nor what waits for a client to come back), stanzas = }.
function server:live()
	local said, code = self:ctl("shell", (LIVE:gsub("%s+", " ")))
	local sessions, stanzas = said:match "sessions=(%d+) stanzas=(%d+)"
	if code ~= 0 or not sessions then error("the shell says: " .. said, 2) end
	return { sessions = tonumber(sessions), stanzas = tonumber(stanzas) }
end

--- Waits for something about the process that can only be looked at.
function server:awaits(is_so, what)
	local deadline = loop.now() + loop.deadline_seconds
	while not is_so() do
		if loop.now() > deadline then error("waited for " .. what, 2) end
		loop.turn(0.02)
	end
end

--- So many clients are left: soon no more sessions than theirs are alive. With none asserted before every good end.
function server:is_alone_with(clients)
	local _, hosts = ("\n" .. configuration(self)):gsub("\n%s*%a+ost \"", "")
	local _, components = ("\n" .. configuration(self)):gsub("\n%s*Component \"", "")
	local deadline = loop.now() + loop.deadline_seconds
	while true do
		local live = self:live()
		local sessions = live.sessions - hosts - components
		if sessions <= clients and live.stanzas == 0 then return end
		if loop.now() > deadline then
			error(("left alive: %d sessions, %d stanzas"):format(sessions, live.stanzas), 2)
		end
		loop.turn(0.02) -- the end of a connection is seen by the server a turn later
	end
end

--- Resident memory in KiB, or the most there ever was ("peak"). With the address sanitizer, which keeps freed memory
-- aside, it says nothing: always 0.
function server:memory(which)
	if program_folder:find "asan" then return 0 end
	local status <close> = assert(io.open(("/proc/%d/status"):format(self.process:pid())))
	return tonumber(status:read("a"):match((which == "peak" and "VmHWM" or "VmRSS") .. ":%s*(%d+)"))
end

--- The heap in use in KiB, what Lua does not need left out: that which free memory is not given back says nothing of.
function server:heap()
	local said, code = self:ctl("shell", "> (function () collectgarbage() collectgarbage() "
		.. "return require 'couplet.native'.counts().memory end)()")
	if code ~= 0 then error("the shell says: " .. said, 2) end
	return tonumber(said:match "%d+") // 1024
end

--- Seconds of processor time used so far.
function server:cpu_seconds()
	local stat <close> = assert(io.open(("/proc/%d/stat"):format(self.process:pid())))
	local fields = {}
	for field in stat:read("a"):gsub("^.*%) ", ""):gmatch "%S+" do fields[#fields + 1] = field end
	return (tonumber(fields[12]) + tonumber(fields[13])) / 100
end

function server:open_files()
	local n = 0
	for _ in lfs.dir(("/proc/%d/fd"):format(self.process:pid())) do n = n + 1 end
	return n - 2
end

function server:has(module)
	for _, name in ipairs(self.modules) do
		if name == module then return true end
	end
	return false
end

function server:is_running() return not self.process:wait(0) end

function server:signal(number)
	if number ~= 1 then self.told_to_end = true end
	return self.process:kill(number)
end

--- Reads its configuration again and waits until the log says so.
function server:reload()
	local from = self:log_position()
	self:signal(1)
	self:awaits_log("eloaded", from)
end

local function awaits_exit(self)
	local how, code
	loop.await(function()
		if not self.output_ended then return false end
		how, code = self.process:wait(1)
		return how
	end, function() return "the server to end:\n" .. self:tail() end, nil, 3)
	return how, code
end

--- Waits for the process to end of itself, or by a signal it was given. Gives how, and its exit code or the signal.
function server:awaits_exit() return awaits_exit(self) end

--- Ends it like a power cut, as far as the process goes.
function server:kill9()
	self:signal(9)
	awaits_exit(self)
	self:forget_clients()
end

--- In good order, then up again on the same data.
function server:restart()
	self:ends()
	self:forget_clients()
	self:run()
end

--- This text may stand in an error line of the log.
function server:expects_error(text) table.insert(self.expected_errors, text) end

--- SIGTERM, and what must be true of every end.
function server:ends()
	self:signal(15)
	local how, code = awaits_exit(self)
	local log = self:log()
	if log:find("ERROR: %w+Sanitizer") or log:find("runtime error:", 1, true) then
		error("a sanitizer reports:\n" .. log:match "[^\n]*ERROR: %w+Sanitizer.*" or log:match "[^\n]*runtime error:.*", 2)
	end
	if how ~= "exit" or code ~= 0 then error(("the server ended with %s %s:\n%s"):format(how, code, self:tail()), 2) end
	for line in log:gmatch "[^\n]+" do
		local expected = not line:find "%f[%w]error%f[%W]%s" or self.program ~= "couplet"
		for _, text in ipairs(self.expected_errors) do expected = expected or line:find(text, 1, true) end
		if not expected then error("the log has an error: " .. line, 2) end
	end
end

--- Ends it and removes its folder. The log stays when the run was not good.
function server:stop()
	self:forget_clients()
	local ok, why = pcall(function()
		if self.program == "couplet" and not self.told_to_end then
			self:await_ready()
			-- Their sessions wait for those who vanished (XEP-0198).
			if self.options.outside_clients then self:ctl("shell", "c2s", "closeall") end
			if self:has "admin_shell" then self:is_alone_with(0) end
		end
		self:ends()
	end)
	loop.forget(self.process)
	if self.stop_notices then self.stop_notices() end
	if not ok then
		lfs.mkdir(build .. "/logs")
		local path = ("%s/logs/%s.log"):format(build, self.folder:match "[^.]+$")
		write_file(path, self:log())
		os.execute(("rm -rf '%s'"):format(self.folder))
		error(tostring(why) .. "\nthe whole log: " .. path, 2)
	end
	os.execute(("rm -rf '%s'"):format(self.folder))
end

return server
