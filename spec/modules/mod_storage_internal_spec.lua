--- Files: those of Prosody, those that are damaged, and what Prosody makes of ours.

local fake = require "spec.support.fake_module"
local fixture_promises = require "spec.support.fixture_promises"
local st = require "prosody.util.stanza"

local host = "capulet.example"
local fixtures = "spec/fixtures/prosody"

local function content(path)
	local file = assert(io.open(path, "rb"))
	local text = file:read("a")
	file:close()
	return text
end

local function put(path, text)
	local file = assert(io.open(path, "wb"))
	file:write(text)
	file:close()
end

describe("storage driver internal", function ()
	local directory, server, storagemanager, dm

	local function start(settings)
		settings = settings or {}
		settings.data, settings.options = directory, { ["*"] = { storage = "internal" } }
		server = fake.server(settings)
		storagemanager, dm = server.storagemanager, server.datamanager
	end

	before_each(function () directory = fake.directory() end)

	after_each(function ()
		server.stop()
		fake.remove(directory)
	end)

	for folder, version in pairs { ["012-files"] = "0.12", ["13-files"] = "13" } do
		it("reads and writes the files of Prosody " .. version, function ()
			assert(os.execute(("cp -R '%s/%s/.' '%s'"):format(fixtures, folder, directory)))
			start { hosts = { "example.test", "plain.test", "rooms.example.test", "pubsub.example.test" } }
			fixture_promises(storagemanager, version)
			-- The indexes of 13 are gone where the list has changed, and only there.
			local changed = dm.getpath("alice", "example.test", "archive", "lidx")
			assert.is_nil(io.open(changed))
			local untouched = dm.getpath("admin", "example.test", "archive", "lidx")
			assert.equal(version == "13", io.open(untouched) ~= nil)
		end)
	end

	it("reads items of old versions, which have no key, time or peer", function ()
		start()
		put(dm.getpath("juliet", host, "offline", "list", true), [[
item({ ["name"] = "message"; ["attr"] = { ["from"] = "romeo@montague.example"; ["stamp"] = "2012-03-04T05:06:07Z";
	["stamp_legacy"] = "20120304T05:06:07"; ["urn:example|x"] = "1" }; { ["name"] = "body"; ["attr"] = {}; "hi" } });
item({ ["name"] = "message"; ["attr"] = { ["from"] = "nurse@capulet.example"; ["stamp"] = "2012-03-05T00:00:00Z" } });
]])
		local offline = storagemanager.open(host, "offline", "archive")
		local items = {}
		for key, stanza, when, with in offline:find("juliet") do items[#items + 1] = { key, stanza, when, with } end
		assert.equal(2, #items)
		local key, stanza, when, with = table.unpack(items[1])
		assert.equal("hi", stanza:get_child_text("body"))
		assert.is_nil(stanza.attr.stamp)
		assert.is_nil(stanza.attr.stamp_legacy)
		assert.equal("1", stanza.attr["urn:example\1x"])
		assert.equal(1330837567, when)
		assert.equal("", with)
		assert.not_equal(key, items[2][1])
		assert.equal(1, offline:delete("juliet", { key = key }))
		assert.equal("nurse@capulet.example", select(2, offline:find("juliet")()).attr.from)
	end)

	it("refuses to store tables whose fields it could not tell from its own", function ()
		start()
		local archive = storagemanager.open(host, "audit", "archive")
		for _, value in ipairs { { key = 1 }, { when = 1 }, { with = 1 }, { name = "x", attr = {} } } do
			assert.same({ nil, "unsupported-datatype" }, { archive:append("juliet", nil, value, 1, "w") })
		end
	end)

	-- A table and a list of some 20 KiB.
	local function fill()
		start()
		local value = {}
		for i = 1, 300 do
			value["romeo" .. i .. "@montague.example"] = { subscription = "both", groups = { Friends = true } }
		end
		assert(storagemanager.open(host, "roster"):set("juliet", value))
		local archive = storagemanager.open(host, "archive", "archive")
		for i = 1, 60 do
			assert(archive:append("juliet", "k" .. i, st.message({ from = "a@b", id = "m" .. i }, "text " .. i), i, "w"))
		end
		return dm.getpath("juliet", host, "roster"), dm.getpath("juliet", host, "archive", "list")
	end

	it("gives an error for a damaged table, and never overwrites it, wherever the damage is", function ()
		local path = fill()
		local whole = content(path)
		local roster, map = storagemanager.open(host, "roster"), storagemanager.open(host, "roster", "map")
		local n = 0
		for at = 0, #whole - 513, 512 do
			for _, damaged in ipairs {
				whole:sub(1, at),
				whole:sub(1, at) .. ("\0"):rep(512) .. whole:sub(at + 513),
				whole:sub(1, at) .. whole:sub(at + 513 + 7),
			} do
				put(path, damaged)
				local value, err = roster:get("juliet")
				if value == nil then
					n = n + 1
					assert.equal("Error reading storage", err)
					assert.is_nil((roster:set("juliet", { a = 1 })))
					assert.is_nil((roster:set("juliet", nil)))
					assert.is_nil((map:set("juliet", "a", 1)))
					assert.is_nil((map:get("juliet", "a")))
					assert.is_nil((map:get_all("a")))
					assert.equal(damaged, content(path))
				end
			end
		end
		assert.is_true(n >= 2 * (#whole // 512))
		put(path, whole)
		assert.equal("both", map:get("juliet", "romeo7@montague.example").subscription)
	end)

	it("gives an error for a damaged list, keeps one whose end is missing, and never overwrites it", function ()
		local _, path = fill()
		local whole = content(path)
		local archive = storagemanager.open(host, "archive", "archive")
		for at = 0, #whole - 513, 512 do
			put(path, whole:sub(1, at))
			local n = 0
			for key, stanza in assert(archive:find("juliet")) do
				n = n + 1
				assert.equal("k" .. n, key)
				assert.equal("text " .. n, stanza:get_child_text("body"))
			end

			-- Wrong wherever it stands: within a string and between them.
			local damaged = whole:sub(1, at) .. ("\"\n"):rep(256) .. whole:sub(at + 513)
			put(path, damaged)
			local iterator, err = archive:find("juliet")
			assert.is_nil(iterator)
			assert.equal("Error reading storage", err)
			assert.is_nil((archive:append("juliet", nil, st.message(), 1, "w")))
			assert.is_nil((archive:append("juliet", "k1", st.message(), 1, "w")))
			assert.is_nil((archive:set("juliet", "k1", st.message())))
			assert.is_nil((archive:delete("juliet")))
			assert.is_nil((archive:summary("juliet")))
			assert.equal(damaged, content(path))
		end
	end)

	it("fails and recovers when the disk does", function ()
		local T = require "couplet_core"
		start()
		local events = {}
		server.hosts[host].events.add_handler("storage-write-failed", function (event) events[#events + 1] = event end)
		finally(function () T.files_fail_at(0) end)
		local roster = storagemanager.open(host, "roster")
		assert(roster:set("juliet", { n = 0 }))
		T.files_fail_at(1)
		assert.is_nil((roster:set("juliet", { n = 1 })))
		assert.same({ n = 0 }, roster:get("juliet"))

		storagemanager.gather(true)
		assert(roster:set("juliet", { n = 2 }))
		assert(roster:set("nurse", { n = 2 }))
		T.files_fail_at(1)
		local ok, err = storagemanager.commit()
		assert.is_nil(ok)
		assert.matches("Input/output error", err)
		assert.equal(1, #events)
		assert.equal("juliet", events[1].username)
		assert.equal("roster", events[1].store)
		assert.same({ n = 0 }, roster:get("juliet"))
		assert.same({ n = 2 }, roster:get("nurse"))
		assert(roster:set("juliet", { n = 3 }))
		assert.is_true(storagemanager.commit())
		assert.same({ n = 3 }, roster:get("juliet"))
		storagemanager.gather(false)
	end)

	it("writes what Debian's Prosody reads", function ()
		start()
		if not io.open "/usr/lib/prosody/util/datamanager.lua" then return pending "prosody is not installed" end
		assert(storagemanager.open(host, "roster"):set("we.ird\\20us%er", {
			[false] = { version = 3 }, ["a@b"] = { name = "é\n\"x\"", n = 1.5, list = { 1, 2, { "deep" } } },
		}))
		local archive = storagemanager.open(host, "archive", "archive")
		for i = 1, 3 do
			assert(archive:append("juliet", "k" .. i, st.message({ from = "a@b" }, "text é " .. i), i + 0.5, "w"))
		end
		put(directory .. "/peer.lua", [[
			package.path, package.cpath = "/usr/lib/prosody/?.lua;" .. package.path, "/usr/lib/prosody/?.so;" .. package.cpath;
			local dm = require "util.datamanager";
			dm.set_data_path(arg[1]);
			local roster = assert(dm.load("we.ird\\20us%er", "capulet.example", "roster"));
			assert(roster[false].version == 3);
			local item = roster["a@b"];
			assert(item.name == "é\n\"x\"" and item.n == 1.5 and item.list[2] == 2 and item.list[3][1] == "deep");
			local list = assert(dm.list_load("juliet", "capulet.example", "archive"));
			assert(#list == 3);
			for i, entry in ipairs(list) do
				local stanza = require "util.stanza".deserialize(entry);
				assert(entry.key == "k" .. i and entry.when == i + 0.5 and entry.with == "w");
				assert(stanza.name == "message" and stanza:get_child_text("body") == "text é " .. i);
				assert(stanza.attr.stamp == "1970-01-01T00:00:0" .. i .. ".500000Z");
			end
			dm.list_append("juliet", "capulet.example", "archive", list[1]);
			print "ok";
		]])
		local peer = io.popen(("exec lua5.4 '%s/peer.lua' '%s' 2>&1"):format(directory, directory))
		assert.equal("ok\n", peer:read("a"))
		peer:close()
		assert.equal(4, select(2, archive:find("juliet", { total = true })))
	end)
end)
