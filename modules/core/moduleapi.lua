--- The module API: what a module reaches the server through (`module:hook`, `module:get_option`, ...).
--
-- Every module has an object of its own whose methods are those of this table (modules may add to it: mod_http puts
-- http_url here). What a module registers is written down in its object (event_handlers, items, timers), so that
-- modulemanager can undo all of it when the module is unloaded.

local logger = require "prosody.util.logger"
local paths = require "prosody.util.paths"
local pluginloader = require "prosody.core.pluginloader"
local st = require "prosody.util.stanza"
local time_now = require "prosody.util.time".now
local timer = require "prosody.util.timer"

local prosody = _G.prosody
local hosts = prosody.hosts
local error, ipairs, next, pairs, require, select = error, ipairs, next, pairs, require, select
local setmetatable, tostring, type = setmetatable, tostring, type
local io_open, table_insert, table_pack = io.open, table.insert, table.pack
local table_remove, table_unpack = table.remove, table.unpack

local api = {}
local _ENV = nil

-- Its larger parts have a file each: a table of methods.
for _, part in ipairs { "options", "iq", "permissions" } do
	for name, method in pairs(require("prosody.core.moduleapi." .. part)) do
		api[name] = method
	end
end

-- What an unloaded module may still hold must not do anything.
local function events_of(host)
	return (hosts[host] or prosody).events
end

-- Who am I

--- The module's name without "mod_".
function api:get_name()
	return self.name
end

--- The host it is loaded on; "*" for a global module.
function api:get_host()
	return self.host
end

--- "global", "local" or "component".
function api:get_host_type()
	if self.host == "*" then
		return "global"
	end
	return hosts[self.host] and hosts[self.host].type or "local"
end

--- Makes the module a global one; modulemanager moves it when its chunk has run.
function api:set_global()
	self.host = "*"
	self._log = logger.init("mod_" .. self.name)
	self.global = true
end

--- Logs at level "debug", "info", "warn" or "error"; the rest is format and arguments.
function api:log(level, ...)
	return self._log(level, ...)
end

-- Events

-- Writes a registration down: event_handlers[object][event][handler] = how to take it back.
local function remember_handler(self, object, event, handler, remove)
	local by_event = self.event_handlers[object]
	if not by_event then
		by_event = {}
		self.event_handlers[object] = by_event
	end
	by_event[event] = by_event[event] or {}
	by_event[event][handler] = remove
end

local function forget_handler(self, object, event, handler)
	local by_event = self.event_handlers[object]
	if by_event and by_event[event] then
		by_event[event][handler] = nil
		if not next(by_event[event]) then
			by_event[event] = nil
		end
	end
end

--- Hooks an event of any object with add_handler and remove_handler.
function api:hook_object_event(object, event, handler, priority)
	remember_handler(self, object, event, handler, object.remove_handler)
	return object.add_handler(event, handler, priority)
end

--- Takes one handler of one event back; so do the following.
function api:unhook_object_event(object, event, handler)
	forget_handler(self, object, event, handler)
	return object.remove_handler(event, handler)
end

--- Hooks an event of the module's host (of the server, for a global module). Higher priority runs first; the first
-- handler that returns something other than nil ends the event with that result. handler may be a native hook.
function api:hook(event, handler, priority)
	return self:hook_object_event(events_of(self.host), event, handler, priority)
end

--- The same for an event of the server, whatever host the module is on.
function api:hook_global(event, handler, priority)
	return self:hook_object_event(prosody.events, event, handler, priority)
end

function api:unhook(event, handler)
	return self:unhook_object_event(events_of(self.host), event, handler)
end

function api:unhook_global(event, handler)
	return self:unhook_object_event(prosody.events, event, handler)
end

--- Hooks a top-level element of a stream: handler(origin, stanza, event). Without xmlns: hook_tag(name, handler, prio).
function api:hook_tag(xmlns, name, handler, priority)
	if type(name) == "function" then
		xmlns, name, handler, priority = nil, xmlns, name, handler
	end
	local event = "stanza/" .. (xmlns and (xmlns .. ":") or "") .. name
	return self:hook(event, function (data)
		return handler(data.origin, data.stanza, data)
	end, priority)
