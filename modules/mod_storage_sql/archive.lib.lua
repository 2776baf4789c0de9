--- The archive: rows of "prosodyarchive" in the order of sort_id.
-- Gives a function of the database (see database.lib.lua) and the values (values.lib.lua) that gives the methods.

local archives = require "prosody.util.archive"
local st = require "prosody.util.stanza"
local time = require "prosody.util.time"
local uuid = require "prosody.util.uuid"

local host = module.host
local archive_item_limit = module:get_option_number("storage_archive_item_limit", 10000)

return function (database, values_of_rows)

local db, must, read, write = database.db, database.must, database.read, database.write
local shared = database.shared
local encode, decode, must_decode = values_of_rows.encode, values_of_rows.decode, values_of_rows.must_decode

local archive = {}
archive.__index = archive

archive.caps = archives.caps(archive_item_limit)

local ARCHIVE_COUNT = [[SELECT COUNT(*) FROM "prosodyarchive" WHERE "host" = ? AND "user" = ? AND "store" = ?]]
local ARCHIVE_INSERT = [[INSERT INTO "prosodyarchive"
	("host", "user", "store", "key", "when", "with", "type", "value") VALUES (?, ?, ?, ?, ?, ?, ?, ?)]]
local ARCHIVE_DELETE_KEY = [[DELETE FROM "prosodyarchive"
	WHERE "host" = ? AND "user" = ? AND "store" = ? AND "key" = ?]]
local ARCHIVE_SORT_ID = [[SELECT "sort_id" FROM "prosodyarchive"
	WHERE "host" = ? AND "user" = ? AND "store" = ? AND "key" = ?]]
local ARCHIVE_GET = [[SELECT "type", "value", "when", "with" FROM "prosodyarchive"
	WHERE "host" = ? AND "user" = ? AND "store" = ? AND "key" = ?]]
local ARCHIVE_SET = [[UPDATE "prosodyarchive"
	SET "type" = ?, "value" = ?, "when" = COALESCE(?, "when"), "with" = COALESCE(?, "with")
	WHERE "host" = ? AND "user" = ? AND "store" = ? AND "key" = ?]]
local ARCHIVE_USERS = [[SELECT DISTINCT "user" FROM "prosodyarchive"
	WHERE "host" = ? AND "store" = ? AND "user" <> '']]

-- How many items an archive holds is asked for at every append, so it is remembered; a lost turn forgets all of them.
local function count_key(user, store)
	return host .. "\0" .. store .. "\0" .. user
end

local function forget_count(user, store)
	shared.counts[count_key(user, store)] = nil
end

local function count_items(user, store)
	local key = count_key(user, store)
	local count = shared.counts[key]
	if not count then
		count = must(db:row(ARCHIVE_COUNT, host, user, store))
		if shared.n_counts >= 10000 then shared.counts, shared.n_counts = {}, 0 end
		shared.counts[key], shared.n_counts = count, shared.n_counts + 1
	end
	return count, key
end

