local traced = require "util.debug"

describe("util.debug", function ()
	local function fail(visible, password)
		local trace = traced.traceback("message")
		return trace, visible, password
	end

	it("shows the stack with local variables", function ()
		local trace = fail("in sight", "hunter2")
		assert.matches("^message\nstack traceback:\n", trace)
		assert.matches("debug_spec.lua:%d+: in ", trace)
		assert.is_truthy(trace:find("visible = \"in sight\"", 1, true))
	end)

	it("hides secrets and cuts long text", function ()
		local trace = fail(("x"):rep(500), "hunter2")
		assert.is_nil(trace:find("hunter2", 1, true))
		assert.is_truthy(trace:find("password = string (hidden)", 1, true))
		assert.is_nil(trace:find(("x"):rep(200), 1, true))
	end)

	it("shows another coroutine", function ()
		local thread = coroutine.create(function ()
			local marker = 12345
			coroutine.yield(marker)
		end)
		coroutine.resume(thread)
		assert.is_truthy(traced.traceback(thread, "stuck"):find("marker = 12345", 1, true))
	end)

	it("survives values that cannot be shown", function ()
		local function odd()
			local thing = setmetatable({}, { __tostring = function () error "no" end })
			return traced.traceback("m"), thing
		end
		assert.is_truthy((odd()):find("thing = table", 1, true))
	end)

	it("lists upvalues", function ()
		local up = 1
		local list = traced.get_upvalues_table(function () return up end)
		assert.equal("up", list[1].name)
		assert.equal("up = 1", traced.string_from_var_table(list))
	end)
end)
