--- JSON Schema (draft 2020-12): is a value what a schema says? The vocabulary that APIs use; formats are not checked.
-- Always true: a table is an array when it has members 1..n and no other keys; an empty one is array and object. A
-- schema that refers to itself ends where the value does.
local json = require "prosody.util.json"
local jsonpointer = require "prosody.util.jsonpointer"
local ipairs, math_type, next, pairs, pcall, rawequal, type =
	ipairs, math.type, next, pairs, pcall, rawequal, type
local s_find, s_format, s_gsub, s_sub = string.find, string.format, string.gsub, string.sub
local utf8_len = utf8.len

local _ENV = nil

local null = json.null

local function is_array(value)
	if type(value) ~= "table" or value == null then
		return false
	end
	local n = #value
	for key in next, value do
		if math_type(key) ~= "integer" or key < 1 or key > n then
			return false
		end
	end
	return true
end

local function is_object(value)
	return type(value) == "table" and value ~= null and (next(value) == nil or value[1] == nil)
end

local type_checks = {
	null = function (value) return value == null end,
	boolean = function (value) return type(value) == "boolean" end,
	string = function (value) return type(value) == "string" end,
	number = function (value) return type(value) == "number" end,
	integer = function (value) return type(value) == "number" and value % 1 == 0 end,
	array = is_array,
	object = is_object,
}

local function deep_equal(a, b)
	if rawequal(a, b) or a == b then
		return true
	elseif type(a) ~= "table" or type(b) ~= "table" then
		return false
	end
	for key, value in pairs(a) do
		if not deep_equal(value, b[key]) then
			return false
		end
	end
	for key in pairs(b) do
		if a[key] == nil then
			return false
		end
	end
	return true
end

local validate

