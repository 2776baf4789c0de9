-- Counting and keeping (core/xmpp/sm.c): XEP-0198 sections 3, 4 and 6, and what is left of a stream that broke.
local T = require "couplet_core"

local TOP = 0xffffffff

local function sends(sm, ...)
	for _, text in ipairs { ... } do assert.is_true(sm:sent(text)) end
end

local function left(sm, written)
	local never, perhaps = {}, {}
	while true do
		local text, is_sent = sm:takes(written)
		if not text then break end
		table.insert(is_sent and perhaps or never, text)
	end
	return table.concat(perhaps, " "), table.concat(never, " ")
end

describe("Stream management is agreed on", function ()
	it("by <enable/> and <enabled/>, once", function ()
		local ours, theirs = T.sm.new(), T.sm.new()
		assert.is_true(ours:enable())
		assert.is_false(ours:counts_out()) -- they may still refuse
		assert.is_true(theirs:accept())
		assert.is_true(theirs:counts_out() and theirs:counts_in())
		assert.is_true(ours:enabled())
		assert.is_true(ours:counts_out() and ours:counts_in())
		assert.is_false(ours:enable())
		assert.is_false(ours:enabled())
		assert.is_false(ours:accept())
		assert.is_false(theirs:accept())
		assert.is_false(theirs:enable())
	end)

	it("not by an answer nobody asked for", function ()
		local sm = T.sm.new()
		assert.is_false(sm:enabled())
		assert.is_false(sm:refused())
	end)

	it("not when they refuse: then what was sent counts for nothing", function ()
		local sm = T.sm.new()
		sm:enable()
		sends(sm, "a", "b")
		assert.is_true(sm:refused())
		assert.equal("unexpected", sm:acknowledge "2")
		assert.is_false(sm:may_ask())
		sm:forget_written(1)
		assert.same({ "", "b" }, { left(sm, 1) })
		assert.is_true(sm:enable()) -- as if nothing had been
	end)
end)

describe("An <a/>", function ()
	local sm
	before_each(function ()
		sm = T.sm.new()
		sm:accept()
	end)

	it("forgets what it acknowledges, whether it was asked for or not", function ()
		sends(sm, "a", "b", "c")
		assert.equal("ok", sm:acknowledge "2")
		assert.equal(1, (select(2, sm:counts())))
		assert.equal("ok", sm:acknowledge "2")
		assert.equal("ok", sm:acknowledge "3")
		assert.same({ 3, 0, 0, 0 }, { sm:counts() })
	end)

	it("may say nothing new", function ()
		assert.equal("ok", sm:acknowledge "0")
		sends(sm, "a")
		assert.equal("ok", sm:acknowledge "0")
		assert.equal(1, (select(2, sm:counts())))
	end)

	it("must not acknowledge more than was sent, nor less than before", function ()
		sends(sm, "a", "b")
		assert.equal("too-high", sm:acknowledge "3")
		assert.equal("ok", sm:acknowledge "2")
		assert.equal("too-high", sm:acknowledge "1")
		assert.equal("too-high", sm:acknowledge(tostring(TOP)))
	end)

	it("needs a count: nothing, signs, letters, fractions and more than 32 bits are none", function ()
		for _, h in ipairs { "", "-1", "+1", "1.0", "0x1", "one", " 1", "4294967296", ("9"):rep(20), ("0"):rep(30) } do
			assert.equal("malformed", sm:acknowledge(h), h)
		end
		assert.equal("malformed", sm:acknowledge(nil))
		assert.equal("ok", sm:acknowledge "0000")
	end)

	it("is not expected before it was agreed on", function ()
		local other = T.sm.new()
		assert.equal("unexpected", other:acknowledge "0")
		other:enable()
		assert.equal("unexpected", other:acknowledge "0")
	end)
end)

