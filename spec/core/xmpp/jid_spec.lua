--- The normal form of JIDs (core/xmpp/jid.c, jid_prep.c), seen through util.jid.
require "couplet_core"
local jid = require "util.jid"
local stringprep = require "util.encodings".stringprep

local function prep_host(host) return jid.prep(host) end
local function prep_node(node) return jid.node(jid.prep(node .. "@x") or "") end
local function prep_resource(resource) return jid.resource(jid.prep("x/" .. resource) or "") end

-- Every character of the planes that hold scripts and of the one that holds tags; of the empty ones, some.
local function each_character()
	return coroutine.wrap(function()
		for point = 1, 0x10ffff do
			local is_dense = point < 0x10800 or point >= 0x1d000 and point < 0x20000 or point >> 12 == 0xe0
			if (is_dense or point % 257 == 0) and (point < 0xd800 or point > 0xdfff) then
				coroutine.yield(utf8.char(point), point)
			end
		end
	end)
end

describe("A JID", function()
	it("is kept as it is when it is in normal form", function()
		for _, text in ipairs { "montague.lit", "romeo@montague.lit", "romeo@montague.lit/orchard", "montague.lit/x",
			"d\\27artagnan@musketeers.lit", "a.b-c_d+e=f@x1.y2/ a b ", "a@b/c/d@e/", "x/'\"&<>:@ ~", "1@2/3",
			"!#$%()*+,-.;=?[\\]^_`{|}~@x" } do
			assert.equal(text, jid.prep(text))
		end
	end)

	it("is refused when a part is empty or an @ too many", function()
		for _, text in ipairs { "", "@", "/", "@/", "a@", "@a", "a@/", "a@/b", "/a", "a/", "a@b/", "a@b@c", "@a/b",
			"a@@b" } do
			assert.is_nil(jid.prep(text), text)
		end
	end)

	it("takes the first slash as the beginning of the resource, whatever follows", function()
		assert.same({ "a", "b", "c@d/e" }, { jid.prepped_split("a@b/c@d/e") })
		assert.same({ nil, "b", "c@d/e" }, { jid.prepped_split("b/c@d/e") })
	end)

	it("has parts of 1 to 1023 bytes after preparation, never cut", function()
		local long = ("a"):rep(1023)
		assert.equal(long .. "@x", jid.prep(long .. "@x"))
		assert.equal("x/" .. long, jid.prep("x/" .. long))
		assert.is_nil(jid.prep(long .. "a@x"))
		assert.is_nil(jid.prep("x/" .. long .. "a"))
		local labels = ("abcdefgh."):rep(113) .. "abcdef"
		assert.equal(1023, #labels)
		assert.equal(labels, jid.prep(labels))
		assert.is_nil(jid.prep(labels .. "g"))

		local cut = ("a"):rep(1022) .. "é" -- 1024 bytes, 1023 characters
		assert.is_nil(jid.prep(cut .. "@x"))
		assert.is_nil(jid.prep("x/" .. cut))
		assert.equal("x/" .. ("a"):rep(1021) .. "é", jid.prep("x/" .. ("a"):rep(1021) .. "é"))
		assert.equal(("a"):rep(1023) .. "@x", jid.prep(("Ａ"):rep(1023) .. "@x")) -- shrinks
		assert.is_nil(jid.prep("x/" .. ("\u{fdfa}"):rep(100))) -- 300 bytes that would become 3300
	end)

	it("holds no NUL, no control character and no broken UTF-8", function()
		for _, bad in ipairs { "\0", "\1", "\n", "\t", "\x7f", "\u{80}", "\u{9f}", "\xff", "\xc0\xaf", "\xed\xa0\x80",
			"\xf4\x90\x80\x80", "\xe2\x98", "\u{fffe}", "\u{fdd0}", "\u{e000}", "\u{fffd}", "\u{2028}" } do
			for _, text in ipairs { "a" .. bad .. "b@x", "a" .. bad .. "b", "x/a" .. bad .. "b", "é" .. bad .. "@x",
				"x/é" .. bad } do
				assert.is_nil(jid.prep(text), ("%q"):format(text))
			end
		end
	end)

	it("keeps nine characters out of the node (RFC 7622 3.3.1)", function()
		for c in ("\"&'/:<>@ "):gmatch "." do
			assert.is_nil(prep_node("a" .. c .. "b"), c)
			assert.is_nil(stringprep.nodeprep("a" .. c .. "b"), c)
		end
		for _, wide in ipairs { "＂", "＆", "＇", "／", "：", "＜", "＞", "＠", "\u{a0}", "\u{3000}", "℀" } do
			assert.is_nil(prep_node("a" .. wide .. "b"), wide)
		end
	end)
end)

describe("The normal form", function()
	-- Two spellings, one node; what a reader takes for the same must be the same for login, roster, store and s2s.
	local same_node = {
		{ "ROMEO", "romeo" }, { "Ｒｏｍｅｏ", "romeo" }, { "STRASSE", "straße" }, { "K", "k" }, { "Å", "å" },
		{ "ﬀ", "ff" }, { "ﬃ", "ffi" }, { "e\u{301}", "é" }, { "É", "é" }, { "E\u{301}", "é" }, { "Σ", "σ" }, { "ς", "σ" },
		{ "①", "1" }, { "²", "2" }, { "℡", "tel" }, { "㎏", "kg" }, { "ａ\u{301}", "á" }, { "𝐀", "a" }, { "𝓪", "a" },
		{ "a\u{200d}b", "ab" }, { "a\u{ad}b", "ab" }, { "a\u{200b}b", "ab" }, { "a\u{feff}b", "ab" }, { "a\u{2060}b", "ab" },
		{ "İ", "i\u{307}" }, { "ǰ", "j\u{30c}" }, { "Ω", "ω" }, { "ſ", "s" }, { "ŉ", "ʼn" }, { "Ǆ", "dž" }, { "ㅎ", "ᄒ" },
		{ "가", "\u{1100}\u{1161}" }, { "ｶﾞ", "ガ" }, { "ЖУРНАЛ", "журнал" }, { "ΑΒΓ", "αβγ" }, { "Ⅸ", "ix" }, { "ª", "a" },
		{ "a\u{323}\u{302}", "ậ" }, { "a\u{302}\u{323}", "ậ" }, { "\u{1e69}", "s\u{307}\u{323}" },
	}

	it("makes one node of every pair of spellings", function()
		for _, pair in ipairs(same_node) do
			local a, b = prep_node(pair[1]), prep_node(pair[2])
			assert.is_string(a, pair[1])
			assert.equal(b, a, pair[1] .. " and " .. pair[2])
			assert.equal(a, stringprep.nodeprep(pair[1], true))
		end
	end)

	it("keeps apart what only looks alike", function()
		for _, pair in ipairs { { "alice", "аlice" }, { "o", "ο" }, { "i", "ı" }, { "l", "1" }, { "paypal", "раураl" } } do
			assert.is_not.equal(prep_node(pair[1]), prep_node(pair[2]))
		end
	end)

	it("is its own normal form, for every character, in every part", function()
		local n, broken = 0, {}
		for character, point in each_character() do
			for _, prep in ipairs { prep_node, prep_host, prep_resource } do
				local once = prep("a" .. character)
				if once then
					n = n + 1
					if prep(once) ~= once then broken[#broken + 1] = ("U+%04X"):format(point) end
				end
			end
		end
		assert.same({}, broken)
		assert.is_true(n > 150000)
	end)

	it("is its own normal form for random texts of many scripts", function()
		math.randomseed(7)
		local ranges = { { 0x20, 0x7e }, { 0xa0, 0x24f }, { 0x300, 0x36f }, { 0x370, 0x52f }, { 0x5d0, 0x5ea },
			{ 0x620, 0x64a }, { 0x1100, 0x11ff }, { 0x1e00, 0x1fff }, { 0x2000, 0x206f }, { 0x2100, 0x218f }, { 0x3000, 0x30ff },
			{ 0xac00, 0xac40 }, { 0xf900, 0xfaff }, { 0xfb00, 0xfdff }, { 0xff00, 0xffef }, { 0x1d400, 0x1d7ff } }
		local accepted = 0
		for _ = 1, 30000 do
			local characters = {}
			for i = 1, math.random(1, 6) do
				local range = ranges[math.random(#ranges)]
				characters[i] = utf8.char(math.random(range[1], range[2]))
			end
			local text = table.concat(characters)
			for _, prep in ipairs { prep_node, prep_host, prep_resource } do
				local once = prep(text)
				if once then
					accepted = accepted + 1
					if prep(once) ~= once then assert.equal(once, prep(once), ("%q"):format(text)) end
				end
			end
		end
		assert.is_true(accepted > 5000)
	end)

	it("has nothing that Unicode 3.2 did not know in nodes and hosts", function()
		for _, new in ipairs { "😀", "\u{221}", "\u{1e9e}", "\u{2c00}", "\u{a64a}", "\u{10d0}\u{1c90}" } do
			assert.is_nil(prep_node("a" .. new), new)
			assert.is_nil(prep_host("a" .. new), new)
		end
	end)

	it("allows emoji and mixed directions in resources, as RFC 7622 3.4 does", function()
		for _, resource in ipairs { "😀", "phone 📱", "احمد2", "a ש b" } do
			assert.equal(resource, prep_resource(resource))
		end
	end)

	it("allows nothing in resources that turns text round or hides in it", function()
		for _, point in ipairs { 0x200e, 0x200f, 0x202a, 0x202e, 0x2066, 0x2069, 0x61c, 0x206a, 0xe0041, 0xe0101, 0xfff9 } do
			assert.is_nil(prep_resource("a" .. utf8.char(point) .. "b"), ("U+%04X"):format(point))
		end
	end)

	it("does not mix directions in nodes and hosts", function()
		assert.equal("שלום", prep_node("שלום"))
		assert.is_nil(prep_node("aשb"))
		assert.is_nil(prep_node("\u{627}1"))
		assert.is_nil(prep_host("aשb"))
		assert.equal("שלום.example", prep_host("שלום.example")) -- each label by itself
	end)
end)

describe("A host", function()
	it("is lower case, without the last dot", function()
		assert.equal("example.com", prep_host("EXAMPLE.com."))
		assert.equal("localhost", prep_host("localhost"))
		assert.equal("a", prep_host("a."))
		for _, host in ipairs { ".", "..", "a..", ".a", "a..b" } do assert.is_nil(prep_host(host), host) end
	end)

	it("has labels of letters, digits and hyphens inside", function()
		for _, host in ipairs { "a-b.c", "a--b", "1.2", "a_b.c", "xmpp1" } do assert.equal(host, prep_host(host)) end
		for _, host in ipairs { "-a", "a-", "a.-b", "a-.b", "a b", "a!b", "a\\b", "a:5222", "a%b", "bücher-.de", "-bücher.de",
			"bü cher.de", ("a"):rep(64), "b." .. ("a"):rep(64) .. ".c", "[a]", "a]" } do
			assert.is_nil(prep_host(host), host)
		end
		assert.equal(("a"):rep(63), prep_host(("a"):rep(63)))
	end)

	it("has one form for U-labels, A-labels and the dots of other scripts", function()
		for _, host in ipairs { "bücher.example", "BÜCHER.EXAMPLE", "xn--bcher-kva.example", "XN--BCHER-KVA.example",
			"bu\u{308}cher.example", "bücher。example", "bücher．example", "bücher｡example", "ｘｎ－－ｂｃｈｅｒ－ｋｖａ．example" } do
			assert.equal("bücher.example", prep_host(host), host)
		end
	end)

	it("has no dots, slashes or signs that normalisation brings in", function()
		for _, host in ipairs { "a\u{2024}b", "a‥b", "a／b", "a＠b", "℀", "⒈com", "a\u{2488}b", "a：b" } do
			assert.is_nil(prep_host(host), host)
		end
	end)

	it("refuses A-labels that are shams", function()
		for _, host in ipairs { "xn--", "xn---", "xn--a", "xn--paypal-", "xn--a-", "xn--99999999", "xn--BCHER-KVA-",
			"xn--bcher-kva-.example", "xn--fiqs8s\u{e9}" } do
			assert.is_nil(prep_host(host), host)
		end
		assert.is_nil(prep_host("xn--cafe-yvc")) -- an e and an accent, which are one letter
	end)

	it("keeps names of newer rules as A-labels, apart from what older rules make of them", function()
		assert.equal("strasse.de", prep_host("straße.de"))
		assert.equal("xn--strae-oqa.de", prep_host("xn--strae-oqa.de"))
		assert.equal("xn--e28h.example", prep_host("xn--e28h.example")) -- an emoji
	end)

	it("may be an address, in one spelling", function()
		assert.equal("192.0.2.1", prep_host("192.0.2.1"))
		for _, host in ipairs { "[2001:db8::1]", "[2001:DB8::1]", "[2001:db8:0:0:0:0:0:1]", "[2001:0db8::0001]" } do
			assert.equal("[2001:db8::1]", prep_host(host))
		end
		for _, host in ipairs { "[]", "[::1", "::1", "[::1]x", "[fe80::1%eth0]", "[127.0.0.1]", "[::g]", "[[::1]]", "[::1].",
			"[::1\0]" } do
			assert.is_nil(prep_host(host), host)
		end
		assert.equal("a@[::1]/x", jid.prep("a@[0:0::1]/x"))
	end)
end)
