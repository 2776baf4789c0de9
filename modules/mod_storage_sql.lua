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

local archives = require "prosody.util.archive";
local json = require "prosody.util.json";
local st = require "prosody.util.stanza";
local storagemanager = require "prosody.core.storagemanager";
local time = require "prosody.util.time";
local uuid = require "prosody.util.uuid";
local xml = require "prosody.util.xml";

local host = module.host;
local archive_item_limit = module:get_option_number("storage_archive_item_limit", 10000);

-- The database, shared by all hosts that name the same file

local schema = {
	[[CREATE TABLE IF NOT EXISTS "prosody" ("host" TEXT NOT NULL, "user" TEXT NOT NULL, "store" TEXT NOT NULL,
		"key" TEXT NOT NULL, "type" TEXT NOT NULL, "value" TEXT NOT NULL)]];
	[[CREATE TABLE IF NOT EXISTS "prosodyarchive" ("sort_id" INTEGER PRIMARY KEY AUTOINCREMENT, "host" TEXT NOT NULL,
		"user" TEXT NOT NULL, "store" TEXT NOT NULL, "key" TEXT NOT NULL, "when" INTEGER NOT NULL, "with" TEXT NOT NULL,
		"type" TEXT NOT NULL, "value" TEXT NOT NULL)]];
	[[CREATE UNIQUE INDEX IF NOT EXISTS "prosodyarchive_index" ON "prosodyarchive" ("host", "user", "store", "key")]];
	[[CREATE INDEX IF NOT EXISTS "prosodyarchive_with_when"
		ON "prosodyarchive" ("host", "user", "store", "with", "when")]];
	[[CREATE INDEX IF NOT EXISTS "prosodyarchive_when" ON "prosodyarchive" ("host", "user", "store", "when")]];
	[[CREATE INDEX IF NOT EXISTS "prosodyarchive_sort" ON "prosodyarchive" ("host", "user", "store", "sort_id")]];
};

-- From the plain index of 0.12 to the unique one of 13.
local unique_index = {
	[[DELETE FROM "prosody" WHERE "rowid" NOT IN
		(SELECT MAX("rowid") FROM "prosody" GROUP BY "host", "user", "store", "key")]];
	[[CREATE UNIQUE INDEX "prosody_unique_index" ON "prosody" ("host", "user", "store", "key")]];
	[[DROP INDEX IF EXISTS "prosody_index"]];
};

-- Turns nil, error of the database into an error that write() and read() turn back.
local function must(result, err)
	if result == nil and err then error({ storage_error = err }, 0); end
	return result;
end

local function prepare_schema(db)
	for _, sql in ipairs(schema) do must(db:exec(sql)); end
	if db:row([[SELECT 1 FROM "sqlite_schema" WHERE "name" = 'prosody_unique_index']]) then return; end
	local removed = 0;
	for _, sql in ipairs(unique_index) do
		local changes = must(db:exec(sql));
		if sql:find("^DELETE") then removed = changes; end
	end
	if removed > 0 then module:log("info", "%d rows that newer ones had replaced were removed", removed); end
end

local durability = { default = "full", safe = "full", normal = "normal", fast = "off" };

local function database_path()
	local sql = module:get_option("sql") or {};
	if type(sql) ~= "table" then error("the option 'sql' must be a table, as in sql = { driver = \"SQLite3\" }", 0); end
	if (sql.driver or "SQLite3") ~= "SQLite3" then
		error(("sql = { driver = %q }: only SQLite3 is supported so far. Change it to driver = \"SQLite3\", or remove "
			.. "the line (Prosody's tools can copy the data to an SQLite file)"):format(tostring(sql.driver)), 0);
	end
	local name = sql.database or "prosody.sqlite";
	if name == ":memory:" or name:sub(1, 1) == "/" then return name; end
	return storagemanager.olddm.get_data_path() .. "/" .. name;
end

-- { db =, n_users = hosts that use it, writers = { ... } of this turn, counts = { archive -> items }, commit = fn }
local databases = module:shared("/*/storage_sql/databases");
local path = database_path();

