--- Which store is kept where: finds the driver of each store, opens it, and makes the writes of a turn durable.
--
-- Options (per host or global): `storage = "sql"` for all stores, or `storage = { accounts = "internal", ... }` by
-- store name; `default_storage` for those the table does not name. With nothing set it is "sqlite" (one SQLite database
-- in the data directory), unless the data directory already holds the accounts or rooms of the host as files, as
-- Prosody's default does: then it is "internal". "sqlite" is another name of "sql", "null" of "none".
--
-- A driver is what mod_storage_NAME gives to module:provides("storage", driver): driver:open(store, kind), where kind
-- is "keyval" (nil means that), "map", "keyval+" or "archive", driver:stores(username), driver:purge(username). Kinds a
-- driver does not have are made of those it has.
--
-- Always true: a store whose driver is missing answers every call with nil and an error; it never pretends to be empty.
-- In the server, what is written gathers, and is made durable together, on a thread, while the next writes gather;
-- drivers take part by join_commit. What somebody says who has written leaves when that is durable (core/net/hold.h).
-- When it fails, the hosts of the writers fire "storage-write-failed", and what waited does not leave: those
-- connections close. Then, for a minute, every write is committed by itself, so that who writes to a full disk is told
-- so at once and nobody else suffers.

local config = require "prosody.core.configmanager"
local datamanager = require "prosody.util.datamanager"
local keys = require "prosody.util.archive".keys
local log = require "prosody.util.logger".init("storagemanager")

local prosody = prosody
local hosts = prosody.hosts

local has_native, native = pcall(require, "couplet.native")
local is_server = prosody.process_type == "prosody" and has_native and native.on_commit ~= nil

local olddm = datamanager
local storagemanager = { olddm = olddm }

local aliases = { sqlite = "sql", null = "none" }

-- Batches

local participants = {} -- in the order they joined
local gathering = false
local syncing -- list of the participants whose jobs are on the thread; nil: none is

--- Are writes made durable by commit() (true), or must drivers do it before they answer (false, outside the server)?
function storagemanager.gathers()
	return gathering
end

--- May a driver that takes part leave the waiting for the disk to a thread?
function storagemanager.syncs_later()
	return is_server
end

--- The dispatch that runs has written: what it says leaves when the batch is durable, whose number this is.
function storagemanager.hold()
	return is_server and native.hold() or nil
end

--- The dispatch that runs has read what is durable with that batch.
function storagemanager.hold_for(batch)
	if batch then native.hold_for(batch) end
end

--- Runs a job of a driver on a thread, then done(). No output waits for it.
function storagemanager.in_background(job, done)
	native.background({ job }, done)
end

-- Waits for all that threads do.
local function drain()
	if is_server then native.finish_disk_work() end
end

