--- The module API's options: the configuration as a module reads it.
--
-- A value that cannot be understood is complained about, with its file and line, and gives the default, never nil: an
-- option that guards something must not end up as "off" because of a typing error.

local array = require "prosody.util.array"
local config = require "prosody.core.configmanager"
local paths = require "prosody.util.paths"
local set = require "prosody.util.set"

local prosody = _G.prosody
local math_huge, math_tointeger, require, tonumber, tostring = math.huge, math.tointeger, require, tonumber, tostring
local table_concat, table_pack, type = table.concat, table.pack, type

local api = {}
local _ENV = nil

local function shown(value)
	if type(value) == "string" then
		return ("%q"):format(value)
	elseif type(value) == "table" then
		return #value > 0 and ("a list of %d"):format(#value) or "a table"
	end
	return tostring(value)
end

-- One sentence: where, what it should be, what it is, what happens now and how to mend it.
local function complain(self, name, value, expected, default, mend)
	self:log("error", "%sthe option %s should be %s, but it is %s; going on with %s. Write %s",
		config.place(self.host, name), name, expected, shown(value),
		default == nil and "no value" or shown(default), mend:format(name))
end

--- The option as it was written, of the host or else global; default when unset.
function api:get_option(name, default)
	local value = config.get(self.host, name)
	if value == nil then
		return default
	end
	return value
end

--- One value; of a list the first.
function api:get_option_scalar(name, default)
	local value = self:get_option(name)
	if type(value) == "table" then
		if #value ~= 1 then
			self:log("error", "%sthe option %s takes one value, not %s; only the first one is used",
				config.place(self.host, name), name, shown(value))
		end
		value = value[1]
	end
	if value == nil then
		return default
	end
	return value
end

--- As text, whatever was written; of a list the first.
function api:get_option_string(name, default)
	local value = self:get_option_scalar(name, default)
	if value == nil then
		return nil
	end
	return tostring(value)
end

-- Keeps a number within its bounds and says so when it was not.
local function within(self, name, value, min, max)
	local bound
	if min and value < min then
		bound = min
	elseif max and value > max then
		bound = max
	end
	if not bound then
		return value
	end
	self:log("error", "%sthe option %s is %s, which is %s than the %s of %s; going on with %s",
		config.place(self.host, name), name, tostring(value), bound == min and "less" or "more",
		bound == min and "least" or "most", tostring(bound), tostring(bound))
	return bound
end

--- A number, or text that is one, kept between min and max (nil: no bound).
function api:get_option_number(name, default, min, max)
	local value = self:get_option_scalar(name)
	if value == nil then
		return default and tonumber(default)
	end
	local number = tonumber(value)
	if not number then
		complain(self, name, value, "a number", default, "%s = 10, without quotes")
		return default and tonumber(default)
	end
	return within(self, name, number, min, max)
end

--- A whole number, kept between min and max.
function api:get_option_integer(name, default, min, max)
	local value = self:get_option_scalar(name)
	if value == nil then
		return default
	end
	local integer = math_tointeger(tonumber(value))
	if not integer then
		complain(self, name, value, "a whole number", default, "%s = 10, without quotes")
		return default
	end
	return within(self, name, integer, min, max)
end

local booleans = { [true] = true, ["true"] = true, [1] = true, [false] = false, ["false"] = false, [0] = false }

--- true or false; their names as text, 1 and 0 are understood.
function api:get_option_boolean(name, default)
	local value = self:get_option_scalar(name)
	if value == nil then
		value = default
		if value == nil then
			return nil
		end
	end
	local result = booleans[value]
	if result == nil then
		complain(self, name, value, "true or false", default, "%s = true, without quotes")
		return booleans[default]
	end
	return result
end

-- Seconds of a period: a number, "90m", "2 days", "1w"; "never", false and negative numbers are for ever.
local function period_seconds(value)
	if value == false or value == "never" then
		return math_huge
	elseif value == nil or value == true then
		return nil
	end
	local seconds = tonumber(value)
	if not seconds and type(value) == "string" then
		seconds = require "prosody.util.human.io".parse_duration(value)
	end
	if seconds and seconds < 0 then
		return math_huge
	end
	return seconds
end

--- Seconds (see period_seconds), math.huge for ever; default, min and max are written as the option is.
function api:get_option_period(name, default, min, max)
	local value = self:get_option_scalar(name)
	if value == nil then
		return period_seconds(default)
	end
	local seconds = period_seconds(value)
	if not seconds then
		complain(self, name, value, "a period", default, "%s = \"1 day\", or \"90 minutes\", or \"never\"")
		return period_seconds(default)
	end
	return within(self, name, seconds, period_seconds(min), period_seconds(max))
end

--- A copy as a util.array; one value is a list of one. nil when unset and without default.
function api:get_option_array(name, default)
	local value = self:get_option(name, default)
	if value == nil then
		return nil
	elseif type(value) ~= "table" then
		return array { value }
	end
	return array():append(value)
end

--- The same as a util.set.
function api:get_option_set(name, default)
	local value = self:get_option_array(name, default)
	return value and set.new(value)
end

--- The host's set and the global one together.
function api:get_option_inherited_set(name, default)
	local value = self:get_option_set(name, default)
	if self.host ~= "*" then
		local global = config.rawget("*", name)
		if global ~= nil and value then
			value:include(self:context("*"):get_option_set(name))
		end
	end
	return value
end

--- A file name, relative to parent: the directory of the config file (default), "data", or a directory.
function api:get_option_path(name, default, parent)
	if parent == "data" then
		parent = prosody.paths.data
	end
	local value = self:get_option_string(name, default)
	return value and paths.resolve_relative_path(parent or prosody.paths.config, value)
end

--- One of the values given after default.
function api:get_option_enum(name, default, ...)
	local value = self:get_option_scalar(name)
	if value == nil then
		return default
	end
	local allowed = table_pack(...)
	for i = 1, allowed.n do
		if allowed[i] == value then
			return value
		end
		allowed[i] = shown(allowed[i])
	end
	local example = allowed[1]:gsub("%%", "%%%%")
	complain(self, name, value, "one of " .. table_concat(allowed, ", "), default, "%s = " .. example)
	return default
end

return api
