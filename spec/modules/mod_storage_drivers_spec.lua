--- What every driver promises, by kind of store; the same promises for all of them.

local fake = require "spec.support.fake_module"
local st = require "prosody.util.stanza"

local host = "capulet.example"

local drivers = { "internal", "memory" }
if pcall(require, "couplet.sqlite3") then
	table.insert(drivers, "sql")
else
	describe("storage driver sql", function () pending "SQLite is not built in" end)
end

local function collect(iterator, ...)
	local list = {}
	assert(iterator, ...)
	for name in iterator do list[#list + 1] = name end
	table.sort(list)
	return list
end

local function ids(iterator, ...)
	assert(iterator, ...)
	local list = {}
	for id in iterator do list[#list + 1] = id end
	return table.concat(list, " ")
end

local function message(text, attr)
	return st.message(attr or { from = "romeo@montague.example/orchard", to = "juliet@capulet.example", id = "m1" }, text)
end

for _, driver in ipairs(drivers) do
	describe("storage driver " .. driver, function ()
		local directory, server, storagemanager

		local function start()
			server = fake.server {
				data = directory, hosts = { host, "other.example" },
				options = {
					["*"] = { storage = driver, storage_archive_item_limit = 20, sqlite_tune = "fast" },
				},
			}
			storagemanager = server.storagemanager
		end

		local function restart()
			if driver == "memory" then return end
			server.stop()
			start()
		end

		local function open(store, kind, on_host)
			return assert(storagemanager.open(on_host or host, store, kind))
		end

		before_each(function ()
			directory = fake.directory()
			start()
		end)

		after_each(function ()
			server.stop()
			fake.remove(directory)
		end)

		describe("keyval", function ()
			it("has nothing for a user who never stored anything, and no error", function ()
				local value, err = open("roster"):get("juliet")
				assert.is_nil(value)
				assert.is_nil(err)
			end)

			it("gives back what was stored, after a restart too", function ()
				local value = {
					text = "O Romeo", empty = "", zero = "a\0b", quotes = [[it's "so" \n]], lines = "one\ntwo\r\nthree\t",
					umlaut = "é😀", number = 42, negative = -7, big = 2^53 | 0, float = 0.1, third = 1/3, huge = 1e300,
					yes = true, no = false,
					list = { "a", "b", { "c" } },
					nested = { deep = { deeper = { deepest = "x" } } },
					mixed = { "first", "second", name = "mixed", [10] = "ten" },
					["key with spaces & <signs>"] = 1,
					empty_table = {},
				}
				assert(open("things"):set("juliet", value))
				restart()
				assert.same(value, open("things"):get("juliet"))
			end)

			it("tells integers from floats", function ()
				assert(open("things"):set("juliet", { i = 3, f = 3.0, inside = { i = 3, f = 2.5 } }))
				restart()
				local value = open("things"):get("juliet")
				assert.equal("integer", math.type(value.i))
				assert.equal("integer", math.type(value.inside.i))
				assert.equal("float", math.type(value.inside.f))
				-- The files of `internal` write 3.0 as 3, as Prosody does.
				if driver ~= "internal" then assert.equal("float", math.type(value.f)) end
			end)

			it("keeps infinity", function ()
				assert(open("things"):set("juliet", { most = math.huge, least = -math.huge }))
				restart()
				assert.same({ most = math.huge, least = -math.huge }, open("things"):get("juliet"))
			end)

			it("keeps keys that are not strings", function ()
				local roster = {
					[false] = { version = 3, pending = { ["paris@verona.example"] = true } },
					["romeo@montague.example"] = { subscription = "both", groups = { Friends = true } },
					[true] = "yes", [1] = "one", [2] = "two", [1.5] = "half", [""] = "empty",
				}
				assert(open("roster"):set("juliet", roster))
				restart()
				assert.same(roster, open("roster"):get("juliet"))
			end)

			it("keeps a list", function ()
				assert(open("list"):set("juliet", { "a", "b", "c" }))
				restart()
				assert.same({ "a", "b", "c" }, open("list"):get("juliet"))
			end)

			it("replaces the whole table", function ()
				local store = open("things")
				assert(store:set("juliet", { a = 1, b = 2, [false] = 3 }))
				assert(store:set("juliet", { b = 2, c = { 4 } }))
				restart()
				assert.same({ b = 2, c = { 4 } }, open("things"):get("juliet"))
			end)

			it("forgets a user for whom nil or an empty table is stored", function ()
				local store = open("things")
				assert(store:set("juliet", { a = 1 }))
				assert(store:set("juliet", nil))
				assert.is_nil(store:get("juliet"))
				assert(store:set("juliet", { a = 1 }))
				assert(store:set("juliet", {}))
				restart()
				assert.is_nil(open("things"):get("juliet"))
				assert.same({}, collect(open("things"):users()))
			end)

			it("keeps users, stores, hosts and the host's own data apart", function ()
				assert(open("a"):set("juliet", { who = "juliet a" }))
				assert(open("b"):set("juliet", { who = "juliet b" }))
				assert(open("a"):set("nurse", { who = "nurse a" }))
				assert(open("a"):set(nil, { who = "host a" }))
				assert(open("a", nil, "other.example"):set("juliet", { who = "other" }))
				restart()
				assert.same({ who = "juliet a" }, open("a"):get("juliet"))
				assert.same({ who = "juliet b" }, open("b"):get("juliet"))
				assert.same({ who = "nurse a" }, open("a"):get("nurse"))
				assert.same({ who = "host a" }, open("a"):get(nil))
				assert.same({ who = "other" }, open("a", nil, "other.example"):get("juliet"))
				assert.is_nil(open("b", nil, "other.example"):get("juliet"))
			end)

			it("stores for any user name without leaving its place", function ()
				local names = {
					"../../etc/passwd", ".", "..", "/", "a/b", "a%2fb", "con", "é", "e\204\129", "we.ird\\20us%er",
					"' OR 1=1 --", "\"", "%", "_", "a\nb", ("x"):rep(1023), ("x"):rep(1022) .. "y", ("é"):rep(511),
				}
				local store = open("names")
				for i, name in ipairs(names) do assert(store:set(name, { i = i })) end
				restart()
				store = open("names")
				for i, name in ipairs(names) do assert.same({ i = i }, store:get(name)) end
				local expected = { table.unpack(names) }
				table.sort(expected)
				assert.same(expected, collect(store:users()))
				local pipe = io.popen(("find '%s' ! -type d"):format(directory))
				for path in pipe:lines() do assert.equal(directory, path:sub(1, #directory)) end
				pipe:close()
			end)

			it("lists its users", function ()
				local store = open("things")
				for _, name in ipairs { "juliet", "nurse", "friar.laurence" } do assert(store:set(name, { a = 1 })) end
				assert(store:set(nil, { a = 1 }))
				assert(open("others"):set("tybalt", { a = 1 }))
				restart()
				assert.same({ "friar.laurence", "juliet", "nurse" }, collect(open("things"):users()))
			end)

			it("does not change what is stored when the caller changes his table", function ()
				local value = { list = { "a" } }
				local store = open("things")
				assert(store:set("juliet", value))
				value.list[1] = "changed"
				store:get("juliet").list[1] = "changed too"
				assert.same({ list = { "a" } }, store:get("juliet"))
			end)

			it("refuses what is no table, and functions inside, and keeps what was there", function ()
				local store = open("things")
				assert(store:set("juliet", { a = 1 }))
				local ok, err = store:set("juliet", "text")
				assert.is_nil(ok)
				assert.is_string(err)
				if driver ~= "memory" then
					ok, err = store:set("juliet", { fn = function () end })
					assert.is_nil(ok)
					assert.is_string(err)
					ok, err = store:set("juliet", { nested = { fn = print } })
					assert.is_nil(ok)
					assert.is_string(err)
				end
				assert.same({ a = 1 }, store:get("juliet"))
			end)
		end)

		describe("map", function ()
			it("gets and sets single keys", function ()
				local store = open("private", "map")
				assert.is_nil(store:get("juliet", "x"))
				assert(store:set("juliet", "x", { 1, 2 }))
				assert(store:set("juliet", "y", false))
				assert(store:set("juliet", "x2", "text"))
				restart()
				store = open("private", "map")
				assert.same({ 1, 2 }, store:get("juliet", "x"))
				assert.is_false(store:get("juliet", "y"))
				assert.equal("text", store:get("juliet", "x2"))
				assert.is_nil(store:get("juliet", "z"))
			end)

			it("removes a key, and the user with the last one", function ()
				local store = open("private", "map")
				assert(store:set("juliet", "x", 1))
				assert(store:set("juliet", "y", 2))
				assert(store:set("juliet", "x", nil))
				assert.is_nil(store:get("juliet", "x"))
				assert.equal(2, store:get("juliet", "y"))
				assert(store:set("juliet", "y", nil))
				assert.is_nil(open("private"):get("juliet"))
			end)

			it("keeps keys that are not strings beside those that are", function ()
				local store = open("prefs", "map")
				assert(store:set("juliet", false, "roster"))
				assert(store:set("juliet", "romeo@montague.example", true))
				assert(store:set("juliet", "", "empty"))
				assert(store:set("juliet", 7, "seven"))
				restart()
				store = open("prefs", "map")
				assert.equal("roster", store:get("juliet", false))
				assert.equal("empty", store:get("juliet", ""))
				assert.equal("seven", store:get("juliet", 7))
				assert(store:set("juliet", false, nil))
				assert.same({ ["romeo@montague.example"] = true, [""] = "empty", [7] = "seven" }, open("prefs"):get("juliet"))
			end)

			it("changes several keys at once, and removes those set to store.remove", function ()
				local store = open("private", "map")
				assert(store:set_keys("juliet", { a = 1, b = 2, [false] = 3 }))
				assert(store:set_keys("juliet", { a = store.remove, b = 20, c = 30, [false] = store.remove, d = store.remove }))
				restart()
				assert.same({ b = 20, c = 30 }, open("private"):get("juliet"))
			end)

			it("shares its data with the keyval store of the same name", function ()
				assert(open("pep"):set("juliet", { node = { name = "node" }, other = 1 }))
				assert.same({ name = "node" }, open("pep", "map"):get("juliet", "node"))
				assert(open("pep", "map"):set("juliet", "third", 3))
				assert.same({ node = { name = "node" }, other = 1, third = 3 }, open("pep"):get("juliet"))
			end)

			it("finds a key at all users, and deletes it there", function ()
				local store = open("private", "map")
				assert(store:set("juliet", "x", 1))
				assert(store:set("nurse", "x", 2))
				assert(store:set("nurse", "y", 3))
				assert(store:set("friar", false, 4))
				assert(store:set(nil, "x", 5))
				assert.same({ juliet = 1, nurse = 2 }, store:get_all("x"))
				assert.same({ friar = 4 }, store:get_all(false))
				assert.same({}, store:get_all("nothing"))
				assert(store:delete_all("x"))
				assert.same({}, store:get_all("x"))
				assert.equal(3, store:get("nurse", "y"))
				assert.equal(5, store:get(nil, "x"))
			end)
		end)

		describe("keyval+", function ()
			it("is a keyval store and a map in one", function ()
				local store = open("tokens", "keyval+")
				assert(store:set("juliet", { a = 1, b = 2 }))
				assert.equal(1, store:get_key("juliet", "a"))
				assert(store:set_key("juliet", "c", { 3 }))
				assert(store:set_key("juliet", "a", nil))
				assert(store:set_keys("juliet", { b = store.remove, d = 4 }))
				assert.same({ c = { 3 }, d = 4 }, store:get("juliet"))
				assert(store:set("nurse", { d = 5 }))
				assert.same({ "juliet", "nurse" }, collect(store:items()))
				assert.same({ juliet = 4, nurse = 5 }, store:get_key_from_all("d"))
				assert(store:delete_key_from_all("d"))
				assert.same({ c = { 3 } }, store:get("juliet"))
				assert.is_nil(store:get("nurse"))
			end)
		end)

		describe("archive", function ()
			local archive

			-- a b c d e f at 10 20 30 40 50 60, by turns with romeo and nurse.
			local function fill()
				archive = open("archive", "archive")
				for i, key in ipairs { "a", "b", "c", "d", "e", "f" } do
					local with = i % 2 == 1 and "romeo@montague.example" or "nurse@capulet.example"
					assert.equal(key, archive:append("juliet", key, message("text " .. key), i * 10, with))
				end
			end

			it("gives stanzas back as they were, with their time and peer", function ()
				archive = open("archive", "archive")
				local stanza = message("O Romeo & <Juliet>", {
					type = "chat", id = "m1", from = "a@b/c", to = "d@e", ["xml:lang"] = "en",
				}):tag("stanza-id", { xmlns = "urn:xmpp:sid:0", id = "x", by = "d@e" }):up()
					:tag("data", { xmlns = "urn:example:data", ["urn:example:attr\1name"] = "v" }):text("\n\t é"):up()
				local before = tostring(stanza)
				local id = assert(archive:append("juliet", nil, stanza, 1735787045.25, "a@b"))
				assert.equal(before, tostring(stanza))
				restart()
				local found = 0
				for key, item, when, with in open("archive", "archive"):find("juliet") do
					found = found + 1
					assert.equal(id, key)
					assert.is_true(st.is_stanza(item))
					assert.equal("message", item.name)
					assert.same("O Romeo & <Juliet>", item:get_child_text("body"))
					assert.is_nil(item.attr.stamp)
					assert.equal("en", item.attr["xml:lang"])
					assert.equal("x", item:get_child("stanza-id", "urn:xmpp:sid:0").attr.id)
					local data = item:get_child("data", "urn:example:data")
					assert.equal("v", data.attr["urn:example:attr\1name"])
					assert.equal("\n\t é", data:get_text())
					assert.equal(1735787045.25, when)
					assert.equal("a@b", with)
				end
				assert.equal(1, found)
			end)

			it("keeps plain tables too", function ()
				archive = open("audit", "archive")
				assert(archive:append("juliet", "k", { type = "login", ip = "::1", n = { 1 } }, 5, ""))
				restart()
				assert.same({ type = "login", ip = "::1", n = { 1 } }, (open("audit", "archive"):get("juliet", "k")))
			end)

			it("makes ids that differ", function ()
				archive = open("archive", "archive")
				local seen = {}
				for i = 1, 20 do
					local id = assert(archive:append("juliet", nil, message "x", i, "w"))
					assert.is_nil(seen[id])
					seen[id] = true
				end
			end)

			it("takes now for a time that is not given", function ()
				archive = open("archive", "archive")
				local id = assert(archive:append("juliet", nil, message "x"))
				local _, when, with = archive:get("juliet", id)
				assert.is_true(math.abs(when - os.time()) < 60)
				assert.equal("", with)
			end)

			it("keeps the order in which items came, whatever their times", function ()
				archive = open("archive", "archive")
				for _, when in ipairs { 30, 10, 20 } do archive:append("juliet", "t" .. when, message "x", when, "w") end
				restart()
				assert.equal("t30 t10 t20", ids(open("archive", "archive"):find("juliet")))
			end)

			it("finds by time, peer, key and ids", function ()
				fill()
				restart()
				archive = open("archive", "archive")
				assert.equal("a b c d e f", ids(archive:find("juliet")))
				assert.equal("c d e f", ids(archive:find("juliet", { start = 30 })))
				assert.equal("a b c", ids(archive:find("juliet", { ["end"] = 30 })))
				assert.equal("b c d", ids(archive:find("juliet", { start = 15, ["end"] = 45 })))
				assert.equal("b d f", ids(archive:find("juliet", { with = "nurse@capulet.example" })))
				assert.equal("d f", ids(archive:find("juliet", { with = "nurse@capulet.example", start = 30 })))
				assert.equal("c", ids(archive:find("juliet", { key = "c" })))
				assert.equal("b e", ids(archive:find("juliet", { ids = { "e", "b", "nothing" } })))
				assert.equal("", ids(archive:find("juliet", { with = "tybalt@capulet.example" })))
				assert.equal("", ids(archive:find("nurse")))
			end)

			it("pages with before, after, limit and reverse", function ()
				fill()
				assert.equal("a b", ids(archive:find("juliet", { limit = 2 })))
				assert.equal("f e", ids(archive:find("juliet", { limit = 2, reverse = true })))
				assert.equal("d e f", ids(archive:find("juliet", { after = "c" })))
				assert.equal("d e", ids(archive:find("juliet", { after = "c", limit = 2 })))
				assert.equal("a b", ids(archive:find("juliet", { before = "c" })))
				assert.equal("c b", ids(archive:find("juliet", { before = "d", limit = 2, reverse = true })))
				assert.equal("c d", ids(archive:find("juliet", { after = "b", before = "e" })))
				assert.equal("d f", ids(archive:find("juliet", { after = "c", with = "nurse@capulet.example" })))
				assert.equal("", ids(archive:find("juliet", { limit = 0 })))
				assert.equal("", ids(archive:find("juliet", { after = "f" })))
			end)

			it("counts what matches before paging, when asked for the total", function ()
				fill()
				local _, total = archive:find("juliet", { total = true, limit = 2, after = "a" })
				assert.equal(6, total)
				_, total = archive:find("juliet", { total = true, limit = 0, with = "nurse@capulet.example" })
				assert.equal(3, total)
				_, total = archive:find("juliet", { total = true, start = 100 })
				assert.equal(0, total)
				_, total = archive:find("juliet", { limit = 1 })
				assert.is_nil(total)
			end)

			it("says item-not-found for before and after that name nothing", function ()
				fill()
				for _, query in ipairs {
					{ before = "nothing" }, { after = "nothing" }, { after = "nothing", total = true, limit = 0 },
				} do
					local iterator, err = archive:find("juliet", query)
					assert.is_nil(iterator)
					assert.equal("item-not-found", err)
				end
				local iterator, err = archive:find("nurse", { after = "a" })
				assert.is_nil(iterator)
				assert.equal("item-not-found", err)
			end)

			it("gets and replaces single items where they are", function ()
				fill()
				local item, when, with = archive:get("juliet", "b")
				assert.equal("text b", item:get_child_text("body"))
				assert.equal(20, when)
				assert.equal("nurse@capulet.example", with)
				assert(archive:set("juliet", "b", message "changed"))
				assert(archive:set("juliet", "c", message "changed too", 35, "tybalt@capulet.example"))
				restart()
				archive = open("archive", "archive")
				assert.equal("a b c d e f", ids(archive:find("juliet")))
				item, when, with = archive:get("juliet", "b")
				assert.equal("changed", item:get_child_text("body"))
				assert.equal(20, when)
				assert.equal("nurse@capulet.example", with)
				item, when, with = archive:get("juliet", "c")
				assert.equal("changed too", item:get_child_text("body"))
				assert.equal(35, when)
				assert.equal("tybalt@capulet.example", with)
				for _, method in ipairs { "get", "set" } do
					local ok, err = archive[method](archive, "juliet", "nothing", message "x")
					assert.is_nil(ok)
					assert.equal("item-not-found", err)
				end
			end)

			it("puts an item whose key is there already at the end, in place of the old one", function ()
				fill()
				assert(archive:append("juliet", "b", message "again", 70, "w"))
				restart()
				archive = open("archive", "archive")
				assert.equal("a c d e f b", ids(archive:find("juliet")))
				assert.equal("again", (archive:get("juliet", "b")):get_child_text("body"))
			end)

			it("deletes by query and says how many", function ()
				fill()
				assert.equal(2, archive:delete("juliet", { ["end"] = 20 }))
				assert.equal("c d e f", ids(archive:find("juliet")))
				assert.equal(1, archive:delete("juliet", { key = "d" }))
				assert.equal(0, archive:delete("juliet", { key = "d" }))
				assert.equal(1, archive:delete("juliet", { with = "nurse@capulet.example" }))
				restart()
				archive = open("archive", "archive")
				assert.equal("c e", ids(archive:find("juliet")))
				assert.equal(2, archive:delete("juliet"))
				assert.equal("", ids(archive:find("juliet")))
				assert.equal(0, archive:delete("juliet"))
			end)

			it("deletes by ids, before and after", function ()
				fill()
				assert.equal(2, archive:delete("juliet", { ids = { "a", "d" } }))
				assert.equal(2, archive:delete("juliet", { after = "c" }))
				assert.equal(1, archive:delete("juliet", { before = "c" }))
				assert.equal("c", ids(archive:find("juliet")))
				local ok, err = archive:delete("juliet", { before = "nothing" })
				assert.is_nil(ok)
				assert.equal("item-not-found", err)
			end)

			it("truncates to the newest", function ()
				fill()
				assert.equal(0, archive:delete("juliet", { truncate = 6 }))
				assert.equal(0, archive:delete("juliet", { truncate = 100 }))
				assert.equal(4, archive:delete("juliet", { truncate = 2 }))
				assert.equal("e f", ids(archive:find("juliet")))
				assert.equal(2, archive:delete("juliet", { truncate = 0 }))
			end)

			it("deletes for all users at once", function ()
				fill()
				assert(archive:append("nurse", "n1", message "x", 15, "w"))
				assert(archive:append("nurse", "n2", message "x", 25, "w"))
				assert.is_true(archive.caps.wildcard_delete)
				assert.equal(3, archive:delete(true, { ["end"] = 20 }))
				assert.equal("c d e f", ids(archive:find("juliet")))
				assert.equal("n2", ids(archive:find("nurse")))
			end)

			it("refuses more items than the limit, until some are deleted", function ()
				archive = open("archive", "archive")
				assert.equal(20, archive.caps.quota)
				for i = 1, 20 do assert(archive:append("juliet", "k" .. i, message "x", i, "w")) end
				local ok, err = archive:append("juliet", nil, message "x", 21, "w")
				assert.is_nil(ok)
				assert.equal("quota-limit", err)
				restart()
				archive = open("archive", "archive")
				ok, err = archive:append("juliet", nil, message "x", 21, "w")
				assert.is_nil(ok)
				assert.equal("quota-limit", err)
				assert(archive:append("nurse", nil, message "x", 21, "w"))
				assert(archive:append("juliet", "k5", message "instead of k5", 21, "w"))
				assert.equal(10, archive:delete("juliet", { truncate = 10 }))
				assert(archive:append("juliet", nil, message "x", 22, "w"))
				assert.equal(11, select(2, archive:find("juliet", { total = true })))
			end)

			it("sums up by peer", function ()
				fill()
				assert.same({
					counts = { ["romeo@montague.example"] = 3, ["nurse@capulet.example"] = 3 },
					earliest = { ["romeo@montague.example"] = 10, ["nurse@capulet.example"] = 20 },
					latest = { ["romeo@montague.example"] = 50, ["nurse@capulet.example"] = 60 },
					body = { ["romeo@montague.example"] = "text e", ["nurse@capulet.example"] = "text f" },
				}, archive:summary("juliet"))
				assert.same({ ["nurse@capulet.example"] = 1 }, archive:summary("juliet", { start = 55 }).counts)
				assert.same({ counts = {}, earliest = {}, latest = {}, body = {} }, archive:summary("tybalt"))
			end)

			it("knows on which days there is something", function ()
				archive = open("archive", "archive")
				for _, when in ipairs { 1735787045, 1735787046.5, 1735700645, 1735873445 } do
					assert(archive:append("juliet", nil, message "x", when, "w"))
				end
				assert.same({ "2025-01-01", "2025-01-02", "2025-01-03" }, archive:dates("juliet"))
				assert.same({}, archive:dates("nurse"))
			end)

			it("lists its users, and has the host's own archive apart", function ()
				fill()
				assert(archive:append("nurse", nil, message "x", 1, "w"))
				assert(archive:append(nil, "upload", message "x", 1, "w"))
				restart()
				archive = open("archive", "archive")
				assert.same({ "juliet", "nurse" }, collect(archive:users()))
				assert.equal("upload", ids(archive:find(nil)))
				assert.equal(1, archive:delete(nil))
				assert.equal("", ids(archive:find(nil)))
				assert.equal("a b c d e f", ids(archive:find("juliet")))
			end)

			it("takes any text as key, peer and query", function ()
				archive = open("archive", "archive")
				for i, text in ipairs {
					"'", "\"", ";--", "%", "_", "a\0b", ("x"):rep(10240), "-1", "9223372036854775808", "é", "?",
				} do
					assert.equal(text, archive:append("juliet", text, message "x", i, text))
					assert.equal(text, ids(archive:find("juliet", { with = text })))
					assert.equal(text, ids(archive:find("juliet", { key = text })))
					assert.equal(text, ids(archive:find("juliet", { ids = { text } })))
					assert.equal("", ids(archive:find("juliet", { after = text })))
				end
				assert.equal(11, select(2, archive:find("juliet", { total = true })))
			end)

			it("refuses what is neither stanza nor table", function ()
				archive = open("archive", "archive")
				for _, value in ipairs { "text", 1, true } do
					local ok, err = archive:append("juliet", nil, value, 1, "w")
					assert.is_nil(ok)
					assert.equal("unsupported-datatype", err)
				end
			end)
		end)

		describe("driver", function ()
			it("has no other kinds of store", function ()
				local store, err = storagemanager.open(host, "x", "spreadsheet")
				assert.is_nil(store)
				assert.equal("unsupported-store", err)
			end)

			it("knows what stores a user has, and the host", function ()
				assert(open("roster"):set("juliet", { a = 1 }))
				assert(open("archive", "archive"):append("juliet", nil, message "x", 1, "w"))
				assert(open("vcard"):set("nurse", { a = 1 }))
				assert(open("invites"):set(nil, { a = 1 }))
				restart()
				local its = storagemanager.get_driver(host)
				assert.same({ "archive", "roster" }, collect(its:stores("juliet")))
				assert.same({ "vcard" }, collect(its:stores("nurse")))
				assert.same({ "invites" }, collect(its:stores(nil)))
				assert.same({ "archive", "invites", "roster", "vcard" }, collect(its:stores(true)))
				assert.same({}, collect(its:stores("tybalt")))
			end)

			it("purges a user, and nobody else", function ()
				assert(open("roster"):set("juliet", { a = 1 }))
				assert(open("roster"):set("nurse", { a = 1 }))
				assert(open("roster", nil, "other.example"):set("juliet", { a = 1 }))
				assert(open("roster"):set(nil, { a = 1 }))
				assert(open("archive", "archive"):append("juliet", nil, message "x", 1, "w"))
				assert.is_true(storagemanager.purge("juliet", host))
				restart()
				assert.is_nil(open("roster"):get("juliet"))
				assert.equal("", ids(open("archive", "archive"):find("juliet")))
				assert.same({}, collect((storagemanager.get_driver(host)):stores("juliet")))
				assert.same({ a = 1 }, open("roster"):get("nurse"))
				assert.same({ a = 1 }, open("roster"):get(nil))
				assert.same({ a = 1 }, open("roster", nil, "other.example"):get("juliet"))
			end)

			it("shows what was written before the turn is committed, to readers of the same server", function ()
				storagemanager.gather(true)
				local store, archive = open("things"), open("archive", "archive")
				assert(store:set("juliet", { n = 1 }))
				assert(archive:append("juliet", "a", message "x", 1, "w"))
				assert.same({ n = 1 }, store:get("juliet"))
				assert.same({ "juliet" }, collect(store:users()))
				assert.equal("a", ids(archive:find("juliet")))
				assert(store:set("juliet", { n = 2 }))
				assert(archive:append("juliet", "b", message "x", 2, "w"))
				assert.is_true(storagemanager.commit())
				restart()
				assert.same({ n = 2 }, open("things"):get("juliet"))
				assert.equal("a b", ids(open("archive", "archive"):find("juliet")))
			end)
		end)
	end)
end
