--- Clients of other people, run as programs against a server of ours.

local certs = require "spec.support.certs"
local federation = require "spec.support.federation"
local lfs = require "lfs"
local loop = require "spec.support.loop"
local process = require "process"
local Server = require "spec.support.server"

local outside = {}

--- The server that the scripts of spec/interop expect.
function outside.server()
	local server = Server.start { more_modules = { "offline" }, outside_clients = true }
	for _, user in ipairs { "romeo", "juliet", "nurse" } do server:register(user, "secret") end
	return server
end

--- Raises the mend when the JavaScript clients are not installed.
function outside.needs_npm()
	assert(lfs.attributes "build/npm/.installed", "the JavaScript clients are not installed: make npm")
end

local program = {}
program.__index = program

--- Starts a program; what it prints is kept. options as for process.spawn.
function outside.start(argv, options)
	local self = setmetatable({ name = argv[1], process = process.spawn(argv, options), output = {} }, program)
	loop.watch(self.process, function()
		local bytes = self.process:read()
		if bytes then
			table.insert(self.output, bytes)
		elseif bytes == false then
			self.ended = true
			loop.forget(self.process)
		end
	end)
	return self
end

--- All it has printed so far.
function program:said() return table.concat(self.output) end

--- Waits until it has printed the plain text.
function program:says(text)
	loop.await(function() return self.ended or self:said():find(text, 1, true) end, function()
		return ("%s to say %q; it said:\n%s"):format(self.name, text, self:said())
	end, nil, 2)
	if not self:said():find(text, 1, true) then
		error(("%s ended without saying %q; it said:\n%s"):format(self.name, text, self:said()), 2)
	end
end

--- Waits for its end. Gives what it printed and its exit code.
function program:ends(seconds)
	loop.await(function() return self.ended end, function()
		return ("%s to end; it said:\n%s"):format(self.name, self:said())
	end, seconds or 120, 2)
	local _, code = self.process:wait(loop.deadline_seconds)
	return self:said(), code
end

--- Ends it.
function program:stop()
	self.process:kill(15)
	self:ends()
end

--- Runs a program to its end. Gives what it printed and its exit code.
function outside.run(argv, options)
	local one = outside.start(argv, options)
	one.process:close_input()
	return one:ends(options and options.seconds)
end

--- Runs a script with a scenario; raises what it said unless it ends well. authority: the file of the only authority
-- that the client trusts.
function outside.passes(server, argv, scenario, options, authority)
	authority = authority or certs.path "ca.crt"
	local all = table.move(argv, 1, #argv, 1, {})
	for _, argument in ipairs { scenario, server.port, server.direct_port, authority } do
		all[#all + 1] = tostring(argument)
	end
	local said, code = outside.run(all, { env = { NODE_EXTRA_CA_CERTS = authority }, seconds = options.seconds })
	if code ~= 0 or not said:find "%f[^\n\0]PASS\n" then
		error(("%s ended with %s:\n%s\nThe server's log:\n%s"):format(scenario, code, said, server:tail()), 2)
	end
end

--- The SASL mechanisms by which somebody logged in since that position of the server's log, each once, sorted.
function outside.mechanisms(server, position)
	local found, names = {}, {}
	for name in server:log():sub(position):gmatch "Authenticated as %S+ by (%S+)" do
		if not found[name] then table.insert(names, name) end
		found[name] = true
	end
	table.sort(names)
	return names
end

--- An authority that has not signed the server's certificate.
function outside.strange_authority() return federation.certificate("montague_self").certificate end

--- The scenarios that every scripted client has, as a busted suite. env: the spec file's _ENV. options:
-- mechanism (the one that the client is expected to choose), more (a list of { what it does, scenario, mechanism }),
-- prepare (called first).
function outside.suite(env, name, argv, options)
	local describe, it, setup, teardown = env.describe, env.it, env.setup, env.teardown
	describe(name, function()
		local server

		setup(function()
			if options.prepare then options.prepare() end
			server = outside.server()
		end)
		teardown(function() if server then server:stop() end end)

		-- Every login in it must have been by that mechanism, by none when mechanism is false.
		local function play(scenario, mechanism, authority)
			local position = server:log_position()
			outside.passes(server, argv, scenario, options, authority)
			if mechanism == nil then mechanism = options.mechanism end
			env.assert.same({ mechanism or nil }, outside.mechanisms(server, position))
		end

		it("logs in over STARTTLS by " .. options.mechanism, function() play "login_starttls" end)
		it("logs in over direct TLS by " .. options.mechanism, function() play "login_direct" end)
		it("does not log in over STARTTLS when it does not trust the certificate", function()
			play("distrust_starttls", false, outside.strange_authority())
		end)
		it("does not log in over direct TLS when it does not trust the certificate", function()
			play("distrust_direct", false, outside.strange_authority())
		end)
		it("is told when the password is wrong", function() play("login_wrong", false) end)
		it("makes contacts, sees presence, talks, blocks, has two resources", function() play "talk" end)
		it("changes its password", function() play "password" end)
		it("finds what was sent while away, after a restart of the server", function()
			play "offline_send"
			server:restart()
			play "offline_read"
		end)
		for _, one in ipairs(options.more or {}) do
			it(one[1], function() play(one[2], one[3]) end)
		end
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
	local deadline = loop.now() + loop.deadline_seconds
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
