--- As much of the server as a command needs: its configuration, its paths, and the accounts of a host.
--
-- Always true: nothing here listens, serves or changes a file by itself; a command that writes does so as the server's
-- user, not as root.

local console = require "prosody.util.console"
local native = require "couplet.native"
local ui = require "ctl.ui"

local methods = {}
local ctl_mt = { __index = methods }

local function no_delivery()
	return false
end

-- The global table modules expect. COMPAT: they ask process_type for "prosodyctl" to know that this is not the server.
local function make_prosody()
	local globals = _G
	globals.prosody = {
		process_type = "prosodyctl",
		prosodyctl = true,
		platform = "posix",
		version = native.version,
		hosts = {},
		events = native.events(),
		paths = { source = ".", config = ".", data = "data", plugins = "" },
		full_sessions = {},
		bare_sessions = {},
		core_post_stanza = no_delivery,
		core_process_stanza = no_delivery,
		core_route_stanza = no_delivery,
		lock_globals = function () end,
		unlock_globals = function () end,
	}
	globals.hosts = globals.prosody.hosts
	return globals.prosody
end

--- options: program (as called), config (file or nil), stay_root.
local function new(options)
	local self = setmetatable({ options = options, prosody = make_prosody(), accounts_of = {} }, ctl_mt)
	self.prosody.arg = options.arg
	return self
end

-- Where the server looks, in its order.
function methods:find_config()
	return require "prosody.core.startup.places".find_config(self.options.config)
end

--- Loads the configuration once and sets the paths; fails the command when it cannot be loaded. Gives configmanager and
-- the warnings.
function methods:load_config()
	if self.config then return self.config, self.config_warnings end
	local config = require "prosody.core.configmanager"
	local path, err = self:find_config()
	if not path then ui.fail("%s", err) end
	local ok, kind_or_warnings, text = config.load(path)
	if not ok then ui.fail("%s", text) end
	require "prosody.core.startup.places".set_paths(path)
	self.config, self.config_warnings, self.config_path = config, kind_or_warnings, path
	return config, kind_or_warnings
end

--- Goes on as the user the server runs as, when we are root and the configuration names one.
function methods:drop_root()
	if self.is_dropped then return end
	self.is_dropped = true
	self:load_config()
	local ok, err = require "prosody.core.startup.process".drop_privileges { root = self.options.stay_root }
	if not ok then ui.fail("%s. (--root does it as root.)", err) end
end

--- The address of a configured host, prepared; fails the command for others.
function methods:check_host(host)
	local config = self:load_config()
	local prepared = require "prosody.util.jid".prep(host or "")
	for _, name in ipairs(config.hosts()) do
		if name == prepared then return prepared end
	end
	ui.fail("There is no host %s in %s.", tostring(host), self.config_path)
end

--- Gives usermanager with the accounts of a host behind it, without the server.
function methods:open_accounts(host)
	self:load_config()
	self:drop_root()
	local prosody = self.prosody
	local storagemanager = require "prosody.core.storagemanager"
	local usermanager = require "prosody.core.usermanager"
	if not prosody.hosts[host] then
		prosody.hosts[host] = { host = host, type = "local", events = native.events(), modules = {}, sessions = {},
			send = no_delivery }
		if storagemanager.initialize_host then storagemanager.initialize_host(host) end
		usermanager.initialize_host(host)
	end
	return usermanager
end

--- The path of the server's admin socket.
function methods:socket_path()
	local config = self:load_config()
	local resolve = require "prosody.util.paths".resolve_relative_path
	return resolve(self.prosody.paths.data, config.get("*", "admin_socket") or "prosody.sock")
end

--- Connects to the running server. Gives an adminstream client; nil and why, and whether that means that no server is
-- there.
function methods:connect()
	local path = self:socket_path()
	local connection, err, errno = console.connect(path)
	if connection then return require "prosody.util.adminstream".client(connection) end
	local is_absent = errno == 2 or errno == 111 -- ENOENT, ECONNREFUSED: a socket without a server
	return nil, ("%s: %s"):format(path, err), is_absent
end

--- Runs a line in the running server's shell. Gives ok, text; nil when no server is there. on_output(text) gets what it
-- prints.
function methods:ask_server(line, on_output)
	local client, err, is_absent = self:connect()
	if not client then
		if is_absent then return nil end
		ui.fail("The server runs, but cannot be asked. %s", err)
	end
	client:send({ type = "repl-input", text = line })
	while true do
		local message
		message, err = client:receive(60)
		if not message then
			client:close()
			return false, err == "timeout" and "the server does not answer" or err
		elseif message.type == "repl-output" and on_output then
			on_output(message.text)
		elseif message.type == "repl-result" then
			client:close()
			return message.ok, message.text
		end
	end
end

return { new = new }
