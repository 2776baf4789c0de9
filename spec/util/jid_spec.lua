require "couplet_core"
local jid = require "util.jid"

describe("util.jid", function()
	it("is one table under both names", function()
		assert.equal(jid, require "prosody.util.jid")
	end)

	it("splits what is written, without preparing it", function()
		assert.same({ "A", "B", "C" }, { jid.split "A@B/C" })
		assert.same({ nil, "b", "c/d@e" }, { jid.split "b/c/d@e" })
		assert.same({ "a", "b" }, { jid.split "a@b" })
		for _, text in ipairs { "", "@b/c", "a@b/", "/c", "a@", "a@b@c/d" } do
			assert.is_nil(jid.split(text), text)
		end
	end)

	it("takes the parts one by one", function()
		assert.equal("a", jid.node "a@b/c")
		assert.equal("b", jid.host "a@b/c")
		assert.equal("c", jid.resource "a@b/c")
		assert.is_nil(jid.node "b/c")
		assert.is_nil(jid.resource "a@b")
		assert.is_nil(jid.host "@")
	end)

	it("cuts the resource off", function()
		assert.equal("A@b", jid.bare "A@b/c")
		assert.equal("b", jid.bare "b/c/d")
		assert.equal("a@b", jid.bare "a@b")
		assert.is_nil(jid.bare "@x")
	end)

	it("answers nil to nil, everywhere", function()
		for _, name in ipairs { "split", "prepped_split", "bare", "node", "host", "resource", "prep", "escape",
			"unescape" } do
			assert.is_nil((jid[name](nil)), name)
			assert.is_nil((jid[name]()), name)
		end
		assert.is_nil(jid.join(nil, nil, nil))
		assert.is_nil(jid.join("a", nil, "c"))
	end)

	it("does not take a table for a JID", function()
		assert.has_error(function() jid.split {} end)
		assert.has_error(function() jid.join({}, "b") end)
	end)

	it("prepares while it splits", function()
		assert.same({ "a", "b", "C" }, { jid.prepped_split "A@B./C" })
		assert.is_nil(jid.prepped_split "a b@c")
		assert.equal("a@b/C", jid.prep "A@B/C")
		assert.equal("b", jid.prep "B.")
	end)

	it("refuses unassigned characters in the resource when asked to be strict", function()
		assert.equal("a@b/😀", jid.prep "a@b/😀")
		assert.is_nil(jid.prep("a@b/😀", true))
		assert.is_nil(jid.prepped_split("a@b/😀", true))
		assert.equal("a@b/é", jid.prep("a@b/é", true))
		assert.equal("a@b", jid.prep("a@b", true))
	end)

	it("joins", function()
		assert.equal("a@b/c", jid.join("a", "b", "c"))
		assert.equal("a@b", jid.join("a", "b"))
		assert.equal("b/c", jid.join(nil, "b", "c"))
		assert.equal("b", jid.join(nil, "b"))
	end)

	it("joins what it split", function()
		for _, text in ipairs { "a@b/c", "b", "b/c", "a@b", "a@b/c/d@e" } do
			assert.equal(text, jid.join(jid.split(text)))
		end
	end)

	it("compares a JID with a pattern: the parts a pattern has must be equal", function()
		for _, pattern in ipairs { "host", "user@host", "host/res", "user@host/res" } do
			assert.is_true(jid.compare("user@host/res", pattern), pattern)
		end
		for _, pattern in ipairs { "other", "other@host", "host/other", "user@other/res", "User@host", "res", "user" } do
			assert.is_false(jid.compare("user@host/res", pattern), pattern)
		end
		assert.is_false(jid.compare("user@host", "user@host/res"))
		assert.is_false(jid.compare("host", "user@host"))
		assert.is_true(jid.compare("host", "host"))
	end)

	it("lets a broken pattern cover nothing", function()
		for _, pattern in ipairs { "", "@host", "user@", "a@b@c" } do assert.is_false(jid.compare("user@host", pattern)) end
		assert.is_false(jid.compare("user@host", nil))
		assert.is_false(jid.compare(nil, "host"))
		assert.is_false(jid.compare(nil, nil))
	end)
end)

describe("XEP-0106 escaping", function()
	-- The table of section 5.1, and the examples of 4.2 and 5.2.
	local examples = {
		{ "space cadet", "space\\20cadet" }, { "call me \"ishmael\"", "call\\20me\\20\\22ishmael\\22" },
		{ "at&t guy", "at\\26t\\20guy" }, { "d'artagnan", "d\\27artagnan" }, { "/.fanboy", "\\2f.fanboy" },
		{ "::foo::", "\\3a\\3afoo\\3a\\3a" }, { "<foo>", "\\3cfoo\\3e" }, { "user@host", "user\\40host" },
		{ "c:\\net", "c\\3a\\net" }, { "c:\\\\net", "c\\3a\\\\net" }, { "c:\\cool stuff", "c\\3a\\cool\\20stuff" },
		{ "c:\\5commas", "c\\3a\\5c5commas" }, { "\\3and\\2is\\5cool", "\\5c3and\\2is\\5c5cool" },
		{ "here's_a_wild_&_/cr%zy/_address", "here\\27s_a_wild_\\26_\\2fcr%zy\\2f_address" },
		{ "\\2plus\\2is\\4", "\\2plus\\2is\\4" }, { "foo\\bar", "foo\\bar" }, { "foob\\41r", "foob\\41r" },
		{ "\\27", "\\5c27" }, { "\\5c", "\\5c5c" }, { "", "" }, { "\\", "\\" }, { "\\2", "\\2" }, { "tréville", "tréville" },
		{ "\\2F", "\\2F" }, -- case is significant
	}

	it("does what the tables say, both ways", function()
		for _, example in ipairs(examples) do
			assert.equal(example[2], jid.escape(example[1]))
			assert.equal(example[1], jid.unescape(example[2]))
		end
	end)

	it("makes a node of any of them", function()
		for _, example in ipairs(examples) do
			if example[1] ~= "" then assert.is_string(jid.prep(jid.escape(example[1]) .. "@x"), example[1]) end
		end
	end)

	it("neither begins nor ends a node with \\20", function()
		assert.equal(" a ", jid.escape " a ")
		assert.is_nil(jid.prep(jid.escape " a " .. "@x"))
		assert.equal("\\20a\\20", jid.unescape "\\20a\\20")
		assert.equal("a b", jid.unescape "a\\20b")
	end)

	it("comes back the same for random texts", function()
		math.randomseed(3)
		local alphabet = " \"&'/:<>@\\2056cfea7"
		for _ = 1, 5000 do
			local text = {}
			for i = 1, math.random(0, 12) do
				local at = math.random(#alphabet)
				text[i] = alphabet:sub(at, at)
			end
			text = table.concat(text)
			if jid.unescape(jid.escape(text)) ~= text then assert.equal(text, jid.unescape(jid.escape(text))) end
		end
	end)
end)
