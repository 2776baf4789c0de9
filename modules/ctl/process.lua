--- coupletctl start, stop, restart, reload, status. Where systemd or its like runs the server, that is to be preferred.

local console = require "prosody.util.console"
local files = require "prosody.util.files"
local paths = require "prosody.util.paths"
local pposix = require "prosody.util.pposix"
local ui = require "ctl.ui"

local sighup, sigterm = 1, 15
local start_timeout_seconds, stop_timeout_seconds, step_seconds = 10, 30, 0.1

local commands = {}

local function pidfile_of(ctl)
	local config = ctl:load_config()
	return paths.resolve_relative_path(ctl.prosody.paths.data, config.get("*", "pidfile") or "prosody.pid")
end

-- Gives the pid of the running server; nil when it does not run.
local function find_pid(ctl)
	local text, err = files.read(pidfile_of(ctl))
	if not text then
		if err then ui.fail("%s", err) end
		return nil
	end
	local pid = math.tointeger(tonumber(text:match("^%s*(%d+)%s*$")))
	if not pid or pid <= 1 then return nil end
	local is_there, why = pposix.kill(pid, 0)
	if is_there or why == "Operation not permitted" then return pid end
	return nil
end

-- Waits until fn() gives something true, for that long; gives it.
local function wait_for(seconds, fn)
	for _ = 1, seconds // step_seconds do
		local result = fn()
		if result then return result end
		console.sleep(step_seconds)
	end
	return fn()
end

local function signal(pid, number, name)
	local ok, why = pposix.kill(pid, number)
	if not ok then ui.fail("The server (PID %d) did not get %s: %s", pid, name, why) end
end

-- The server's program lies beside this one.
local function server_program(ctl)
	local directory = (ctl.options.program or ""):match("^(.*/)[^/]*$")
	return (directory or "") .. "couplet"
end

local function start(ctl)
	local pid = find_pid(ctl)
	if pid then
		ui.print("Couplet is already running with PID %d", pid)
		return 0
	end
	local line = ("%s --daemonize --config %s"):format(ui.quote(server_program(ctl)), ui.quote(ctl.config_path))
	local ok, _, code = os.execute(line)
	if not ok then
		ui.warn("Couplet did not start (exit code %s); its log says why.", tostring(code))
		return 1
	end
	pid = wait_for(start_timeout_seconds, function () return find_pid(ctl) end)
	if not pid then
		ui.warn("Couplet did not start within %d seconds; its log says why.", start_timeout_seconds)
		return 1
	end
	ui.print("Couplet is running with PID %d", pid)
	return 0
end

local function stop(ctl)
	local pid = find_pid(ctl)
	if not pid then
		ui.warn("Couplet is not running")
		return 1
	end
	signal(pid, sigterm, "SIGTERM")
	if not wait_for(stop_timeout_seconds, function () return find_pid(ctl) ~= pid end) then
		ui.warn("Couplet (PID %d) has not ended within %d seconds.", pid, stop_timeout_seconds)
		return 1
	end
	ui.print("Couplet has ended")
	return 0
end

commands.start = { usage = "start", about = "Start the server in the background", run = start }
commands.stop = { usage = "stop", about = "End it", run = stop }

commands.restart = {
	usage = "restart",
	about = "End it, then start it",
	run = function (ctl)
		if find_pid(ctl) then
			local code = stop(ctl)
			if code ~= 0 then return code end
		end
		return start(ctl)
	end,
}

commands.reload = {
	usage = "reload",
	about = "Let it read its configuration and certificates again",
	run = function (ctl)
		local pid = find_pid(ctl) -- has read the configuration: a mistake is better found here than in the log
		if not pid then
			ui.warn("Couplet is not running")
			return 1
		end
		signal(pid, sighup, "SIGHUP")
		ui.print("Couplet was told to read its configuration; the log says how that went")
		return 0
	end,
}

commands.status = {
	usage = "status",
	about = "Tell whether it runs",
	run = function (ctl)
		local pid = find_pid(ctl)
		if pid then
			ui.print("Couplet is running with PID %d", pid)
			return 0
		end
		local client = ctl:connect()
		if client then -- started by hand, without a pidfile
			client:close()
			ui.print("Couplet is running")
			return 0
		end
		ui.print("Couplet is not running")
		return 1
	end,
}

return commands
