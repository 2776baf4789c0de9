require "couplet_core"
local encodings = require "util.encodings"
local base64, stringprep, idna = encodings.base64, encodings.stringprep, encodings.idna

describe("base64", function()
	local vectors = { -- RFC 4648 10
		[""] = "", f = "Zg==", fo = "Zm8=", foo = "Zm9v", foob = "Zm9vYg==", fooba = "Zm9vYmE=", foobar = "Zm9vYmFy",
		["\0"] = "AA==", ["\255\255\255"] = "////", ["\251\239\190"] = "++++",
	}

	it("encodes and decodes the examples of RFC 4648", function()
		for bytes, text in pairs(vectors) do
			assert.equal(text, base64.encode(bytes))
			assert.equal(bytes, base64.decode(text))
			assert.equal(bytes, base64.decode(text, true))
		end
	end)

	it("comes back the same for random bytes of all lengths", function()
		local random = require "util.random"
		for len = 0, 300 do
			local bytes = random.bytes(len)
			assert.equal(bytes, base64.decode(base64.encode(bytes), true))
		end
	end)

	it("refuses everything that is not the one spelling of a value", function()
		for _, text in ipairs { "Z", "Zg", "Zg=", "Zg===", "Zg==Zg==", "Zm9v=", "=", "==", "====", "Zm=9", "Z===", "Zh==",
			"Zm9=", "Zm9v!", "Zm9v\0", "Zm-_", "Zm9vYg==x", "\255\255\255\255" } do
			assert.is_nil(base64.decode(text), text)
			assert.is_nil(base64.decode(text, true), text)
		end
	end)

	it("skips line breaks and spaces, unless strict", function()
		assert.equal("foobar", base64.decode "Zm9v\r\nYm Fy\n")
		assert.equal("f", base64.decode "Zg=\n=")
		assert.is_nil(base64.decode("Zm9v\nYmFy", true))
	end)
end)

describe("stringprep", function()
	it("does the examples of SASLprep (RFC 4013 3)", function()
		assert.equal("IX", stringprep.saslprep "I\u{ad}X")
		assert.equal("user", stringprep.saslprep "user")
		assert.equal("USER", stringprep.saslprep "USER")
		assert.equal("a", stringprep.saslprep "\u{aa}")
		assert.equal("IX", stringprep.saslprep "\u{2168}")
		assert.is_nil(stringprep.saslprep "\u{7}")
		assert.is_nil(stringprep.saslprep "\u{627}\u{31}")
		assert.equal("a b", stringprep.saslprep "a\u{a0}b")
	end)

	it("does the examples of nameprep (RFC 3454, draft-josefsson-idn-test-vectors)", function()
		for input, output in pairs {
			["foo\u{ad}\u{34f}\u{1806}\u{180b}bar\u{200b}\u{2060}baz\u{fe00}\u{fe08}\u{fe0f}\u{feff}"] = "foobarbaz",
			["CAFE"] = "cafe", ["\u{df}"] = "ss", ["\u{130}"] = "i\u{307}", ["\u{143}\u{37a}"] = "\u{144} \u{3b9}",
			["j\u{30c}\u{a0}\u{aa}"] = "\u{1f0} a", ["\u{1fb7}"] = "\u{1fb6}\u{3b9}", ["\u{1f0}"] = "\u{1f0}",
			["\u{390}"] = "\u{390}", ["\u{3b0}"] = "\u{3b0}", ["\u{1e96}"] = "\u{1e96}", ["\u{1f56}"] = "\u{1f56}",
			["\u{2121}\u{33c6}"] = "telc\u{2215}kg",
		} do
			assert.equal(output, stringprep.nameprep(input, true), input)
		end
		for _, input in ipairs { "\u{1680}", "\u{85}", "\u{180e}", "\u{f123}", "\u{f1234}", "\u{8fffe}", "\u{fff9}",
			"\u{2ff5}", "\u{341}\u{200e}", "\u{e0001}", "\u{e0042}", "foo\u{5be}bar", "\u{627}\u{31}" } do
			assert.is_nil(stringprep.nameprep(input), input)
		end
	end)

	it("lets unassigned characters pass, unless strict", function()
		for _, name in ipairs { "nameprep", "nodeprep", "resourceprep", "saslprep" } do
			assert.equal("a\u{221}", stringprep[name] "a\u{221}", name)
			assert.is_nil(stringprep[name]("a\u{221}", true), name)
			assert.equal("é", stringprep[name]("é", true), name)
		end
	end)

	it("keeps the profiles apart", function()
		assert.equal("a b", stringprep.nameprep "A b")
		assert.is_nil(stringprep.nodeprep "a b")
		assert.equal("A b", stringprep.resourceprep "A b")
		assert.equal("A b", stringprep.saslprep "A b")
	end)

	it("leaves the empty text, refuses NUL and broken UTF-8, and asks for text", function()
		for _, name in ipairs { "nameprep", "nodeprep", "resourceprep", "saslprep" } do
			assert.equal("", stringprep[name] "")
			assert.is_nil(stringprep[name] "a\0b")
			assert.is_nil(stringprep[name] "\xff")
			assert.is_nil(stringprep[name](("é"):rep(5000)))
			assert.has_error(function() stringprep[name](nil) end)
		end
	end)
end)