local function open_database()
	local tune = module:get_option_string("sqlite_tune", "default");
	if not durability[tune] then
		error(("sqlite_tune = %q: must be one of default, safe, normal, fast"):format(tune), 0);
	end
	local directory = path:match("^(.*)/");
	if directory then assert(require "prosody.util.files".mkdir(directory)); end
	local db, err = require "prosody.util.sqlite3".open(path, {
		synchronous = durability[tune];
		busy_timeout_ms = math.floor(module:get_option_number("sqlite_busy_timeout", 3) * 1000);
	});
	if not db then error(err, 0); end
	local ok, failure = pcall(prepare_schema, db);
	err = not ok and (type(failure) == "table" and failure.storage_error or failure);
	if ok then ok, err = db:commit(); end
	if not ok then
		db:close();
		error(("database %s: %s"):format(path, err), 0);
	end

	local database = { db = db, n_users = 0, writers = {}, counts = {}, n_counts = 0 };
	function database.commit()
		local writers = database.writers;
		if writers[1] ~= nil then database.writers = {}; end
		local committed, why = db:commit();
		if committed then return true; end
		database.counts, database.n_counts = {}, 0;
		return nil, ("database %s: %s"):format(path, why), writers;
	end
	storagemanager.join_commit(database.commit);
	return database;
end

local database = databases[path];
if not database then
	database = open_database();
	databases[path] = database;
end
database.n_users = database.n_users + 1;
local db = database.db;

function module.unload()
	database.n_users = database.n_users - 1;
	if database.n_users > 0 then return; end
	databases[path] = nil;
	storagemanager.leave_commit(database.commit);
	local ok, err = database.commit();
	if not ok then module:log("error", "%s", err); end
	db:close();
end

-- Operations

local function caught(ok, ...)
	if ok then return ...; end
	local failure = ...;
	if type(failure) == "table" and failure.storage_error then
		module:log("error", "%s", failure.storage_error);
		return nil, failure.storage_error;
	end
	error(failure, 0);
end

-- fn(...) reads; failures of the database become nil, error.
local function read(fn, ...)
	return caught(pcall(fn, ...));
end

