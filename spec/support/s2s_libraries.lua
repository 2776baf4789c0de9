--- The libraries of mod_s2s one by one, in a made-up world (spec.support.fake_native).
--
--	local policy, module = libraries.load(world, "policy", { s2s_secure_auth = false })
--	module.logged         what it has logged: { { level, text }, ... }
--	module.timer          the last it has added: { delay =, fn = }

local libraries = {}

local api = {}
api.__index = api

function api:log(level, text, ...) table.insert(self.logged, { level, text:format(...) }) end

function api:get_host_items() return {} end

function api:add_timer(delay, fn) self.timer = { delay = delay, fn = fn } end

function api:get_option(name, default)
	local value = self.options[name]
	if value == nil then return default end
	return value
end

api.get_option_boolean, api.get_option_string = api.get_option, api.get_option
api.get_option_array, api.get_option_number = api.get_option, api.get_option

function api:get_option_set(name, default)
	local value = self:get_option(name, default)
	return value and require "util.set".new(value)
end

--- Loads a library with these options. Gives it, and the module it thinks it belongs to.
function libraries.load(world, name, options)
	assert(world.native, "a world is expected")
	local module = setmetatable({ options = options or {}, logged = {}, host = "*" }, api)
	local environment = setmetatable({ module = module, prosody = world.prosody }, { __index = _G })
	return assert(loadfile(("modules/mod_s2s/%s.lib.lua"):format(name), "t", environment))(), module
end

return libraries
