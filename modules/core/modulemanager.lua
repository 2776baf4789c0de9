--- Loads, unloads and reloads modules on hosts.
--
-- A module that runs on a host is an environment: what it assigns as globals are the environment's fields, what it
-- reads and does not have falls back to the server's globals. `environment.module` is its API object. A global module
-- is kept under "*"; when it has add_host, every host that wants it gets an environment of its own on top of it.
--
-- Always true: a module is either wholly there or not at all. A load that fails is undone; a reload that fails leaves
-- the old code running with its state.

local api = require "prosody.core.moduleapi"
local array = require "prosody.util.array"
local config = require "prosody.core.configmanager"
local logger = require "prosody.util.logger"
local pluginloader = require "prosody.core.pluginloader"
local set = require "prosody.util.set"
local sorted_keys = require "prosody.util.table".sorted_keys

local log = logger.init("modulemanager")

local real_globals = _G
local prosody = _G.prosody
local hosts = prosody.hosts
local error, ipairs, load, pairs, pcall, rawget = error, ipairs, load, pairs, pcall, rawget
local setmetatable, tostring, type, xpcall = setmetatable, tostring, type, xpcall
local debug_traceback, string_dump, table_sort = debug.traceback, string.dump, table.sort

local _M = {}
local _ENV = nil

-- Loaded without being asked for, unless in modules_disabled; those we do not have (yet) are no error.
local autoload_modules = { "presence", "message", "iq", "offline", "c2s", "s2s", "s2s_auth_certs", "smacks" }

-- What a component takes over from the global modules_enabled.
local component_inheritable = set.new {
	"tls", "saslauth", "dialback", "iq", "s2s", "s2s_bidi", "smacks", "server_contact_info", "admin_shell",
}

-- Modules of Prosody whose work the server itself does.
local built_in = set.new { "posix" }

local global_modules = {} -- name -> environment

-- A host's modules are kept with the host: name -> environment. nil for a host that is not active.
local function modules_of(host)
	if host == "*" then
		return global_modules
	end
	return hosts[host] and hosts[host].modules
end

local function events_of(host)
	return (hosts[host] or prosody).events
end

-- Looking

--- name -> environment of all modules on a host ("*": the global ones).
function _M.get_modules(host)
	return modules_of(host)
end

--- A module's environment, or nil. Its API object is the field `module`.
function _M.get_module(host, name)
	local modules = modules_of(host)
	return modules and modules[name]
end

--- Is the module loaded on that very host ("*": as a global one)?
function _M.is_loaded(host, name)
	return _M.get_module(host, name) ~= nil
end

--- Has the module itself a function module.METHOD? Methods every module has do not count.
function _M.module_has_method(environment, method)
	return type(rawget(environment.module, method)) == "function"
end

--- Calls module.METHOD: true and its results, or false and an error.
function _M.call_module_method(environment, method, ...)
	if not _M.module_has_method(environment, method) then
		return false, "the module has no function module." .. method
	end
	return pcall(rawget(environment.module, method), ...)
end