-- Ends an operation that wrote: true, or nil, error.
local function finish(user, store)
	if not storagemanager.gathers() then return database.commit(); end
	local writers = database.writers;
	writers[#writers + 1] = { host = host, user = user ~= "" and user or nil, store = store };
	return true;
end

-- Ends one that did not. Outside the server this also gives the write lock back.
local function give_up()
	db:rollback();
	if not storagemanager.gathers() then database.commit(); end
end

-- fn(...) writes for a user in a store, all of it or nothing. It gives nil, error to refuse, having written nothing.
local function write(user, store, fn, ...)
	local ok, err = db:savepoint();
	if ok then
		local results = table.pack(pcall(fn, ...));
		if not results[1] then database.counts, database.n_counts = {}, 0; end
		if results[2] == nil or not results[1] then
			give_up();
			return caught(table.unpack(results, 1, results.n));
		end
		ok, err = db:release();
		if ok then ok, err = finish(user, store); end
		if ok then return table.unpack(results, 2, results.n); end
	end
	if not storagemanager.gathers() then database.commit(); end
	database.counts, database.n_counts = {}, 0;
	module:log("error", "%s", err);
	return nil, err;
end

-- Values

local function encode_number(number)
	if math.type(number) == "integer" then return ("%d"):format(number); end
	if number == math.huge then return "1e9999"; end
	if number == -math.huge then return "-1e9999"; end
	local text = ("%.17g"):format(number);
	if tonumber(text) ~= nil and not text:find("[.eE]") then text = text .. ".0"; end
	return text; -- nan or -nan for what is not a number
end

-- JSON would drop what it cannot say; a store must not.
local function must_be_data(value, depth)
	local kind = type(value);
	if kind == "table" then
		if depth == 0 then error({ storage_error = "a table is nested too deeply" }, 0); end
		for key, member in pairs(value) do
			must_be_data(key, depth - 1);
			must_be_data(member, depth - 1);
		end
	elseif kind ~= "string" and kind ~= "number" and kind ~= "boolean" then
		error({ storage_error = "a " .. kind .. " cannot be stored" }, 0);
	end
end

local function encode(value)
	local kind = type(value);
	if st.is_stanza(value) then
		return "xml", tostring(value);
	elseif kind == "table" then
		must_be_data(value, 200);
		local text, err = json.encode(value);
		if not text then error({ storage_error = err }, 0); end
		return "json", text;
	elseif kind == "string" then
		return "string", value;
	elseif kind == "number" then
		return "number", encode_number(value);
	elseif kind == "boolean" then
		return "boolean", tostring(value);
	end
	error({ storage_error = "a " .. kind .. " cannot be stored" }, 0);
end

-- The value; nil, error when the row cannot be understood.
local function decode(kind, text)
	if kind == "string" then return text; end
	if kind == "boolean" and (text == "true" or text == "false") then return text == "true"; end
	local value, err;
	if kind == "number" then
		value = tonumber(text);
		if not value and text:find("^[+-]?nan") then value = 0/0; end
	elseif kind == "json" then
		value, err = json.decode(text);
	elseif kind == "xml" then
		value, err = xml.parse(text);
	end
	if value == nil then return nil, ("unreadable %s value: %s"):format(kind, err or text:sub(1, 40)); end
	return value;
end

local function must_decode(kind, text, user, store, key)
	if key == nil or text == nil then must(nil, "the database is damaged: a column is NULL that never is"); end
	local value, err = decode(kind, text);
	if value == nil then
		error({ storage_error = ("store %s of %s@%s, key %q: %s"):format(store, user, host, key, err) }, 0);
	end
	return value;
end

-- Keys that are not strings, and the empty string, share the row with the key ''.
local function has_row(key)
	return type(key) == "string" and key ~= "";
end

-- keyval

local SELECT_KEY = [[SELECT "type", "value" FROM "prosody"
	WHERE "host" = ? AND "user" = ? AND "store" = ? AND "key" = ?]];
local SELECT_USER = [[SELECT "key", "type", "value" FROM "prosody" WHERE "host" = ? AND "user" = ? AND "store" = ?]];
local SELECT_ALL = [[SELECT "user", "type", "value" FROM "prosody" WHERE "host" = ? AND "store" = ? AND "key" = ?]];
local INSERT = [[INSERT OR REPLACE INTO "prosody" ("host", "user", "store", "key", "type", "value")
	VALUES (?, ?, ?, ?, ?, ?)]];
local DELETE_KEY = [[DELETE FROM "prosody" WHERE "host" = ? AND "user" = ? AND "store" = ? AND "key" = ?]];
local SELECT_USERS = [[SELECT DISTINCT "user" FROM "prosody" WHERE "host" = ? AND "store" = ? AND "user" <> '']];

local function first_columns(rows)
	local i = 0;
	return function ()
		i = i + 1;
		return rows[i] and rows[i][1];
	end
end

local function users_iterator(sql, store)
	local rows, err = db:query(sql, host, store);
	if not rows then
		module:log("error", "%s", err);
		return function () end, err;
	end
	return first_columns(rows);
end

-- The table of the row '', empty when there is none.
local function load_odd_keys(user, store)
	local kind, text = db:row(SELECT_KEY, host, user, store, "");
	if kind == nil then
		must(nil, text);
		return {};
	end
	return must_decode(kind, text, user, store, "");
end

local function save_odd_keys(user, store, odd)
	if next(odd) == nil then
		must(db:exec(DELETE_KEY, host, user, store, ""));
	else
		must(db:exec(INSERT, host, user, store, "", encode(odd)));
	end
end

local keyval = {};
keyval.__index = keyval;

local function keyval_get(user, store)
	local result = {};
	for _, row in ipairs(must(db:query(SELECT_USER, host, user, store))) do
		local value = must_decode(row[2], row[3], user, store, row[1]);
		if row[1] ~= "" then
			result[row[1]] = value;
		elseif type(value) == "table" then
			for key, member in pairs(value) do result[key] = member; end
		end
	end
	return next(result) ~= nil and result or nil;
end

function keyval:get(username)
	return read(keyval_get, username or "", self.store);
end

-- Writes only the rows that change: a roster of 500 contacts in which one is renamed is one row.
local function keyval_set(user, store, data)
	local old, odd = {}, {};
	for _, row in ipairs(must(db:query(SELECT_USER, host, user, store))) do old[row[1]] = row; end
	for key, value in pairs(data or {}) do
		if has_row(key) then
			local kind, text = encode(value);
			local row = old[key];
			if not row or row[2] ~= kind or row[3] ~= text then
				must(db:exec(INSERT, host, user, store, key, kind, text));
			end
			old[key] = nil;
		else
			odd[key] = value;
		end
	end
	if old[""] or next(odd) ~= nil then save_odd_keys(user, store, odd); end
	old[""] = nil;
	for key in pairs(old) do must(db:exec(DELETE_KEY, host, user, store, key)); end
	return true;
end

function keyval:set(username, data)
	if data ~= nil and type(data) ~= "table" then return nil, "unsupported-datatype"; end
	return write(username or "", self.store, keyval_set, username or "", self.store, data);
end

function keyval:users()
	return users_iterator(SELECT_USERS, self.store);
end

-- map

local map = { remove = {} };
map.__index = map;

local function map_get(user, store, key)
	if not has_row(key) then return load_odd_keys(user, store)[key]; end
	local kind, text = db:row(SELECT_KEY, host, user, store, key);
	if kind == nil then return must(nil, text); end
	return must_decode(kind, text, user, store, key);
end

function map:get(username, key)
	return read(map_get, username or "", self.store, key);
end

local function map_set_keys(user, store, changes)
	local odd;
	for key, value in pairs(changes) do
		if has_row(key) then
			if value == map.remove then
				must(db:exec(DELETE_KEY, host, user, store, key));
			else
				must(db:exec(INSERT, host, user, store, key, encode(value)));
			end
		else
			odd = odd or load_odd_keys(user, store);
			if value == map.remove then value = nil; end
			odd[key] = value;
		end
	end
	if odd then save_odd_keys(user, store, odd); end
	return true;
end

function map:set(username, key, value)
	if value == nil then value = map.remove; end
	return self:set_keys(username, { [key] = value });
end

function map:set_keys(username, changes)
	return write(username or "", self.store, map_set_keys, username or "", self.store, changes);
end

local function map_get_all(store, key)
	local result = {};
	for _, row in ipairs(must(db:query(SELECT_ALL, host, store, has_row(key) and key or ""))) do
		local user = row[1];
		if user ~= "" then
			local value = must_decode(row[2], row[3], user, store, key);
			if not has_row(key) then value = value[key]; end
			result[user] = value;
		end
	end
	return result;
end

function map:get_all(key)
	return read(map_get_all, self.store, key);
end

local function map_delete_all(store, key)
	for user in pairs(map_get_all(store, key)) do map_set_keys(user, store, { [key] = map.remove }); end
	return true;
end

function map:delete_all(key)
	return write(nil, self.store, map_delete_all, self.store, key);
end

map.users = keyval.users;

-- archive. The order is that of sort_id.

local archive = {};
archive.__index = archive;

archive.caps = {
	total = true;
	quota = archive_item_limit;
	truncate = true;
	full_id_range = true;
	ids = true;
	wildcard_delete = true;
};

local ARCHIVE_COUNT = [[SELECT COUNT(*) FROM "prosodyarchive" WHERE "host" = ? AND "user" = ? AND "store" = ?]];
local ARCHIVE_INSERT = [[INSERT INTO "prosodyarchive"
	("host", "user", "store", "key", "when", "with", "type", "value") VALUES (?, ?, ?, ?, ?, ?, ?, ?)]];
local ARCHIVE_DELETE_KEY = [[DELETE FROM "prosodyarchive"
	WHERE "host" = ? AND "user" = ? AND "store" = ? AND "key" = ?]];
local ARCHIVE_SORT_ID = [[SELECT "sort_id" FROM "prosodyarchive"
	WHERE "host" = ? AND "user" = ? AND "store" = ? AND "key" = ?]];
local ARCHIVE_GET = [[SELECT "type", "value", "when", "with" FROM "prosodyarchive"
	WHERE "host" = ? AND "user" = ? AND "store" = ? AND "key" = ?]];
local ARCHIVE_SET = [[UPDATE "prosodyarchive"
	SET "type" = ?, "value" = ?, "when" = COALESCE(?, "when"), "with" = COALESCE(?, "with")
	WHERE "host" = ? AND "user" = ? AND "store" = ? AND "key" = ?]];
local ARCHIVE_USERS = [[SELECT DISTINCT "user" FROM "prosodyarchive"
	WHERE "host" = ? AND "store" = ? AND "user" <> '']];

-- How many items an archive holds is asked for at every append, so it is remembered; a lost turn forgets all of them.
local function count_key(user, store)
	return host .. "\0" .. store .. "\0" .. user;
end

local function forget_count(user, store)
	database.counts[count_key(user, store)] = nil;
end

local function count_items(user, store)
	local key = count_key(user, store);
	local count = database.counts[key];
	if not count then
		count = must(db:row(ARCHIVE_COUNT, host, user, store));
		if database.n_counts >= 10000 then database.counts, database.n_counts = {}, 0; end
		database.counts[key], database.n_counts = count, database.n_counts + 1;
	end
	return count, key;
end

-- The condition of a query, and its values; user true means all users.
local function condition(user, store, query)
	local where, values = { [["host" = ? AND "store" = ?]] }, { host, store };
	local function add(text, value)
		where[#where + 1] = text;
		values[#values + 1] = value;
	end
	if user ~= true then add([["user" = ?]], user); end
	if query["key"] ~= nil then add([["key" = ?]], query["key"]); end
	if query["start"] ~= nil then add([["when" >= ?]], query["start"]); end
	if query["end"] ~= nil then add([["when" <= ?]], query["end"]); end
	if query["with"] ~= nil then add([["with" = ?]], query["with"]); end
	if query["ids"] then
		-- The last one is repeated up to a power of two: that keeps the number of statements small.
		local n_ids, size = #query["ids"], 1;
		while size < n_ids do size = size * 2; end
		where[#where + 1] = [["key" IN (]] .. ("?,"):rep(size - 1) .. "?)";
		for i = 1, size do values[#values + 1] = query["ids"][math.min(i, n_ids)] or ""; end
	end
	return table.concat(where, " AND "), values, add, where;
end

local NO_LIMIT = math.maxinteger;

-- The sort ids between the items that after and before name (exclusive), or nil, "item-not-found".
local function sort_range(user, store, query)
	local range = { after = 0, before = NO_LIMIT };
	for name in pairs(range) do
		if query[name] ~= nil then
			local sort_id = must(db:row(ARCHIVE_SORT_ID, host, user, store, query[name]));
			if not sort_id then return nil, "item-not-found"; end
			range[name] = sort_id;
		end
	end
	return range.after, range.before;
end

local PAGE_ROWS = 256;

local function archive_find(user, store, query)
	local lower, upper = sort_range(user, store, query);
	if not lower then return nil, upper; end
	local where, values = condition(user, store, query);
	local total;
	if query["total"] then
		total = must(db:row([[SELECT COUNT(*) FROM "prosodyarchive" WHERE ]] .. where, table.unpack(values)));
	end
	local limit = query["limit"] or NO_LIMIT;
	if limit <= 0 or total == 0 then return function () end, total; end

	local sql = [[SELECT "key", "type", "value", "when", "with", "sort_id" FROM "prosodyarchive" WHERE ]] .. where
		.. [[ AND "sort_id" > ? AND "sort_id" < ? ORDER BY "sort_id" ]] .. (query["reverse"] and "DESC" or "ASC")
		.. " LIMIT ?";
	local n_values = #values;
	local rows, at;
	-- Page by page, so that a long archive is neither held in memory nor keeps the database from cleaning up.
	local function fetch()
		local page = math.min(limit, PAGE_ROWS);
		values[n_values + 1], values[n_values + 2], values[n_values + 3] = lower, upper, page;
		rows, at = must(db:query(sql, table.unpack(values))), 0;
		limit = #rows < page and 0 or limit - page;
		local last = rows[#rows];
		if last and query["reverse"] then
			upper = last[6];
		elseif last then
			lower = last[6];
		end
	end
	if upper == NO_LIMIT and limit > PAGE_ROWS then
		-- What is added while somebody walks is not part of the walk.
		upper = (must(db:row([[SELECT MAX("sort_id") FROM "prosodyarchive"]])) or 0) + 1;
	end
	fetch();
	return function ()
		while true do
			at = at + 1;
			local row = rows[at];
			if row then
				local value, err = decode(row[2], row[3]);
				if value ~= nil then return row[1], value, row[4], row[5]; end
				module:log("error", "archive %s of %s@%s, item %s is left out: %s", store, user, host, row[1], err);
			elseif limit > 0 then
				fetch();
			else
				return nil;
			end
		end
	end, total;
end

function archive:find(username, query)
	return read(archive_find, username or "", self.store, query or {});
end

local function archive_append(user, store, key, value, when, with)
	local count, count_at = count_items(user, store);
	if key then count = count - must(db:exec(ARCHIVE_DELETE_KEY, host, user, store, key)); end
	if count >= archive_item_limit then return nil, "quota-limit"; end
	key = key or uuid.v7();
	local kind, text = encode(value);
	must(db:exec(ARCHIVE_INSERT, host, user, store, key, when or time.now(), with or "", kind, text));
	database.counts[count_at] = count + 1;
	return key;
end

function archive:append(username, key, value, when, with)
	if type(value) ~= "table" and not st.is_stanza(value) then return nil, "unsupported-datatype"; end
	return write(username or "", self.store, archive_append, username or "", self.store, key, value, when, with);
end

local function archive_get(user, store, key)
	local kind, text, when, with = db:row(ARCHIVE_GET, host, user, store, key);
	if kind == nil then
		must(nil, text);
		return nil, "item-not-found";
	end
	return must_decode(kind, text, user, store, key), when, with;
end

function archive:get(username, key)
	return read(archive_get, username or "", self.store, key);
end

local function archive_set(user, store, key, value, when, with)
	local kind, text = encode(value);
	if must(db:exec(ARCHIVE_SET, kind, text, when, with, host, user, store, key)) == 0 then
		return nil, "item-not-found";
	end
	return true;
end

function archive:set(username, key, value, when, with)
	if type(value) ~= "table" and not st.is_stanza(value) then return nil, "unsupported-datatype"; end
	return write(username or "", self.store, archive_set, username or "", self.store, key, value, when, with);
end

local function archive_delete(user, store, query)
	if user == true then
		database.counts, database.n_counts = {}, 0;
	else
		forget_count(user, store);
	end
	local where, values, add, parts = condition(user, store, query);
	if query["before"] ~= nil or query["after"] ~= nil then
		if user == true then return nil, "unsupported-query"; end
		local lower, upper = sort_range(user, store, query);
		if not lower then return nil, upper; end
		add([["sort_id" > ?]], lower);
		add([["sort_id" < ?]], upper);
		where = table.concat(parts, " AND ");
	end
	if query["truncate"] then
		-- The newest that goes, and all before it; there is none when fewer are stored than may stay.
		where = where .. [[ AND "sort_id" <= (SELECT "sort_id" FROM "prosodyarchive" AS "newer"
			WHERE "newer"."host" = "prosodyarchive"."host" AND "newer"."user" = "prosodyarchive"."user"
			AND "newer"."store" = "prosodyarchive"."store" ORDER BY "sort_id" DESC LIMIT 1 OFFSET ?)]];
		values[#values + 1] = query["truncate"];
	end
	return must(db:exec([[DELETE FROM "prosodyarchive" WHERE ]] .. where, table.unpack(values)));
end

function archive:delete(username, query)
	local user = username == nil and "" or username;
	return write(user ~= true and user or nil, self.store, archive_delete, user, self.store, query or {});
end

local function archive_summary(user, store, query)
	local lower, upper = sort_range(user, store, query);
	if not lower then return nil, upper; end
	local _, values, add, parts = condition(user, store, query);
	add([["sort_id" > ?]], lower);
	add([["sort_id" < ?]], upper);
	local where = table.concat(parts, " AND ");
	local counts, earliest, latest, body = {}, {}, {}, {};
	for _, row in ipairs(must(db:query([[SELECT "with", COUNT(*), MIN("when"), MAX("when"), MAX("sort_id")
			FROM "prosodyarchive" WHERE ]] .. where .. [[ GROUP BY "with"]], table.unpack(values)))) do
		local with = row[1];
		counts[with], earliest[with], latest[with] = row[2], row[3], row[4];
		local kind, text = db:row([[SELECT "type", "value" FROM "prosodyarchive" WHERE "sort_id" = ?]], row[5]);
		local value = kind == "xml" and decode(kind, text);
		body[with] = value and archives.body_of(value) or nil;
	end
	return { counts = counts, earliest = earliest, latest = latest, body = body };
end

function archive:summary(username, query)
	return read(archive_summary, username or "", self.store, query or {});
end

local function archive_dates(user, store)
	local days = {};
	for i, row in ipairs(must(db:query([[SELECT DISTINCT strftime('%Y-%m-%d', "when", 'unixepoch') AS "day"
			FROM "prosodyarchive" WHERE "host" = ? AND "user" = ? AND "store" = ? ORDER BY "day"]], host, user, store))) do
		days[i] = row[1];
	end
	return days;
end

function archive:dates(username)
	return read(archive_dates, username or "", self.store);
end

function archive:users()
	return users_iterator(ARCHIVE_USERS, self.store);
end

-- The driver

local kinds = { keyval = keyval, map = map, archive = archive };

local driver = { name = "sql" };

function driver:open(store, kind)
	local methods = kinds[kind or "keyval"];
	if not methods then return nil, "unsupported-store"; end
	return setmetatable({ store = store }, methods);
end

local STORES_OF_ALL = [[SELECT DISTINCT "store" FROM "prosody" WHERE "host" = ?1
	UNION SELECT DISTINCT "store" FROM "prosodyarchive" WHERE "host" = ?1]];
local STORES_OF_USER = [[SELECT DISTINCT "store" FROM "prosody" WHERE "host" = ?1 AND "user" = ?2
	UNION SELECT DISTINCT "store" FROM "prosodyarchive" WHERE "host" = ?1 AND "user" = ?2]];

--- Names of the stores of a user, of the host itself (nil), or of all (true).
function driver:stores(username)
	local rows, err;
	if username == true then
		rows, err = db:query(STORES_OF_ALL, host);
	else
		rows, err = db:query(STORES_OF_USER, host, username or "");
	end
	if not rows then
		module:log("error", "%s", err);
		return function () end, err;
	end
	return first_columns(rows);
end

local function purge(user)
	database.counts, database.n_counts = {}, 0;
	must(db:exec([[DELETE FROM "prosody" WHERE "host" = ? AND "user" = ?]], host, user));
	must(db:exec([[DELETE FROM "prosodyarchive" WHERE "host" = ? AND "user" = ?]], host, user));
	return true;
end

function driver:purge(username)
	return write(username, nil, purge, username);
end

module:provides("storage", driver);
