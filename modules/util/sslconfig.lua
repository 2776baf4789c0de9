--- TLS settings put together from several places: defaults, the global `ssl` option, a service's own.
-- Always true: what is applied later wins, except that lists of flags (options, verify, ...) are merged, where
-- { no_x = false } takes a flag away again.
local ipairs, pairs, setmetatable, type = ipairs, pairs, setmetatable, type
local s_gmatch = string.gmatch
local t_concat, t_sort = table.concat, table.sort

local _ENV = nil

local methods = {}
local config_mt = { __index = methods, __name = "sslconfig" }

local function new()
	return setmetatable({}, config_mt)
end

-- A flag, a list of flags, or flag -> true/false, laid over what is there.
local function merge_flags(config, field, value)
	local flags = config[field]
	if type(flags) ~= "table" then
		flags = {}
		config[field] = flags
	end
	if type(value) ~= "table" then
		flags[value] = true
		return
	end
	for key, flag in pairs(value) do
		if type(key) == "number" then
			flags[flag] = true
		else
			flags[key] = flag
		end
	end
end

-- "tlsv1_2+": that version and all newer ones.
local protocols = { "sslv2", "sslv3", "tlsv1", "tlsv1_1", "tlsv1_2", "tlsv1_3" }

local function set_protocol(config, field, value)
	local version = type(value) == "string" and value:match("^(.*)%+$")
	if not version then
		config[field] = value
		return
	end
	config[field] = "sslv23"
	config.min_protocol = version
	for _, protocol in ipairs(protocols) do
		if protocol == version then
			break
		end
		merge_flags(config, "options", { ["no_" .. protocol] = true })
	end
end

-- A list of names, or one text with colons.
local function set_list(config, field, value)
	if type(value) == "string" then
		local list = {}
		for item in s_gmatch(value, "[^:]+") do
			list[#list + 1] = item
		end
		value = list
	end
	config[field] = value
end

local setters = {
	options = merge_flags,
	verify = merge_flags,
	verifyext = merge_flags,
	dane = merge_flags,
	protocol = set_protocol,
	curveslist = set_list,
	ciphers = set_list,
}

--- Lays a table of settings over this one; nil changes nothing. Gives itself.
function methods:apply(settings)
	if type(settings) == "table" then
		for field, value in pairs(settings) do
			(setters[field] or function (config, name, new_value) config[name] = new_value end)(self, field, value)
		end
	end
	return self
end

local flag_fields = { options = true, verify = true, verifyext = true, dane = true }

--- A plain table: flags as sorted lists, ciphers as text, password as a function.
function methods:final()
	local result = {}
	for field, value in pairs(self) do
		if flag_fields[field] and type(value) == "table" then
			local list = {}
			for flag, wanted in pairs(value) do
				if wanted then
					list[#list + 1] = flag
				end
			end
			t_sort(list)
			result[field] = list
		elseif field == "ciphers" and type(value) == "table" then
			result[field] = t_concat(value, ":")
		elseif field == "password" and type(value) == "string" then
			result[field] = function () return value end
		else
			result[field] = value
		end
	end
	return result
end

return {
	new = new,
	apply = methods.apply,
	final = methods.final,
}
