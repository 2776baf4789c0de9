--- The way from the command line to a running server, and from there to its end.
--
-- Order: arguments, configuration, the `prosody` table, log, daemon, hosts with their modules, ports, pidfile; then
-- "server-starting" and "server-started". When root starts us for another user, we become that user before any data is
-- touched, or else it would belong to root; only for a port below 1024 we stay root until it is open.
-- Tools use find_config and set_paths alone.

local config = require "prosody.core.configmanager"
local files = require "prosody.util.files"
local native = require "couplet.native"
local paths = require "prosody.util.paths"
local pluginloader = require "prosody.core.pluginloader"
local pposix = require "prosody.util.pposix"

local globals = _G
local error, ipairs, next, pairs, rawset, require = error, ipairs, next, pairs, rawset, require
local setmetatable, tonumber, tostring, type = setmetatable, tonumber, tostring, type
local debug_getinfo, debug_traceback, io_open = debug.getinfo, debug.traceback, io.open
local os_getenv, os_remove, os_time, stderr, stdout = os.getenv, os.remove, os.time, io.stderr, io.stdout
local math_tointeger, table_concat = math.tointeger, table.concat

local _M = {}
local _ENV = nil

local SHUTDOWN_SECONDS = 5 -- how long clients may take to end their streams
local SHUTDOWN_LOOK_SECONDS = 0.05

-- What main makes of our result: 0 goes on, n + 1 ends with exit code n.
local GO_ON, EXIT_OK, EXIT_FAILURE, EXIT_USAGE = 0, 0 + 1, 1 + 1, 2 + 1

local log -- once there is a configuration that says where to

-- Where things are

-- The directory with core/, util/ and mod_*.lua: ours is modules/core/startup.lua.
local module_directory = debug_getinfo(1, "S").source:match("^@(.*)/core/startup%.lua$") or "modules"
local root_directory = module_directory:match("^(.*)/[^/]*$") or "."

local function is_file(path)
	return files.size(path) ~= nil
end

local is_checkout = is_file(root_directory .. "/configure")

-- Absolute when the shell told where we are, so that it stays right after the daemon has left that directory.
local function absolute(path)
	local here = os_getenv("PWD")
	if path:sub(1, 1) ~= "/" and here and here:sub(1, 1) == "/" then
		local full = paths.resolve_relative_path(here, path)
		if is_file(full) then
			return full
		end
	end
	return path
end

local config_names = { "prosody.cfg.lua", "couplet.cfg.lua" }

