--- A server without its core: enough of couplet.native, in Lua, for specs of the managers and of modules.
--
--	local world = require "spec.support.fake_native".start { config = 'VirtualHost "capulet.example"' }
--	world.load "hostmanager"           a fresh core.hostmanager (the others it needs too)
--	world.module("x", "module:hook(...)")  writes mod_x.lua where modules are looked for
--	world.advance(60)                  turns the clock by hand; timers run in order
--	world.log_has("error", "no such")  was something like that logged? (plain text)
--	world.stop()
--	fake_native.serve { modules = { "ping" } }     the same with an active host, for specs of a module
--
-- Every start is a new world: no library of the server remembers an earlier one.

local fake = {}

-- Libraries that remember a server.
local function is_stateful(name)
	name = name:gsub("^prosody%.", "")
	return name:match("^core%.") or name == "util.timer" or name == "util.async" or name == "util.datamanager"
		or name == "couplet.native"
end

local function forget_libraries()
	for name in pairs(package.loaded) do
		if is_stateful(name) then
			package.loaded[name] = nil
		end
	end
end

local function new_directory()
	local path = os.tmpname()
	os.remove(path)
	assert(os.execute(("mkdir -m 0700 '%s'"):format(path)))
	return path
end

local function write_file(path, text)
	local file = assert(io.open(path, "w"))
	file:write(text)
	file:close()
	return path
end

-- Time

local timer_mt = {}
timer_mt.__index = timer_mt

function timer_mt:stop()
	self.world.timers[self] = nil
end

function timer_mt:restart(delay)
	self.at = self.world.now + delay
	self.world.n_timers = self.world.n_timers + 1
	self.order = self.world.n_timers
	self.world.timers[self] = true
end

local function next_timer(world, until_time)
	local first
	for timer in pairs(world.timers) do
		if timer.at <= until_time and (not first or timer.at < first.at
			or timer.at == first.at and timer.order < first.order) then
			first = timer
		end
	end
	return first
end

-- Sessions

local function new_session(world, fields)
	local session = { type = "c2s_unauthed", sent = {} }
	for key, value in pairs(fields or {}) do
		session[key] = value
	end
	session.log = function () end
	session.send = function (stanza)
		table.insert(session.sent, stanza)
		return true
	end
	function session:close(reason)
		self.closed = reason or true
		self.destroyed = true
		world.sessions[self] = nil
		local user = world.native_hosts[self.host] and world.native_hosts[self.host].sessions[self.username]
		if user and self.resource then
			user.sessions[self.resource] = nil
		end
	end
	world.sessions[session] = true
	return session
end

local function bind(world, session, resource)
	resource = resource or "made-up"
	local users = world.native_hosts[session.host].sessions
	users[session.username] = users[session.username] or { sessions = {} }
	if users[session.username].sessions[resource] then
		return nil, "cancel", "conflict"
	end
	users[session.username].sessions[resource] = session
	session.resource = resource
	session.full_jid = ("%s@%s/%s"):format(session.username, session.host, resource)
	return true
end

-- The native table

local function read_all(path)
	local file = io.open(path)
	local text = file and file:read("a")
	if file then file:close() end
	return text
end

-- Like the real one it wants readable files; what is inside is not looked at.
local function tls_context(world, settings)
	for _, name in ipairs { "certificate", "key" } do
		if settings[name] and not read_all(settings[name]) then
			return nil, ("cannot read %s"):format(settings[name])
		end
	end
	local context = { settings = settings, sni = {} }
	function context:set_sni(name, other) self.sni[name] = other end
	function context:clear_sni() self.sni = {} end
	table.insert(world.contexts, context)
	return context
end

local function listen(world, options)
	local key = options.interface and ("%s %d"):format(options.interface, options.port) or options.path
	if world.taken[key] then
		return nil, ("cannot listen on %s: %s"):format(key, world.taken[key])
	end
	world.taken[key] = "Address already in use"
	world.listeners[key] = options
	local listener = {}
	function listener:close()
		world.taken[key], world.listeners[key] = nil, nil
	end
	function listener:port() return options.port end
	function listener:set_tls(context) options.tls = context end
	function listener:set_limits(limits) options.limits = limits end
	return listener
end

local function new_native(world)
	local native = {
		version = "test", hooks = {}, events = require "util.events".new,
		full_sessions = {}, bare_sessions = {},
	}
	function native.timer(delay, fn)
		local timer = setmetatable({ world = world, fn = fn }, timer_mt)
		timer:restart(delay)
		return timer
	end
	function native.host_add(host)
		world.native_hosts[host.host] = host
		host.sessions = {}
	end
	function native.host_remove(name)
		world.native_hosts[name] = nil
	end
	function native.sessions() return next, world.sessions, nil end
	function native.new_session(session_type, host) return new_session(world, { type = session_type, host = host }) end
	function native.sm_counts() return nil end -- nobody has stream management here

	function native.end_session(session)
		if not session.destroyed then session:close("ended") end
	end
	function native.make_authenticated(session, username)
		if username == "" then return nil, "Invalid username" end
		session.username, session.type = username, "c2s"
		return true
	end
	function native.bind_resource(session, resource) return bind(world, session, resource) end
	function native.post(origin, stanza) table.insert(world.posted, { origin = origin, stanza = stanza }); return true end
	native.route, native.process = native.post, native.post
	function native.listen(options) return listen(world, options) end
	function native.tls_context(settings) return tls_context(world, settings) end
	function native.on_signal(name, fn) world.signals[name] = fn end
	function native.on_commit() end
	function native.finish_disk_work() end
	function native.hold() return 1 end
	function native.hold_for() end
	function native.newest_batch() end
	function native.is_over() return true end
	function native.options() end
	function native.shutdown(code) world.exit_code = code end
	function native.log(level, name, text) table.insert(world.logged, { level = level, name = name, text = text }) end
	function native.log_sink(settings)
		if settings.to == "file" and not io.open(settings.path, "a") then
			return nil, "cannot open " .. settings.path
		end
		world.n_sinks = world.n_sinks + 1
		world.sinks[world.n_sinks] = settings
		return world.n_sinks
	end
	function native.log_sink_remove(id) world.sinks[id] = nil end
	function native.log_reopen() world.reopened = (world.reopened or 0) + 1 end
	return native
