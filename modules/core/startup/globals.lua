--- The server's globals: the table `prosody`, those that modules expect, and a lock against new ones.

local logger = require "prosody.util.logger"
local native = require "couplet.native"
local places = require "prosody.core.startup.places"

local globals = _G
local error, ipairs, rawset, setmetatable, tostring = error, ipairs, rawset, setmetatable, tostring
local debug_getinfo, debug_traceback, os_time = debug.getinfo, debug.traceback, os.time

local log = logger.init "general"

local _M = {}
local _ENV = nil

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
		if not reported[key] then
			reported[key] = true
			log("warn", "%s reads the global %s, which is not there", place, tostring(name))
			log("debug", "%s", debug_traceback("", 2))
		end
	end,
}

--- From now on a new global is an error.
function _M.lock()
	setmetatable(globals, strict_mt)
end

--- Undoes lock, for a library that must set one.
function _M.unlock()
	setmetatable(globals, nil)
end

--- Makes the table `prosody` and the globals modules expect. arguments: as the program was called.
function _M.make_prosody(arguments)
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
		lock_globals = _M.lock,
		unlock_globals = _M.unlock,
		paths = { source = places.root, config = ".", data = "data", plugins = places.modules },
	}
	rawset(globals, "prosody", prosody)
	for _, name in ipairs {
		"hosts", "full_sessions", "bare_sessions", "core_post_stanza", "core_process_stanza", "core_route_stanza",
	} do
		rawset(globals, name, prosody[name])
	end
	return prosody
end

return _M
