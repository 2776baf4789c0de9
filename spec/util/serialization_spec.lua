local serialization = require "util.serialization"
local serialize, deserialize = serialization.serialize, serialization.deserialize

describe("util.serialization", function ()
	it("writes tables over several lines, list members first", function ()
		assert.equal("{\n\t1;\n\t[false] = true;\n\t[1.5] = {};\n\t[\"a b\"] = {\n\t\t\"x\";\n\t};\n}",
			serialize { 1, [1.5] = {}, ["a b"] = { "x" }, [false] = true })
	end)

	it("has shorter forms", function ()
		assert.equal("{ 1; [\"a\"] = { } }", serialize({ 1, a = {} }, "oneline"))
		assert.equal("{1;a={};[\"end\"]=2}", serialize({ 1, a = {}, ["end"] = 2 }, "compact"))
		assert.equal("{a=1}", serialize({ a = 1 }, { preset = "compact" }))
	end)

	it("escapes every byte that is not plain ASCII", function ()
		assert.equal([["\n\t\r\"\'\\\000\127\195\169"]], serialize "\n\t\r\"'\\\0\127\u{e9}")
		assert.equal([["\0011"]], serialize "\0011")
	end)

	it("writes numbers so that they come back", function ()
		assert.equal("9007199254740993", serialize(9007199254740993))
		assert.equal("0.1", serialize(0.1))
		assert.equal("(1/0)", serialize(1 / 0))
		assert.equal("(-1/0)", serialize(-1 / 0))
		assert.equal("(0/0)", serialize(0 / 0))
		for _, number in ipairs { 1 / 3, 1e100, -2 ^ 53, 5e-324, math.mininteger, math.maxinteger, -0.5 } do
			assert.equal(number, deserialize(serialize(number)))
		end
	end)

	it("reads back what it wrote", function ()
		local value = { 1, "two", { 3 }, a = { b = { c = false } }, [false] = "x", [-1] = 0.5, [""] = "\0\255" }
		for _, preset in ipairs { "default", "oneline", "compact" } do
			assert.same(value, deserialize(serialize(value, preset ~= "default" and preset or nil)))
		end
		for _, simple in ipairs { true, false, "", 0 } do
			assert.equal(simple, deserialize(serialize(simple)))
		end
		assert.is_nil(deserialize(serialize(nil)))
	end)

	it("gives equal text for equal values", function ()
		local a, b = {}, {}
		for i = 1, 100 do
			a["k" .. i] = i
			b["k" .. 101 - i] = 101 - i
		end
		assert.equal(serialize(a), serialize(b))
	end)

	it("refuses what has no literal", function ()
		assert.has_error(function () serialize(print) end)
		assert.has_error(function () serialize { a = coroutine.create(print) } end)
		local cycle = {}
		cycle.cycle = cycle
		assert.has_error(function () serialize(cycle) end)
		local shared = {}
		assert.has_error(function () serialize { shared, shared } end)
		local deep = {}
		local t = deep
		for _ = 1, 200 do
			t[1] = {}
			t = t[1]
		end
		assert.has_error(function () serialize(deep) end)
	end)

	it("can be told to go on", function ()
		assert.same({}, deserialize(serialize({ print }, { fatal = false })))
		assert.equal("\"?\"", serialize(print, { fallback = function () return "\"?\"" end }))
		local shared = {}
		assert.equal("{{};{}}", serialize({ shared, shared }, { preset = "compact", multirefs = true }))
		local cycle = {}
		cycle.cycle = cycle
		assert.is_string(serialize(cycle, "debug"))
	end)

	it("asks __freeze when told to", function ()
		local thing = setmetatable({ hidden = print }, { __freeze = function () return { "shown" } end })
		assert.equal("{\"shown\"}", serialize(thing, { preset = "compact", freeze = true }))
	end)

	it("does not run what it reads", function ()
		assert.is_nil(deserialize "os.exit(1)")
		assert.is_nil(deserialize "(function() end)()")
		local value, err = deserialize "{ 1, 2"
		assert.is_nil(value)
		assert.is_string(err)
		assert.is_nil(deserialize(nil))
	end)
end)