--- All items of a key on a host, each with the module that added it: a list of { source =, item = }.
function _M.get_items_with_source(key, host)
	local found = {}
	local modules = modules_of(host) or {}
	for _, name in ipairs(sorted_keys(modules)) do
		local object = modules[name].module
		for _, item in ipairs(object.items[key] or {}) do
			found[#found + 1] = { source = object, item = item }
		end
	end
	return found
end

--- What modules of a host have added under a key: a util.array.
function _M.get_items(key, host)
	local items = array()
	for i, entry in ipairs(_M.get_items_with_source(key, host)) do
		items[i] = entry.item
	end
	return items
end

-- Which modules a host wants

-- The names in order, and the component's module (nil on other hosts).
local function wanted_modules(host)
	local component = config.get(host, "component_module")
	local disabled = set.new(config.as_list(config.get(host, "modules_disabled")))
	local inherits_all = config.get(host, "load_global_modules") ~= false
	local names, seen = {}, {}
	local function add(list, is_inherited)
		for _, name in ipairs(list) do
			local is_wanted = type(name) == "string" and not seen[name] and name ~= component
				and not disabled:contains(name)
			if is_wanted and (not is_inherited or inherits_all or component_inheritable:contains(name)) then
				seen[name] = true
				names[#names + 1] = name
			end
		end
	end
	add(autoload_modules, true)
	add(config.as_list(config.rawget("*", "modules_enabled")) or {}, true)
	add(config.as_list(config.rawget(host, "modules_enabled")) or {}, false)
	return names, component
end

--- The modules a host should have: a set, and the component's own module.
function _M.get_modules_for_host(host)
	local names, component = wanted_modules(host)
	return set.new(names), component
end

-- A name without quotes that is a number, say, would be left out in silence.
local function complain_of_names(host)
	for _, section in ipairs { "*", host } do
		for _, name in ipairs(config.as_list(config.rawget(section, "modules_enabled")) or {}) do
			if type(name) ~= "string" then
				log("error", "%smodules_enabled holds %s; names of modules stand in quotes",
					config.place(section, "modules_enabled"), tostring(name))
			end
		end
	end
end

-- Loading

local function with_traceback(err)
	return { text = tostring(err), traceback = debug_traceback(tostring(err), 2) }
end

-- Runs code of a module: true, or false and the error. The traceback goes to the debug log.
local function run(name, fn, ...)
	local ok, err, more = xpcall(fn, with_traceback, ...)
	if not ok then
		log("debug", "mod_%s: %s", name, err.traceback)
		return false, err.text
	end
	return true, err, more
end

-- The directory where a module keeps what belongs to it.
local function directory_of(name, path)
	local directory, folder = path:match("^(.*/([^/]*))/[^/]*$")
	if folder == "mod_" .. name or folder == name then
		return directory
	end
	return (path:gsub("%.lua$", ""))
end

local function run_ready(object)
	local ready = rawget(object, "ready")
	if ready then
		object:on_ready(function ()
			local ok, err = run(object.name, ready)
			if not ok then
				log("error", "mod_%s: module.ready failed: %s", object.name, err)
			end
		end)
	end
end

-- Gives a global module its part on a host.
local function add_to_host(global, host, name)
	local global_object = global.module
	if not _M.module_has_method(global, "add_host") then
		return nil, "global-module-already-loaded"
	end
	local object = setmetatable({
		host = host, global = false, loaded = false,
		_log = logger.init(host .. ":" .. name),
		event_handlers = {}, items = {}, timers = setmetatable({}, { __mode = "k" }),
		dependencies = {}, reverse_dependencies = {}, status_type = false,
	}, { __index = global_object })
	object.status_type = nil
	local environment = setmetatable({ module = object }, { __index = global })
	object.environment = environment
	local modules = modules_of(host)
	modules[name] = environment
	local ok, result, err = run(name, rawget(global_object, "add_host"), object)
	if not ok or result == false then
		api.undo(object)
		modules[name] = nil
		return nil, not ok and result or err or "module.add_host refused this host"
	end
	object.loaded = true
	events_of(host).fire_event("module-loaded", { module = name, host = host })
	return environment
end

-- Code of a module for a new environment: of the file, or of a function that ran before (after a failed reload).
local function code_of(name, environment, old_object)
	if not old_object then
		return pluginloader.load_module(name, environment)
	end
	return load(string_dump(old_object.chunk), "=mod_" .. name, "b", environment), old_object.path
end

-- Gives the environment; or nil, an error, and "missing" when there is no file.
local function load_module(host, name, old_object, is_reload)
	local modules = modules_of(host)
	if not modules then
		return nil, "unknown-host"
	elseif modules[name] then
		return nil, "module-already-loaded"
	elseif host ~= "*" and global_modules[name] then
		return add_to_host(global_modules[name], host, name)
	end
	local object = api.new(name, host)
	local environment = setmetatable({ module = object }, { __index = real_globals })
	local chunk, path, reason = code_of(name, environment, old_object)
	if not chunk then
		return nil, path, reason
	end
	object.environment, object.chunk, object.path = environment, chunk, path
	object.resource_path = directory_of(name, path)
	object.reloading = is_reload or nil
	modules[name] = environment
	local ok, err = run(name, chunk)
	if ok and _M.module_has_method(environment, "load") then
		ok, err = run(name, rawget(object, "load"))
	end
	if not ok then
		api.undo(object)
		modules[name] = nil
		return nil, err
	end
	object.loaded, object.reloading = true, nil
	if object.host == "*" and host ~= "*" then
		modules[name] = nil
		global_modules[name] = environment
	end
	events_of(object.host).fire_event("module-loaded", { module = name, host = object.host })
	run_ready(object)
	if object.host ~= host and _M.module_has_method(environment, "add_host") then
		local host_environment, host_err = add_to_host(environment, host, name)
		if not host_environment then
			return nil, host_err
		end
		return host_environment
	end
	return environment
end

local quiet_errors = set.new { "module-already-loaded", "global-module-already-loaded" }

--- Loads a module: its environment, or nil and an error (logged here, naming module and place).
function _M.load(host, name)
	local environment, err, reason = load_module(host, name)
	if not environment and not quiet_errors:contains(err) then
		log("error", "mod_%s could not be loaded on %s: %s", name, host == "*" and "the server" or host, err)
	end
	return environment, err, reason
end

--- Loads what the configuration asks for on a host, the component's module first.
function _M.load_modules_for_host(host)
	local names, component = wanted_modules(host)
	complain_of_names(host)
	if component then
		_M.load(host, component)
	end
	local is_autoloaded = set.new(autoload_modules)
	for _, name in ipairs(names) do
		if built_in:contains(name) then
			log("debug", "mod_%s needs no loading: the server does its work", name)
		elseif is_autoloaded:contains(name) then
			local environment, err, reason = load_module(host, name)
			if not environment and reason ~= "missing" and not quiet_errors:contains(err) then
				log("error", "mod_%s could not be loaded on %s: %s", name, host, err)
			end
		elseif not _M.is_loaded(host, name) then
			_M.load(host, name)
		end
	end
end

-- Unloading

-- Those that must go before a module does: its parts on hosts, and whoever depends on it. A list of { host, name }.
local function dependants_of(object)
	local list = {}
	if object.host == "*" then
		for host, session in pairs(hosts) do
			if session.modules and session.modules[object.name] then
				list[#list + 1] = { host = host, name = object.name }
			end
		end
	end
	for _, dependant in pairs(object.reverse_dependencies) do
		list[#list + 1] = dependant
	end
	table_sort(list, function (a, b)
		return a.host .. a.name < b.host .. b.name
	end)
	return list
end

local function forget_dependencies(object)
	local key = object.host .. "\0" .. object.name
	for name in pairs(object.dependencies) do
		for _, host in ipairs { object.host, "*" } do
			local environment = _M.get_module(host, name)
			if environment then
				environment.module.reverse_dependencies[key] = nil
			end
		end
	end
end

-- Unloads one module whose dependants have gone.
local function unload_module(host, name)
	local object = modules_of(host)[name].module
	local unload = rawget(object, "unload")
	if unload then
		local ok, err = run(name, unload)
		if not ok then
			log("error", "mod_%s: module.unload failed on %s, unloading it all the same: %s", name, host, err)
		end
	end
	api.undo(object)
	forget_dependencies(object)
	object.loaded = false
	modules_of(host)[name] = nil
	events_of(host).fire_event("module-unloaded", { module = name, host = host })
end

--- Unloads a module and first whatever depends on it: true, or nil and an error.
function _M.unload(host, name)
	local environment = _M.get_module(host, name)
	if not environment then
		return nil, "module-not-loaded"
	end
	for _, dependant in ipairs(dependants_of(environment.module)) do
		if _M.is_loaded(dependant.host, dependant.name) then
			_M.unload(dependant.host, dependant.name)
		end
	end
	unload_module(host, name)
	return true
end

-- Reloading

-- The module and all that go with it, in the order to unload them, each with its state.
local function collect(host, name, list, seen)
	local key = host .. "\0" .. name
	local environment = _M.get_module(host, name)
	if seen[key] or not environment then
		return
	end
	seen[key] = true
	for _, dependant in ipairs(dependants_of(environment.module)) do
		collect(dependant.host, dependant.name, list, seen)
	end
	local entry = { host = host, name = name, object = environment.module }
	local save = rawget(entry.object, "save")
	if save then
		local ok, state = run(name, save)
		if not ok then
			error({ text = ("mod_%s on %s could not save its state: %s"):format(name, host, state) }, 0)
		end
		entry.state = state
	end
	list[#list + 1] = entry
end

local function restore_state(entry, environment)
	local restore = rawget(environment.module, "restore")
	if entry.state ~= nil and restore then
		local ok, err = run(entry.name, restore, entry.state)
		if not ok then
			log("error", "mod_%s on %s could not take back its state: %s", entry.name, entry.host, err)
		end
	end
end

-- Loads what was unloaded, with new code, else with the code it had. Gives nil and an error in the latter case.
local function load_again(entry)
	local environment, err = _M.get_module(entry.host, entry.name), nil
	if not environment then
		environment, err = load_module(entry.host, entry.name, nil, true)
	end
	if not environment and entry.object.chunk then
		local old_err
		environment, old_err = load_module(entry.host, entry.name, entry.object, true)
		if not environment then
			log("error", "mod_%s is not running on %s any more: %s", entry.name, entry.host, old_err)
		end
	end
	if environment then
		restore_state(entry, environment)
	end
	return not err, err
end

--- Runs the module's file anew, keeping its state (module.save, module.restore), and whatever depends on it. When the
-- new code does not work, the old goes on: nil and the error.
function _M.reload(host, name)
	local environment = _M.get_module(host, name)
	if not environment then
		return nil, "module-not-loaded"
	elseif host ~= "*" and global_modules[name] then
		host = "*" -- the part on a host has no code of its own
	end
	local code, err = pluginloader.load_module(name, {})
	if not code then
		log("error", "mod_%s was not reloaded: %s", name, err)
		return nil, err
	end
	local list = {}
	local ok, failure = pcall(collect, host, name, list, {})
	if not ok then
		err = type(failure) == "table" and failure.text or tostring(failure)
		log("error", "mod_%s was not reloaded: %s", name, err)
		return nil, err
	end
	for _, entry in ipairs(list) do
		entry.object.reloading = true
		unload_module(entry.host, entry.name)
	end
	local first_err
	for i = #list, 1, -1 do
		local entry = list[i]
		local done, load_err = load_again(entry)
		if not done then
			log("error", "mod_%s on %s: its new code failed, the old one goes on: %s", entry.name, entry.host, load_err)
			first_err = first_err or load_err
		end
		events_of(entry.host).fire_event("module-reloaded", { module = entry.name, host = entry.host })
	end
	if first_err then
		return nil, first_err
	end
	return true
end

-- Hosts come and go

prosody.events.add_handler("host-activated", _M.load_modules_for_host)

prosody.events.add_handler("host-deactivated", function (host)
	for _, name in ipairs(sorted_keys(modules_of(host) or {})) do
		if _M.is_loaded(host, name) then
			_M.unload(host, name)
		end
	end
end)

return _M
