--- Storage in an SQLite database, in the tables Prosody uses; one database for all hosts.
--
-- Databases that Prosody 0.12 wrote are taken over: its plain index may have let duplicates in, of which the last row
-- wins. What a turn writes is one transaction (see core.storagemanager); an operation of several statements happens as
-- a whole or not at all.
-- @option sql  table, { driver = "SQLite3", database = "prosody.sqlite" }: where; relative to the data directory
-- @option sqlite_tune  string, "default": "default" and "safe" survive power loss, "normal" may lose the last moments
--   then, "fast" the whole database
-- @option sqlite_busy_timeout  period, 3 s: how long to wait for another process that writes
-- @option storage_archive_item_limit  number of items, 10000: how much one archive of one user may hold
-- @hooks  none        @fires none        @stores none
-- @spec   spec/modules/mod_storage_drivers_spec.lua, spec/modules/mod_storage_sql_spec.lua

local database = module:require "database"
local values = module:require "values"
local keyval, map = module:require "keyval" (database, values)
local archive = module:require "archive" (database, values)

local host = module.host
local db, must, write = database.db, database.must, database.write

local kinds = { keyval = keyval, map = map, archive = archive }

local driver = { name = "sql" }

function driver:open(store, kind)
	local methods = kinds[kind or "keyval"]
	if not methods then return nil, "unsupported-store" end
	return setmetatable({ store = store }, methods)
end

local STORES_OF_ALL = [[SELECT DISTINCT "store" FROM "prosody" WHERE "host" = ?1
	UNION SELECT DISTINCT "store" FROM "prosodyarchive" WHERE "host" = ?1]]
local STORES_OF_USER = [[SELECT DISTINCT "store" FROM "prosody" WHERE "host" = ?1 AND "user" = ?2
	UNION SELECT DISTINCT "store" FROM "prosodyarchive" WHERE "host" = ?1 AND "user" = ?2]]

--- Names of the stores of a user, of the host itself (nil), or of all (true).
function driver:stores(username)
	local rows, err
	database.batches.knows(host, nil, nil)
	if username == true then
		rows, err = db:query(STORES_OF_ALL, host)
	else
		rows, err = db:query(STORES_OF_USER, host, username or "")
	end
	if not rows then
		module:log("error", "%s", err)
		return function () end, err
	end
	return database.first_columns(rows)
end

local function purge(user)
	database.shared.counts, database.shared.n_counts = {}, 0
	must(db:exec([[DELETE FROM "prosody" WHERE "host" = ? AND "user" = ?]], host, user))
	must(db:exec([[DELETE FROM "prosodyarchive" WHERE "host" = ? AND "user" = ?]], host, user))
	return true
end

function driver:purge(username)
	return write(username, nil, purge, username)
end

module:provides("storage", driver)

module.unload = database.release
