local logger = require "util.logger"

describe("util.logger", function ()
	local lines
	local function sink(name, level, text)
		lines[#lines + 1] = name .. " " .. level .. " " .. text
	end

	before_each(function ()
		lines = {}
		logger.reset()
		logger.set_native(nil)
	end)
	after_each(function ()
		logger.reset()
	end)

	it("hands formatted text to simple sinks", function ()
		logger.add_simple_sink(sink)
		local log = logger.init "mod_x"
		log("info", "%s came", "juliet")
		log("debug", "%d", 1)
		assert.same({ "mod_x info juliet came", "mod_x debug 1" }, lines)
	end)

	it("keeps levels apart", function ()
		logger.add_simple_sink(sink, { "warn", "error" })
		local log = logger.init "x"
		log("debug", "no")
		log("info", "no")
		log("warn", "w")
		log("error", "e")
		assert.same({ "x warn w", "x error e" }, lines)
	end)

	it("takes an unknown level for an error", function ()
		logger.add_simple_sink(sink)
		logger.init "x" ("wrong", "text")
		assert.same({ "x error text" }, lines)
	end)

	it("removes sinks by what was added or by what was given", function ()
		logger.add_simple_sink(sink)
		logger.remove_sink(sink)
		local id = logger.add_simple_sink(sink)
		logger.remove_sink(id)
		logger.init "x" ("info", "text")
		assert.same({}, lines)
	end)

	it("gives level sinks the pattern and the values", function ()
		local got
		logger.add_level_sink("info", function (...) got = { ... } end)
		logger.make_logger("x", "info")("%s", "a")
		assert.same({ "x", "info", "%s", "a" }, got)
	end)

	it("does not format what nobody wants", function ()
		local costly = setmetatable({}, { __tostring = function () error "formatted" end })
		logger.init "x" ("debug", "%s", costly)
		logger.add_simple_sink(sink, { "error" })
		logger.init "x" ("debug", "%s", costly)
		assert.same({}, lines)
	end)

	it("lets a sink remove itself", function ()
		local function once(...)
			logger.remove_sink(once)
			sink(...)
		end
		logger.add_simple_sink(once)
		logger.add_simple_sink(sink)
		local log = logger.init "x"
		log("info", "1")
		log("info", "2")
		assert.same({ "x info 1", "x info 1", "x info 2" }, lines)
	end)

	it("writes to the core's log when it wants that level", function ()
		logger.set_native(function (level, name, text) sink(name, level, text) end,
			function (level) return level ~= "debug" end)
		local log = logger.init "x"
		log("debug", "no")
		log("info", "%s", "yes")
		assert.same({ "x info yes" }, lines)
	end)
end)
