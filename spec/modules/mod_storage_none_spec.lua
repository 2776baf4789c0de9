--- Storage that keeps nothing.

local fake = require "spec.support.fake_module"

describe("storage driver none", function ()
	local server, storagemanager

	before_each(function ()
		server = fake.server { data = "/nonexistent", options = { ["*"] = { storage = "null" } } }
		storagemanager = server.storagemanager
	end)

	after_each(function () server.stop() end)

	it("finds nothing and refuses to write, in every kind of store", function ()
		local keyval = assert(storagemanager.open("capulet.example", "x"))
		assert.is_nil(keyval:get("juliet"))
		assert.same({ nil, "not-allowed" }, { keyval:set("juliet", { a = 1 }) })
		assert.is_nil(keyval:users()())

		local map = assert(storagemanager.open("capulet.example", "x", "map"))
		assert.is_nil(map:get("juliet", "a"))
		assert.same({ nil, "not-allowed" }, { map:set("juliet", "a", 1) })
		assert.same({}, map:get_all("a"))

		local both = assert(storagemanager.open("capulet.example", "x", "keyval+"))
		assert.is_nil(both:get_key("juliet", "a"))
		assert.same({ nil, "not-allowed" }, { both:set_keys("juliet", { a = both.remove }) })

		local archive = assert(storagemanager.open("capulet.example", "x", "archive"))
		assert.same({ nil, "not-allowed" }, { archive:append("juliet", nil, {}, 1, "w") })
		local iterator, total = archive:find("juliet", { total = true })
		assert.is_nil(iterator())
		assert.equal(0, total)
		assert.same({ nil, "item-not-found" }, { archive:find("juliet", { after = "x" }) })
		assert.equal(0, archive:delete("juliet"))
		assert.same({}, archive:dates("juliet"))
		assert.is_true(storagemanager.purge("juliet", "capulet.example"))
	end)
end)
