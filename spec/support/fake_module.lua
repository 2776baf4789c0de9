--- Just enough of a server for storage: hosts with events, options, and modules loaded from their files. What a spec
-- does with it goes through core.storagemanager, as in the server.
--
--	local server = fake.server { data = directory, options = { ["*"] = { storage = "sql" }, ["host"] = {...} } }
--	server.hosts, server.storagemanager, server.load(host, name), server.unload(host, name), server.stop()

local fake = {}

--- An empty directory of its own, removed by fake.remove.
function fake.directory()
	local path = os.tmpname()
	os.remove(path)
	assert(os.execute(("mkdir -m 0700 '%s'"):format(path)))
	return path
end

function fake.remove(directory)
	assert(directory:match("^/tmp/[%w_.]+$"))
	os.execute(("rm -rf '%s'"):format(directory))
end

-- Libraries that hold state of a server.
local stateful = { "core.storagemanager", "core.configmanager", "core.modulemanager", "util.datamanager" }

local function forget_libraries()
	for _, name in ipairs(stateful) do
		package.loaded[name] = nil
		package.loaded["prosody." .. name] = nil
	end
end

local api = {}
api.__index = api

function api:log(level, ...) return self._log(level, ...) end

function api:get_option(name, default)
	local value = self.server.option(self.host, name)
	if value == nil then return default end
	return value
end

function api:get_option_number(name, default) return tonumber(self:get_option(name, default)) end

function api:get_option_string(name, default)
	local value = self:get_option(name, default)
	return value ~= nil and tostring(value) or nil
end

api.get_option_period = api.get_option_number

function api:require(library)
	return assert(loadfile(("modules/mod_%s/%s.lib.lua"):format(self.name, library), "t", self.environment))()
end

function api:shared(path)
	self.server.shared[path] = self.server.shared[path] or {}
	return self.server.shared[path]
end

function api:provides(kind, item)
	if not item.name then item.name = self.name:gsub("^" .. kind .. "_", "") end
	self.items[#self.items + 1] = { key = kind .. "-provider", item = item }
	self.server.hosts[self.host].events.fire_event("item-added/" .. kind .. "-provider", { source = self, item = item })
end

function fake.server(settings)
	local events = require "prosody.util.events"
	local logger = require "prosody.util.logger"
	forget_libraries()

	local server = { shared = {}, hosts = {}, modules = {}, logged = {} }

	function server.option(host, name)
		local options = settings.options or {}
		local value = (options[host] or {})[name]
		if value == nil then value = (options["*"] or {})[name] end
		return value
	end

	function server.load(host, name)
		local key = host .. "/" .. name
		local path = ("modules/mod_%s.lua"):format(name)
		local file = io.open(path)
		if not file then
			path = ("modules/mod_%s/mod_%s.lua"):format(name, name)
			file = io.open(path)
		end
		if not file then return nil, "no such module" end
		file:close()
		local module = setmetatable({ host = host, name = name, items = {}, server = server, _log = logger.init(name) }, api)
		module.environment = setmetatable({ module = module }, { __index = _G })
		local ok, err = pcall(assert(loadfile(path, "t", module.environment)))
		if not ok then return nil, err end
		server.modules[key] = module
		return module
	end

	function server.unload(host, name)
		local key = host .. "/" .. name
		local module = server.modules[key]
		server.modules[key] = nil
		if module.unload then module.unload() end
		for _, added in ipairs(module.items) do
			server.hosts[host].events.fire_event("item-removed/" .. added.key, { source = module, item = added.item })
		end
	end

	function server.stop()
		for key in pairs(server.modules) do server.unload(key:match("^(.-)/(.*)$")) end
		logger.remove_sink(server.sink)
	end

	server.sink = logger.add_simple_sink(function (name, level, text)
		server.logged[#server.logged + 1] = { name = name, level = level, text = text }
	end)

	for _, host in ipairs(settings.hosts or { "capulet.example" }) do
		server.hosts[host] = { host = host, type = "local", events = events.new() }
	end
	_G.prosody = { hosts = server.hosts, events = events.new(), paths = { data = settings.data }, process_type = "spec" }
	package.loaded["core.configmanager"] = { get = server.option }
	package.loaded["core.modulemanager"] = { load = server.load, unload = server.unload }
	server.storagemanager = require "prosody.core.storagemanager"
	server.datamanager = require "prosody.util.datamanager"
	server.datamanager.set_data_path(settings.data)
	return server
end

return fake
