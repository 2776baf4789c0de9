--- Storage in memory: for tests and for hosts whose data may vanish. A reload keeps it, a restart does not.
-- Values are copied on the way in and out, so nobody changes what is stored by changing what he stored.
-- @option storage_archive_item_limit  number of items, 10000: how much one archive of one user may hold
-- @hooks  none        @fires none        @stores none
-- @spec   spec/modules/mod_storage_drivers_spec.lua

local archives = require "prosody.util.archive"
local st = require "prosody.util.stanza"
local time = require "prosody.util.time"
local uuid = require "prosody.util.uuid"

local archive_item_limit = module:get_option_number("storage_archive_item_limit", 10000)

local data = { keyval = {}, archive = {} } -- kind -> store name -> user ("" is the host) -> what is stored

local function copy(value)
	if type(value) ~= "table" and not st.is_stanza(value) then return value end
	if st.is_stanza(value) then return st.clone(value) end
	local clone = {}
	for key, member in pairs(value) do clone[key] = copy(member) end
	return clone
end

local function contents(kind, store)
	local users = data[kind][store]
	if not users then
		users = {}
		data[kind][store] = users
	end
	return users
end

local function users_of(users)
	local names = {}
	for username in pairs(users) do
		if username ~= "" then names[username] = true end
	end
	return archives.keys(names)
end

-- keyval, map

local keyval = {}
keyval.__index = keyval

function keyval:get(username)
	return copy(contents("keyval", self.store)[username or ""])
end

function keyval:set(username, value)
	if value ~= nil and type(value) ~= "table" then return nil, "unsupported-datatype" end
	if value ~= nil and next(value) == nil then value = nil end
	contents("keyval", self.store)[username or ""] = copy(value)
	return true
end

function keyval:users()
	return users_of(contents("keyval", self.store))
end

local map = { remove = {} }
map.__index = map

function map:get(username, key)
	local value = contents("keyval", self.store)[username or ""]
	return value and copy(value[key])
end

function map:set(username, key, value)
	if value == nil then value = map.remove end
	return self:set_keys(username, { [key] = value })
end

function map:set_keys(username, changes)
	local users = contents("keyval", self.store)
	local value = users[username or ""] or {}
	for key, member in pairs(changes) do
		if member == map.remove then
			value[key] = nil
		else
			value[key] = copy(member)
		end
	end
	users[username or ""] = next(value) ~= nil and value or nil
	return true
end

function map:get_all(key)
	local found = {}
	for username in self:users() do found[username] = self:get(username, key) end
	return found
end

function map:delete_all(key)
	for username in self:users() do self:set(username, key, nil) end
	return true
end

map.users = keyval.users

-- archive

local archive = {}
archive.__index = archive

archive.caps = archives.caps(archive_item_limit)

function archive:append(username, key, value, when, with)
	if type(value) ~= "table" and not st.is_stanza(value) then return nil, "unsupported-datatype" end
	local users = contents("archive", self.store)
	local items = users[username or ""]
	if not items then
		items = {}
		users[username or ""] = items
	end
	local at = key and archives.position(items, key)
	if at then table.remove(items, at) end
	if #items >= archive_item_limit then return nil, "quota-limit" end
	key = key or uuid.v7()
	items[#items + 1] = { key = key, when = when or time.now(), with = with or "", value = copy(value) }
	return key
end

function archive:find(username, query)
	local items = contents("archive", self.store)[username or ""] or {}
	local found, total = archives.find(items, query)
	if not found then return nil, total end
	for i, at in ipairs(found) do found[i] = items[at] end
	local i = 0
	return function ()
		i = i + 1
		local item = found[i]
		if item then return item.key, copy(item.value), item.when, item.with end
	end, total
end

function archive:get(username, key)
	local items = contents("archive", self.store)[username or ""] or {}
	local item = items[archives.position(items, key)]
	if not item then return nil, "item-not-found" end
	return copy(item.value), item.when, item.with
end

function archive:set(username, key, value, when, with)
	if type(value) ~= "table" and not st.is_stanza(value) then return nil, "unsupported-datatype" end
	local items = contents("archive", self.store)[username or ""] or {}
	local item = items[archives.position(items, key)]
	if not item then return nil, "item-not-found" end
	item.value, item.when, item.with = copy(value), when or item.when, with or item.with
	return true
end

function archive:delete(username, query)
	local users = contents("archive", self.store)
	local count = 0
	local function delete_for(name)
		local kept, n = archives.remove(users[name] or {}, query)
		if not kept then return nil, n end
		users[name] = #kept > 0 and kept or nil
		count = count + n
		return true
	end
	if username ~= true then
		local ok, err = delete_for(username or "")
		if not ok then return nil, err end
	else
		for name in archives.keys(copy(users)) do delete_for(name) end
	end
	return count
end

function archive:summary(username, query)
	local items = contents("archive", self.store)[username or ""] or {}
	return archives.summary(items, query, function (item) return archives.body_of(item.value) end)
end

function archive:dates(username)
	return archives.dates(contents("archive", self.store)[username or ""] or {})
end

function archive:users()
	return users_of(contents("archive", self.store))
end

-- The driver

local kinds = { keyval = keyval, map = map, archive = archive }

local driver = {}

function driver:open(store, kind)
	local methods = kinds[kind or "keyval"]
	if not methods then return nil, "unsupported-store" end
	return setmetatable({ store = store }, methods)
end

function driver:stores(username)
	local names = {}
	for _, stores in pairs(data) do
		for name, users in pairs(stores) do
			if (username == true and next(users) ~= nil) or users[username or ""] then names[name] = true end
		end
	end
	return archives.keys(names)
end

function driver:purge(username)
	for _, stores in pairs(data) do
		for _, users in pairs(stores) do users[username] = nil end
	end
	return true
end

module:provides("storage", driver)

function module.save()
	return data
end

function module.restore(saved)
	data = saved
end
