--- The file tree of `internal` storage: DATA/HOST/STORE/USER.dat for tables, .list for lists that grow at the end.
--
-- The format is Prosody's, read as data and never run as code. Always true: a file is old or new, never in between; a
-- file that cannot be read is an error and stays as it is until an admin has looked at it; an item that a crash cut off
-- at the end of a list was never acknowledged, and is dropped. A .lidx beside a .list (an index some versions of
-- Prosody keep) is deleted when the list changes.
local files = require "prosody.util.files"
local literal = require "prosody.util.literal"
local log = require "prosody.util.logger".init("datamanager")
local ipairs, next, pairs, tostring, type = ipairs, next, pairs, tostring, type
local s_match, s_sub, t_concat = string.match, string.sub, table.concat
local prosody = prosody

local _ENV = nil

local UNREADABLE = "Error reading storage" -- what callers of Prosody's library look for
local MAX_BYTES = 128 * 1024 * 1024

local data_path = prosody and prosody.paths and prosody.paths.data or "data"

--- Where the tree is.
local function set_data_path(path)
	data_path = path
end

local function get_data_path()
	return data_path
end

-- Paths

local path_encode, path_decode = files.encode, files.decode

local function host_path(host)
	return data_path .. "/" .. (host and path_encode(host) or "_global")
end

local function store_path(host, store)
	return host_path(host) .. "/" .. path_encode(store, true)
end

-- A name too long for the file system has a file name that does not lead back to it; it is kept beside, in NAME.name.
local function keep_long_name(directory, encoded, name)
	if path_decode(encoded) then return true end
	local path = directory .. "/" .. encoded .. ".name"
	if files.size(path) then return true end
	return files.write(path, name)
end

local function decode_name(directory, encoded)
	return path_decode(encoded) or files.read(directory .. "/" .. encoded .. ".name", 65536, "nofollow")
end

--- The path of a user's file in a store; of the host's own when username is nil, of the server's when host is nil too.
-- With create, its directories are made: nil, error when they cannot be.
local function getpath(username, host, store, ext, create)
	ext = ext or "dat"
	if not username then
		if create then
			local ok, err = files.mkdir(host_path(host))
			if not ok then return nil, err end
		end
		return store_path(host, store) .. "." .. ext
	end
	local directory, name = store_path(host, store), path_encode(username)
	if create then
		local ok, err = files.mkdir(directory)
		if ok then ok, err = keep_long_name(directory, name, username) end
		if not ok then return nil, err end
	end
	return directory .. "/" .. name .. "." .. ext
end

-- Callbacks: fn(username, host, store, data) gives the same four, changed or not; a username of false drops the write.

local callbacks = {}