describe("Counters", function ()
	it("of what is sent go on from 2^32-1 to 0", function ()
		local sm = T.sm.new()
		sm:accept()
		sm:count_from(TOP - 1, 0)
		sends(sm, "a", "b", "c", "d")
		assert.equal(2, (sm:counts()))
		assert.equal("ok", sm:acknowledge(tostring(TOP)))
		assert.equal(3, (select(2, sm:counts())))
		assert.equal("too-high", sm:acknowledge "3")
		assert.equal("too-high", sm:acknowledge(tostring(TOP - 1)))
		assert.equal("ok", sm:acknowledge "0")
		assert.equal("ok", sm:acknowledge "2")
		assert.equal(0, (select(2, sm:counts())))
	end)

	it("of what is handled do too", function ()
		local sm = T.sm.new()
		sm:accept()
		sm:count_from(0, TOP)
		assert.equal(TOP, sm:handled(false))
		sm:received()
		assert.equal(TOP, sm:handled(true))
		assert.equal(0, sm:handled(false))
		sm:received()
		assert.equal(1, sm:handled(false))
	end)

	it("of what is handled begin with the agreement, leave out what is still being handled, and never go back", function ()
		local sm = T.sm.new()
		sm:received()
		assert.equal(0, sm:handled(false))
		sm:enable()
		sm:received()
		sm:enabled()
		assert.equal(0, sm:handled(false))
		sm:received()
		sm:received()
		assert.equal(1, sm:handled(true))
		assert.equal(2, sm:handled(false))
		assert.equal(2, sm:handled(true))
	end)

	it("of what is sent begin with the question, not with its answer", function ()
		local sm = T.sm.new()
		sends(sm, "before")
		sm:enable()
		sends(sm, "a")
		sm:enabled()
		sends(sm, "b")
		assert.equal(2, (sm:counts()))
		assert.equal("ok", sm:acknowledge "1") -- of what came before the question it must have read all
		assert.same({ "", "b" }, { left(sm, 0) })
	end)
end)

describe("It is asked", function ()
	local sm
	before_each(function ()
		sm = T.sm.new { ask_stanzas = 2, ask_bytes = 100 }
		sm:accept()
	end)

	it("when more than so many were sent since the last time", function ()
		sends(sm, "a", "b")
		assert.is_false(sm:should_ask())
		sends(sm, "c")
		assert.is_true(sm:should_ask())
	end)

	it("or so many bytes", function ()
		sends(sm, ("x"):rep(101))
		assert.is_true(sm:should_ask())
	end)

	it("not while a question is open, nor about nothing", function ()
		assert.is_false(sm:may_ask())
		sends(sm, "a", "b", "c")
		sm:asked()
		sends(sm, "d", "e", "f")
		assert.is_false(sm:should_ask())
		assert.is_false(sm:may_ask())
		sm:acknowledge "3"
		assert.is_true(sm:should_ask())
		sm:acknowledge "6"
		assert.is_false(sm:may_ask())
	end)
end)

describe("What is kept", function ()
	it("is bounded in stanzas, in bytes, and in bytes for all streams", function ()
		local few = T.sm.new { max_stanzas = 2 }
		few:accept()
		sends(few, "a", "b")
		assert.is_false(few:sent "c")
		few:acknowledge "1"
		sends(few, "c")
		for _, limit in ipairs { "max_bytes", "all_bytes" } do
			local small = T.sm.new { [limit] = 1000 }
			small:accept()
			assert.is_false(small:sent(("x"):rep(1001)))
			sends(small, ("x"):rep(600))
			assert.is_false(small:sent(("x"):rep(600)))
			small:acknowledge "1"
			sends(small, ("x"):rep(600))
		end
	end)

	it("is given back to the account of all", function ()
		local sm = T.sm.new()
		sends(sm, "a", ("b"):rep(5000))
		assert.is_true(select(4, sm:counts()) > 5000)
		assert.equal(0, sm:close())
	end)

	it("goes as it leaves while nobody counts", function ()
		local sm = T.sm.new()
		sends(sm, "aaaa", "bbbb", "cccc")
		sm:forget_written(7)
		assert.equal(2, (select(3, sm:counts())))
		sm:forget_written(8)
		assert.equal(1, (select(3, sm:counts())))
	end)

	it("stays although it has left where somebody counts", function ()
		local sm = T.sm.new()
		sm:accept()
		sends(sm, "aaaa", "bbbb")
		sm:forget_written(8)
		assert.equal(2, (select(3, sm:counts())))
	end)

	it("has after a break arrived perhaps, as far as a byte of it left, or not at all", function ()
		local sm = T.sm.new()
		sm:accept()
		sends(sm, "aaaa", "bbbb", "cccc", "dddd")
		sm:acknowledge "1"
		assert.equal(12, sm:first_unsent(9))
		assert.same({ "bbbb cccc", "dddd" }, { left(sm, 9) })
		sends(sm, "eeee")
		assert.same({ "", "eeee" }, { left(sm, 16) })
		assert.is_nil(sm:first_unsent(0))
	end)
end)
