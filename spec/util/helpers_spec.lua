local helpers = require "util.helpers"
local new_events = require "util.events".new

describe("util.helpers", function ()
	it("logs events until told to stop", function ()
		local lines = {}
		local function log(_, _, ...)
			lines[#lines + 1] = select(2, ...)
		end
		local events = new_events()
		events.add_handler("e", function (data) return data end)
		helpers.log_events(events, "mine", log)
		helpers.log_events(events, "mine", log)
		assert.equal(5, events.fire_event("e", 5))
		assert.same({ "e", "e" }, lines)
		helpers.revert_log_events(events)
		helpers.revert_log_events(events)
		events.fire_event("e", 5)
		assert.equal(2, #lines)
	end)

	it("shows who handles what", function ()
		local events = new_events()
		events.add_handler("beta", function () end)
		events.add_handler("alpha", print)
		local text = helpers.show_events(events)
		assert.matches("^alpha\n.*\nbeta\n.*helpers_spec.lua:%d+$", text)
		assert.is_nil(helpers.show_events(events, "alpha"):find "beta")
	end)

	it("finds upvalues by name", function ()
		local hidden = "treasure"
		local function fn() return hidden end
		assert.equal("treasure", helpers.get_upvalue(fn, "hidden"))
		assert.is_nil(helpers.get_upvalue(fn, "other"))
	end)

	it("does not know hosts that are not there", function ()
		assert.has_error(function () helpers.log_host_events "nowhere.example" end)
	end)
end)
