local rsm = require "util.rsm"
local st = require "util.stanza"

local xmlns = "http://jabber.org/protocol/rsm"

describe("util.rsm", function ()
	local function set()
		return st.stanza("set", { xmlns = xmlns })
	end

	it("reads requests", function ()
		assert.same({ max = 10 }, rsm.parse(set():text_tag("max", "10")))
		assert.same({ after = "a1", max = 0 }, rsm.parse(set():text_tag("max", "0"):text_tag("after", "a1")))
		assert.same({ before = "b1" }, rsm.parse(set():text_tag("before", "b1")))
		assert.same({ index = 5 }, rsm.parse(set():text_tag("index", "5")))
	end)

	it("tells an empty before from none", function ()
		assert.is_true(rsm.parse(set():tag("before"):up()).before)
		assert.is_nil(rsm.parse(set()).before)
	end)

	it("reads results", function ()
		local fields = rsm.parse(set():text_tag("first", "a", { index = "3" }):text_tag("last", "z"):text_tag("count", "99"))
		assert.same({ first = { index = 3, "a" }, last = "z", count = 99 }, fields)
	end)

	it("ignores what makes no sense", function ()
		local odd = set():text_tag("max", "many"):text_tag("count", "-1"):text_tag("index", "1.5"):text_tag("x", "y")
		assert.same({}, rsm.parse(odd))
	end)

	it("finds the set inside a query", function ()
		local query = st.stanza("query", { xmlns = "urn:x" }):add_child(set():text_tag("max", "3"))
		assert.same({ max = 3 }, rsm.get(query))
		assert.is_nil(rsm.get(st.stanza "query"))
	end)

	it("reads back what it writes", function ()
		local fields = { after = "a", max = 20, first = { index = 0, "f" }, last = "l", count = 7, index = 2 }
		local made = rsm.generate(fields)
		assert.equal(xmlns, made.attr.xmlns)
		assert.same(fields, rsm.parse(made))
		assert.same({ before = true }, rsm.parse(rsm.generate { before = true }))
		assert.same({ before = "x" }, rsm.parse(rsm.generate { before = "x" }))
		assert.equal("20", rsm.generate({ max = 20.0 }):get_child_text "max")
		assert.equal("f", rsm.generate({ first = "f" }):get_child_text "first")
	end)
end)
