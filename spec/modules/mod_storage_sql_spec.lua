--- The database: that of Prosody, old schemas, damage, and turns that are lost.

if not pcall(require, "couplet.sqlite3") then
	describe("storage driver sql", function () pending "SQLite is not built in" end)
	return
end

local fake = require "spec.support.fake_module"
local fixture_promises = require "spec.support.fixture_promises"
local sqlite3 = require "prosody.util.sqlite3"
local st = require "prosody.util.stanza"

local host = "capulet.example"
local fixtures = "spec/fixtures/prosody"

describe("storage driver sql", function ()
	local directory, server, storagemanager

	local function start(options, hosts)
		options = options or {}
		options.storage = options.storage or "sql"
		server = fake.server { data = directory, hosts = hosts, options = { ["*"] = options } }
		storagemanager = server.storagemanager
	end

	before_each(function () directory = fake.directory() end)

	after_each(function ()
		server.stop()
		fake.remove(directory)
	end)

	local function with_database(fn)
		local db = assert(sqlite3.open(directory .. "/prosody.sqlite"))
		local result = fn(db)
		assert(db:close())
		return result
	end

	local function schema()
		return with_database(function (db)
			local list = {}
			for _, row in ipairs(db:query("SELECT name FROM sqlite_schema WHERE name LIKE 'prosody%' ORDER BY name")) do
				list[#list + 1] = row[1]
			end
			return table.concat(list, " ")
		end)
	end

	local ours = "prosody prosody_unique_index prosodyarchive prosodyarchive_index prosodyarchive_sort "
		.. "prosodyarchive_when prosodyarchive_with_when"

	it("reads and writes the database of Prosody 0.12", function ()
		assert(os.execute(("cp '%s/012-sql/prosody.sqlite' '%s'"):format(fixtures, directory)))
		start({}, { "example.test", "plain.test", "rooms.example.test", "pubsub.example.test" })
		fixture_promises(storagemanager, "0.12")
		server.stop()
		assert.equal(ours, schema())
		start({}, { "example.test" })
		assert.equal("Bob", storagemanager.open("example.test", "roster"):get("alice")["bob@example.test"].name)
	end)

	it("makes the tables Prosody 13 makes", function ()
		start()
		assert(storagemanager.open(host, "roster"):set("juliet", {
			[false] = { version = 3 }, text = "t", number = 7, yes = true, list = { "a" },
		}))
		local archive = storagemanager.open(host, "archive", "archive")
		assert(archive:append("juliet", "k1", st.message({ from = "a@b" }, "x"), 5, "w"))
		server.stop()
		assert.equal(ours, schema())
		with_database(function (db)
			assert.same({
				{ "", "json", '{"__hash":[false,{"version":3}]}' }, { "list", "json", '["a"]' }, { "number", "number", "7" },
				{ "text", "string", "t" }, { "yes", "boolean", "true" },
			}, db:query("SELECT key, type, value FROM prosody WHERE host = ? AND user = ? AND store = ? ORDER BY key",
				host, "juliet", "roster"))
			local key, when, with, kind, value = db:row('SELECT "key", "when", "with", "type", "value" FROM prosodyarchive')
			assert.same({ "k1", 5, "w", "xml" }, { key, when, with, kind })
			assert.equal("<body>x</body>", value:match("<body>.*</body>"))
		end)
		start()
	end)

	it("takes the last of duplicate rows that an old database holds", function ()
		with_database(function (db)
			db:exec('CREATE TABLE "prosody" ("host" TEXT NOT NULL, "user" TEXT NOT NULL, "store" TEXT NOT NULL, '
				.. '"key" TEXT NOT NULL, "type" TEXT NOT NULL, "value" TEXT NOT NULL)')
			db:exec('CREATE INDEX "prosody_index" ON "prosody" ("host", "user", "store", "key")')
			for _, value in ipairs { "first", "second", "last" } do
				db:exec("INSERT INTO prosody VALUES (?, 'juliet', 'x', 'k', 'string', ?)", host, value)
			end
			db:exec("INSERT INTO prosody VALUES (?, 'juliet', 'x', 'other', 'string', 'kept')", host)
		end)
		start()
		assert.same({ k = "last", other = "kept" }, storagemanager.open(host, "x"):get("juliet"))
		assert(storagemanager.open(host, "x", "map"):set("juliet", "k", "new"))
		assert.same({ k = "new", other = "kept" }, storagemanager.open(host, "x"):get("juliet"))
		server.stop()
		assert.equal(ours, schema())
		start()
	end)

	it("writes only the rows that change", function ()
		start()
		local roster = storagemanager.open(host, "roster")
		local value = {}
		for i = 1, 50 do value["romeo" .. i] = { subscription = "both" } end
		assert(roster:set("juliet", value))
		server.stop()
		local function rows()
			return with_database(function (db) return db:query("SELECT rowid, key FROM prosody ORDER BY rowid") end)
		end
		local before = rows()
		start()
		value.romeo7 = { subscription = "none" }
		assert(storagemanager.open(host, "roster"):set("juliet", value))
		server.stop()
		local changed = 0
		local after = rows()
		assert.equal(50, #after)
		for i, row in ipairs(before) do
			if after[i][1] ~= row[1] then changed = changed + 1 end
		end
		assert.is_true(after[50][2] == "romeo7" or changed == 0)
		start()
		assert.same(value, storagemanager.open(host, "roster"):get("juliet"))
	end)

	it("is one connection for all hosts, closed with the last of them", function ()
		start({}, { host, "montague.example" })
		assert(storagemanager.open(host, "x"):set("juliet", { a = 1 }))
		assert(storagemanager.open("montague.example", "x"):set("romeo", { b = 2 }))
		local databases = server.shared["/*/storage_sql/databases"]
		assert.equal(2, databases[directory .. "/prosody.sqlite"].n_users)
		server.unload(host, "storage_sql")
		assert.same({ b = 2 }, storagemanager.open("montague.example", "x"):get("romeo"))
		assert.same({ a = 1 }, storagemanager.open(host, "x"):get("juliet"))
		server.unload(host, "storage_sql")
		server.unload("montague.example", "storage_sql")
		assert.is_nil(next(databases))
	end)

	it("takes another file, in the data directory or elsewhere", function ()
		start { sql = { driver = "SQLite3", database = "other/db.sqlite" } }
		assert(storagemanager.open(host, "x"):set("juliet", { a = 1 }))
		assert.is_truthy(io.open(directory .. "/other/db.sqlite"))
		assert.is_nil(io.open(directory .. "/prosody.sqlite"))
		server.stop()
		start { sql = { database = directory .. "/absolute.sqlite" } }
		assert(storagemanager.open(host, "x"):set("juliet", { a = 1 }))
		assert.is_truthy(io.open(directory .. "/absolute.sqlite"))
	end)

	it("says what to do about databases it cannot speak to, and answers no question then", function ()
		for _, case in ipairs {
			{ { sql = { driver = "PostgreSQL", database = "prosody" } }, "only SQLite3 is supported" },
			{ { sql = { driver = "MySQL" } }, "only SQLite3 is supported" },
			{ { sql = "SQLite3" }, "must be a table" },
			{ { sqlite_tune = "furious" }, "must be one of default, safe, normal, fast" },
			{ { sql = { database = "/dev/null/x" } }, "/dev/null" },
		} do
			start(case[1])
			local store = storagemanager.open(host, "accounts")
			local value, err = store:get("juliet")
			assert.is_nil(value)
			assert.matches("not available", err)
			assert.is_nil((store:set("juliet", { a = 1 })))
			local logged = false
			for _, entry in ipairs(server.logged) do
				if entry.level == "error" and entry.text:find(case[2], 1, true) then logged = true end
			end
			assert.is_true(logged)
			server.stop()
		end
		start()
	end)

	it("survives power loss by default, and says how durable it is otherwise", function ()
		for tune, mode in pairs { default = 2, safe = 2, normal = 1, fast = 0 } do
			start { sqlite_tune = tune }
			storagemanager.open(host, "x")
			local db = server.shared["/*/storage_sql/databases"][directory .. "/prosody.sqlite"].db
			assert.equal(mode, db:row("PRAGMA synchronous"))
			assert.equal("wal", db:row("PRAGMA journal_mode"))
			server.stop()
		end
		start()
	end)

	it("keeps the old value whole when one key of the new cannot be stored", function ()
		start()
		local store = storagemanager.open(host, "x")
		assert(store:set("juliet", { a = 1, b = 2 }))
		for _, value in ipairs {
			{ a = 9, c = print }, { a = 9, [false] = { print } }, { a = 9, c = { x = coroutine.create(print) } },
		} do
			local ok, err = store:set("juliet", value)
			assert.is_nil(ok)
			assert.is_string(err)
			assert.same({ a = 1, b = 2 }, store:get("juliet"))
		end
		local nan = 0/0
		assert(store:set("juliet", { nan = nan }))
		local got = store:get("juliet").nan
		assert.is_true(got ~= got)
	end)

	it("keeps stanzas in keyval stores", function ()
		start()
		local store = storagemanager.open(host, "x")
		assert(store:set("juliet", { card = st.stanza("vCard", { xmlns = "vcard-temp" }):text_tag("FN", "Juliet") }))
		local card = store:get("juliet").card
		assert.is_true(st.is_stanza(card))
		assert.equal("Juliet", card:get_child_text("FN"))
	end)

	it("walks archives longer than a page, in both directions, while they grow", function ()
		start()
		local archive = storagemanager.open(host, "archive", "archive")
		storagemanager.gather(true)
		for i = 1, 1000 do assert(archive:append("juliet", "k" .. i, { i = i }, i, "w")) end
		assert(storagemanager.commit())
		storagemanager.gather(false)
		local n = 0
		for key, value in archive:find("juliet") do
			n = n + 1
			assert.equal("k" .. n, key)
			assert.equal(n, value.i)
			if n % 100 == 0 then assert(archive:append("juliet", nil, { more = true }, 2000, "w")) end
		end
		assert.equal(1000, n)
		for key in archive:find("juliet", { reverse = true, ["end"] = 1000, limit = 900 }) do
			assert.equal("k" .. n, key)
			n = n - 1
		end
		assert.equal(100, n)
		assert.equal(600, archive:delete("juliet", { start = 401 , ["end"] = 1000 }))
		assert.equal(410, select(2, archive:find("juliet", { total = true })))
	end)

	it("leaves out an archived stanza that cannot be read, and gives the others", function ()
		start()
		local archive = storagemanager.open(host, "archive", "archive")
		for i = 1, 3 do assert(archive:append("juliet", "k" .. i, st.message({}, "x"), i, "w")) end
		server.stop()
		with_database(function (db) assert(db:exec("UPDATE prosodyarchive SET value = '<message' WHERE key = 'k2'")) end)
		start()
		archive = storagemanager.open(host, "archive", "archive")
		local keys = {}
		for key in archive:find("juliet") do keys[#keys + 1] = key end
		assert.same({ "k1", "k3" }, keys)
		local item, err = archive:get("juliet", "k2")
		assert.is_nil(item)
		assert.matches("k2", err)
	end)

	it("gives an error, not nothing, for a row that cannot be read", function ()
		for _, row in ipairs {
			{ "json", "{\"a\":" }, { "number", "seven" }, { "boolean", "maybe" }, { "xml", "<a>" }, { "spreadsheet", "x" },
		} do
			start()
			assert(storagemanager.open(host, "x"):set("juliet", { k = 1, other = 2 }))
			server.stop()
			with_database(function (db)
				assert(db:exec("UPDATE prosody SET type = ?, value = ? WHERE key = 'k'", row[1], row[2]))
			end)
			start()
			local value, err = storagemanager.open(host, "x"):get("juliet")
			assert.is_nil(value)
			assert.matches("unreadable", err)
			assert.is_nil((storagemanager.open(host, "x", "map"):get("juliet", "k")))
			assert.equal(2, storagemanager.open(host, "x", "map"):get("juliet", "other"))
			server.stop()
		end
		start()
	end)

	it("tells every writer of a turn that is lost, and goes on with the next", function ()
		local mount = directory .. "/mount"
		os.execute(("mkdir '%s'"):format(mount))
		if not os.execute(("mount -t tmpfs -o size=512k tmpfs '%s' 2>/dev/null"):format(mount)) then
			start()
			return pending "mounting a small file system needs root"
		end
		finally(function () os.execute(("umount -l '%s'"):format(mount)) end)
		start { sql = { database = mount .. "/db.sqlite" } }
		local events = {}
		server.hosts[host].events.add_handler("storage-write-failed", function (event) events[#events + 1] = event end)
		local store = storagemanager.open(host, "x")
		local archive = storagemanager.open(host, "archive", "archive")
		assert(store:set("juliet", { n = 0 }))
		storagemanager.gather(true)

		local filler = io.open(mount .. "/filler", "w")
		filler:setvbuf("no")
		while filler:write(("x"):rep(4096)) do end
		filler:close()
		local results = {}
		for i = 1, 5 do
			results[1] = store:set("juliet", { n = i, text = ("y"):rep(50000) })
			results[2] = archive:append("nurse", nil, st.message({}, ("z"):rep(50000)), i, "w")
		end
		local ok, err = storagemanager.commit()
		assert.is_nil(ok)
		assert.is_string(err)
		assert.same({ n = 0 }, store:get("juliet"))
		assert.is_nil(archive:find("nurse")())
		if results[1] then assert.equal("juliet", events[1].username) end

		os.remove(mount .. "/filler")
		assert(store:set("juliet", { n = 7 }))
		assert(archive:append("nurse", "k", st.message({}, "z"), 1, "w"))
		assert.is_true(storagemanager.commit())
		storagemanager.gather(false)
		assert.same({ n = 7 }, store:get("juliet"))
		assert.equal("k", (archive:find("nurse")()))
	end)

	it("never raises and never claims to be empty, wherever the file is damaged", function ()
		start()
		local value = {}
		for i = 1, 100 do
			value["romeo" .. i .. "@montague.example"] = { subscription = "both", groups = { Friends = true } }
		end
		assert(storagemanager.open(host, "roster"):set("juliet", value))
		local archive = storagemanager.open(host, "archive", "archive")
		for i = 1, 60 do assert(archive:append("juliet", "k" .. i, st.message({ from = "a@b" }, "text " .. i), i, "w")) end
		server.stop()
		local path = directory .. "/prosody.sqlite"
		local file = assert(io.open(path, "rb"))
		local whole = file:read("a")
		file:close()
		for at = 0, #whole - 512, 512 do
			os.execute(("rm -f '%s-wal' '%s-shm'"):format(path, path))
			file = assert(io.open(path, "wb"))
			file:write(whole:sub(1, at), ("\255"):rep(512), whole:sub(at + 513))
			file:close()
			start()
			local roster = storagemanager.open(host, "roster")
			local got, err = roster:get("juliet")
			assert.is_true(got ~= nil or type(err) == "string")
			local iterator, why = storagemanager.open(host, "archive", "archive"):find("juliet")
			assert.is_true(type(iterator) == "function" or type(why) == "string")
			server.stop()
		end
		start()
	end)
end)
