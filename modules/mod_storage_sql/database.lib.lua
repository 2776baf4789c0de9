--- The database, one connection for all hosts that name the same file, and how operations on it succeed or fail.
-- Gives { db =, batches =, shared =, must =, read =, write =, users =, first_columns =, release = }.

local new_batches = module:require "batches".new
local storagemanager = require "prosody.core.storagemanager"

local host = module.host

local schema = {
	[[CREATE TABLE IF NOT EXISTS "prosody" ("host" TEXT NOT NULL, "user" TEXT NOT NULL, "store" TEXT NOT NULL,
		"key" TEXT NOT NULL, "type" TEXT NOT NULL, "value" TEXT NOT NULL)]],
	[[CREATE TABLE IF NOT EXISTS "prosodyarchive" ("sort_id" INTEGER PRIMARY KEY AUTOINCREMENT, "host" TEXT NOT NULL,
		"user" TEXT NOT NULL, "store" TEXT NOT NULL, "key" TEXT NOT NULL, "when" INTEGER NOT NULL, "with" TEXT NOT NULL,
		"type" TEXT NOT NULL, "value" TEXT NOT NULL)]],
	[[CREATE UNIQUE INDEX IF NOT EXISTS "prosodyarchive_index" ON "prosodyarchive" ("host", "user", "store", "key")]],
	[[CREATE INDEX IF NOT EXISTS "prosodyarchive_with_when"
		ON "prosodyarchive" ("host", "user", "store", "with", "when")]],
	[[CREATE INDEX IF NOT EXISTS "prosodyarchive_when" ON "prosodyarchive" ("host", "user", "store", "when")]],
	[[CREATE INDEX IF NOT EXISTS "prosodyarchive_sort" ON "prosodyarchive" ("host", "user", "store", "sort_id")]],
}

-- From the plain index of 0.12 to the unique one of 13.
local unique_index = {
	[[DELETE FROM "prosody" WHERE "rowid" NOT IN
		(SELECT MAX("rowid") FROM "prosody" GROUP BY "host", "user", "store", "key")]],
	[[CREATE UNIQUE INDEX "prosody_unique_index" ON "prosody" ("host", "user", "store", "key")]],
	[[DROP INDEX IF EXISTS "prosody_index"]],
}

-- Turns nil, error of the database into an error that write() and read() turn back.
local function must(result, err)
	if result == nil and err then error({ storage_error = err }, 0) end
	return result
end

local function prepare_schema(db)
	for _, sql in ipairs(schema) do must(db:exec(sql)) end
	if db:row([[SELECT 1 FROM "sqlite_schema" WHERE "name" = 'prosody_unique_index']]) then return end
	local removed = 0
	for _, sql in ipairs(unique_index) do
		local changes = must(db:exec(sql))
		if sql:find("^DELETE") then removed = changes end
	end
	if removed > 0 then module:log("info", "%d rows that newer ones had replaced were removed", removed) end
end

local durability = { default = "full", safe = "full", normal = "normal", fast = "off" }

local function database_path()
	local sql = module:get_option("sql") or {}
	if type(sql) ~= "table" then error("the option 'sql' must be a table, as in sql = { driver = \"SQLite3\" }", 0) end
	if (sql.driver or "SQLite3") ~= "SQLite3" then
		error(("sql = { driver = %q }: only SQLite3 is supported so far. Change it to driver = \"SQLite3\", or remove "
			.. "the line (Prosody's tools can copy the data to an SQLite file)"):format(tostring(sql.driver)), 0)
	end
	local name = sql.database or "prosody.sqlite"
	if name == ":memory:" or name:sub(1, 1) == "/" then return name end
	return storagemanager.olddm.get_data_path() .. "/" .. name
end

-- { db =, n_users = hosts that use it, batches = (batches.lib.lua), counts = { archive -> items } }
local databases = module:shared("/*/storage_sql/databases")
local path = database_path()

local function open_database()
	local tune = module:get_option_string("sqlite_tune", "default")
	if not durability[tune] then
		error(("sqlite_tune = %q: must be one of default, safe, normal, fast"):format(tune), 0)
	end
	local directory = path:match("^(.*)/")
	if directory then assert(require "prosody.util.files".mkdir(directory)) end
	local db, err = require "prosody.util.sqlite3".open(path, {
		synchronous = durability[tune],
		sync_later = storagemanager.syncs_later(),
		busy_timeout_ms = math.floor(module:get_option_period("sqlite_busy_timeout", 3) * 1000),
	})
	if not db then error(err, 0) end
	local ok, failure = pcall(prepare_schema, db)
	err = not ok and (type(failure) == "table" and failure.storage_error or failure)
	if ok then ok, err = db:commit_now() end
	if not ok then
		db:close()
		error(("database %s: %s"):format(path, err), 0)
	end

	local database = { db = db, n_users = 0, counts = {}, n_counts = 0 }
	database.batches = new_batches(db, path, function () database.counts, database.n_counts = {}, 0 end)
	storagemanager.join_commit(database.batches)
	return database
end

local database = databases[path]
if not database then
	database = open_database()
	databases[path] = database
end
database.n_users = database.n_users + 1
local db, batches = database.db, database.batches

-- Called when the module is unloaded: the last host closes the database.
local function release()
	database.n_users = database.n_users - 1
	if database.n_users > 0 then return end
	databases[path] = nil
	storagemanager.leave_commit(batches)
	local ok, err = batches.commit()
	if not ok then module:log("error", "%s", err) end
	db:close()
end

-- Operations

local function caught(ok, ...)
	if ok then return ... end
	local failure = ...
	if type(failure) == "table" and failure.storage_error then
		module:log("error", "%s", failure.storage_error)
		return nil, failure.storage_error
	end
	error(failure, 0)
end

-- fn(user, store, ...) reads (user nil: everybody's); failures of the database become nil, error.
local function read(fn, user, store, ...)
	batches.knows(host, store, user)
	return caught(pcall(fn, user, store, ...))
end

-- Ends an operation that wrote: true, or nil, error.
local function finish(user, store)
	if not storagemanager.gathers() then return batches.commit() end
	batches.wrote(host, store, user)
	return true
end

-- Ends one that did not. Outside the server this also gives the write lock back.
local function give_up()
	db:rollback()
	if not storagemanager.gathers() then batches.commit() end
end

-- fn(...) writes for a user in a store, all of it or nothing. It gives nil, error to refuse, having written nothing.
local function write(user, store, fn, ...)
	local ok, err = db:savepoint()
	if ok then
		local results = table.pack(pcall(fn, ...))
		if not results[1] then database.counts, database.n_counts = {}, 0 end
		if results[2] == nil or not results[1] then
			give_up()
			return caught(table.unpack(results, 1, results.n))
		end
		ok, err = db:release()
		if ok then ok, err = finish(user, store) end
		if ok then return table.unpack(results, 2, results.n) end
	end
	if not storagemanager.gathers() then batches.commit() end
	database.counts, database.n_counts = {}, 0
	module:log("error", "%s", err)
	return nil, err
end

-- Walking

--- An iterator over the first column of rows.
local function first_columns(rows)
	local i = 0
	return function ()
		i = i + 1
		return rows[i] and rows[i][1]
	end
end

--- An iterator over the users that a query of host and store gives.
local function users(sql, store)
	batches.knows(host, store, nil)
	local rows, err = db:query(sql, host, store)
	if not rows then
		module:log("error", "%s", err)
		return function () end, err
	end
	return first_columns(rows)
end

return {
	db = db,
	batches = batches,
	shared = database,
	must = must,
	read = read,
	write = write,
	users = users,
	first_columns = first_columns,
	release = release,
}