-- One of what a check found; path is where in the value.
local function fail(errors, path, keyword, message)
	if errors then
		errors[#errors + 1] = { instanceLocation = path, keyword = keyword, error = message }
	end
	return false
end

local function matches(schema, value, root)
	return validate(schema, value, root, nil, "")
end

local checks = {}

function checks.type(wanted, value, _, _, errors, path)
	for _, name in ipairs(type(wanted) == "table" and wanted or { wanted }) do
		if type_checks[name] and type_checks[name](value) then
			return true
		end
	end
	return fail(errors, path, "type", "unexpected type")
end

function checks.enum(allowed, value, _, _, errors, path)
	for _, one in ipairs(allowed) do
		if deep_equal(one, value) then
			return true
		end
	end
	return fail(errors, path, "enum", "not one of the allowed values")
end

function checks.const(only, value, _, _, errors, path)
	return deep_equal(only, value) or fail(errors, path, "const", "not the required value")
end

local function number_check(keyword, test, message)
	checks[keyword] = function (limit, value, _, _, errors, path)
		return type(value) ~= "number" or test(value, limit) or fail(errors, path, keyword, s_format(message, limit))
	end
end
number_check("multipleOf", function (value, by) return value % by == 0 end, "not a multiple of %s")
number_check("maximum", function (value, limit) return value <= limit end, "more than %s")
number_check("minimum", function (value, limit) return value >= limit end, "less than %s")
number_check("exclusiveMaximum", function (value, limit) return value < limit end, "not less than %s")
number_check("exclusiveMinimum", function (value, limit) return value > limit end, "not more than %s")

function checks.maxLength(limit, value, _, _, errors, path)
	return type(value) ~= "string" or (utf8_len(value) or #value) <= limit
		or fail(errors, path, "maxLength", "too long")
end

function checks.minLength(limit, value, _, _, errors, path)
	return type(value) ~= "string" or (utf8_len(value) or #value) >= limit
		or fail(errors, path, "minLength", "too short")
end

-- The same in a schema of Lua patterns, as Prosody has it: JSON Schema's regular expressions are not ours to run.
function checks.luaPattern(pattern, value, _, _, errors, path)
	if type(value) ~= "string" then
		return true
	end
	local ok, found = pcall(s_find, value, pattern)
	return ok and found ~= nil or fail(errors, path, "luaPattern", "does not match")
end

function checks.maxItems(limit, value, _, _, errors, path)
	return not is_array(value) or #value <= limit or fail(errors, path, "maxItems", "too many items")
end

function checks.minItems(limit, value, _, _, errors, path)
	return not is_array(value) or #value >= limit or fail(errors, path, "minItems", "too few items")
end

function checks.uniqueItems(wanted, value, _, _, errors, path)
	if wanted and is_array(value) then
		for i = 1, #value do
			for j = i + 1, #value do
				if deep_equal(value[i], value[j]) then
					return fail(errors, path, "uniqueItems", "the same item twice")
				end
			end
		end
	end
	return true
end

function checks.prefixItems(schemas, value, root, _, errors, path)
	local ok = true
	if is_array(value) then
		for i, schema in ipairs(schemas) do
			if value[i] ~= nil and not validate(schema, value[i], root, errors, path .. "/" .. i - 1) then
				ok = false
			end
		end
	end
	return ok
end

function checks.items(schema, value, root, parent, errors, path)
	local ok = true
	if is_array(value) then
		for i = #(parent.prefixItems or {}) + 1, #value do
			if not validate(schema, value[i], root, errors, path .. "/" .. i - 1) then
				ok = false
			end
		end
	end
	return ok
end

function checks.contains(schema, value, root, parent, errors, path)
	if not is_array(value) then
		return true
	end
	local found = 0
	for _, item in ipairs(value) do
		if matches(schema, item, root) then
			found = found + 1
		end
	end
	if found < (parent.minContains or 1) or parent.maxContains and found > parent.maxContains then
		return fail(errors, path, "contains", "wrong number of matching items")
	end
	return true
end

local function step(path, key)
	return path .. "/" .. s_gsub(s_gsub(key, "~", "~0"), "/", "~1")
end

function checks.properties(schemas, value, root, _, errors, path)
	local ok = true
	if is_object(value) then
		for name, schema in pairs(schemas) do
			if value[name] ~= nil and not validate(schema, value[name], root, errors, step(path, name)) then
				ok = false
			end
		end
	end
	return ok
end

function checks.additionalProperties(schema, value, root, parent, errors, path)
	local ok = true
	if is_object(value) then
		local known = parent.properties or {}
		for name, member in pairs(value) do
			if known[name] == nil and type(name) == "string"
				and not validate(schema, member, root, errors, step(path, name)) then
				ok = false
			end
		end
	end
	return ok
end

function checks.propertyNames(schema, value, root, _, errors, path)
	local ok = true
	if is_object(value) then
		for name in pairs(value) do
			if not validate(schema, name, root, errors, path) then
				ok = false
			end
		end
	end
	return ok
end

function checks.required(names, value, _, _, errors, path)
	local ok = true
	if is_object(value) then
		for _, name in ipairs(names) do
			if value[name] == nil then
				ok = fail(errors, path, "required", "missing property: " .. name)
			end
		end
	end
	return ok
end

function checks.dependentRequired(dependencies, value, _, _, errors, path)
	local ok = true
	if is_object(value) then
		for name, others in pairs(dependencies) do
			for _, other in ipairs(value[name] ~= nil and others or {}) do
				if value[other] == nil then
					ok = fail(errors, path, "dependentRequired", "missing property: " .. other)
				end
			end
		end
	end
	return ok
end

local function count(t)
	local n = 0
	for _ in pairs(t) do
		n = n + 1
	end
	return n
end

function checks.maxProperties(limit, value, _, _, errors, path)
	return not is_object(value) or count(value) <= limit or fail(errors, path, "maxProperties", "too many properties")
end

function checks.minProperties(limit, value, _, _, errors, path)
	return not is_object(value) or count(value) >= limit or fail(errors, path, "minProperties", "too few properties")
end

function checks.allOf(schemas, value, root, _, errors, path)
	local ok = true
	for _, schema in ipairs(schemas) do
		if not validate(schema, value, root, errors, path) then
			ok = false
		end
	end
	return ok
end

local function count_matching(schemas, value, root)
	local n = 0
	for _, schema in ipairs(schemas) do
		if matches(schema, value, root) then
			n = n + 1
		end
	end
	return n
end

function checks.anyOf(schemas, value, root, _, errors, path)
	return count_matching(schemas, value, root) > 0 or fail(errors, path, "anyOf", "matches none of the schemas")
end

function checks.oneOf(schemas, value, root, _, errors, path)
	return count_matching(schemas, value, root) == 1 or fail(errors, path, "oneOf", "does not match exactly one schema")
end

checks["not"] = function (schema, value, root, _, errors, path)
	return not matches(schema, value, root) or fail(errors, path, "not", "matches what it must not")
end

checks["if"] = function (schema, value, root, parent, errors, path)
	local branch = parent["else"]
	if matches(schema, value, root) then
		branch = parent["then"]
	end
	return branch == nil or validate(branch, value, root, errors, path)
end

checks["$ref"] = function (reference, value, root, _, errors, path)
	if s_sub(reference, 1, 1) ~= "#" then
		return fail(errors, path, "$ref", "only references inside the schema are supported")
	end
	local schema = jsonpointer.resolve(root, s_sub(reference, 2))
	if schema == nil then
		return fail(errors, path, "$ref", "no such schema: " .. reference)
	end
	return validate(schema, value, root, errors, path)
end

function validate(schema, value, root, errors, path)
	if type(schema) == "boolean" then
		return schema or fail(errors, path, "", "nothing is allowed here")
	end
	local ok = true
	for keyword, argument in pairs(schema) do
		local check = checks[keyword]
		if check and not check(argument, value, root, schema, errors, path) then
			ok = false
		end
	end
	return ok
end

--- validate(schema, value[, root]): true, or false and a list of { instanceLocation = JSON pointer, keyword =,
-- error = }. root: what "#/..." references start from, by default the schema.
local function validate_all(schema, value, root)
	local errors = {}
	if validate(schema, value, root or schema, errors, "") then
		return true
	end
	return false, errors
end

return {
	validate = validate_all,
	xml_t = {}, -- COMPAT Prosody: only a type for its checker
}
