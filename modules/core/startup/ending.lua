--- The end: streams are closed with a reason, those who do not leave are not waited for long, then the program ends.

local logger = require "prosody.util.logger"
local native = require "couplet.native"
local process = require "prosody.core.startup.process"

local globals = _G
local require = require

local log = logger.init "general"

local SHUTDOWN_SECONDS = 5 -- how long clients may take to end their streams
local SHUTDOWN_LOOK_SECONDS = 0.05

local _M = {}
local _ENV = nil

local function any_session()
	local iterator, state, first = native.sessions()
	return iterator(state, first) ~= nil
end

-- The last things, when everybody has gone or was waited for long enough.
local function finish(code)
	local prosody = globals.prosody
	prosody.events.fire_event("server-cleanup")
	prosody.events.fire_event("server-stopped")
	process.remove_pidfile()
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

--- Stops the server: streams are closed with the reason, then the program ends with the exit code (0). False when it
-- is on its way already.
function _M.shutdown(reason, code)
	local prosody = globals.prosody
	if prosody.shutdown_reason then
		return false
	end
	code = code or 0
	prosody.shutdown_reason, prosody.shutdown_code = reason or "Shutting down", code
	log("info", "Shutting down: %s", prosody.shutdown_reason)
	prosody.events.fire_event("server-stopping", { reason = prosody.shutdown_reason, code = code })
	require "prosody.core.portmanager".close_all()
	await_sessions(code)
	return true
end

--- What the signal of that name does: the first one stops the server, the second does not wait.
function _M.on_stop_signal(name)
	return function ()
		if not _M.shutdown("Received " .. name) then
			log("warn", "Received %s again, ending at once", name)
			process.remove_pidfile()
			native.shutdown(0)
		end
	end
end

return _M
