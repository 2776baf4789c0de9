local jsonschema = require "util.jsonschema"
local json = require "util.json"

local function ok(schema, value)
	return (jsonschema.validate(schema, value))
end

describe("util.jsonschema", function ()
	it("checks types", function ()
		local values = {
			string = "x", number = 1.5, integer = 1, boolean = false, array = { 1 }, object = { a = 1 }, null = json.null,
		}
		for name, value in pairs(values) do
			assert.is_true(ok({ type = name }, value), name)
		end
		assert.is_true(ok({ type = "number" }, 1))
		assert.is_true(ok({ type = "integer" }, 1.0))
		assert.is_false(ok({ type = "integer" }, 1.5))
		assert.is_false(ok({ type = "object" }, { 1 }))
		assert.is_false(ok({ type = "array" }, { a = 1 }))
		assert.is_true(ok({ type = { "string", "null" } }, json.null))
		assert.is_false(ok({ type = { "string", "null" } }, 1))
	end)

	it("takes true and false for schemas", function ()
		assert.is_true(ok(true, 1))
		assert.is_false(ok(false, 1))
	end)

	it("checks values and ranges", function ()
		assert.is_true(ok({ enum = { 1, { a = 1 } } }, { a = 1 }))
		assert.is_false(ok({ enum = { 1, 2 } }, 3))
		assert.is_true(ok({ const = { 1, 2 } }, { 1, 2 }))
		assert.is_false(ok({ minimum = 1, maximum = 3 }, 0))
		assert.is_true(ok({ minimum = 1, maximum = 3 }, 3))
		assert.is_false(ok({ exclusiveMaximum = 3 }, 3))
		assert.is_false(ok({ multipleOf = 2 }, 3))
		assert.is_true(ok({ maxLength = 2 }, "žž"))
		assert.is_false(ok({ minLength = 3 }, "žž"))
		assert.is_true(ok({ minimum = 5 }, "a string has no minimum"))
	end)

	it("checks arrays", function ()
		assert.is_false(ok({ items = { type = "string" } }, { "a", 1 }))
		assert.is_true(ok({ prefixItems = { { type = "number" } }, items = { type = "string" } }, { 1, "a" }))
		assert.is_false(ok({ prefixItems = { { type = "number" } }, items = false }, { 1, "a" }))
		assert.is_false(ok({ minItems = 2 }, { 1 }))
		assert.is_false(ok({ maxItems = 1 }, { 1, 2 }))
		assert.is_false(ok({ uniqueItems = true }, { { a = 1 }, { a = 1 } }))
		assert.is_true(ok({ contains = { const = 2 } }, { 1, 2 }))
		assert.is_false(ok({ contains = { const = 2 }, minContains = 2 }, { 1, 2 }))
	end)

	it("checks objects", function ()
		local schema = {
			properties = { a = { type = "string" } }, required = { "a" }, additionalProperties = false, maxProperties = 1,
		}
		assert.is_true(ok(schema, { a = "x" }))
		assert.is_false(ok(schema, {}))
		assert.is_false(ok(schema, { a = 1 }))
		assert.is_false(ok(schema, { a = "x", b = 1 }))
		assert.is_false(ok({ propertyNames = { maxLength = 1 } }, { long = 1 }))
		assert.is_false(ok({ dependentRequired = { a = { "b" } } }, { a = 1 }))
		assert.is_true(ok({ dependentRequired = { a = { "b" } } }, { c = 1 }))
	end)

	it("combines schemas", function ()
		local string, long = { type = "string" }, { minLength = 3 }
		assert.is_true(ok({ allOf = { string, long } }, "abc"))
		assert.is_false(ok({ allOf = { string, long } }, "ab"))
		assert.is_true(ok({ anyOf = { string, { type = "number" } } }, 1))
		assert.is_false(ok({ oneOf = { string, { maxLength = 5 } } }, "ab"))
		assert.is_true(ok({ ["not"] = string }, 1))
		local conditional = { ["if"] = string, ["then"] = long, ["else"] = { minimum = 3 } }
		assert.is_false(ok(conditional, "ab"))
		assert.is_false(ok(conditional, 2))
		assert.is_true(ok(conditional, 3))
		assert.is_false(ok({ ["if"] = string, ["then"] = false }, "x"))
		assert.is_true(ok({ ["if"] = string, ["then"] = false }, 1))
	end)

	it("follows references, also to itself", function ()
		local tree = { type = "object", properties = { child = { ["$ref"] = "#" } }, required = { "n" } }
		assert.is_true(ok(tree, { n = 1, child = { n = 2 } }))
		assert.is_false(ok(tree, { n = 1, child = { n = 2, child = {} } }))
		assert.is_true(ok({ ["$ref"] = "#/$defs/s", ["$defs"] = { s = { type = "string" } } }, "x"))
		assert.is_false(ok({ ["$ref"] = "#/nowhere" }, "x"))
		assert.is_false(ok({ ["$ref"] = "http://example.com/" }, "x"))
	end)

	it("says where and what", function ()
		local schema = { properties = { ["a/b"] = { items = { type = "string" } } } }
		local fine, errors = jsonschema.validate(schema, { ["a/b"] = { "x", 1 } })
		assert.is_false(fine)
		assert.equal(1, #errors)
		assert.equal("/a~1b/1", errors[1].instanceLocation)
		assert.equal("type", errors[1].keyword)
	end)
end)
