--- The file tree of internal storage, as modules know it from Prosody's library.

local fake = require "spec.support.fake_module"
local files = require "prosody.util.files"
local dm = require "prosody.util.datamanager"

local host = "capulet.example"

local function content(path)
	local file = io.open(path, "rb")
	if not file then return nil end
	local text = file:read("a")
	file:close()
	return text
end

local function put(path, text)
	local file = assert(io.open(path, "wb"))
	file:write(text)
	file:close()
end

local function collect(iterator)
	local list = {}
	for name in iterator do list[#list + 1] = name end
	table.sort(list)
	return table.concat(list, " ")
end

describe("util.datamanager", function ()
	local directory

	before_each(function ()
		directory = fake.directory()
		dm.set_data_path(directory)
	end)

	after_each(function () fake.remove(directory) end)

	it("puts files where Prosody looks for them", function ()
		assert.equal(directory .. "/capulet%2eexample/roster/juliet.dat", dm.getpath("juliet", host, "roster"))
		assert.equal(directory .. "/capulet%2eexample/pep_urn%3ax/a%40b.list", dm.getpath("a@b", host, "pep_urn:x", "list"))
		assert.equal(directory .. "/capulet%2eexample/invite_token.dat", dm.getpath(nil, host, "invite_token"))
		assert.equal(directory .. "/_global/secrets.dat", dm.getpath(nil, nil, "secrets"))
		assert.is_true(dm.store("juliet", host, "roster", { a = 1 }))
		assert.equal("return {\n\t[\"a\"] = 1;\n};\n", content(dm.getpath("juliet", host, "roster")))
		assert.is_true(dm.list_append("juliet", host, "offline", { "x" }))
		assert.is_true(dm.list_append("juliet", host, "offline", { "y" }))
		assert.equal("item({\n\t\"x\";\n});\nitem({\n\t\"y\";\n});\n",
			content(dm.getpath("juliet", host, "offline", "list")))
	end)

	it("stores, loads and removes", function ()
		assert.is_nil(dm.load("juliet", host, "roster"))
		assert.is_true(dm.store("juliet", host, "roster", { a = { b = 1 } }))
		assert.same({ a = { b = 1 } }, dm.load("juliet", host, "roster"))
		assert.is_true(dm.store("juliet", host, "roster", {}))
		assert.is_nil(content(dm.getpath("juliet", host, "roster")))
		assert.is_true(dm.store("juliet", host, "roster", nil))
		assert.is_true(dm.store(nil, nil, "secrets", { key = "x" }))
		assert.same({ key = "x" }, dm.load(nil, nil, "secrets"))
	end)

	it("appends to lists, loads and replaces them", function ()
		assert.is_nil(dm.list_load("juliet", host, "offline"))
		for i = 1, 3 do assert.is_true(dm.list_append("juliet", host, "offline", { i = i })) end
		assert.same({ { i = 1 }, { i = 2 }, { i = 3 } }, dm.list_load("juliet", host, "offline"))
		assert.equal(3, dm.list_count("juliet", host, "offline"))
		assert.is_true(dm.list_store("juliet", host, "offline", { { i = 2 } }))
		assert.same({ { i = 2 } }, dm.list_load("juliet", host, "offline"))
		assert.equal(1, dm.list_count("juliet", host, "offline"))
		assert.is_true(dm.list_store("juliet", host, "offline", nil))
		assert.is_nil(dm.list_load("juliet", host, "offline"))
		assert.equal(0, dm.list_count("juliet", host, "offline"))
	end)

	it("lists users and stores", function ()
		dm.store("juliet", host, "roster", { a = 1 })
		dm.store("juliet", host, "vcard", { a = 1 })
		dm.list_append("juliet", host, "offline", { a = 1 })
		dm.store("friar.laurence", host, "roster", { a = 1 })
		dm.store(nil, host, "persistent", { a = 1 })
		assert.equal("friar.laurence juliet", collect(dm.users(host, "roster")))
		assert.equal("juliet", collect(dm.users(host, "offline", "archive")))
		assert.equal("", collect(dm.users(host, "offline")))
		assert.equal("offline roster vcard", collect(dm.stores("juliet", host)))
		assert.equal("roster vcard", collect(dm.stores("juliet", host, "keyval")))
		assert.equal("persistent", collect(dm.stores(nil, host)))
		assert.equal("offline persistent roster vcard", collect(dm.stores(true, host)))
	end)

	it("purges a user with files that cannot be read, too", function ()
		dm.store("juliet", host, "roster", { a = 1 })
		dm.store("juliet2", host, "roster", { a = 1 })
		dm.list_append("juliet", host, "offline", { a = 1 })
		put(dm.getpath("juliet", host, "vcard", "dat", true), "garbage")
		put(dm.getpath("juliet", host, "offline", "lidx"), "x")
		assert.is_true(dm.purge("juliet", host))
		assert.equal("", collect(dm.stores("juliet", host)))
		assert.is_nil(content(dm.getpath("juliet", host, "offline", "lidx")))
		assert.same({ a = 1 }, dm.load("juliet2", host, "roster"))
	end)

	it("asks callbacks before it writes", function ()
		local function change(username, its_host, store, data)
			if store == "dropped" then return false end
			if data then data.seen = true end
			return username, its_host, store, data
		end
		dm.add_callback(change)
		finally(function () dm.remove_callback(change) end)
		assert.is_true(dm.store("juliet", host, "roster", { a = 1 }))
		assert.same({ a = 1, seen = true }, dm.load("juliet", host, "roster"))
		assert.is_true(dm.store("juliet", host, "dropped", { a = 1 }))
		assert.is_nil(dm.load("juliet", host, "dropped"))
		dm.remove_callback(change)
		assert.is_true(dm.store("juliet", host, "roster", { a = 2 }))
		assert.same({ a = 2 }, dm.load("juliet", host, "roster"))
	end)

	it("appends raw bytes where modules keep their own formats", function ()
		assert.same({ true, 0 }, { dm.append_raw("juliet", host, "archive", "xml", "<a/>") })
		assert.same({ true, 4 }, { dm.append_raw("juliet", host, "archive", "xml", "<b/>") })
		assert.equal("<a/><b/>", content(dm.getpath("juliet", host, "archive", "xml")))
		assert.is_true(dm.store_raw(dm.getpath("juliet", host, "archive", "xml"), "<c/>"))
		assert.equal("<c/>", content(dm.getpath("juliet", host, "archive", "xml")))
	end)

	it("deletes the index of a list that changes", function ()
		dm.list_append("juliet", host, "archive", { 1 })
		local index = dm.getpath("juliet", host, "archive", "lidx")
		put(index, "stale")
		dm.list_append("juliet", host, "archive", { 2 })
		assert.is_nil(content(index))
		put(index, "stale")
		dm.list_store("juliet", host, "archive", { { 3 } })
		assert.is_nil(content(index))
		put(index, "stale")
		dm.list_store("juliet", host, "archive", nil)
		assert.is_nil(content(index))
	end)

	it("drops an item that a crash cut off, and appends after what is whole", function ()
		local item = "item({\n\t\"whole\";\n});\n"
		local path = dm.getpath("juliet", host, "offline", "list", true)
		for cut = 1, #item - 1 do
			put(path, item .. item:sub(1, cut))
			-- Without its last semicolon or line end an item is whole all the same.
			local n = #dm.list_load("juliet", host, "offline")
			assert.is_true(n == 1 or (n == 2 and cut >= #item - 3))
			assert.equal(n, dm.list_count("juliet", host, "offline"))
			assert.is_true(dm.list_append("juliet", host, "offline", { "new" }))
			local list = dm.list_load("juliet", host, "offline")
			assert.equal(n + 1, #list)
			assert.same({ "new" }, list[n + 1])
		end
	end)

	it("notices when somebody else has appended meanwhile", function ()
		assert.is_true(dm.list_append("juliet", host, "offline", { 1 }))
		local path = dm.getpath("juliet", host, "offline", "list")
		put(path, content(path) .. "item({ 2 });\nitem({ 3")
		assert.is_true(dm.list_append("juliet", host, "offline", { 4 }))
		assert.same({ { 1 }, { 2 }, { 4 } }, dm.list_load("juliet", host, "offline"))
	end)

	it("never runs a file, and never overwrites one that it cannot read", function ()
		local path = dm.getpath("juliet", host, "roster", "dat", true)
		local list_path = dm.getpath("juliet", host, "offline", "list", true)
		for _, text in ipairs {
			"while true do end", "return os.exit(1)", string.dump(function () return {} end), "return { a = print };",
			"return { a = 1", "", "return {}; junk", "\0\0\0\0", "return (function () return {} end)();",
		} do
			put(path, text)
			local data, err = dm.load("juliet", host, "roster")
			assert.is_nil(data)
			assert.equal("Error reading storage", err)
			for _, value in ipairs { { { a = 1 } }, { {} }, { nil } } do
				local ok
				ok, err = dm.store("juliet", host, "roster", value[1])
				assert.is_nil(ok)
				assert.equal("Error reading storage", err)
			end
			assert.equal(text, content(path))
		end
		for _, text in ipairs { "while true do end", "item(print);\n", "junk item({});\n", "item({});\n\0item({});\n" } do
			put(list_path, text)
			local list, err = dm.list_load("juliet", host, "offline")
			assert.is_nil(list)
			assert.equal("Error reading storage", err)
			for _, write in ipairs { dm.list_append, dm.list_store } do
				local ok
				ok, err = write("juliet", host, "offline", { { a = 1 } })
				assert.is_nil(ok)
				assert.equal("Error reading storage", err)
			end
			assert.equal(text, content(list_path))
		end
	end)

	it("says what writes a failed commit has lost", function ()
		local T = require "couplet_core"
		dm.store("juliet", host, "roster", { old = true })
		dm.gather(true)
		finally(function ()
			T.files_fail_at(0)
			dm.gather(false)
		end)
		assert.is_true(dm.store("juliet", host, "roster", { new = true }))
		assert.same({ new = true }, dm.load("juliet", host, "roster"))
		T.files_fail_at(1)
		local ok, err, writers = dm.commit()
		assert.is_nil(ok)
		assert.matches("Input/output error", err)
		assert.same({ { host = host, user = "juliet", store = "roster" } }, writers)
		assert.same({ old = true }, dm.load("juliet", host, "roster"))
		assert.is_true(dm.commit())
	end)

	it("keeps what it cannot delete out of the way of path tricks", function ()
		assert.equal("%2e%2e%2fx", dm.path_encode("../x"))
		assert.equal("../x", dm.path_decode("%2e%2e%2fx"))
		assert.is_true(dm.store("../../x", "../..", "../..", { a = 1 }))
		assert.same({ a = 1 }, dm.load("../../x", "../..", "../..", { a = 1 }))
		assert.is_truthy(files.read(directory .. "/%2e%2e%2f%2e%2e/%2e%2e%2f%2e%2e/%2e%2e%2f%2e%2e%2fx.dat"))
	end)
end)
