--- Which driver a store gets, what kinds are made of others, and what happens at a turn's end.

local fake = require "spec.support.fake_module"

local host = "capulet.example"
local has_sqlite = pcall(require, "couplet.sqlite3")

describe("storagemanager", function ()
	local directory, server, storagemanager

	local function start(options, hosts)
		server = fake.server { data = directory, hosts = hosts, options = options }
		storagemanager = server.storagemanager
	end

	local function driver_of(store, on_host)
		local _, name = storagemanager.get_driver(on_host or host, store)
		return name
	end

	before_each(function () directory = fake.directory() end)

	after_each(function ()
		server.stop()
		fake.remove(directory)
	end)

	it("takes one driver for all stores, or one by store", function ()
		start {
			["*"] = { storage = "memory" },
			["other.example"] = { storage = { accounts = "internal", archive = "none" }, default_storage = "memory" },
		}
		assert.equal("memory", driver_of("accounts"))
		assert.equal("memory", driver_of("archive"))
		server.stop()
		start({
			["other.example"] = { storage = { accounts = "internal", archive = "none" }, default_storage = "memory" },
			["*"] = { default_storage = "none" },
		}, { host, "other.example" })
		assert.equal("internal", driver_of("accounts", "other.example"))
		assert.equal("none", driver_of("archive", "other.example"))
		assert.equal("memory", driver_of("roster", "other.example"))
		assert.equal("none", driver_of("roster"))
	end)

	it("takes SQLite when nothing is set", function ()
		if not has_sqlite then
			start()
			return pending "SQLite is not built in"
		end
		start()
		assert.equal("sqlite", driver_of("accounts"))
		assert(storagemanager.open(host, "accounts"):set("juliet", { a = 1 }))
		assert.is_truthy(io.open(directory .. "/prosody.sqlite"))
		assert.equal("sql", storagemanager.get_driver(host, "accounts").name)
	end)

	it("stays with the files of a Prosody that kept its accounts or rooms there", function ()
		start { ["*"] = { storage = "internal" } }
		assert(storagemanager.open(host, "accounts"):set("juliet", { password = "x" }))
		server.stop()
		start({}, { host, "rooms.example", "new.example" })
		server.datamanager.store(nil, "rooms.example", "persistent", { ["room@rooms.example"] = true })
		server.datamanager.store("room", "rooms.example", "config", { _jid = "room@rooms.example" })
		server.datamanager.store("juliet", "new.example", "notes", { a = 1 })
		assert.equal("internal", driver_of("accounts"))
		assert.equal("internal", driver_of("config", "rooms.example"))
		assert.equal("sqlite", has_sqlite and driver_of("accounts", "new.example") or "sqlite")
		assert.same({ password = "x" }, storagemanager.open(host, "accounts"):get("juliet"))
	end)

	it("answers with errors, never with emptiness, when a driver is missing", function ()
		start { ["*"] = { storage = "punchcards" } }
		for _, kind in ipairs { "keyval", "map", "keyval+", "archive" } do
			local store = assert(storagemanager.open(host, "x", kind))
			for _, method in ipairs { "get", "set", "set_keys", "get_all", "append", "find", "delete" } do
				local result, err = store[method](store, "juliet", {})
				assert.is_nil(result)
				assert.matches("punchcards", err)
			end
			assert.is_nil(store:users()())
		end
		assert.is_nil((storagemanager.purge("juliet", host)))
		local n = 0
		for _, entry in ipairs(server.logged) do
			if entry.level == "error" then n = n + 1 end
		end
		assert.equal(1, n)
	end)

	it("opens no stores for all hosts, nor for hosts it does not know", function ()
		start()
		assert.same({ nil, "global-storage-not-supported" }, { storagemanager.open("*", "x") })
		assert.same({ nil, "no such host" }, { storagemanager.open("elsewhere.example", "x") })
	end)

	it("uses drivers that other modules provide, and makes the kinds they do not have", function ()
		start { ["*"] = { storage = "cupboard" } }
		storagemanager.initialize_host(host)
		storagemanager.initialize_host(host)
		local shelf = {}
		local keyval = {}
		function keyval:get(user) return shelf[user] end
		function keyval:set(user, data)
			shelf[user] = data
			return true
		end
		function keyval:users() return next, shelf end
		local item = { name = "cupboard" }
		function item:open(_, kind)
			if kind == nil or kind == "keyval" then return keyval end
			return nil, "unsupported-store"
		end
		function item:purge(user)
			shelf[user] = nil
			return true
		end
		local events = server.hosts[host].events
		events.fire_event("item-added/storage-provider", { item = item })

		local map = assert(storagemanager.open(host, "x", "map"))
		assert.is_true(map:set("juliet", "a", 1))
		assert.is_true(map:set_keys("juliet", { b = 2, a = map.remove, [false] = 3 }))
		assert.is_true(map:set("nurse", "b", 4))
		assert.same({ b = 2, [false] = 3 }, shelf.juliet)
		assert.same({ juliet = 2, nurse = 4 }, map:get_all("b"))
		assert.is_true(map:delete_all("b"))
		assert.same({ juliet = { [false] = 3 } }, shelf)

		local both = assert(storagemanager.open(host, "x", "keyval+"))
		assert.is_true(both:set_keys("juliet", { c = 5, [false] = both.remove }))
		assert.equal(5, both:get_key("juliet", "c"))
		assert.same({ c = 5 }, both:get("juliet"))
		assert.same({ juliet = 5 }, both:get_key_from_all("c"))
		assert.same({ nil, "unsupported-store" }, { storagemanager.open(host, "x", "archive") })
		assert.is_true(storagemanager.purge("juliet", host))
		assert.same({}, shelf)

		events.fire_event("item-removed/storage-provider", { item = item })
		assert.is_nil((storagemanager.load_driver(host, "cupboard")))
	end)

	it("passes on the errors of a keyval store that a map is made of, and writes nothing then", function ()
		start { ["*"] = { storage = "broken" } }
		storagemanager.initialize_host(host)
		local written = false
		local item = { name = "broken" }
		function item:open(_, kind)
			if kind ~= "keyval" and kind ~= nil then return nil, "unsupported-store" end
			return {
				get = function () return nil, "broken" end,
				set = function ()
					written = true
					return true
				end,
				users = function () return next, { juliet = true } end,
			}
		end
		server.hosts[host].events.fire_event("item-added/storage-provider", { item = item })
		local map = storagemanager.open(host, "x", "map")
		assert.same({ nil, "broken" }, { map:get("juliet", "a") })
		assert.same({ nil, "broken" }, { map:set("juliet", "a", 1) })
		assert.same({ nil, "broken" }, { map:get_all("a") })
		assert.is_false(written)
	end)

	it("lets store-opened handlers put something in a store's place", function ()
		start { ["*"] = { storage = "memory" } }
		local seen
		server.hosts[host].events.add_handler("store-opened", function (event)
			seen = { event.host, event.store_name, event.store_type }
			event.store = setmetatable({ wrapped = true }, { __index = event.store })
		end)
		local store = storagemanager.open(host, "x", "map")
		assert.is_true(store.wrapped)
		assert.same({ host, "x", "map" }, seen)
	end)

	it("ends a turn for all who wrote in it, and tells the hosts whose writes are lost", function ()
		start { ["*"] = { storage = "memory" } }
		local told
		server.hosts[host].events.add_handler("storage-write-failed", function (event) told = event end)
		local commits, fails = 0, false
		local function participant()
			commits = commits + 1
			if fails then return nil, "the cupboard burns", { { host = host, user = "juliet", store = "x" } } end
			return true
		end
		storagemanager.join_commit(participant)
		assert.is_false(storagemanager.gathers())
		storagemanager.gather(true)
		assert.is_true(storagemanager.gathers())
		assert.is_true(storagemanager.commit())
		fails = true
		assert.same({ nil, "the cupboard burns" }, { storagemanager.commit() })
		assert.same({ host = host, username = "juliet", store = "x", error = "the cupboard burns" }, told)
		storagemanager.leave_commit(participant)
		assert.is_true(storagemanager.commit())
		assert.equal(2, commits)
		storagemanager.gather(false)
	end)
end)
