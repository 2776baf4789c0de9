--- Tables by key: the keyval and map stores, which share the rows of "prosody".
-- Gives a function of the database (see database.lib.lua) and the values (values.lib.lua) that gives keyval, map.

local host = module.host

return function (database, values)

local db, must, read, write = database.db, database.must, database.read, database.write
local encode, must_decode = values.encode, values.must_decode

-- Keys that are not strings, and the empty string, share the row with the key ''.
local function has_row(key)
	return type(key) == "string" and key ~= ""
end

local SELECT_KEY = [[SELECT "type", "value" FROM "prosody"
	WHERE "host" = ? AND "user" = ? AND "store" = ? AND "key" = ?]]
local SELECT_USER = [[SELECT "key", "type", "value" FROM "prosody" WHERE "host" = ? AND "user" = ? AND "store" = ?]]
local SELECT_ALL = [[SELECT "user", "type", "value" FROM "prosody" WHERE "host" = ? AND "store" = ? AND "key" = ?]]
local INSERT = [[INSERT OR REPLACE INTO "prosody" ("host", "user", "store", "key", "type", "value")
	VALUES (?, ?, ?, ?, ?, ?)]]
local DELETE_KEY = [[DELETE FROM "prosody" WHERE "host" = ? AND "user" = ? AND "store" = ? AND "key" = ?]]
local SELECT_USERS = [[SELECT DISTINCT "user" FROM "prosody" WHERE "host" = ? AND "store" = ? AND "user" <> '']]

-- The table of the row '', empty when there is none.
local function load_odd_keys(user, store)
	local kind, text = db:row(SELECT_KEY, host, user, store, "")
	if kind == nil then
		must(nil, text)
		return {}
	end
	return must_decode(kind, text, user, store, "")
end

local function save_odd_keys(user, store, odd)
	if next(odd) == nil then
		must(db:exec(DELETE_KEY, host, user, store, ""))
	else
		must(db:exec(INSERT, host, user, store, "", encode(odd)))
	end
end

local keyval = {}
keyval.__index = keyval

local function keyval_get(user, store)
	local result = {}
	for _, row in ipairs(must(db:query(SELECT_USER, host, user, store))) do
		local value = must_decode(row[2], row[3], user, store, row[1])
		if row[1] ~= "" then
			result[row[1]] = value
		elseif type(value) == "table" then
			for key, member in pairs(value) do result[key] = member end
		end
	end
	return next(result) ~= nil and result or nil
end

function keyval:get(username)
	return read(keyval_get, username or "", self.store)
end

-- Writes only the rows that change: a roster of 500 contacts in which one is renamed is one row.
local function keyval_set(user, store, data)
	local old, odd = {}, {}
	for _, row in ipairs(must(db:query(SELECT_USER, host, user, store))) do old[row[1]] = row end
	for key, value in pairs(data or {}) do
		if has_row(key) then
			local kind, text = encode(value)
			local row = old[key]
			if not row or row[2] ~= kind or row[3] ~= text then
				must(db:exec(INSERT, host, user, store, key, kind, text))
			end
			old[key] = nil
		else
			odd[key] = value
		end
	end
	if old[""] or next(odd) ~= nil then save_odd_keys(user, store, odd) end
	old[""] = nil
	for key in pairs(old) do must(db:exec(DELETE_KEY, host, user, store, key)) end
	return true
end

function keyval:set(username, data)
	if data ~= nil and type(data) ~= "table" then return nil, "unsupported-datatype" end
	return write(username or "", self.store, keyval_set, username or "", self.store, data)
end

function keyval:users()
	return database.users(SELECT_USERS, self.store)
end

-- map

local map = { remove = {} }
map.__index = map

local function map_get(user, store, key)
	if not has_row(key) then return load_odd_keys(user, store)[key] end
	local kind, text = db:row(SELECT_KEY, host, user, store, key)
	if kind == nil then return must(nil, text) end
	return must_decode(kind, text, user, store, key)
end

function map:get(username, key)
	return read(map_get, username or "", self.store, key)
end

local function map_set_keys(user, store, changes)
	local odd
	for key, value in pairs(changes) do
		if has_row(key) then
			if value == map.remove then
				must(db:exec(DELETE_KEY, host, user, store, key))
			else
				must(db:exec(INSERT, host, user, store, key, encode(value)))
			end
		else
			odd = odd or load_odd_keys(user, store)
			if value == map.remove then value = nil end
			odd[key] = value
		end
	end
	if odd then save_odd_keys(user, store, odd) end
	return true
end

function map:set(username, key, value)
	if value == nil then value = map.remove end
	return self:set_keys(username, { [key] = value })
end

function map:set_keys(username, changes)
	return write(username or "", self.store, map_set_keys, username or "", self.store, changes)
end

local function map_get_all(_, store, key)
	local result = {}
	for _, row in ipairs(must(db:query(SELECT_ALL, host, store, has_row(key) and key or ""))) do
		local user = row[1]
		if user ~= "" then
			local value = must_decode(row[2], row[3], user, store, key)
			if not has_row(key) then value = value[key] end
			result[user] = value
		end
	end
	return result
end

function map:get_all(key)
	return read(map_get_all, nil, self.store, key)
end

local function map_delete_all(store, key)
	for user in pairs(map_get_all(nil, store, key)) do map_set_keys(user, store, { [key] = map.remove }) end
	return true
end

function map:delete_all(key)
	return write(nil, self.store, map_delete_all, self.store, key)
end

map.users = keyval.users

return keyval, map

end
