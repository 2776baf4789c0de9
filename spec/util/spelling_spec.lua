local spelling = require "util.spelling"

describe("The slips between two words", function ()
	it("are letters wrong, missing, too many or swapped", function ()
		for _, case in ipairs {
			{ "roster", "roster", 0 }, { "roster", "rosten", 1 }, { "roster", "roste", 1 }, { "roster", "rooster", 1 },
			{ "roster", "orster", 1 }, { "roster", "rsoetr", 2 }, { "", "abc", 3 }, { "", "", 0 }, { "romeo", "juliet", 5 },
		} do
			local a, b, slips = table.unpack(case)
			assert.equal(slips, spelling.distance(a, b), a .. " " .. b)
			assert.equal(slips, spelling.distance(b, a), b .. " " .. a)
		end
	end)
end)

describe("The nearest word", function ()
	local words = { "ping", "private", "roster", "storage_sql", "tls", "VirtualHost" }

	it("is the one with the fewest slips, whatever the case", function ()
		for written, meant in pairs {
			rostr = "roster", roster = "roster", tsl = "tls", storage_sqll = "storage_sql", virtualhost = "VirtualHost",
			Virtaulhost = "VirtualHost", PING = "ping",
		} do
			assert.equal(meant, spelling.nearest(written, words), written)
		end
	end)

	it("is the first of those that are as near", function ()
		assert.equal("cat", spelling.nearest("hat", { "cat", "bat" }))
	end)

	it("is none when all are too far", function ()
		for _, written in ipairs { "", "roof", "tcp", "muc", "privilege" } do
			assert.is_nil(spelling.nearest(written, words), written)
		end
		assert.is_nil(spelling.nearest("ping", {}))
	end)
end)
