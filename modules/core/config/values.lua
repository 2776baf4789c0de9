--- What a configuration is made of: sections of options, whose values are copies, and what stands for an option that
-- is read back while the configuration runs.

local getmetatable, next, rawget, setmetatable, type = getmetatable, next, rawget, setmetatable, type
local table_unpack = table.unpack

local _M = {}
local _ENV = nil

-- Sections

--- An empty configuration: section -> option -> value. A host's section falls back to the global one ("*"), so that
-- walking it shows what holds.
function _M.new_options()
	local global = {}
	return setmetatable({ ["*"] = global }, { fallback = { __index = global } })
end

--- A section of a configuration, made when it is not there yet.
function _M.section_of(options, host)
	local section = rawget(options, host)
	if not section then
		section = setmetatable({}, getmetatable(options).fallback)
		options[host] = section
	end
	return section
end
local section_of = _M.section_of

-- Copies

local proxy_values = setmetatable({}, { __mode = "k" }) -- proxy -> the value it stands for

-- Plain tables are copied deeply; objects with a metatable and functions are kept as they are.
local function copy_value(value, seen)
	if type(value) ~= "table" then
		return value
	end
	if proxy_values[value] then
		value = proxy_values[value].value
	elseif getmetatable(value) ~= nil then
		return value
	end
	seen = seen or {}
	if seen[value] then
		return seen[value]
	end
	local copy = {}
	seen[value] = copy
	for k, v in next, value do
		copy[copy_value(k, seen)] = copy_value(v, seen)
	end
	return copy
end
_M.copy = copy_value

-- Lists grow at the end, named entries replace those of the same name.
local function append_to(list, addition)
	if type(addition) ~= "table" then
		list[#list + 1] = addition
		return
	end
	addition = copy_value(addition)
	local n = #addition
	for i = 1, n do
		list[#list + 1] = addition[i]
	end
	for k, v in next, addition do
		local is_item = type(k) == "number" and k >= 1 and k <= n and k % 1 == 0
		if not is_item then
			list[k] = v
		end
	end
end

-- Proxies: what the configuration gets when it reads back an option that is a table.

local proxy_methods = {}

--- The option's value as a plain table (a copy).
function proxy_methods:value()
	return copy_value(proxy_values[self].value)
end

--- The list's items, one by one.
function proxy_methods:values()
	return table_unpack(copy_value(proxy_values[self].value))
end

--- Adds the items of a list, or one item, or merges named entries. In a host's section the global value is the start.
function proxy_methods:append(addition)
	local option = proxy_values[self]
	local loader = option.loader
	local own = rawget(section_of(loader.options, option.section), option.key)
	if type(own) ~= "table" then
		own = copy_value(option.value)
		option.value = own
	end
	append_to(own, addition)
	loader:keep(option.section, option.key, own)
	return self
end

local proxy_mt = {
	__index = function (self, key)
		return proxy_methods[key] or proxy_values[self].value[key]
	end,
	__newindex = function (self, key, value)
		self:append({ [key] = value })
	end,
	__len = function (self)
		return #proxy_values[self].value
	end,
	__pairs = function (self)
		return next, copy_value(proxy_values[self].value)
	end,
	__call = function (self, addition)
		return self:append(addition)
	end,
}

--- Stands for an option that is a table. loader keeps what is appended; value is what the option holds so far.
function _M.new_proxy(loader, section, key, value)
	local proxy = setmetatable({}, proxy_mt)
	proxy_values[proxy] = { loader = loader, section = section, key = key, value = value }
	return proxy
end

return _M
