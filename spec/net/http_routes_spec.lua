-- Events whose names end in paths (net.http.routes), and what net.http.files makes of dates.

local effort = require "spec.support.effort"
local files = require "net.http.files"
local routes = require "net.http.routes"

describe("Routes", function()
	local events, heard

	before_each(function() events, heard = routes.new(), {} end)

	local function listens(name, priority, result)
		local function handler(data)
			table.insert(heard, name .. (priority and " " .. priority or ""))
			return result or data and data.result
		end
		events.add_handler(name, handler, priority)
		return handler
	end

	it("are asked whole names first, then longer wildcards, then shorter ones", function()
		listens "GET h/*"
		listens "GET h/a/*"
		listens "GET h/a/b"
		listens "GET h/a/bc/*"
		events.fire_event "GET h/a/b"
		assert.same({ "GET h/a/b", "GET h/a/*", "GET h/*" }, heard)
	end)

	it("are asked by priority before all else", function()
		listens("GET h/a", -1)
		listens("GET h/*")
		listens("GET h/*", 2)
		events.fire_event "GET h/a"
		assert.same({ "GET h/* 2", "GET h/*", "GET h/a -1" }, heard)
	end)

	it("end with the first answer", function()
		listens("GET h/a", 1, "yes")
		listens "GET h/*"
		assert.equal("yes", events.fire_event "GET h/a")
		assert.same({ "GET h/a 1" }, heard)
	end)

	it("stand for what is below a slash only", function()
		listens "GET h/a/*"
		events.fire_event "GET h/a"
		events.fire_event "GET h/ab"
		events.fire_event "GET other/a/b"
		assert.same({}, heard)
		events.fire_event "GET h/a/"
		assert.same({ "GET h/a/*" }, heard)
	end)

	it("that were removed are not asked", function()
		local handler = listens "GET h/*"
		events.remove_handler("GET h/*", handler)
		assert.is_nil(events.find "GET h/x")
		events.remove_handler("GET h/*", handler)
	end)

	it("can be wrapped, one name or all", function()
		listens("GET h/a", nil, "inside")
		local function wrap(fire, name, data) return "(" .. tostring(fire(name, data)) .. ")" end
		events.add_wrapper(false, wrap)
		events.add_wrapper("GET h/a", wrap)
		assert.equal("((inside))", events.fire_event "GET h/a")
		assert.equal("(nil)", events.fire_event "GET h/b")
		events.remove_wrapper(false, wrap)
		assert.equal("(inside)", events.fire_event "GET h/a")
	end)

	it("cost the same whatever the name", function()
		for i = 1, 50 do listens(("GET h/%d/*"):format(i)) end
		local long = "GET h" .. ("/"):rep(8000)
		assert.is_true(effort.is_below(0.5, function()
			for _ = 1, 1000 do events.find(long) end
		end))
	end)
end)

describe("A date of HTTP", function()
	it("is a time", function()
		assert.equal(784111777, files.parse_date "Sun, 06 Nov 1994 08:49:37 GMT")
		assert.equal(0, files.parse_date "Thu, 01 Jan 1970 00:00:00 GMT")
		assert.equal(951782400, files.parse_date "Tue, 29 Feb 2000 00:00:00 GMT")
		for _, time in ipairs { 1, 86399, 68169600, 951868799, 1709164800, 1795412914, 4102444800 } do
			assert.equal(time, files.parse_date(os.date("!%a, %d %b %Y %H:%M:%S GMT", time)))
		end
	end)

	it("in another form is none", function()
		for _, text in ipairs { "", "yesterday", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun, 06 Xxx 1994 08:49:37 GMT" } do
			assert.is_nil(files.parse_date(text))
		end
		assert.is_nil(files.parse_date(nil))
	end)
end)
