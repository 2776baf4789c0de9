--- Clients of other people, run as programs against a server of ours.

local certs = require "spec.support.certs"
local lfs = require "lfs"
local loop = require "spec.support.loop"
local process = require "process"
local Server = require "spec.support.server"

local outside = {}

--- The server that the scripts of spec/interop expect.
function outside.server()
	local server = Server.start { more_modules = { "offline" } }
	for _, user in ipairs { "romeo", "juliet", "nurse" } do server:register(user, "secret") end
	return server
end

--- Raises the mend when the JavaScript clients are not installed.
function outside.needs_npm()
	assert(lfs.attributes "build/npm/.installed", "the JavaScript clients are not installed: make npm")
end

--- Runs a program to its end. Gives what it printed and its exit code.
function outside.run(argv, options)
	local p = process.spawn(argv, options)
	p:close_input()
	local said, ended = {}, false
	loop.watch(p, function()
		local bytes = p:read()
		if bytes then
			table.insert(said, bytes)
		elseif bytes == false then
			ended = true
			loop.forget(p)
		end
	end)
	loop.await(function() return ended end, function()
		return argv[1] .. " to end; it said:\n" .. table.concat(said)
	end, options and options.seconds or 120, 2)
	local _, code = p:wait(10)
	return table.concat(said), code
end

--- Runs a script with a scenario; raises what it said unless it ends well.
function outside.passes(server, argv, scenario, options)
	local all = table.move(argv, 1, #argv, 1, {})
	for _, argument in ipairs { scenario, server.port, server.direct_port, certs.path "ca.crt" } do
		all[#all + 1] = tostring(argument)
	end
	local said, code = outside.run(all, options)
	if code ~= 0 or not said:find "%f[^\n\0]PASS\n" then
		error(("%s ended with %s:\n%s\nThe server's log:\n%s"):format(scenario, code, said, server:tail()), 2)
	end
end

--- The scenarios that every scripted client has, as a busted suite. env: the spec file's _ENV. options:
-- without (a set of scenarios it cannot play), env (for the program), prepare (called first).
function outside.suite(env, name, argv, options)
	options = options or {}
	local without = options.without or {}
	local describe, it, setup, teardown = env.describe, env.it, env.setup, env.teardown
	describe(name, function()
		local server

		setup(function()
			if options.prepare then options.prepare() end
			server = outside.server()
		end)
		teardown(function() if server then server:stop() end end)

		local function play(scenario) outside.passes(server, argv, scenario, options) end

		it("logs in over STARTTLS, the certificate checked", function() play "login_starttls" end)
		it("logs in over direct TLS", function() play "login_direct" end)
		it("is told when the password is wrong", function() play "login_wrong" end)
		it("makes contacts, sees presence, talks, blocks, has two resources", function() play "talk" end)
		if not without.password then
			it("changes its password", function() play "password" end)
		end
		it("finds what was sent while away, after a restart of the server", function()
			play "offline_send"
			server:restart()
			play "offline_read"
		end)
	end)
end

--- A terminal in tmux, for clients with a screen.
local terminal = {}
terminal.__index = terminal

local function tmux(self, ...) return outside.run { "tmux", "-S", self.socket, ... } end

--- Starts a command in a terminal of 120 by 40.
function outside.terminal(command, environment)
	local pipe <close> = io.popen "mktemp -d /tmp/couplet-tmux.XXXXXX"
	local self = setmetatable({ folder = pipe:read "l" }, terminal)
	self.socket = self.folder .. "/socket"
	local assignments = {}
	for key, value in pairs(environment or {}) do assignments[#assignments + 1] = ("%s='%s'"):format(key, value) end
	-- tmux leaves the starting process; its own server ends with kill-server in :close().
	tmux(self, "-f", "/dev/null", "new-session", "-d", "-x", "120", "-y", "40",
		("env HOME='%s' TERM=screen LANG=C.UTF-8 %s %s"):format(self.folder, table.concat(assignments, " "), command))
	return self
end

function terminal:types(text)
	tmux(self, "send-keys", "-l", text)
	tmux(self, "send-keys", "Enter")
end

function terminal:screen() return (tmux(self, "capture-pane", "-p", "-J")) end

--- Waits until the screen shows the plain text.
function terminal:shows(text)
	local deadline = loop.now() + 30
	while true do
		local screen = self:screen()
		if screen:find(text, 1, true) then return end
		if loop.now() > deadline then error(("the screen never showed %q; it is\n%s"):format(text, screen), 2) end
		loop.turn(0.05) -- a screen has no event of its own: look again
	end
end

function terminal:close()
	tmux(self, "kill-server")
	os.execute(("rm -rf '%s'"):format(self.folder))
end

return outside