end
api.hook_stanza = api.hook_tag -- COMPAT with modules written before 0.9

--- Wraps every firing of an event: handler(fire, event_name, event_data) calls fire(event_name, event_data) to go on.
function api:wrap_object_event(object, event, handler)
	local wrappers = object.wrappers
	if wrappers then
		return self:hook_object_event(wrappers, event, handler)
	end
	local add, remove = object.add_wrapper, object.remove_wrapper
	if not add then
		error("this object's events cannot be wrapped", 2)
	end
	remember_handler(self, object, event, handler, remove)
	return add(event, handler)
end

--- The same for an event of the module's host, and of the server.
function api:wrap_event(event, handler)
	return self:wrap_object_event(events_of(self.host), event, handler)
end

function api:wrap_global(event, handler)
	return self:wrap_object_event(prosody.events, event, handler)
end

--- Fires an event on the module's host and gives the result of the first handler that had one.
function api:fire_event(...)
	return events_of(self.host).fire_event(...)
end

local has_started = false
prosody.events.add_handler("server-started", function ()
	has_started = true
end, 1000)

--- Runs fn once the server has started; at once when it already has.
function api:on_ready(fn)
	if has_started then
		return fn()
	end
	return self:hook_global("server-started", function ()
		fn() -- no result: others want to hear of it too
	end)
end
api.once = api.on_ready

-- Other modules

-- A module's chunk can be in the middle of loading: what it depends on is loaded within.
local function load_dependency(self, name)
	local modulemanager = require "prosody.core.modulemanager"
	local mod = modulemanager.get_module(self.host, name)
	if not mod then
		local global = modulemanager.get_module("*", name)
		-- A global module without a part for hosts serves all of them.
		if global and (self.host == "*" or not modulemanager.module_has_method(global, "add_host")) then
			mod = global
		end
	end
	if mod then
		return mod
	end
	return modulemanager.load(self.host, name)
end

--- The environment of another module, loaded when it is not yet; its global functions are fields. Unloading or
-- reloading it does the same to this module. soft: give nil instead of an error when it cannot be had.
function api:depends(name, soft)
	local disabled = self:get_option_inherited_set("modules_disabled", {})
	local mod, err
	if disabled:contains(name) then
		err = "it is in modules_disabled"
	else
		mod, err = load_dependency(self, name)
	end
	if not mod then
		if soft then
			self:log("debug", "Going on without mod_%s: %s", name, err)
			return nil
		end
		error(("mod_%s needs mod_%s, which cannot be used: %s"):format(self.name, name, tostring(err)), 2)
	end
	self.dependencies[name] = true
	mod.module.reverse_dependencies[self.host .. "\0" .. self.name] = { host = self.host, name = self.name }
	return mod
end

--- Runs the library "x" (x.lib.lua beside the module, or in any plugin directory) in the module's environment.
function api:require(lib)
	local chunk, err = pluginloader.load_library(self.resource_path, lib, self.environment)
	if not chunk then
		error(("Failed to load the library %s of mod_%s: %s"):format(lib, self.name, err), 2)
	end
	return chunk()
end

