--- Queries over an archive that is a list; what they mean for stores is in mod_storage_drivers_spec.

local archives = require "prosody.util.archive"

local items = {
	{ key = "a", when = 30, with = "x" }, { key = "b", when = 10, with = "y" }, { key = "c", when = 20, with = "x" },
}

describe("util.archive", function ()
	it("finds positions in the order asked for", function ()
		assert.same({ 1, 2, 3 }, (archives.find(items)))
		assert.same({ 3, 2, 1 }, (archives.find(items, { reverse = true })))
		assert.same({ 3, 1 }, (archives.find(items, { reverse = true, with = "x" })))
		assert.same({ 2 }, (archives.find(items, { after = "a", before = "c" })))
		assert.same({}, (archives.find(items, { after = "c", before = "a" })))
		assert.same({ { 1 }, 2 }, { archives.find(items, { limit = 1, with = "x", total = true }) })
		assert.same({ nil, "item-not-found" }, { archives.find(items, { before = "z" }) })
		assert.same({}, (archives.find({}, {})))
	end)

	it("says what stays and how many go", function ()
		assert.same({ { items[2] }, 2 }, { archives.remove(items, { with = "x" }) })
		assert.same({ { items[2], items[3] }, 1 }, { archives.remove(items, { truncate = 2 }) })
		assert.same({ {}, 3 }, { archives.remove(items) })
		assert.equal(3, #items)
	end)

	it("sums up by the times of the items, not by their order", function ()
		local summary = archives.summary(items, {}, function (item) return item.key end)
		assert.same({ counts = { x = 2, y = 1 }, earliest = { x = 20, y = 10 }, latest = { x = 30, y = 10 },
			body = { x = "a", y = "b" } }, summary)
	end)
end)
