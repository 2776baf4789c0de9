--- The way from the command line to a running server.
--
-- Order: arguments, configuration, the `prosody` table, log; then the steps of `start`; then "server-starting" and
-- "server-started". When root starts us for another user, we become that user before any data is touched, or else it
-- would belong to root; only for a port below 1024 we stay root until it is open.
-- Parts, in startup/: where things are (places), the globals, the user and files of the process, the ending.

local config = require "prosody.core.configmanager"
local ending = require "prosody.core.startup.ending"
local log = require "prosody.util.logger".init "general"
local native = require "couplet.native"
local places = require "prosody.core.startup.places"
local process = require "prosody.core.startup.process"
local server_globals = require "prosody.core.startup.globals"

local globals = _G
local ipairs, next, rawset, require, stderr, stdout = ipairs, next, rawset, require, io.stderr, io.stdout
local tonumber, tostring, type = tonumber, tostring, type

local _M = {}
local _ENV = nil

-- What main makes of our result: 0 goes on, n + 1 ends with exit code n.
local GO_ON, EXIT_OK, EXIT_FAILURE, EXIT_USAGE = 0, 0 + 1, 1 + 1, 2 + 1

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
	places.set_paths(prosody.config_file)
	loggingmanager.reload_logging()
	log_warnings(kind_or_warnings)
	prosody.events.fire_event("config-reloaded", { filename = prosody.config_file, format = "lua" })
	log("info", "The configuration was reloaded")
	return true
end

local function hook_signals()
	native.on_signal("SIGTERM", ending.on_stop_signal("SIGTERM"))
	native.on_signal("SIGINT", ending.on_stop_signal("SIGINT"))
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
	if not require "prosody.core.loggingmanager".is_on_console() then
		stderr:write("couplet: ", text, "\n", "couplet: the log may say more\n")
	end
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
	server_globals.lock()
	return true
end

-- A collection begins when memory has grown by 40 %, not by 100 as Lua has it. Stanzas mostly stay out of Lua, so this
-- costs next to nothing, and an idle session a sixth less memory: garbage leaves holes.
-- By age (generational) a small GET costs a tenth to a fifth less, but after a spike nothing is collected until memory
-- is twice the spike.
-- A step is what 512 bytes of garbage are worth: a fifth of a millisecond. Steps of Lua's own size took 5 ms, and
-- everybody waited.
local gc_defaults = { mode = "incremental", threshold = 140, speed = 400, step_size = 9 }

-- How Lua collects garbage: the option "gc", as Prosody has it.
local function set_garbage_collection()
	local gc = require "prosody.util.gc"
	local settings = config.get("*", "gc") or gc_defaults
	local ok, err = false, "it should be a table, such as { mode = \"incremental\" }"
	if type(settings) == "table" then
		ok, err = gc.configure(settings)
	end
	if not ok then
		log("error", "%sThe option gc is left out: %s", config.place("*", "gc"), err)
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
		log("error", "%smax_handler_wait should be a period of a second or more, not %s; going on with 5 minutes. Write " ..
			"max_handler_wait = \"1 minute\"", config.place("*", "max_handler_wait"), tostring(limit))
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

-- From the loaded configuration to the running server. true, or nil and a sentence.
local function start(options)
	local prosody = globals.prosody
	for _, step in ipairs {
		process.check_root, process.set_umask, process.drop_privileges,
		process.make_data_directory, process.check_data_directory, process.check_pidfile,
		set_garbage_collection, use_loop, load_managers, hook_signals, bring_up, process.daemonize, process.write_pidfile,
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
	path, err = places.find_config(options.config)
	if not path then
		return fail(err)
	end
	local prosody = server_globals.make_prosody(arguments)
	local ok, kind_or_warnings, text = config.load(path)
	if not ok then
		return fail(text)
	end
	prosody.config_file, prosody.config_loaded = path, true
	prosody.shutdown, prosody.reload_config = ending.shutdown, reload_config
	places.set_paths(path)
	options.daemonize = process.is_daemon(options)
	require "prosody.core.loggingmanager".start(options.verbose, not options.daemonize)
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
