local filters = require "util.filters"

describe("util.filters", function ()
	local session
	before_each(function ()
		session = {}
	end)

	local function add(text)
		return function (data) return data .. text end
	end

	it("passes data on unchanged without filters", function ()
		filters.initialize(session)
		assert.equal("x", session.filter("bytes/in", "x"))
	end)

	it("applies filters by priority, equal ones in order", function ()
		filters.add_filter(session, "bytes/in", add "b")
		filters.add_filter(session, "bytes/in", add "c")
		filters.add_filter(session, "bytes/in", add "a", 10)
		filters.add_filter(session, "bytes/in", add "d", -1)
		filters.add_filter(session, "bytes/out", add "other")
		assert.equal("xabcd", session.filter("bytes/in", "x"))
	end)

	it("drops what a filter answers nil to", function ()
		local reached = false
		filters.add_filter(session, "stanzas/in", function () return nil end)
		filters.add_filter(session, "stanzas/in", function () reached = true end)
		assert.is_nil(session.filter("stanzas/in", {}))
		assert.is_false(reached)
	end)

	it("tells filters the session", function ()
		local got
		filters.add_filter(session, "stanzas/in", function (data, s)
			got = s
			return data
		end)
		session.filter("stanzas/in", 1)
		assert.equal(session, got)
	end)

	it("leaves no empty lists behind", function ()
		local f = add "x"
		filters.add_filter(session, "bytes/in", f)
		filters.remove_filter(session, "bytes/in", f)
		filters.remove_filter(session, "bytes/in", f)
		assert.is_nil(session.filters["bytes/in"])
		filters.remove_filter({}, "bytes/in", f)
	end)

	it("lets a filter remove itself while it runs", function ()
		local function once(data)
			filters.remove_filter(session, "bytes/in", once)
			return data .. "1"
		end
		filters.add_filter(session, "bytes/in", once)
		filters.add_filter(session, "bytes/in", add "2")
		assert.equal("x12", session.filter("bytes/in", "x"))
		assert.equal("x2", session.filter("bytes/in", "x"))
	end)

	it("tells hooks about each session once", function ()
		local seen = {}
		local function hook(s) seen[#seen + 1] = s end
		filters.add_filter_hook(hook)
		filters.initialize(session)
		filters.initialize(session)
		filters.remove_filter_hook(hook)
		filters.initialize({})
		assert.same({ session }, seen)
	end)
end)