--- Offers something of a kind ("auth", "net", "http", "storage", ...): adds the item KIND-provider. Without item the
-- module's own global functions and values are what is offered.
function api:provides(kind, item)
	if not item then
		item = {}
		for key, value in next, self.environment do
			item[key] = value
		end
		item.module = nil
	end
	if not item.name then
		local prefix = kind .. "_"
		item.name = self.name:sub(1, #prefix) == prefix and self.name:sub(#prefix + 1) or self.name
	end
	item._provided_by = self.name
	return self:add_item(kind .. "-provider", item)
end

-- Items: what modules of a host tell each other

--- Adds a value to the list of a key and tells those who watch it (handle_items).
function api:add_item(key, value)
	self.items[key] = self.items[key] or {}
	table_insert(self.items[key], value)
	return self:fire_event("item-added/" .. key, { source = self, item = value })
end

--- Takes it out of the list again: the value, or nil when it was not there.
function api:remove_item(key, value)
	local list = self.items[key] or {}
	for i = #list, 1, -1 do
		if list[i] == value then
			table_remove(list, i)
			self:fire_event("item-removed/" .. key, { source = self, item = value })
			return value
		end
	end
end

--- All items of a key that modules of this host have added.
function api:get_host_items(key)
	return require "prosody.core.modulemanager".get_items(key, self.host)
end

--- Hears of every item of a key: added(event) and removed(event) with { source =, item = }; those that are there
-- already are replayed unless existing is false.
function api:handle_items(key, added, removed, existing)
	self:hook("item-added/" .. key, added)
	if removed then
		self:hook("item-removed/" .. key, removed)
	end
	if existing ~= false then
		local modulemanager = require "prosody.core.modulemanager"
		for _, entry in ipairs(modulemanager.get_items_with_source(key, self.host)) do
			added(entry)
		end
	end
end

--- What mod_disco announces for the host.
function api:add_feature(xmlns)
	self:add_item("feature", xmlns)
end

--- Who the host is to service discovery: category and type as in the registry of XEP-0030, name for people or nil.
function api:add_identity(category, identity_type, name)
	self:add_item("identity", { category = category, type = identity_type, name = name })
end

--- A form about the host (XEP-0128): a stanza <x xmlns="jabber:x:data"/>.
function api:add_extension(data)
	self:add_item("extension", data)
end

-- Seeing another host

--- The same API for another host ("*": global). All else, reading and writing, is the module's own.
function api:context(host)
	host = host or "*"
	return setmetatable({ host = host, global = host == "*" }, { __index = self, __newindex = self })
end

-- Shared tables

local shared_tables = setmetatable({}, { __mode = "v" }) -- absolute path -> table, kept by the modules that asked

-- "x" is /HOST/MODULE/x, "module/x" is /HOST/module/x, "/*/module/x" stands as it is.
local function shared_path(self, path)
	if path:sub(1, 1) == "/" then
		return path
	end
	local prefix = path:find("/", 1, true) and ("/%s/"):format(self.host) or ("/%s/%s/"):format(self.host, self.name)
	return prefix .. path
end

--- Tables that modules share by name, one per path; they live as long as a module that asked for them.
function api:shared(...)
	local given = table_pack(...)
	self.shared_data = self.shared_data or {}
	for i = 1, given.n do
		local path = shared_path(self, given[i])
		local shared = shared_tables[path]
		if not shared then
			shared = path:match("%-cache$") and setmetatable({}, { __mode = "kv" }) or {}
			shared_tables[path] = shared
		end
		self.shared_data[path] = shared
		given[i] = shared
	end
	return table_unpack(given, 1, given.n)
end

-- Storage

--- A store of the host: kind "keyval" (default), "map", "archive" or "keyval+".
function api:open_store(name, kind)
	if self.host == "*" then
		return nil, "global-storage-not-supported"
	end
	return require "prosody.core.storagemanager".open(self.host, name or self.name, kind)
end

-- Sending

--- Routes a stanza in the name of origin, by default of the host.
function api:send(stanza, origin)
	return prosody.core_post_stanza(origin or hosts[self.host], stanza)
end

local function values(list)
	local i = 0
	return function ()
		i = i + 1
		return list[i]
	end
end

--- Sends a copy of the stanza to every JID that iter(jids) gives; by default jids is a list.
function api:broadcast(jids, stanza, iter)
	for to in (iter or values)(jids) do
		local copy = st.clone(stanza)
		copy.attr.to = to
		self:send(copy)
	end
end

-- Time

--- Calls fn(now, ...) after delay seconds. A number that fn returns is the delay of the next call. Never called after
-- the module was unloaded. Gives an object with :stop() (or :disarm()) and :reschedule(delay).
function api:add_timer(delay, fn, ...)
	local args = table_pack(...)
	local task = timer.add_task(delay, function (now)
		return fn(now, table_unpack(args, 1, args.n))
	end)
	self.timers[task] = true
	return task
end

--- Runs a task now and then: { name =, when = "hourly" | "daily" | "weekly" | seconds, run = function (task, now) }.
function api:cron(task)
	self:depends("cron")
	self:add_item("task", task)
end

local function add_periodic(when)
	return function (self, name, fn)
		if type(name) == "function" then
			name, fn = nil, name
		end
		return self:cron({ name = name or when, when = when, run = fn })
	end
end

api.hourly, api.daily, api.weekly = add_periodic("hourly"), add_periodic("daily"), add_periodic("weekly")

-- Files

--- The module's own directory.
function api:get_directory()
	return self.resource_path or self.path and self.path:gsub("%.[^./]*$", "") or nil
end

--- Opens a file of the module's directory; nil and an error when it cannot be.
function api:load_resource(path, mode)
	return io_open(paths.resolve_relative_path(self:get_directory(), path), mode or "r")
end

-- Figures

--- A function that counts: see statsmanager.measure for the types.
function api:measure(name, stat_type, conf)
	local label_key = self.host ~= "*" and "host" or nil
	return require "prosody.core.statsmanager".measure(stat_type, ("mod_%s/%s"):format(self.name, name), conf, label_key,
		self.host)
end

--- A family of metrics (OpenMetrics); on a host its label "host" is filled in.
function api:metric(metric_type, name, unit, description, label_keys, conf)
	local statsmanager = require "prosody.core.statsmanager"
	local full_name = ("mod_%s/%s"):format(self.name, name)
	if self.host == "*" then
		return statsmanager.metric(metric_type, full_name, unit, description, label_keys, conf)
	end
	local keys = { "host" }
	for _, key in ipairs(label_keys or {}) do
		keys[#keys + 1] = key
	end
	return statsmanager.metric(metric_type, full_name, unit, description, keys, conf):with_partial_label(self.host)
end

-- Status: what an admin is shown of a module

local status_weights = { core = 0, info = 1, warn = 2, error = 3 }

--- Says how the module is doing. A weightier status stays unless override is given.
function api:set_status(status_type, message, override)
	local weight = status_weights[status_type]
	if not weight then
		self:log("error", "\"%s\" is no status: core, info, warn or error", tostring(status_type))
		return false
	end
	if not override and self.status_type and weight < status_weights[self.status_type] then
		self:log("debug", "The status stays %s (%s)", self.status_type, self.status_message)
		return false
	end
	self.status_type, self.status_message, self.status_time = status_type, message, time_now()
	self:fire_event("module-status/updated", { name = self.name, module = self })
	return true
end

--- Sets the status and logs it at that level.
function api:log_status(level, message, ...)
	local text = select("#", ...) > 0 and require "prosody.util.format".format(message, ...) or message
	self:set_status(level, text)
	return self:log(level, "%s", text)
end

--- status type, message, and when it was set (nil before the first).
function api:get_status()
	return self.status_type, self.status_message, self.status_time
end

-- The object itself

--- A new module object. environment is filled in by modulemanager.
function api.new(name, host)
	local log_name = host == "*" and "mod_" .. name or host .. ":" .. name
	return setmetatable({
		name = name, host = host, global = host == "*" or nil,
		_log = logger.init(log_name),
		event_handlers = {}, -- object -> event -> handler -> how to remove it
		items = {},          -- key -> list
		timers = setmetatable({}, { __mode = "k" }), -- timer -> true; the loop holds those that run
		dependencies = {},   -- name -> true
		reverse_dependencies = {}, -- "host\0name" -> { host, name }
	}, { __index = api })
end

--- Undoes all a module object has registered, items last of all seen by their watchers.
function api.undo(self)
	for object, by_event in pairs(self.event_handlers) do
		for event, handlers in pairs(by_event) do
			for handler, remove in pairs(handlers) do
				remove(event, handler)
			end
		end
		self.event_handlers[object] = nil
	end
	for task in pairs(self.timers) do
		task:stop()
	end
	for key, list in pairs(self.items) do
		for i = #list, 1, -1 do
			self:remove_item(key, list[i])
		end
	end
	self.shared_data = nil
end

return api
