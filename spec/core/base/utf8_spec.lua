local T = require "couplet_core".base

describe("UTF-8", function()
	it("accepts the first and the last character of each length", function()
		for _, text in ipairs { "", "\0", "\x7f", "\u{80}", "\u{7ff}", "\u{800}", "\u{d7ff}", "\u{e000}", "\u{ffff}",
			"\u{10000}", "\u{10ffff}", "plain text of more than eight bytes, then \u{20ac}" } do
			assert.is_true(T.utf8_is_valid(text), ("%q"):format(text))
		end
	end)

	it("refuses overlong forms, surrogates, what is above U+10FFFF and stray bytes", function()
		for _, text in ipairs { "\x80", "\xbf", "\xc0\xaf", "\xc1\xbf", "\xe0\x80\x80", "\xe0\x9f\xbf", "\xf0\x80\x80\x80",
			"\xf0\x8f\xbf\xbf", "\xed\xa0\x80", "\xed\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xfe", "\xff",
			"\xf8\x88\x80\x80\x80" } do
			assert.is_false(T.utf8_is_valid(text), ("%q"):format(text))
			assert.is_false(T.utf8_is_valid("eight by" .. text .. "more text"), ("%q"):format(text))
		end
	end)

	it("refuses characters that end too early, wherever they stand", function()
		for _, whole in ipairs { "\u{e9}", "\u{20ac}", "\u{1f600}" } do
			for len = 1, #whole - 1 do
				assert.is_false(T.utf8_is_valid(whole:sub(1, len)))
				assert.is_false(T.utf8_is_valid(whole:sub(1, len) .. "x"))
				assert.is_false(T.utf8_is_valid(("a"):rep(7) .. whole:sub(1, len)))
			end
		end
	end)

	it("agrees with Lua's strict decoder on every sequence of two bytes and on random ones of four", function()
		for first = 0x7f, 0xff do
			for second = 0x7f, 0xff do
				local text = string.char(first, second)
				local is_valid = utf8.len(text) ~= nil
				if T.utf8_is_valid(text) ~= is_valid then assert.equal(is_valid, T.utf8_is_valid(text), ("%q"):format(text)) end
			end
		end
		math.randomseed(1)
		for _ = 1, 50000 do
			local function follower() return math.random(0x7f, 0xc1) end
			local text = string.char(math.random(0xe0, 0xf5), follower(), follower(), follower())
			local is_valid = utf8.len(text) ~= nil
			if T.utf8_is_valid(text) ~= is_valid then assert.equal(is_valid, T.utf8_is_valid(text), ("%q"):format(text)) end
		end
	end)

	it("is written for every number that Lua knows a character for", function()
		for bits = 0, 31 do
			for point = (1 << bits) - 1, bits < 31 and (1 << bits) or 0 do
				assert.equal(utf8.char(point), T.utf8_encode(point), point)
			end
		end
	end)

	it("is read and written character by character", function()
		for point = 0, 0x10ffff, 97 do
			if point < 0xd800 or point > 0xdfff then
				local character = utf8.char(point)
				assert.equal(character, T.utf8_encode(point))
				assert.same({ point, "rest" }, { T.utf8_next(character .. "rest") })
			end
		end
	end)
end)
