local cache = require "util.cache"

local function keys(c)
	local out = {}
	for key in c:items() do
		out[#out + 1] = key
	end
	return table.concat(out)
end

local function filled(size, on_evict, names)
	local c = cache.new(size, on_evict)
	for name in names:gmatch "." do
		c:set(name, name:upper())
	end
	return c
end

describe("util.cache", function ()
	it("remembers and forgets", function ()
		local c = cache.new(3)
		assert.is_true(c:set("a", 1))
		assert.equal(1, c:get "a")
		assert.is_nil(c:get "b")
		c:set("a", nil)
		assert.is_nil(c:get "a")
		assert.equal(0, c:count())
		assert.is_true(c:set("missing", nil))
	end)

	it("keeps false as a value", function ()
		local c = cache.new(1)
		c:set("a", false)
		assert.is_false(c:get "a")
		assert.equal(1, c:count())
	end)

	it("drops what was set longest ago", function ()
		local c = filled(2, nil, "abc")
		assert.equal("cb", keys(c))
		assert.equal(2, c:count())
	end)

	it("moves what is set again to the front, and not what is read", function ()
		local c = filled(3, nil, "abc")
		c:get "a"
		assert.equal("cba", keys(c))
		c:set("a", 1)
		assert.equal("acb", keys(c))
		assert.same({ "a", 1 }, { c:head() })
		assert.same({ "b", "B" }, { c:tail() })
	end)

	it("tells who is dropped", function ()
		local dropped = {}
		local c = filled(2, function (key, value) dropped[#dropped + 1] = key .. value end, "abcd")
		assert.same({ "aA", "bB" }, dropped)
		c:set("c", nil)
		c:clear()
		assert.same({ "aA", "bB" }, dropped)
		assert.equal("", keys(c))
	end)

	it("takes nothing new when dropping is refused", function ()
		local c = filled(2, function () return false end, "abc")
		assert.equal("ba", keys(c))
		assert.is_false(c:set("c", 1))
		assert.is_true(c:set("a", 2))
		local strict = filled(1, false, "a")
		assert.is_false(strict:set("b", 1))
	end)

	it("lets on_evict make room by itself", function ()
		local c
		c = cache.new(1, function (_, _, full) full:resize(2) end)
		c:set("a", 1)
		assert.is_true(c:set("b", 2))
		assert.equal("ba", keys(c))
		assert.equal(2, c.size)
	end)

	it("survives an on_evict that removes the very entry", function ()
		local c
		c = cache.new(1, function (key, _, full) full:set(key, nil) end)
		c:set("a", 1)
		assert.is_true(c:set("b", 2))
		assert.equal("b", keys(c))
		assert.equal(1, c:count())
	end)

	it("shrinks from the tail", function ()
		local c = filled(4, nil, "abcd")
		assert.is_true(c:resize(2))
		assert.equal("dc", keys(c))
		local stubborn = filled(2, function () return false end, "ab")
		assert.is_false(stubborn:resize(1))
		assert.equal(2, stubborn:count())
	end)

	it("may be changed while it is walked", function ()
		local c = filled(4, nil, "abcd")
		for key in c:items() do
			c:set(key, nil)
		end
		assert.equal(0, c:count())
		c = filled(4, nil, "abcd")
		local seen = ""
		for key in c:items() do
			seen = seen .. key
			if key == "d" then
				c:set("c", nil)
			end
		end
		assert.equal("d", seen)
	end)

	it("walks values newest first", function ()
		local out = {}
		for value in filled(3, nil, "abc"):values() do
			out[#out + 1] = value
		end
		assert.same({ "C", "B", "A" }, out)
	end)

	it("can be used as a table", function ()
		local c = cache.new(1, false)
		local t = c:table()
		t.a = 1
		assert.equal(1, t.a)
		assert.equal(1, c:get "a")
		assert.equal(t, c:table())
		assert.has_error(function () t.b = 2 end)
		t.a = nil
		assert.is_nil(c:get "a")
	end)

	it("wants a size that is one", function ()
		assert.has_error(function () cache.new() end)
		assert.has_error(function () cache.new(0) end)
		assert.has_error(function () cache.new(-1) end)
		assert.has_error(function () cache.new "3" end)
	end)
end)
