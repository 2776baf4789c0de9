local new_events = require "util.events".new

describe("util.events", function ()
	local events, calls
	local function handler(name, result)
		return function (data)
			calls[#calls + 1] = name .. tostring(data)
			return result
		end
	end

	before_each(function ()
		events, calls = new_events(), {}
	end)

	it("calls handlers by priority, equal ones in the order they were added", function ()
		events.add_handler("e", handler "low", -1)
		events.add_handler("e", handler "first")
		events.add_handler("e", handler "second")
		events.add_handler("e", handler "high", 0.5)
		assert.is_nil(events.fire_event("e", 1))
		assert.same({ "high1", "first1", "second1", "low1" }, calls)
	end)

	it("stops at the first result that is not nil", function ()
		events.add_handler("e", handler("a"))
		events.add_handler("e", handler("b", false))
		events.add_handler("e", handler("c", true))
		assert.is_false(events.fire_event("e", 0))
		assert.same({ "a0", "b0" }, calls)
	end)

	it("has nothing to say about events without handlers", function ()
		assert.is_nil(events.fire_event "none")
		events.remove_handler("none", print)
	end)

	it("adds and removes tables of handlers", function ()
		local all = { x = handler "x", y = handler "y" }
		events.add_handlers(all)
		events.fire_event("x", 1)
		events.fire_event("y", 2)
		events.remove_handlers(all)
		events.fire_event("x", 3)
		assert.same({ "x1", "y2" }, calls)
	end)

	it("lets handlers be removed and added while the event runs", function ()
		local second = handler "second"
		events.add_handler("e", function ()
			events.remove_handler("e", second)
			events.add_handler("e", handler "late")
		end, 1)
		events.add_handler("e", second)
		events.fire_event("e", 1)
		assert.same({}, calls)
		events.fire_event("e", 2)
		assert.same({ "late2" }, calls)
	end)

	it("takes a handler that is added twice once, at its new place", function ()
		local h = handler "h"
		events.add_handler("e", h, 1)
		events.add_handler("e", handler "other")
		events.add_handler("e", h, -1)
		events.fire_event("e", 1)
		assert.same({ "other1", "h1" }, calls)
	end)

	it("wraps one event and all events", function ()
		local function wrapper(name)
			return function (go_on, event, data)
				calls[#calls + 1] = name
				return go_on(event, data .. "!")
			end
		end
		local named = wrapper "named"
		events.add_wrapper(false, wrapper "all")
		events.add_wrapper("e", wrapper "inner")
		events.add_wrapper("e", named)
		events.add_handler("e", handler("h", "result"))
		assert.equal("result", events.fire_event("e", "x"))
		assert.same({ "named", "inner", "all", "hx!!!" }, calls)
		calls = {}
		events.remove_wrapper("e", named)
		events.fire_event("e", "x")
		assert.same({ "inner", "all", "hx!!" }, calls)
		calls = {}
		events.fire_event("other", "x")
		assert.same({ "all" }, calls)
	end)

	it("lets a wrapper answer by itself", function ()
		events.wrappers.add_handler("e", function () return "no" end)
		events.add_handler("e", handler "h")
		assert.equal("no", events.fire_event("e", 1))
		assert.same({}, calls)
	end)

	it("hands each handler to the debug hook", function ()
		local seen = {}
		local function hook(h, name, data)
			seen[#seen + 1] = name
			return h(data)
		end
		assert.is_nil(events.set_debug_hook(hook))
		events.add_handler("e", handler("a", 5))
		assert.equal(5, events.fire_event("e", 1))
		assert.same({ "e" }, seen)
		assert.equal(hook, events.set_debug_hook(nil))
		events.fire_event("e", 1)
		assert.same({ "e" }, seen)
	end)

	it("shows its handlers in order", function ()
		local a, b = handler "a", handler "b"
		events.add_handler("e", a)
		events.add_handler("e", b, 1)
		assert.same({ b, a }, events.get_handlers "e")
		assert.same({ e = { b, a } }, events.get_mappings())
		events.remove_handler("e", a)
		events.remove_handler("e", b)
		assert.is_nil(events.get_handlers "e")
		assert.same({}, events.get_mappings())
	end)
end)
