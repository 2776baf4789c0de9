local datetime = require "util.datetime"

describe("util.datetime", function ()
	it("writes UTC, whatever the zone of the machine", function ()
		assert.equal("1970-01-01T00:00:00Z", datetime.datetime(0))
		assert.equal("2006-01-02T15:04:05Z", datetime.datetime(1136214245))
		assert.equal("2006-01-02", datetime.date(1136214245))
		assert.equal("15:04:05", datetime.time(1136214245))
		assert.equal("20060102T15:04:05", datetime.legacy(1136214245))
	end)

	it("writes a fraction only when there is one", function ()
		assert.equal("2006-01-02T15:04:05.250000Z", datetime.datetime(1136214245.25))
		assert.equal("15:04:05.250000", datetime.time(1136214245.25))
		assert.equal("2006-01-02T15:04:05Z", datetime.datetime(1136214245.0))
		-- What rounds up to a whole second is one.
		assert.equal("1970-01-01T00:00:01Z", datetime.datetime(0.9999999))
	end)

	it("means now without an argument", function ()
		assert.matches("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%dZ$", datetime.datetime())
		local before = os.time() -- which lags by up to a tick
		local told = datetime.parse(datetime.datetime())
		assert.is_true(told >= before and told <= os.time() + 1)
	end)

	it("reads what it writes", function ()
		for _, t in ipairs { 0, 1, 951782400, 1136214245, 1709164800, 4102444800, -1, -86400 * 365 } do
			assert.equal(t, datetime.parse(datetime.datetime(t)))
			assert.equal("integer", math.type(datetime.parse(datetime.datetime(t))))
		end
		assert.equal(1136214245.25, datetime.parse(datetime.datetime(1136214245.25)))
	end)

	it("reads every date of four centuries in order", function ()
		local expected = datetime.parse "1900-01-01"
		for year = 1900, 2300 do
			for month, days in ipairs { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 } do
				if month == 2 and (year % 4 == 0 and year % 100 ~= 0 or year % 400 == 0) then
					days = 29
				end
				for day = 1, days do
					assert(expected == datetime.parse(("%04d-%02d-%02d"):format(year, month, day)))
					expected = expected + 86400
				end
			end
		end
	end)

	it("reads offsets and the legacy form", function ()
		assert.equal(0, datetime.parse "1970-01-01T02:00:00+02:00")
		assert.equal(0, datetime.parse "1969-12-31T19:00:00-05:00")
		assert.equal(0, datetime.parse "19700101T00:00:00")
		assert.equal(0.5, datetime.parse "1970-01-01T00:00:00.5Z")
		assert.equal(0, datetime.parse "1970-01-01")
	end)

	it("gives nil for anything else", function ()
		for _, text in ipairs {
			"", "x", "1970-01-01T", "1970-01-01T00:00", "1970-13-01T00:00:00Z", "1970-00-01T00:00:00Z",
			"1970-01-32T00:00:00Z", "1970-01-01T25:00:00Z", "1970-01-01T00:60:00Z", "1970-01-01T00:00:61Z",
			"1970-01-01T00:00:00X", "1970-01-01T00:00:00+2", "1970-01-01T00:00:00Z ", "70-01-01T00:00:00Z",
			"1970-01-01T00:00:00..5Z",
		} do
			assert.is_nil(datetime.parse(text), text)
		end
		assert.is_nil(datetime.parse(nil))
		assert.is_nil(datetime.parse(12))
	end)
end)
