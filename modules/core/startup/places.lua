--- Where things are: the configuration, the data, the modules, the certificates. The server and its tools agree on it.

local config = require "prosody.core.configmanager"
local files = require "prosody.util.files"
local paths = require "prosody.util.paths"
local pluginloader = require "prosody.core.pluginloader"

local globals = _G
local debug_getinfo, ipairs, os_getenv = debug.getinfo, ipairs, os.getenv
local rawset, require, table_concat = rawset, require, table.concat

local _M = {}
local _ENV = nil

-- The directory with core/, util/ and mod_*.lua: ours is modules/core/startup/places.lua.
local module_directory = debug_getinfo(1, "S").source:match("^@(.*)/core/startup/places%.lua$") or "modules"
local root_directory = module_directory:match("^(.*)/[^/]*$") or "."
_M.modules, _M.root = module_directory, root_directory

local function is_file(path)
	return files.size(path) ~= nil
end

local is_checkout = is_file(root_directory .. "/configure")

-- Absolute when the shell told where we are, so that it stays right after the daemon has left that directory.
local function absolute(path)
	local here = os_getenv("PWD")
	if path:sub(1, 1) ~= "/" and here and here:sub(1, 1) == "/" then
		local full = paths.resolve_relative_path(here, path)
		if is_file(full) then
			return full
		end
	end
	return path
end

local config_names = { "prosody.cfg.lua", "couplet.cfg.lua" }

local function config_directories()
	local directories = {}
	if is_checkout then
		directories[1] = root_directory
	end
	directories[#directories + 1] = "/etc/couplet"
	directories[#directories + 1] = "/etc/prosody"
	return directories
end

--- The config file: the one given, else the first there is of prosody.cfg.lua and couplet.cfg.lua in the checkout,
-- /etc/couplet and /etc/prosody. Its path; or nil and a sentence.
function _M.find_config(given)
	if given then
		if is_file(given) then
			return absolute(given)
		end
		return nil, ("There is no config file %s"):format(given)
	end
	local tried = {}
	for _, directory in ipairs(config_directories()) do
		for _, name in ipairs(config_names) do
			local path = directory .. "/" .. name
			if is_file(path) then
				return path
			end
			tried[#tried + 1] = path
		end
	end
	return nil, ("There is no config file. Looked for %s. Name one with --config FILE"):format(table_concat(tried, ", "))
end

local function default_data_directory(config_directory)
	if config_directory == "/etc/prosody" then
		return "/var/lib/prosody"
	elseif is_checkout then
		return root_directory .. "/data"
	end
	return "/var/lib/couplet"
end

-- Where modules are looked for: the admin's directories first, ours last.
local function plugin_directories(config_directory, data_directory)
	local list = {}
	for _, path in ipairs(config.as_list(config.get("*", "plugin_paths")) or {}) do
		list[#list + 1] = paths.resolve_relative_path(config_directory, path)
	end
	list[#list + 1] = root_directory .. "/plugins"
	local installed = paths.resolve_relative_path(data_directory,
		config.get("*", "installer_plugin_path") or "custom_plugins")
	paths.complement_lua_path(installed)
	list[#list + 1] = installed
	list[#list + 1] = module_directory
	return list
end

--- Fills prosody.paths from the loaded configuration and tells pluginloader and the stores.
function _M.set_paths(config_file)
	local config_directory = config_file:match("^(.*)/[^/]*$") or "."
	local data_directory = paths.resolve_relative_path(config_directory,
		config.get("*", "data_path") or default_data_directory(config_directory))
	local plugins = plugin_directories(config_directory, data_directory)
	local found = globals.prosody.paths
	found.source, found.config, found.data = root_directory, config_directory, data_directory
	found.plugins = table_concat(plugins, ";")
	found.installer = plugins[#plugins - 1]
	found.certs = paths.resolve_relative_path(config_directory, config.get("*", "certificates") or "certs")
	pluginloader.set_directories(plugins)
	require "prosody.util.datamanager".set_data_path(data_directory)
	-- COMPAT: modules read these globals
	rawset(globals, "CFG_SOURCEDIR", found.source)
	rawset(globals, "CFG_CONFIGDIR", found.config)
	rawset(globals, "CFG_DATADIR", found.data)
	rawset(globals, "CFG_PLUGINDIR", module_directory)
end

-- Arguments


return _M