--- Keeps participant until leave_commit. Whoever writes for it calls hold(). It has commit(), which makes what was
-- written durable: true, or nil, error and the list { { host =, user =, store = }, ... } of the writes that are lost.
-- One that need not wait for the disk has also, with the same results: end_turn(), at the end of turns ("later":
-- nothing can be sealed yet); seal() -> a job for native.sync that makes durable what was written until now, or nil;
-- synced(), once that has been done. A function is a participant with no more than commit.
function storagemanager.join_commit(participant)
	if type(participant) == "function" then participant = { commit = participant } end
	if not participant.seal then participant.end_turn = participant.end_turn or participant.commit end
	participants[#participants + 1] = participant
end

function storagemanager.leave_commit(participant)
	drain()
	for i = #participants, 1, -1 do
		if participants[i] == participant or participants[i].commit == participant then table.remove(participants, i) end
	end
end

local function report_lost(err, writers)
	log("error", "What was stored just now is lost (%d writes): %s", #writers, err)
	for _, writer in ipairs(writers) do
		local host = hosts[writer.host]
		if host and host.events then
			host.events.fire_event("storage-write-failed", {
				host = writer.host, username = writer.user, store = writer.store, error = err,
			})
		end
	end
end

-- Calls a method of those of the list that have it. True, or nil and the first error when some writes are lost; and
-- whether one of them said "later".
local function ask_all(list, method)
	local result, first_error, is_later = true, nil, false
	for i = 1, #list do
		local fn = list[i][method]
		if fn then
			local ok, err, writers = fn()
			if not ok then
				result, first_error = nil, first_error or err
				report_lost(err, writers or {})
			elseif ok == "later" then
				is_later = true
			end
		end
	end
	return result, first_error, is_later
end

--- Makes durable what was written: true, or nil, error when some of it is lost.
function storagemanager.commit()
	drain()
	local ok, err = ask_all(participants, "commit")
	return ok, err
end

--- true: writes wait for commit(), or for the end of the turn.
function storagemanager.gather(on)
	if gathering and not on then storagemanager.commit() end
	gathering = on
	olddm.gather(on)
end

storagemanager.join_commit { commit = olddm.commit, seal = olddm.seal, synced = olddm.synced }

local distrust_seconds = 60 -- how long after a failure each write is committed by itself
local trusts_again -- the timer

-- Some writes are lost. What is said about them must not leave, whatever carries it.
local function distrust()
	prosody.events.fire_event("storage-output-lost")
	if trusts_again then trusts_again:stop() end
	trusts_again = native.timer(distrust_seconds, function () storagemanager.gather(true) end)
	storagemanager.gather(false)
	return nil
end

-- A batch is durable (true), or not (nil).
local function on_synced()
	local sealed = syncing
	syncing = nil
	if ask_all(sealed, "synced") then return true end
	return distrust()
end

-- Hands what has gathered to the thread.
local function sync()
	local jobs, sealed = {}, {}
	for i = 1, #participants do
		local participant = participants[i]
		local job = participant.seal and participant.seal()
		if job then
			jobs[#jobs + 1], sealed[#sealed + 1] = job, participant
		end
	end
	if not jobs[1] then return true end
	syncing = sealed
	native.sync(jobs, on_synced)
	return "later"
end

--- What the server does at the end of a turn when something that was written is not durable: true when all is now,
-- "later" when it is not yet, nil when what waits for it must not leave.
function storagemanager.end_turn()
	if not gathering then return true end
	local ok, _, is_later = ask_all(participants, "end_turn")
	if not ok then return distrust() end
	if syncing or is_later then return "later" end
	return sync()
end

if is_server then
	native.on_commit(storagemanager.end_turn)
	storagemanager.gather(true)
	-- The last turn is the last one: what waits for the disk must leave with it.
	prosody.events.add_handler("server-stopped", function () storagemanager.gather(false) end, -1000)
end

-- Drivers

local drivers_by_host = {} -- host -> name -> driver
local watched = setmetatable({}, { __mode = "k" }) -- events objects of hosts we listen to
local failures = {} -- "host/name" -> why the driver's module could not be loaded, until the next configuration

local function refuse(err)
	return function () return nil, err end
end

-- In the place of a driver that could not be loaded.
local function missing_driver(name)
	local err = ("storage driver '%s' is not available"):format(name)
	local store = setmetatable({
		users = function () return function () end, err end,
		items = function () return function () end, err end,
		caps = {},
	}, { __index = function () return refuse(err) end })
	return {
		name = name,
		open = function () return store end,
		stores = function () return function () end, err end,
		purge = refuse(err),
	}
end

--- To be called once for each host, before its modules are loaded: from then on its drivers are known.
function storagemanager.initialize_host(host)
	local events = hosts[host].events
	local drivers = drivers_by_host[host] or {}
	drivers_by_host[host] = drivers
	if watched[events] then return end
	watched[events] = true
	events.add_handler("item-added/storage-provider", function (event)
		drivers[event.item.name] = event.item
	end)
	events.add_handler("item-removed/storage-provider", function (event)
		if drivers[event.item.name] == event.item then drivers[event.item.name] = nil end
	end)
end

if prosody.events then
	prosody.events.add_handler("host-activated", function (host)
		if type(host) == "string" and not drivers_by_host[host] then storagemanager.initialize_host(host) end
	end, 101)
	prosody.events.add_handler("host-deactivated", function (host)
		if type(host) == "string" then drivers_by_host[host] = nil end
	end, -101)
	prosody.events.add_handler("config-reloaded", function () failures = {} end, 101)
end

--- The module of a driver, without "mod_": "storage_sql" of "sqlite".
function storagemanager.module_of(name)
	return "storage_" .. (aliases[name] or name)
end

--- The driver of that name on that host, its module loaded when it is not. nil, error.
function storagemanager.load_driver(host, name)
	name = aliases[name] or name
	if not drivers_by_host[host] then
		if not hosts[host] then return nil, "no such host" end
		storagemanager.initialize_host(host)
	end
	local drivers = drivers_by_host[host]
	if not drivers[name] then
		local key = host .. "/" .. name
		if failures[key] then return nil, failures[key] end
		local ok, err = require "prosody.core.modulemanager".load(host, "storage_" .. name)
		if not ok then
			failures[key] = err
			return nil, err
		end
		if not drivers[name] then return nil, ("mod_storage_%s provides no storage driver"):format(name) end
	end
	return drivers[name]
end

-- Has a Prosody with its default storage left the host's accounts, or its rooms, in the data directory?
local function has_files(host)
	if olddm.users(host, "accounts", "keyval")() then return true end
	return olddm.load(nil, host, "persistent") ~= nil and olddm.users(host, "config", "keyval")() ~= nil
end

local chosen = {} -- host -> what is used when nothing is set

local function default_driver(host)
	if not chosen[host] then
		chosen[host] = has_files(host) and "internal" or "sqlite"
		if chosen[host] == "internal" then
			log("info", "%s: the data directory holds its files, so storage is \"internal\"; say storage = \"sqlite\" "
				.. "to keep new data in a database instead", host)
		end
	end
	return chosen[host]
end

-- The name of the driver of a store, or of the host when store is nil.
local function driver_name(host, store)
	local option = config.get(host, "storage")
	if type(option) == "string" then return option end
	local name = type(option) == "table" and store and option[store] or nil
	return name or config.get(host, "default_storage") or (type(option) == "table" and "sqlite") or default_driver(host)
end

local reported = {} -- "host/name" -> true: missing drivers are logged once

--- The driver of a store (of the host, when store is nil) and its name.
function storagemanager.get_driver(host, store)
	local name = driver_name(host, store)
	local driver, err = storagemanager.load_driver(host, name)
	if not driver then
		if not reported[host .. "/" .. name] then
			reported[host .. "/" .. name] = true
			log("error", "Storage of %s: mod_storage_%s could not be loaded: %s", host, aliases[name] or name, err)
		end
		driver = missing_driver(name)
	end
	return driver, name
end

-- Kinds that a driver does not have

local REMOVE = {} -- store.remove: in set_keys, the value that removes a key

local map_shim = { remove = REMOVE }
map_shim.__index = map_shim

function map_shim:get(username, key)
	local data, err = self.keyval:get(username)
	if data == nil then return nil, err end
	return data[key]
end

function map_shim:set(username, key, value)
	if value == nil then value = REMOVE end
	return self:set_keys(username, { [key] = value })
end

function map_shim:set_keys(username, changes)
	local data, err = self.keyval:get(username)
	if data == nil and err then return nil, err end
	data = data or {}
	for key, value in pairs(changes) do
		if value == REMOVE then value = nil end
		data[key] = value
	end
	return self.keyval:set(username, next(data) ~= nil and data or nil)
end

function map_shim:get_all(key)
	local found = {}
	for username in self.keyval:users() do
		local value, err = self:get(username, key)
		if value == nil and err then return nil, err end
		found[username] = value
	end
	return found
end

function map_shim:delete_all(key)
	local found, err = self:get_all(key)
	if not found then return nil, err end
	for username in pairs(found) do
		local ok, why = self:set(username, key, nil)
		if not ok then return nil, why end
	end
	return true
end

local function open_map(driver, store)
	local map, err = driver:open(store, "map")
	if map or err ~= "unsupported-store" then return map, err end
	local keyval
	keyval, err = driver:open(store, "keyval")
	if not keyval then return nil, err end
	return setmetatable({ keyval = keyval }, map_shim)
end

local keyval_plus_shim = { remove = REMOVE }
keyval_plus_shim.__index = keyval_plus_shim

function keyval_plus_shim:get(username) return self.keyval:get(username) end
function keyval_plus_shim:set(username, data) return self.keyval:set(username, data) end
function keyval_plus_shim:items() return self.keyval:users() end
keyval_plus_shim.users = keyval_plus_shim.items
function keyval_plus_shim:get_key(username, key) return self.map:get(username, key) end
function keyval_plus_shim:set_key(username, key, value) return self.map:set(username, key, value) end
function keyval_plus_shim:get_key_from_all(key) return self.map:get_all(key) end
function keyval_plus_shim:delete_key_from_all(key) return self.map:delete_all(key) end

function keyval_plus_shim:set_keys(username, changes)
	local own = {}
	for key, value in pairs(changes) do
		if value == REMOVE then value = self.map.remove end
		own[key] = value
	end
	return self.map:set_keys(username, own)
end

local function open_keyval_plus(driver, store)
	local keyval, err = driver:open(store, "keyval")
	if not keyval then return nil, err end
	local map
	map, err = open_map(driver, store)
	if not map then return nil, err end
	return setmetatable({ keyval = keyval, map = map }, keyval_plus_shim)
end

local shims = {
	map = open_map,
	["keyval+"] = open_keyval_plus,
}

-- Stores

local opened_stores = setmetatable({}, { __mode = "k" }) -- object -> name

--- A store of a host. kind: "keyval" (or nil), "map", "keyval+", "archive". nil, "unsupported-store" when the driver
-- has no such kind. Fires store-opened on the host, whose handlers may put another object in event.store.
function storagemanager.open(host, store, kind)
	if host == "*" then return nil, "global-storage-not-supported" end
	if not hosts[host] then return nil, "no such host" end
	local driver, name = storagemanager.get_driver(host, store)
	local opened, err = driver:open(store, kind)
	if not opened and err == "unsupported-store" and shims[kind] then
		log("debug", "%s: storage driver %s has no %s, so %s is made of a keyval store", host, name, kind, store)
		opened, err = shims[kind](driver, store)
	end
	if not opened then return nil, err end
	local event = { host = host, store_name = store, store_type = kind, store = opened }
	hosts[host].events.fire_event("store-opened", event)
	opened_stores[event.store] = store
	return event.store
end

--- Walks over the stores in use: object, name.
function storagemanager.stores()
	return next, opened_stores
end

--- Removes everything a user has on a host, whatever keeps it. true, or nil, error (and as much as possible is gone).
function storagemanager.purge(username, host)
	local names = { [driver_name(host)] = true }
	local option = config.get(host, "storage")
	if type(option) == "table" then
		for _, name in pairs(option) do names[name] = true end
	end
	local ok, first_error = olddm.purge(username, host)
	local purged = {}
	for name in keys(names) do
		local driver, err = storagemanager.load_driver(host, name)
		if driver and not purged[driver] then
			purged[driver] = true
			driver, err = driver:purge(username)
		end
		if not driver then ok, first_error = nil, first_error or err end
	end
	return ok, first_error
end

return storagemanager