-- The condition of a query, and its values; user true means all users.
local function condition(user, store, query)
	local where, values = { [["host" = ? AND "store" = ?]] }, { host, store }
	local function add(text, value)
		where[#where + 1] = text
		values[#values + 1] = value
	end
	if user ~= true then add([["user" = ?]], user) end
	if query["key"] ~= nil then add([["key" = ?]], query["key"]) end
	if query["start"] ~= nil then add([["when" >= ?]], query["start"]) end
	if query["end"] ~= nil then add([["when" <= ?]], query["end"]) end
	if query["with"] ~= nil then add([["with" = ?]], query["with"]) end
	if query["ids"] then
		-- The last one is repeated up to a power of two: that keeps the number of statements small.
		local n_ids, size = #query["ids"], 1
		while size < n_ids do size = size * 2 end
		where[#where + 1] = [["key" IN (]] .. ("?,"):rep(size - 1) .. "?)"
		for i = 1, size do values[#values + 1] = query["ids"][math.min(i, n_ids)] or "" end
	end
	return table.concat(where, " AND "), values, add, where
end

local NO_LIMIT = math.maxinteger

-- The sort ids between the items that after and before name (exclusive), or nil, "item-not-found".
local function sort_range(user, store, query)
	local range = { after = 0, before = NO_LIMIT }
	for name in pairs(range) do
		if query[name] ~= nil then
			local sort_id = must(db:row(ARCHIVE_SORT_ID, host, user, store, query[name]))
			if not sort_id then return nil, "item-not-found" end
			range[name] = sort_id
		end
	end
	return range.after, range.before
end

local PAGE_ROWS = 256

local function archive_find(user, store, query)
	local lower, upper = sort_range(user, store, query)
	if not lower then return nil, upper end
	local where, values = condition(user, store, query)
	local total
	if query["total"] then
		total = must(db:row([[SELECT COUNT(*) FROM "prosodyarchive" WHERE ]] .. where, table.unpack(values)))
	end
	local limit = query["limit"] or NO_LIMIT
	if limit <= 0 or total == 0 then return function () end, total end

	local sql = [[SELECT "key", "type", "value", "when", "with", "sort_id" FROM "prosodyarchive" WHERE ]] .. where
		.. [[ AND "sort_id" > ? AND "sort_id" < ? ORDER BY "sort_id" ]] .. (query["reverse"] and "DESC" or "ASC")
		.. " LIMIT ?"
	local n_values = #values
	local rows, at
	-- Page by page, so that a long archive is neither held in memory nor keeps the database from cleaning up.
	local function fetch()
		local page = math.min(limit, PAGE_ROWS)
		values[n_values + 1], values[n_values + 2], values[n_values + 3] = lower, upper, page
		rows, at = must(db:query(sql, table.unpack(values))), 0
		limit = #rows < page and 0 or limit - page
		local last = rows[#rows]
		if last and query["reverse"] then
			upper = last[6]
		elseif last then
			lower = last[6]
		end
	end
	if upper == NO_LIMIT and limit > PAGE_ROWS then
		-- What is added while somebody walks is not part of the walk.
		upper = (must(db:row([[SELECT MAX("sort_id") FROM "prosodyarchive"]])) or 0) + 1
	end
	fetch()
	return function ()
		while true do
			at = at + 1
			local row = rows[at]
			if row then
				local value, err = decode(row[2], row[3])
				if value ~= nil then return row[1], value, row[4], row[5] end
				module:log("error", "archive %s of %s@%s, item %s is left out: %s", store, user, host, row[1], err)
			elseif limit > 0 then
				fetch()
			else
				return nil
			end
		end
	end, total
end

function archive:find(username, query)
	return read(archive_find, username or "", self.store, query or {})
end

local function archive_append(user, store, key, value, when, with)
	local count, count_at = count_items(user, store)
	if key then count = count - must(db:exec(ARCHIVE_DELETE_KEY, host, user, store, key)) end
	if count >= archive_item_limit then return nil, "quota-limit" end
	key = key or uuid.v7()
	local kind, text = encode(value)
	must(db:exec(ARCHIVE_INSERT, host, user, store, key, when or time.now(), with or "", kind, text))
	shared.counts[count_at] = count + 1
	return key
end

function archive:append(username, key, value, when, with)
	if type(value) ~= "table" and not st.is_stanza(value) then return nil, "unsupported-datatype" end
	return write(username or "", self.store, archive_append, username or "", self.store, key, value, when, with)
end

local function archive_get(user, store, key)
	local kind, text, when, with = db:row(ARCHIVE_GET, host, user, store, key)
	if kind == nil then
		must(nil, text)
		return nil, "item-not-found"
	end
	return must_decode(kind, text, user, store, key), when, with
end

function archive:get(username, key)
	return read(archive_get, username or "", self.store, key)
end

local function archive_set(user, store, key, value, when, with)
	local kind, text = encode(value)
	if must(db:exec(ARCHIVE_SET, kind, text, when, with, host, user, store, key)) == 0 then
		return nil, "item-not-found"
	end
	return true
end

function archive:set(username, key, value, when, with)
	if type(value) ~= "table" and not st.is_stanza(value) then return nil, "unsupported-datatype" end
	return write(username or "", self.store, archive_set, username or "", self.store, key, value, when, with)
end

local function archive_delete(user, store, query)
	if user == true then
		shared.counts, shared.n_counts = {}, 0
	else
		forget_count(user, store)
	end
	local where, values, add, parts = condition(user, store, query)
	if query["before"] ~= nil or query["after"] ~= nil then
		if user == true then return nil, "unsupported-query" end
		local lower, upper = sort_range(user, store, query)
		if not lower then return nil, upper end
		add([["sort_id" > ?]], lower)
		add([["sort_id" < ?]], upper)
		where = table.concat(parts, " AND ")
	end
	if query["truncate"] then
		-- The newest that goes, and all before it; there is none when fewer are stored than may stay.
		where = where .. [[ AND "sort_id" <= (SELECT "sort_id" FROM "prosodyarchive" AS "newer"
			WHERE "newer"."host" = "prosodyarchive"."host" AND "newer"."user" = "prosodyarchive"."user"
			AND "newer"."store" = "prosodyarchive"."store" ORDER BY "sort_id" DESC LIMIT 1 OFFSET ?)]]
		values[#values + 1] = query["truncate"]
	end
	return must(db:exec([[DELETE FROM "prosodyarchive" WHERE ]] .. where, table.unpack(values)))
end

function archive:delete(username, query)
	local user = username == nil and "" or username
	return write(user ~= true and user or nil, self.store, archive_delete, user, self.store, query or {})
end

local function archive_summary(user, store, query)
	local lower, upper = sort_range(user, store, query)
	if not lower then return nil, upper end
	local _, values, add, parts = condition(user, store, query)
	add([["sort_id" > ?]], lower)
	add([["sort_id" < ?]], upper)
	local where = table.concat(parts, " AND ")
	local counts, earliest, latest, body = {}, {}, {}, {}
	for _, row in ipairs(must(db:query([[SELECT "with", COUNT(*), MIN("when"), MAX("when"), MAX("sort_id")
			FROM "prosodyarchive" WHERE ]] .. where .. [[ GROUP BY "with"]], table.unpack(values)))) do
		local with = row[1]
		counts[with], earliest[with], latest[with] = row[2], row[3], row[4]
		local kind, text = db:row([[SELECT "type", "value" FROM "prosodyarchive" WHERE "sort_id" = ?]], row[5])
		local value = kind == "xml" and decode(kind, text)
		body[with] = value and archives.body_of(value) or nil
	end
	return { counts = counts, earliest = earliest, latest = latest, body = body }
end

function archive:summary(username, query)
	return read(archive_summary, username or "", self.store, query or {})
end

local function archive_dates(user, store)
	local days = {}
	for i, row in ipairs(must(db:query([[SELECT DISTINCT strftime('%Y-%m-%d', "when", 'unixepoch') AS "day"
			FROM "prosodyarchive" WHERE "host" = ? AND "user" = ? AND "store" = ? ORDER BY "day"]], host, user, store))) do
		days[i] = row[1]
	end
	return days
end

function archive:dates(username)
	return read(archive_dates, username or "", self.store)
end

function archive:users()
	return database.users(ARCHIVE_USERS, self.store)
end

return archive

end