local function add_callback(fn)
	callbacks[#callbacks + 1] = fn
end

local function remove_callback(fn)
	for i, callback in ipairs(callbacks) do
		if callback == fn then
			local kept = {}
			for j, other in ipairs(callbacks) do
				if j ~= i then kept[#kept + 1] = other end
			end
			callbacks = kept
			return true
		end
	end
end

local function run_callbacks(username, host, store, data)
	for _, callback in ipairs(callbacks) do
		username, host, store, data = callback(username, host, store, data)
		if username == false then break end
	end
	return username, host, store, data
end

-- Writing

local gathering = false
local writers = {} -- of the batch that gathers: path -> { host =, user =, store = }
local sealed = {}  -- of the one that is being synced
local lists = {}   -- path -> { bytes =, items = } of lists whose end we have seen or written
local n_lists = 0

--- true: writes become durable with commit(). false (the start): before they return.
local function gather(on)
	gathering = on
	files.defer(on)
end

local function wrote(path, username, host, store)
	if gathering then writers[path] = { host = host, user = username, store = store } end
	return true
end

local function forget_list(path)
	if lists[path] then
		lists[path] = nil
		n_lists = n_lists - 1
	end
end

local function remember_list(path, bytes, items)
	if not lists[path] then
		if n_lists >= 1000 then lists, n_lists = {}, 0 end
		n_lists = n_lists + 1
	end
	lists[path] = { bytes = bytes, items = items }
end

-- Adds to `lost` whose writes were lost with those paths.
local function add_lost(lost, batch, lost_paths)
	for _, path in ipairs(lost_paths) do
		for written, writer in pairs(batch) do
			if written == path or s_match(written, "^(.*)/") == path then
				lost[#lost + 1] = writer
				batch[written] = nil
			end
		end
	end
end

-- What became of a batch, as files.commit and files.synced tell it.
local function settle(ok, err, lost_paths)
	local batch = sealed
	sealed = {}
	if ok then return true end
	local lost = {}
	add_lost(lost, batch, lost_paths)
	add_lost(lost, writers, lost_paths)
	lists, n_lists = {}, 0
	return nil, err, lost
end

--- Makes what was written durable: true, or nil, error and { { host =, user =, store = }, ... } of the writes that are
-- lost.
local function commit()
	if next(writers) then sealed, writers = writers, {} end
	return settle(files.commit())
end

--- The same without waiting for the disk: a job for native.sync, nil when there is nothing to be done; and what to call
-- after it, which gives what commit gives.
local function seal()
	local job = files.seal()
	if job then sealed, writers = writers, {} end
	return job
end

local function synced()
	return settle(files.synced())
end

-- Nobody's data is thrown away because of a damaged file: it is an error to read it and to write it.
local function unreadable(err)
	log("error", "%s; the file stays as it is: mend it, put a copy from a backup in its place, or move it away", err)
	return nil, UNREADABLE
end

-- Tables

local function read_table(path)
	local text, err = files.read(path, MAX_BYTES, "nofollow")
	if text == nil then
		if not err then return nil end
	else
		local data
		data, err = literal.decode(text)
		if data ~= nil or not err then return data end
		err = path .. ": " .. err
	end
	return unreadable(err)
end

--- The table; nil when there is none; nil, "Error reading storage" when there is one that cannot be read.
local function load(username, host, store)
	return read_table(getpath(username, host, store))
end

-- true, or nil, error. Callers never overwrite what they could not have read.
local function failed(what, path, err)
	log("error", "Unable to %s %s: %s", what, path, err)
	return nil, "Error saving to storage"
end

--- Replaces the table; nil or an empty one removes it. true, or nil, error.
local function store(username, host, datastore, data)
	if data == nil then data = {} end
	username, host, datastore, data = run_callbacks(username, host, datastore, data)
	if username == false then return true end -- somebody has taken care of it

	local path, err = getpath(username, host, datastore, "dat", data ~= nil and next(data) ~= nil)
	if not path then return failed("write", datastore, err) end
	local _, why = read_table(path)
	if why then return nil, why end

	if data == nil or next(data) == nil then
		local removed
		removed, err = files.remove(path)
		if removed == nil then return failed("remove", path, err) end
		return wrote(path, username, host, datastore)
	end
	local text
	text, err = literal.encode(data)
	if not text then return nil, err end
	local ok
	ok, err = files.write(path, text)
	if not ok then return failed("write", path, err) end
	return wrote(path, username, host, datastore)
end

-- Lists

-- items, bytes of the file that are whole items | nil | nil, error
local function read_list(path)
	local text, err = files.read(path, MAX_BYTES, "nofollow")
	if text == nil then
		if not err then return nil end
	else
		local items, good = literal.decode_list(text)
		if items then
			if good < #text then
				log("warn", "%s: the last item was cut off by a crash and is dropped", path)
			end
			return items, good, #text
		end
		err = path .. ": " .. tostring(good)
	end
	return unreadable(err)
end

--- The items, oldest first; nil when there is no list; nil, error when it cannot be read.
local function list_load(username, host, datastore)
	local path = getpath(username, host, datastore, "list")
	local items, good, size = read_list(path)
	if not items then return nil, good end
	if good == size then remember_list(path, size, #items) end
	return items
end

-- How many items a list has, once its end is known to be whole (a torn end is cut). nil, error when unreadable.
local function count_items(path)
	local size, err = files.size(path)
	if not size then
		if err then return failed("read", path, err) end
		return 0
	end
	local known = lists[path]
	if known and known.bytes == size then return known.items end
	local items, good = read_list(path)
	if not items then return nil, good or UNREADABLE end
	if good < size then
		local ok
		ok, err = files.truncate(path, good)
		if not ok then return failed("mend", path, err) end
	end
	remember_list(path, good, #items)
	return #items
end

--- How many items the list has. nil, error when it cannot be read.
local function list_count(username, host, datastore)
	return count_items(getpath(username, host, datastore, "list"))
end

--- Adds bytes to a file of that extension. true, offset of the first byte | nil, error
local function append_raw(username, host, datastore, ext, data)
	local path, err = getpath(username, host, datastore, ext, true)
	if not path then return failed("append to", datastore, err) end
	local ok, offset = files.append(path, data)
	if not ok then return failed("append to", path, offset) end
	wrote(path, username, host, datastore)
	return true, offset
end

--- Adds an item at the end. true | nil, error
local function list_append(username, host, datastore, data)
	if data == nil then return end
	username, host, datastore, data = run_callbacks(username, host, datastore, data)
	if username == false then return true end

	local text, err = literal.encode_item(data)
	if not text then return nil, err end
	local path = getpath(username, host, datastore, "list")
	local count
	count, err = count_items(path)
	if not count then return nil, err end
	local removed
	removed, err = files.remove(s_sub(path, 1, -5) .. "lidx")
	if removed == nil then return failed("remove the index of", path, err) end
	local ok, offset = append_raw(username, host, datastore, "list", text)
	if not ok then
		forget_list(path)
		return nil, offset
	end
	remember_list(path, offset + #text, count + 1)
	return true
end

--- Replaces the list; nil or an empty one removes it. true | nil, error
local function list_store(username, host, datastore, data)
	if data == nil then data = {} end
	username, host, datastore, data = run_callbacks(username, host, datastore, data)
	if username == false then return true end

	local is_empty = data == nil or next(data) == nil
	local path, err = getpath(username, host, datastore, "list", not is_empty)
	if not path then return failed("write", datastore, err) end
	local count
	count, err = count_items(path)
	if not count then return nil, err end
	local lines = {}
	if not is_empty then
		for i, item in ipairs(data) do
			lines[i], err = literal.encode_item(item)
			if not lines[i] then return nil, err end
		end
	end

	forget_list(path)
	local removed
	removed, err = files.remove(s_sub(path, 1, -5) .. "lidx")
	if removed == nil then return failed("remove the index of", path, err) end
	if is_empty then
		removed, err = files.remove(path)
		if removed == nil then return failed("remove", path, err) end
		return wrote(path, username, host, datastore)
	end
	local text = t_concat(lines)
	local ok
	ok, err = files.write(path, text)
	if not ok then return failed("write", path, err) end
	remember_list(path, #text, #lines)
	return wrote(path, username, host, datastore)
end

--- Replaces a file by its path. true | nil, error
local function store_raw(filename, data)
	return files.write(filename, data)
end

-- Walking

local extensions = { keyval = "dat", map = "dat", ["keyval+"] = "dat", archive = "list" }

-- The extensions a kind of store has; all of them when kind is nil.
local function wanted(kind)
	local ext = kind and (extensions[kind] or kind)
	return function (file)
		local name, its = s_match(file, "^(.*)%.(%w+)$")
		if name and name ~= "" and (ext == its or (not ext and (its == "dat" or its == "list"))) then return name end
	end
end

local function each(set)
	local name
	return function ()
		name = next(set, name)
		return name
	end
end

--- Iterates over those who have something in a store. kind is a store type; nil means keyval.
local function users(host, datastore, kind)
	local directory, name_of = store_path(host, datastore), wanted(kind or "keyval")
	local found = {}
	for _, file in ipairs((files.list(directory)) or {}) do
		local name = name_of(file)
		name = name and decode_name(directory, name)
		if name then found[name] = true end
	end
	return each(found)
end

--- Iterates over the names of stores: those of a user, of the host itself (username nil), or all (username true).
local function stores(username, host, kind)
	local directory, name_of = host_path(host), wanted(kind)
	local in_host, directories = files.list(directory)
	local found = {}
	if not username or username == true then
		for _, file in ipairs(in_host or {}) do
			local name = name_of(file)
			name = name and path_decode(name)
			if name then found[name] = true end
		end
	end
	local user_file = type(username) == "string" and path_encode(username)
	for _, encoded in ipairs(username and directories or {}) do
		local name = path_decode(encoded)
		for _, file in ipairs(name and (files.list(directory .. "/" .. encoded)) or {}) do
			local owner = name_of(file)
			if owner and (username == true or owner == user_file) then
				found[name] = true
				break
			end
		end
	end
	return each(found)
end

--- Removes everything a user has, readable or not. true | nil, error
local function purge(username, host)
	local directory = host_path(host)
	local _, directories = files.list(directory)
	local ok, err = true, nil
	local name = path_encode(username)
	for _, encoded in ipairs(directories or {}) do
		for _, ext in ipairs { "dat", "list", "lidx", "name" } do
			local path = directory .. "/" .. encoded .. "/" .. name .. "." .. ext
			forget_list(path)
			local removed, why = files.remove(path)
			if removed then
				wrote(path, username, host, path_decode(encoded) or encoded)
			elseif removed == nil then
				ok, err = nil, why
				log("error", "Unable to remove %s: %s", path, why)
			end
		end
	end
	return ok, err
end

return {
	set_data_path = set_data_path,
	get_data_path = get_data_path,
	path_encode = path_encode,
	path_decode = path_decode,
	getpath = getpath,
	add_callback = add_callback,
	remove_callback = remove_callback,
	load = load,
	store = store,
	list_load = list_load,
	list_count = list_count,
	list_append = list_append,
	list_store = list_store,
	append_raw = append_raw,
	store_raw = store_raw,
	users = users,
	stores = stores,
	purge = purge,
	gather = gather,
	commit = commit,
	seal = seal,
	synced = synced,
}
