--- Storage in files, one per user and store, in the format Prosody uses by default (util.datamanager).
-- Fine for small servers and easy to look at; an archive is read whole for every query.
-- @option storage_archive_item_limit  number of items, 10000: how much one archive of one user may hold
-- @hooks  none        @fires none        @stores none
-- @spec   spec/modules/mod_storage_drivers_spec.lua, spec/modules/mod_storage_internal_spec.lua

local archives = require "prosody.util.archive"
local datamanager = require "prosody.core.storagemanager".olddm
local datetime = require "prosody.util.datetime"
local st = require "prosody.util.stanza"
local time = require "prosody.util.time"
local uuid = require "prosody.util.uuid"

local host = module.host
local archive_item_limit = module:get_option_number("storage_archive_item_limit", 10000)

-- Host-level data is what has no user; drivers that cannot tell nil from "" should not matter to modules.
local function owner(username)
	if username == "" then return nil end
	return username
end

-- keyval; storagemanager makes map of it

local keyval = {}
keyval.__index = keyval

function keyval:get(username)
	return datamanager.load(owner(username), host, self.store)
end

function keyval:set(username, value)
	if value ~= nil and type(value) ~= "table" then return nil, "unsupported-datatype" end
	return datamanager.store(owner(username), host, self.store, value)
end

function keyval:users()
	return datamanager.users(host, self.store, "keyval")
end

-- archive: each item is a preserialised stanza (or a plain table) in which key, when and with are kept as well, and for
-- stanzas attr.stamp, which says `when` once more and is not part of the stanza.

local archive = {}
archive.__index = archive

archive.caps = archives.caps(archive_item_limit)

local function is_stored_stanza(item)
	return type(item.name) == "string" and type(item.attr) == "table"
end

-- The items with key, when and with filled in where old versions left them out.
local function load_items(username, store)
	local items, err = datamanager.list_load(owner(username), host, store)
	if not items then return not err and {} or nil, err end
	for i, item in ipairs(items) do
		if type(item) ~= "table" then return nil, "Error reading storage" end
		local attr = type(item.attr) == "table" and item.attr or {}
		item.key = item.key or ("item-%d"):format(i)
		item.when = tonumber(item.when) or datetime.parse(attr.stamp) or datetime.parse(attr.stamp_legacy) or 0
		item.with = item.with or ""
	end
	return items
end

local function to_value(item)
	item.key, item.when, item.with = nil, nil, nil
	if not is_stored_stanza(item) then return item end
	item.attr.stamp, item.attr.stamp_legacy = nil, nil
	return st.deserialize(item)
end

local function to_item(value, key, when, with)
	local item = {}
	if st.is_stanza(value) then
		local plain = st.preserialize(value)
		for name, member in pairs(plain) do item[name] = member end
		item.attr = {}
		for name, member in pairs(plain.attr) do item.attr[name] = member end
		item.attr.stamp = datetime.datetime(when)
	elseif type(value) == "table" then
		-- What stands in the place of our own fields could not be told from them when it is read.
		if value.key ~= nil or value.when ~= nil or value.with ~= nil or is_stored_stanza(value) then
			return nil, "unsupported-datatype"
		end
		for name, member in pairs(value) do item[name] = member end
	else
		return nil, "unsupported-datatype"
	end
	item.key, item.when, item.with = key, when, with
	return item
end

function archive:append(username, key, value, when, with)
	local item, items, err
	item, err = to_item(value, key or uuid.v7(), when or time.now(), with or "")
	if not item then return nil, err end
	local at
	if key then
		items, err = load_items(username, self.store)
		if not items then return nil, err end
		at = archives.position(items, key)
		if at then table.remove(items, at) end
	end
	local count
	if items then
		count = #items
	else
		count, err = datamanager.list_count(owner(username), host, self.store)
		if not count then return nil, err end
	end
	if count >= archive_item_limit then return nil, "quota-limit" end

	local ok
	if at then
		items[#items + 1] = item
		ok, err = datamanager.list_store(owner(username), host, self.store, items)
	else
		ok, err = datamanager.list_append(owner(username), host, self.store, item)
	end
	if not ok then return nil, err end
	return item.key
end

function archive:find(username, query)
	local items, err = load_items(username, self.store)
	if not items then return nil, err end
	local found, total = archives.find(items, query)
	if not found then return nil, total end
	local i = 0
	return function ()
		i = i + 1
		local item = items[found[i]]
		if item then
			local key, when, with = item.key, item.when, item.with
			return key, to_value(item), when, with
		end
	end, total
end

function archive:get(username, key)
	local items, err = load_items(username, self.store)
	if not items then return nil, err end
	local item = items[archives.position(items, key)]
	if not item then return nil, "item-not-found" end
	local when, with = item.when, item.with
	return to_value(item), when, with
end

function archive:set(username, key, value, when, with)
	local items, err = load_items(username, self.store)
	if not items then return nil, err end
	local at = archives.position(items, key)
	if not at then return nil, "item-not-found" end
	items[at], err = to_item(value, key, when or items[at].when, with or items[at].with)
	if not items[at] then return nil, err end
	return datamanager.list_store(owner(username), host, self.store, items)
end

local function delete_for(username, store, query)
	local items, err = load_items(username, store)
	if not items then return nil, err end
	local kept, count = archives.remove(items, query)
	if not kept then return nil, count end
	if count > 0 then
		local ok
		ok, err = datamanager.list_store(owner(username), host, store, kept)
		if not ok then return nil, err end
	end
	return count
end

function archive:delete(username, query)
	if username ~= true then return delete_for(username, self.store, query) end
	local total, first_error = 0, nil
	for name in datamanager.users(host, self.store, "archive") do
		local count, err = delete_for(name, self.store, query)
		total, first_error = total + (count or 0), first_error or err
	end
	if first_error then return nil, first_error end
	return total
end

function archive:summary(username, query)
	local items, err = load_items(username, self.store)
	if not items then return nil, err end
	return archives.summary(items, query, function (item) return archives.body_of(to_value(item)) end)
end

function archive:dates(username)
	local items, err = load_items(username, self.store)
	if not items then return nil, err end
	return archives.dates(items)
end

function archive:users()
	return datamanager.users(host, self.store, "archive")
end

-- The driver

local kinds = { keyval = keyval, archive = archive }

local driver = {}

function driver:open(store, kind)
	local methods = kinds[kind or "keyval"]
	if not methods then return nil, "unsupported-store" end
	return setmetatable({ store = store }, methods)
end

function driver:stores(username)
	return datamanager.stores(username, host)
end

function driver:purge(username)
	return datamanager.purge(username, host)
end

module:provides("storage", driver)