describe("IDNA", function()
	it("turns names into A-labels and back", function()
		for unicode, ascii in pairs { ["bücher.example"] = "xn--bcher-kva.example", ["例え.テスト"] = "xn--r8jz45g.xn--zckzah",
			["президент.рф"] = "xn--d1abbgf6aiiy.xn--p1ai", ["example.com"] = "example.com", ["a.b-c"] = "a.b-c" } do
			assert.equal(ascii, idna.to_ascii(unicode))
			assert.equal(unicode, idna.to_unicode(ascii))
			assert.equal(ascii, idna.to_ascii(ascii))
			assert.equal(unicode, idna.to_unicode(unicode))
		end
		assert.equal("a.b", idna.to_ascii "A.b.")
	end)

	it("refuses what is no host name", function()
		for _, host in ipairs { "", ".", "a..b", "a_b.c", "a b", "[::1]", "-a", "xn--a", "\xff", "a\0b", ("a"):rep(64),
			("abcdefgh."):rep(29) .. "com" } do
			assert.is_nil(idna.to_ascii(host), host)
		end
		assert.is_nil(idna.to_unicode "xn--a")
	end)
end)

describe("utf8", function()
	it("tells text from bytes and counts characters", function()
		assert.is_true(encodings.utf8.valid "é€😀")
		assert.is_false(encodings.utf8.valid "\xff")
		assert.is_false(encodings.utf8.valid "\xed\xa0\x80")
		assert.equal(3, encodings.utf8.length "é€😀")
		assert.equal(0, encodings.utf8.length "")
		assert.same({ nil, "invalid utf8" }, { encodings.utf8.length "\xff" })
	end)
end)

describe("The skeleton of a name", function()
	local skeleton = encodings.confusable.skeleton

	it("is the same for names that look alike", function()
		for _, group in ipairs {
			{ "alice", "аlice", "аlісе", "ａlice", "a1ice", "aIice", "𝒶lice", "al\u{131}ce" },
			{ "paypal", "раураl", "pаypаl", "рaypal" },
			{ "admin", "аdmin", "adrnin", "ɑdmin", "adm\u{456}n" }, { "bob", "bοb", "bоb", "bօb" },
			{ "café", "cafe\u{301}", "сafé", "caf\u{435}\u{301}" }, { "O0", "ОО", "00" }, { "ёлка", "ëлка" },
			{ "fight", "ﬁght" }, { "scope", "ѕсоре" },
		} do
			for _, name in ipairs(group) do assert.equal(skeleton(group[1]), skeleton(name), name) end
		end
	end)

	it("differs for names that do not", function()
		local seen = {}
		for _, name in ipairs { "alice", "bob", "carol", "admin", "romeo", "juliet", "cafe", "café", "アリス", "мария",
			"Ελενη" } do
			assert.is_nil(seen[skeleton(name)], name)
			seen[skeleton(name)] = true
		end
	end)

	it("is its own skeleton", function()
		for point = 0x20, 0x1ffff do
			if point < 0xd800 or point > 0xdfff then
				local once = skeleton(utf8.char(point))
				if once and skeleton(once) ~= once then assert.equal(once, skeleton(once), ("U+%04X"):format(point)) end
			end
		end
	end)

	it("is none for broken or endless text", function()
		for _, text in ipairs { "\xff", "a\0b", ("é"):rep(3000) } do assert.is_nil(skeleton(text)) end
		assert.equal("", skeleton "")
	end)
end)
