local human = require "util.human.io"

describe("util.human.io", function ()
	it("pads and cuts by characters", function ()
		assert.equal("  é", human.padleft("é", 3))
		assert.equal("é  ", human.padright("é", 3))
		assert.equal("long", human.padleft("long", 2))
		assert.equal("hello w…", human.ellipsis("hello world", 8))
		assert.equal("žluť…", human.ellipsis("žluťoučký", 5))
		assert.equal("short", human.ellipsis("short", 5))
		assert.equal("…", human.ellipsis("short", 1))
		assert.equal("", human.ellipsis("short", 0))
	end)

	it("lays out tables", function ()
		local row, width = human.table({
			{ title = "Name", width = "2p", key = "name" },
			{ title = "N", width = 4, key = "n", align = "right" },
			{ title = "Half", width = "25%", key = "h", mapper = function (value, r) return value or r.name:upper() end },
		}, 40)
		assert.equal(40, width)
		assert.equal("Name" .. (" "):rep(18) .. " |    N | Half", row())
		assert.equal("juliet" .. (" "):rep(16) .. " |   12 | JULIET", row { name = "juliet", n = 12 })
		assert.equal((" "):rep(22) .. " | 123… | x", row { name = "", n = "12345", h = "x" })
	end)

	it("keeps control characters out of tables", function ()
		local row = human.table({ { width = 5 }, { width = 1 } }, 20)
		assert.equal("a b   | c", row { "a\27b", "c" })
	end)

	it("refuses widths that are none", function ()
		assert.has_error(function () human.table({ { title = "x", width = "wide" } }, 20) end)
	end)

	it("reads durations", function ()
		assert.equal(90, human.parse_duration "90")
		assert.equal(172800, human.parse_duration "2 days")
		assert.equal(604800, human.parse_duration "1w")
		assert.equal(5400, human.parse_duration "1 hour 30 min")
		assert.equal(5400, human.parse_duration "90m")
		assert.equal(90, human.parse_duration "1.5 minutes")
		assert.equal(31556952, human.parse_duration "1y")
		assert.equal(5, human.parse_duration(5))
		for _, text in ipairs { "", "x", "1 parsec", "day", "1 day x", "-5" } do
			assert.is_nil(human.parse_duration(text), text)
		end
	end)
end)