end

-- The world

local function new_world()
	local world = {
		now = 0, timers = {}, n_timers = 0, sessions = {}, native_hosts = {}, posted = {}, logged = {}, signals = {},
		contexts = {}, taken = {}, listeners = {}, sinks = {}, n_sinks = 0, directory = new_directory(),
	}

	--- Moves the clock forward; timers that run out are called, in order.
	function world.advance(seconds)
		local goal = world.now + seconds
		local timer = next_timer(world, goal)
		while timer do
			world.now = math.max(world.now, timer.at)
			timer:stop()
			timer.fn()
			timer = next_timer(world, goal)
		end
		world.now = goal
	end

	--- Writes a file below the world's directory; gives its path.
	function world.file(name, text)
		local directory = name:match("^(.*)/")
		if directory then
			os.execute(("mkdir -p '%s/%s'"):format(world.directory, directory))
		end
		return write_file(world.directory .. "/" .. name, text)
	end

	function world.module(name, text) return world.file("plugins/mod_" .. name .. ".lua", text) end

	--- Puts a configuration in force; raises when it cannot be loaded.
	function world.configure(text)
		local path = world.file("prosody.cfg.lua", text)
		local ok, kind, err = world.load("configmanager").load(path)
		assert(ok, err)
		return kind
	end

	function world.load(name) return require("core." .. name) end

	--- Is there a log entry of that level with that text in it?
	function world.log_has(level, text)
		for _, entry in ipairs(world.logged) do
			if entry.level == level and entry.text:find(text, 1, true) then
				return entry.text
			end
		end
		return false
	end

	--- A session as the core makes them, not bound yet.
	function world.session(fields) return new_session(world, fields) end

	--- A session that is logged in and bound.
	function world.online(username, host, resource)
		local session = new_session(world, { type = "c2s", username = username, host = host })
		assert(bind(world, session, resource or "r"))
		return session
	end

	function world.stop()
		require "util.logger".set_native(nil)
		forget_libraries()
		assert(world.directory:match("^/tmp/[%w_.]+$"))
		os.execute(("rm -rf '%s'"):format(world.directory))
		_G.prosody, _G.hosts = nil, nil
	end
	return world
end

--- A new world. options.config: its configuration's text; options.process_type.
function fake.start(options)
	options = options or {}
	forget_libraries()
	local world = new_world()
	local native = new_native(world)
	world.native = native
	package.loaded["couplet.native"] = native
	require "util.logger".set_native(native.log)
	os.execute(("mkdir '%s/plugins' '%s/data'"):format(world.directory, world.directory))
	local prosody = {
		process_type = options.process_type or "prosody", platform = "posix", version = "test", hosts = {},
		events = native.events(), incoming_s2s = {}, full_sessions = {}, bare_sessions = {}, arg = {}, start_time = 0,
		core_post_stanza = native.post, core_route_stanza = native.route, core_process_stanza = native.process,
		paths = { config = world.directory, data = world.directory .. "/data", source = ".", plugins = "modules" },
	}
	world.prosody = prosody
	_G.prosody, _G.hosts = prosody, prosody.hosts
	world.load("pluginloader").set_directories { world.directory .. "/plugins", "modules" }
	world.configure(options.config or "")
	return world
end

local host_config = [[
storage = "memory"
modules_disabled = { "presence", "message", "iq", "offline", "c2s", "s2s", "s2s_auth_certs", "smacks" }
modules_enabled = { %s }
%s
VirtualHost %q
authentication = %q
%s
]]

--- A new world with one host, activated, on which modules run, but not those that every host has. options: host
-- ("capulet.example"), authentication ("null"), modules (names), config (more lines for all), host_config (more lines
-- for the host), managers (names of those it needs beside the usual ones), before (called with the world when they are
-- loaded and the host is not). The world has the host's events and core.usermanager.
function fake.serve(options)
	local host, modules = options.host or "capulet.example", {}
	for i, name in ipairs(options.modules or {}) do modules[i] = ("%q"):format(name) end
	local world = fake.start { config = host_config:format(table.concat(modules, "; "), options.config or "", host,
		options.authentication or "null", options.host_config or "") }
	for _, name in ipairs { "storagemanager", "modulemanager", "usermanager" } do world.load(name) end
	for _, name in ipairs(options.managers or {}) do world.load(name) end
	if options.before then options.before(world) end
	world.load "hostmanager".activate_all()
	world.events, world.usermanager = world.prosody.hosts[host].events, world.load "usermanager"
	return world
end

return fake
