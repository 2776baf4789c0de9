--- What the server is to the system: the user it runs as, its files, its place in the background.
--
-- What is done on the way up gives true, or nil and a sentence for the admin.

local config = require "prosody.core.configmanager"
local files = require "prosody.util.files"
local logger = require "prosody.util.logger"
local paths = require "prosody.util.paths"
local pposix = require "prosody.util.pposix"

local globals = _G
local ipairs, math_tointeger, pairs, tonumber, tostring = ipairs, math.tointeger, pairs, tonumber, tostring
local io_open, os_remove, type = io.open, os.remove, type

local log = logger.init "general"

local _M = {}
local _ENV = nil

-- Privileges

local function server_user()
	local user = config.get("*", "prosody_user") or config.get("*", "user")
	local group = config.get("*", "prosody_group") or config.get("*", "group") or user
	return user, group
end

--- May we run as who we are? In the foreground root is let through with a warning, since
-- that is how containers run, unless the configuration says run_as_root = false.
function _M.check_root(options)
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

-- Does the configuration ask for a port that only root may open?
local function has_low_port()
	for name, value in pairs(config.getconfig()["*"]) do
		for _, port in ipairs(name:match("ports?$") and config.as_list(value) or {}) do
			local number = tonumber(port)
			if number and number > 0 and number < 1024 then
				return true
			end
		end
	end
	return false
end

--- Becomes the user and group of the configuration, when root started us and it names one. Where there are ports below
-- 1024 to open, that privilege stays, so that a reload can open them too.
function _M.drop_privileges(options)
	local user, group = server_user()
	if pposix.getuid() ~= 0 or not user or options.root then
		return true
	end
	for _, step in ipairs {
		{ pposix.setgid, group, "group" }, { pposix.initgroups, user, "user" }, { pposix.setuid, user, "user" },
	} do
		local ok, err = step[1](step[2], step[1] == pposix.setuid and has_low_port() or nil)
		if not ok then
			return nil, ("%sCannot run as the %s %s: %s. Make an account for the server (adduser --system --group NAME), or " ..
				"change prosody_user and prosody_group"):format(config.place("*", "prosody_user"), step[3],
				tostring(step[2]), tostring(err))
		end
	end
	log("info", "Running as the user %s", tostring(user))
	return true
end

-- Files of our own

--- Who may read the files we make: the option "umask".
function _M.set_umask()
	local umask = config.get("*", "umask") or "027"
	if type(umask) ~= "string" or not umask:match("^[0-7][0-7][0-7]$") then
		log("error", "%sumask should be three octal digits in quotes, not %s; going on with \"027\"",
			config.place("*", "umask"), tostring(umask))
		umask = "027"
	end
	pposix.umask(umask)
	return true
end

--- Makes the data directory when it is missing.
function _M.make_data_directory()
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
		return nil, ("%sThe data directory %s cannot be made: %s. Make it, or set data_path"):format(
			config.place("*", "data_path"), directory, tostring(err))
	end
	return true
end

--- Can we, as the user we are now, write there?
function _M.check_data_directory()
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

--- Is no other server running? Two on the same data would ruin it.
function _M.check_pidfile()
	local other = math_tointeger(tonumber((files.read(pidfile_path()) or ""):match("^%s*(%d+)")))
	if other and other ~= pposix.getpid() and pposix.kill(other, 0) then
		return nil, ("The server is already running with PID %d (%s)"):format(other, pidfile_path())
	end
	return true
end

--- Without a pidfile the server runs all the same; that it cannot be written is logged.
function _M.write_pidfile()
	local path = pidfile_path()
	local file, err = io_open(path, "w")
	if not file then
		log("error", "%sThe pidfile cannot be written: %s. Set pidfile to a path our user may write",
			config.place("*", "pidfile"), err)
		return true
	end
	file:write(("%d\n"):format(pposix.getpid()))
	file:close()
	pidfile = path
	return true
end

--- Removes the pidfile if it is ours.
function _M.remove_pidfile()
	if pidfile then
		os_remove(pidfile)
		pidfile = nil
	end
end

-- The background

--- Are we to go there? By the arguments (-F, -D), else the configuration.
function _M.is_daemon(options)
	if options.foreground then
		return false
	end
	return options.daemonize or config.get("*", "daemonize") == true or config.get("*", "foreground") == false
end

--- Goes there if we are to. What was said so far went to the terminal.
function _M.daemonize(options)
	if not options.daemonize then
		return true
	end
	local ok, err = pposix.daemonize()
	if not ok then
		return nil, "Cannot go to the background: " .. tostring(err)
	end
	return true
end

return _M
