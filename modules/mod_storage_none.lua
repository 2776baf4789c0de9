--- Storage that keeps nothing and says so: reading finds nothing, writing is an error.
-- @option none
-- @hooks  none        @fires none        @stores none
-- @spec   spec/modules/mod_storage_drivers_spec.lua

local function nobody() return function () end end
local function nothing() return nil end
local function refuse() return nil, "not-allowed" end

local keyval = { get = nothing, set = refuse, users = nobody }

local map = { get = nothing, set = refuse, set_keys = refuse, delete_all = refuse, remove = {} }

function map:get_all()
	return {}
end

local archive = { append = refuse, get = nothing, set = refuse, users = nobody, caps = { total = true } }

function archive:find(_, query)
	if query and (query["before"] or query["after"]) then return nil, "item-not-found" end
	return nobody(), query and query["total"] and 0 or nil
end

function archive:delete()
	return 0
end

function archive:summary()
	return { counts = {}, earliest = {}, latest = {}, body = {} }
end

function archive:dates()
	return {}
end

local stores = { keyval = keyval, map = map, archive = archive }

local driver = { stores = nobody }

function driver:open(_, kind)
	local store = stores[kind or "keyval"]
	if not store then return nil, "unsupported-store" end
	return store
end

function driver:purge()
	return true
end

module:provides("storage", driver)