local function config_directories()
	local directories = {}
	if is_checkout then
		directories[1] = root_directory
	end
	directories[#directories + 1] = "/etc/couplet"
	directories[#directories + 1] = "/etc/prosody"
	return directories
end

--- The config file: the one given, else the first there is of prosody.cfg.lua and couplet.cfg.lua in the checkout,
-- /etc/couplet and /etc/prosody. Its path; or nil and a sentence.
function _M.find_config(given)
	if given then
		if is_file(given) then
			return absolute(given)
		end
		return nil, ("There is no config file %s"):format(given)
	end
	local tried = {}
	for _, directory in ipairs(config_directories()) do
		for _, name in ipairs(config_names) do
			local path = directory .. "/" .. name
			if is_file(path) then
				return path
			end
			tried[#tried + 1] = path
		end
	end
	return nil, ("There is no config file. Looked for %s. Name one with --config FILE"):format(table_concat(tried, ", "))
end

local function default_data_directory(config_directory)
	if config_directory == "/etc/prosody" then
		return "/var/lib/prosody"
	elseif is_checkout then
		return root_directory .. "/data"
	end
	return "/var/lib/couplet"
end

local function as_list(value)
	if value == nil or type(value) == "table" then
		return value or {}
	end
	return { value }
end

-- Where modules are looked for: the admin's directories first, ours last.
local function plugin_directories(config_directory, data_directory)
	local list = {}
	for _, path in ipairs(as_list(config.get("*", "plugin_paths"))) do
		list[#list + 1] = paths.resolve_relative_path(config_directory, path)
	end
	list[#list + 1] = root_directory .. "/plugins"
	local installed = paths.resolve_relative_path(data_directory,
		config.get("*", "installer_plugin_path") or "custom_plugins")
	paths.complement_lua_path(installed)
	list[#list + 1] = installed
	list[#list + 1] = module_directory
	return list
end

--- Fills prosody.paths from the loaded configuration and tells pluginloader and the stores.
function _M.set_paths(config_file)
	local config_directory = config_file:match("^(.*)/[^/]*$") or "."
	local data_directory = paths.resolve_relative_path(config_directory,
		config.get("*", "data_path") or default_data_directory(config_directory))
	local plugins = plugin_directories(config_directory, data_directory)
	local found = globals.prosody.paths
	found.source, found.config, found.data = root_directory, config_directory, data_directory
	found.plugins = table_concat(plugins, ";")
	found.installer = plugins[#plugins - 1]
	found.certs = paths.resolve_relative_path(config_directory, config.get("*", "certificates") or "certs")
	pluginloader.set_directories(plugins)
	require "prosody.util.datamanager".set_data_path(data_directory)
	-- COMPAT: modules read these globals
	rawset(globals, "CFG_SOURCEDIR", found.source)
	rawset(globals, "CFG_CONFIGDIR", found.config)
	rawset(globals, "CFG_DATADIR", found.data)
	rawset(globals, "CFG_PLUGINDIR", module_directory)
end

-- Arguments

local usage = [[
Usage: couplet [OPTION]...

  -c, --config FILE   the configuration; by default prosody.cfg.lua or couplet.cfg.lua in the
                      checkout, /etc/couplet or /etc/prosody
  -F, --foreground    stay in the foreground (the default)
  -D, --daemonize     go to the background
  -v, --verbose       log everything to the terminal too
      --root          keep running as root when started so
      --version       print the version
  -h, --help          print this

coupletctl does the rest: accounts, certificates, checks, the running server's shell.
]]

local switches = {
	["-F"] = "foreground", ["--foreground"] = "foreground",
	["-D"] = "daemonize", ["--daemonize"] = "daemonize",
	["-v"] = "verbose", ["--verbose"] = "verbose",
	["--root"] = "root", ["--version"] = "version",
	["-h"] = "help", ["--help"] = "help",
}

--- The arguments as a table of switches and `config`; or nil and a sentence.
function _M.parse_arguments(arguments)
	local options, i = {}, 1
	while arguments[i] do
		local argument = arguments[i]
		local value = argument:match("^%-%-config=(.+)$")
		if value then
			options.config = value
		elseif argument == "-c" or argument == "--config" then
			i = i + 1
			options.config = arguments[i]
			if not options.config then
				return nil, argument .. " needs a file name"
			end
		elseif switches[argument] then
			options[switches[argument]] = true
		else
			return nil, "there is no option " .. argument
		end
		i = i + 1
	end
	return options
end

-- The server's globals

-- Names that were reported, so that a loop does not fill the log.
local reported = {}

-- Library code that sets a global by mistake is stopped; reading one that is not there gives nil and is reported once.
local strict_mt = {
	__newindex = function (_, name)
		error(("the global %s is set, which was not declared (prosody.unlock_globals allows it)"):format(tostring(name)), 2)
	end,
	__index = function (_, name)
		local info = debug_getinfo(2, "Sl")
		local place = info and ("%s:%d"):format(info.short_src, info.currentline) or "?"
		local key = place .. "\0" .. tostring(name)
		if log and not reported[key] then
			reported[key] = true
			log("warn", "%s reads the global %s, which is not there", place, tostring(name))
			log("debug", "%s", debug_traceback("", 2))
		end
	end,
}

local function lock_globals()
	setmetatable(globals, strict_mt)
end

local function unlock_globals()
	setmetatable(globals, nil)
end

--- The table `prosody`, and the globals modules expect. arguments: as the program was called.
local function make_prosody(arguments)
	local prosody = {
		process_type = "prosody",
		platform = "posix",
		version = native.version or "unknown",
		arg = arguments,
		start_time = os_time(),
		events = native.events(),
		hosts = {},
		incoming_s2s = {},
		full_sessions = native.full_sessions,
		bare_sessions = native.bare_sessions,
		core_post_stanza = native.post,
		core_process_stanza = native.process,
		core_route_stanza = native.route,
		lock_globals = lock_globals,
		unlock_globals = unlock_globals,
		paths = { source = root_directory, config = ".", data = "data", plugins = module_directory },
	}
	rawset(globals, "prosody", prosody)
	for _, name in ipairs {
		"hosts", "full_sessions", "bare_sessions", "core_post_stanza", "core_process_stanza", "core_route_stanza",
	} do
		rawset(globals, name, prosody[name])
	end
	return prosody
end

-- Configuration

local function log_warnings(warnings)
	for _, warning in ipairs(warnings) do
		log("warn", "%s", warning)
	end
end

--- Reads the configuration again. When it is broken the one in force stays: nil and the error.
local function reload_config()
	local prosody = globals.prosody
	log("info", "Reloading the configuration")
	prosody.events.fire_event("reloading-config", prosody.config_file)
	local ok, kind_or_warnings, text = config.load(prosody.config_file)
	local loggingmanager = require "prosody.core.loggingmanager"
	if not ok then
		loggingmanager.reload_logging() -- rotated log files must be let go of all the same
		log("error", "The configuration was not reloaded, the old one stays in force: %s", text)
		return nil, text
	end
	_M.set_paths(prosody.config_file)
	loggingmanager.reload_logging()
	log_warnings(kind_or_warnings)
	prosody.events.fire_event("config-reloaded", { filename = prosody.config_file, format = "lua" })
	log("info", "The configuration was reloaded")
	return true
end

-- Privileges

local function server_user()
	local user = config.get("*", "prosody_user") or config.get("*", "user")
	local group = config.get("*", "prosody_group") or config.get("*", "group") or user
	return user, group
end

-- May we run as who we are? nil and a sentence when not. In the foreground root is let through with a warning, since
-- that is how containers run, unless the configuration says run_as_root = false.
local function check_root(options)
	if pposix.getuid() ~= 0 or server_user() or options.root then
		return true
	end
	local run_as_root = config.get("*", "run_as_root")
	if run_as_root == true then
		return true
	elseif run_as_root == false or options.daemonize then
		return nil, "The server will not run as root. Start it as a user of its own, or name one for it: " ..
			"prosody_user = \"prosody\" (run_as_root = true allows root)"
	end
	log("warn", "Running as root. Name a user to run as (prosody_user = \"prosody\"), or say run_as_root = true")
	return true
end

-- true, or nil and a sentence.
local function drop_privileges(options)
	local user, group = server_user()
	if pposix.getuid() ~= 0 or not user or options.root then
		return true
	end
	for _, step in ipairs {
		{ pposix.setgid, group, "group" }, { pposix.initgroups, user, "user" }, { pposix.setuid, user, "user" },
	} do
		local ok, err = step[1](step[2])
		if not ok then
			return nil, ("Cannot run as the %s %s: %s"):format(step[3], tostring(step[2]), tostring(err))
		end
	end
	log("info", "Running as the user %s", tostring(user))
	return true
end

-- Does the configuration ask for a port that only root may open?
local function has_privileged_port()
	for name, value in pairs(config.getconfig()["*"]) do
		for _, port in ipairs(name:match("ports?$") and as_list(value) or {}) do
			local number = tonumber(port)
			if number and number > 0 and number < 1024 then
				return true
			end
		end
	end
	return false
end

-- Files of our own

local function set_umask()
	local umask = config.get("*", "umask") or "027"
	if type(umask) ~= "string" or not umask:match("^[0-7][0-7][0-7]$") then
		log("error", "umask should be three octal digits in quotes, not %s; going on with \"027\"", tostring(umask))
		umask = "027"
	end
	pposix.umask(umask)
	return true
end

-- The data directory, made when missing: true, or nil and a sentence.
local function make_data_directory()
	local directory = globals.prosody.paths.data
	local names, err = files.list(directory)
	if names then
		return true
	elseif type(err) == "string" then
		return nil, ("The data directory %s cannot be read: %s"):format(directory, err)
	end
	local ok
	ok, err = pposix.mkdir(directory)
	if not ok then
		return nil, ("The data directory %s cannot be made: %s. Make it, or set data_path"):format(directory, tostring(err))
	end
	return true
end

-- Can we, as the user we are now, write there? true, or nil and a sentence.
local function check_data_directory()
	local probe = globals.prosody.paths.data .. "/.writable"
	local file, err = io_open(probe, "w")
	if not file then
		return nil, ("The data directory cannot be written to: %s. It should belong to the user we run as"):format(err)
	end
	file:close()
	os_remove(probe)
	return true
end

local pidfile -- its path, once we have written it

local function pidfile_path()
	return paths.resolve_relative_path(globals.prosody.paths.data, config.get("*", "pidfile") or "prosody.pid")
end

-- Two servers on the same data would ruin it. true, or nil and a sentence.
local function check_pidfile()
	local other = math_tointeger(tonumber((files.read(pidfile_path()) or ""):match("^%s*(%d+)")))
	if other and other ~= pposix.getpid() and pposix.kill(other, 0) then
		return nil, ("The server is already running with PID %d (%s)"):format(other, pidfile_path())
	end
	return true
end

local function write_pidfile()
	local path = pidfile_path()
	local file, err = io_open(path, "w")
	if not file then
		log("error", "The pidfile cannot be written: %s. Set pidfile to a path our user may write", err)
		return true
	end
	file:write(("%d\n"):format(pposix.getpid()))
	file:close()
	pidfile = path
	return true
end

local function remove_pidfile()
	if pidfile then
		os_remove(pidfile)
		pidfile = nil
	end
end

-- The end

local function any_session()
	local iterator, state, first = native.sessions()
	return iterator(state, first) ~= nil
end

-- The last things, when everybody has gone or was waited for long enough.
local function finish(code)
	local prosody = globals.prosody
	prosody.events.fire_event("server-cleanup")
	prosody.events.fire_event("server-stopped")
	remove_pidfile()
	log("info", "The server has stopped")
	native.shutdown(code)
end

-- Ends when there are no sessions any more.
local function await_sessions(code)
	local waited = 0
	local timer
	timer = native.timer(0, function ()
		if not any_session() or waited >= SHUTDOWN_SECONDS then
			return finish(code)
		end
		waited = waited + SHUTDOWN_LOOK_SECONDS
		timer:restart(SHUTDOWN_LOOK_SECONDS)
	end)
end

--- Stops the server: streams are closed with the reason, then the program ends with code (0).
local function shutdown(reason, code)
	local prosody = globals.prosody
	if prosody.shutdown_reason then
		return false -- is already on its way
	end
	code = code or 0
	prosody.shutdown_reason, prosody.shutdown_code = reason or "Shutting down", code
	log("info", "Shutting down: %s", prosody.shutdown_reason)
	prosody.events.fire_event("server-stopping", { reason = prosody.shutdown_reason, code = code })
	require "prosody.core.portmanager".close_all()
	await_sessions(code)
	return true
end

local function on_stop_signal(name)
	return function ()
		if not shutdown("Received " .. name) then
			log("warn", "Received %s again, ending at once", name)
			remove_pidfile()
			native.shutdown(0)
		end
	end
end

local function hook_signals()
	native.on_signal("SIGTERM", on_stop_signal("SIGTERM"))
	native.on_signal("SIGINT", on_stop_signal("SIGINT"))
	native.on_signal("SIGHUP", function ()
		log("info", "Received SIGHUP")
		if not reload_config() then
			require "prosody.core.certmanager".reload()
		end
	end)
	return true
end

-- The beginning

local function fail(text)
	stderr:write("couplet: ", text, "\n")
	return EXIT_FAILURE
end

-- After the log is open: to the log, and to the terminal when nobody else tells it.
local function fail_logged(text)
	log("error", "%s", text)
	return EXIT_FAILURE
end

-- The managers hook the events they wait for when they are loaded; the order of loading is the order of hooking.
local function load_managers()
	for _, name in ipairs {
		"statsmanager", "storagemanager", "modulemanager", "usermanager", "rostermanager", "sessionmanager", "s2smanager",
		"hostmanager", "certmanager", "portmanager",
	} do
		require("prosody.core." .. name)
	end
	lock_globals()
	return true
end

local function is_daemon(options)
	if options.foreground then
		return false
	end
	return options.daemonize or config.get("*", "daemonize") == true or config.get("*", "foreground") == false
end

-- A collection begins when memory has grown by 40 %, not by 100 as Lua has it. Stanzas mostly stay out of Lua, so this
-- costs next to nothing, and an idle session a sixth less memory: garbage leaves holes.
-- By age (generational) a small GET costs a tenth to a fifth less, but after a spike nothing is collected until memory
-- is twice the spike.
local gc_defaults = { mode = "incremental", threshold = 140, speed = 400 }

-- How Lua collects garbage: the option "gc", as Prosody has it.
local function set_garbage_collection()
	local gc = require "prosody.util.gc"
	local settings = config.get("*", "gc") or gc_defaults
	local ok, err = false, "it should be a table"
	if type(settings) == "table" then
		ok, err = gc.configure(settings)
	end
	if not ok then
		log("error", "The option gc is left out: %s", err)
		gc.configure(gc_defaults)
	end
	return true
end

-- From now on there is a loop: what waits goes on, and handlers of promises run, in a turn of their own.
local function use_loop()
	require "prosody.util.async".set_nexttick(native.defer)
	require "prosody.util.promise".set_nexttick(native.defer)
	-- How long a module's handler may keep a stanza waiting before it goes on without it.
	local limit = config.get("*", "max_handler_wait") or 300
	local seconds = tonumber(limit) or type(limit) == "string" and require "prosody.util.human.io".parse_duration(limit)
	if not seconds or seconds < 1 then
		log("error", "max_handler_wait should be a period of a second or more, not %s; going on with 5 minutes",
			tostring(limit))
		seconds = 300
	end
	native.options { wait_limit = seconds }
	return true
end

-- Hosts, modules, ports. true, or nil and a sentence.
local function bring_up()
	local hostmanager = require "prosody.core.hostmanager"
	local portmanager = require "prosody.core.portmanager"
	hostmanager.activate_all()
	local opened = portmanager.activate_all()
	if opened == 0 and next(portmanager.get_registered_services()) then
		return nil, "No port could be opened, so nobody can reach the server"
	end
	return true
end

-- true, or nil and a sentence. What was said so far went to the terminal.
local function daemonize(options)
	if not options.daemonize then
		return true
	end
	local ok, err = pposix.daemonize()
	if not ok then
		return nil, "Cannot go to the background: " .. tostring(err)
	end
	return true
end

local function pass()
	return true
end

-- From the loaded configuration to the running server. true, or nil and a sentence.
local function start(options)
	local prosody = globals.prosody
	local binds_first = has_privileged_port()
	for _, step in ipairs {
		check_root, set_umask, not binds_first and drop_privileges or pass, make_data_directory,
		check_data_directory, check_pidfile, set_garbage_collection, use_loop, load_managers, hook_signals, bring_up,
		binds_first and drop_privileges or pass, check_data_directory, daemonize, write_pidfile,
	} do
		local ok, err = step(options)
		if not ok then
			return nil, err
		end
	end
	prosody.events.fire_event("server-starting")
	prosody.events.fire_event("server-started")
	return true
end

--- What main calls. arguments: [0] is the program. Gives 0 when the server runs and the loop is to go on, else the exit
-- code plus one.
function _M.run(arguments)
	local options, err = _M.parse_arguments(arguments)
	if not options then
		stderr:write("couplet: ", err, "\n\n", usage)
		return EXIT_USAGE
	elseif options.help then
		stdout:write(usage)
		return EXIT_OK
	elseif options.version then
		stdout:write("Couplet ", native.version or "unknown", "\n")
		return EXIT_OK
	end
	local path
	path, err = _M.find_config(options.config)
	if not path then
		return fail(err)
	end
	local prosody = make_prosody(arguments)
	local ok, kind_or_warnings, text = config.load(path)
	if not ok then
		return fail(text)
	end
	prosody.config_file, prosody.config_loaded = path, true
	prosody.shutdown, prosody.reload_config = shutdown, reload_config
	_M.set_paths(path)
	options.daemonize = is_daemon(options)
	require "prosody.core.loggingmanager".start(options.verbose, not options.daemonize)
	log = require "prosody.util.logger".init("general")
	rawset(globals, "log", log)
	log("info", "Couplet %s, configured by %s", prosody.version, path)
	log_warnings(kind_or_warnings)
	ok, err = start(options)
	if not ok then
		return fail_logged(err)
	end
	return GO_ON
end

return _M
