--- coupletctl check config: mistakes in the configuration, with file and line.

local files = require "prosody.util.files"
local jid = require "prosody.util.jid"
local nearest = require "prosody.util.spelling".nearest
local options = require "ctl.check.options"
local paths = require "prosody.util.paths"
local pluginloader = require "prosody.core.pluginloader"
local sorted_keys = require "prosody.util.table".sorted_keys
local storagemanager = require "prosody.core.storagemanager"

-- Options of the server as a whole: in a host's section nobody reads them.
local global_options = {}
for _, name in ipairs { "admin_socket", "c2s_timeout", "c2s_idle_timeout", "c2s_stanza_size_limit", "certificates",
	"daemonize", "data_path", "installer_plugin_path", "interfaces", "limits", "local_interfaces", "log",
	"network_backend", "network_settings", "pidfile", "plugin_paths", "prosody_group", "prosody_user", "run_as_root",
	"statistics", "statistics_interval", "trusted_proxies", "umask", "unlimited_ips" } do
	global_options[name] = true
end

local function is_global_option(name)
	if global_options[name] then return true end
	for _, ending in ipairs { "_ports", "_interfaces", "max_connections_per_ip", "max_unauthenticated_per_ip",
		"max_unauthenticated", "max_accepts_per_second_per_ip", "max_accepts_per_second" } do
		if name:sub(-#ending) == ending then return true end -- with the service in front
	end
	return false
end

local function advice_for(name, names)
	local meant = nearest(name, names)
	return meant and ("did you mean %q?"):format(meant) or "is it spelt right, and its directory in plugin_paths?"
end

local function check_modules(report, config, section)
	local enabled, disabled = config.rawget(section, "modules_enabled"), {}
	for _, name in ipairs(config.as_list(config.get(section, "modules_disabled")) or {}) do disabled[name] = true end
	local where = config.place(section, "modules_enabled")
	local seen = {}
	for _, name in ipairs(config.as_list(enabled) or {}) do
		if type(name) ~= "string" then
			report:problem("%smodules_enabled holds %s; names of modules stand in quotes", where, tostring(name))
		elseif seen[name] then
			report:hint("%smodules_enabled names %q twice", where, name)
		elseif not pluginloader.exists(name) then
			report:problem("%sthere is no module %q; %s", where, name, advice_for(name, pluginloader.names()))
		elseif disabled[name] and config.rawget(section, "modules_disabled") then
			report:hint("%s%q is in modules_enabled and in modules_disabled; it stays disabled", where, name)
		end
		seen[name] = true
	end
end

local function check_admins(report, config, section)
	local admins = config.rawget(section, "admins")
	if admins == nil then return end
	local where = config.place(section, "admins")
	for _, admin in ipairs(config.as_list(admins)) do
		local node, host = jid.split(type(admin) == "string" and admin or "")
		if not node then
			report:problem("%sadmins: %q is not the address of an account, such as \"romeo@example.com\"", where,
				tostring(admin))
		elseif not jid.prep(admin) then
			report:problem("%sadmins: %q is not a valid address", where, admin)
		elseif not config.getconfig()[host] then
			report:hint("%sadmins: %s is on a host that is not served here", where, admin)
		end
	end
end

local function check_ssl(report, config, section, config_directory)
	local ssl = config.rawget(section, "ssl")
	if ssl ~= nil and type(ssl) ~= "table" then
		report:problem("%sssl should be a table; write ssl = { certificate = \"x.crt\", key = \"x.key\" }",
			config.place(section, "ssl"))
	end
	for _, name in ipairs { "certificate", "key" } do
		local path = type(ssl) == "table" and type(ssl[name]) == "string"
			and paths.resolve_relative_path(config_directory, ssl[name])
		if path and not files.size(path) then
			report:problem("%sssl: the file %s cannot be found", config.place(section, "ssl"), path)
		end
	end
end

-- Is there a module of a kind ("storage_sql", "auth_anonymous")?
local function check_kind(report, where, option, name)
	if pluginloader.exists(name) then return end
	local kind, of_kind = name:match "^%a+_", {}
	for _, other in ipairs(pluginloader.names()) do
		if other:sub(1, #kind) == kind then table.insert(of_kind, other) end
	end
	report:problem("%s%s: there is no module %q; %s", where, option, name, advice_for(name, of_kind))
end

-- storage = "sqlite", or { store = "sqlite" }.
local function check_storage(report, config, section)
	for _, option in ipairs { "storage", "default_storage" } do
		local value = config.rawget(section, option)
		for _, driver in pairs(type(value) == "table" and value or { value }) do
			check_kind(report, config.place(section, option), option, storagemanager.module_of(tostring(driver)))
		end
	end
end

local function check_host(report, config, host)
	local section = config.getconfig()[host]
	local component = config.rawget(host, "component_module")
	for _, option in ipairs(sorted_keys(section)) do
		if is_global_option(option) then
			report:problem("%s%s is an option of the whole server, but stands after %s %q; move it above the first host",
				config.place(host, option), option, component and "Component" or "VirtualHost", host)
		end
	end
	check_modules(report, config, host)
	check_admins(report, config, host)
	if component and not pluginloader.exists(component) then
		report:problem("%sComponent %q: there is no module %q; %s", config.place(host, "component_module"), host, component,
			advice_for(component, pluginloader.names()))
	end
	local authentication = config.get(host, "authentication")
	if not component and authentication then
		check_kind(report, config.place(host, "authentication"), "authentication", "auth_" .. tostring(authentication))
	end
	check_storage(report, config, host)
end

-- A folder that is not there holds nothing, and nobody says so while the server runs.
local function check_folders(report, config, config_directory)
	for _, option in ipairs { "plugin_paths", "certificates" } do
		for _, path in ipairs(config.as_list(config.get("*", option)) or {}) do
			if type(path) ~= "string" then
				report:problem("%s%s: %s is no path; a path stands in quotes", config.place("*", option), option, tostring(path))
			elseif not files.list(paths.resolve_relative_path(config_directory, path)) then
				report:problem("%s%s: the folder %s cannot be read", config.place("*", option), option,
					paths.resolve_relative_path(config_directory, path))
			end
		end
	end
end

-- What may be wanted, but opens the server more than most want.
local unsafe = {
	{ "c2s_require_encryption", false, "passwords and messages of clients may travel in the clear" },
	{ "s2s_require_encryption", false, "messages to other servers may travel in the clear" },
	{ "s2s_secure_auth", false, "other servers need no valid certificate" },
	{ "allow_unencrypted_plain_auth", true, "passwords may travel in the clear" },
	{ "allow_registration", true, "everybody may make accounts; spammers will, unless invitations or limits stop them" },
	{ "insecure_open_access", true, "everybody can log in as anybody" },
	{ "run_as_root", true, "the server keeps all of root's rights" },
}

local function check_unsafe(report, config)
	for _, entry in ipairs(unsafe) do
		local option, value, what = entry[1], entry[2], entry[3]
		for _, section in ipairs { "*", table.unpack(config.hosts()) } do
			if config.rawget(section, option) == value then
				report:hint("%s%s = %s: %s", config.place(section, option), option, tostring(value), what)
			end
		end
	end
end

-- How names are looked up, tried out as far as that goes without asking anybody.
local function check_names(report, config)
	local settings = require "prosody.net.unbound_settings"
	local wanted, err = settings.native(config.get("*", "unbound"))
	local found, unbound = pcall(require, "couplet.unbound")
	if wanted and found then
		local resolver
		resolver, err = unbound.new(wanted)
		if resolver then resolver:close() end
	end
	if err then report:problem("%s%s", config.place("*", "unbound"), err) end
end

return function (ctl, report)
	local config, warnings = ctl:load_config()
	for _, warning in ipairs(warnings) do report:problem("%s", warning) end
	local hosts = config.hosts()
	if not hosts[1] then
		report:problem("%s: there is no host; add a line such as VirtualHost \"example.com\"", ctl.config_path)
	end
	check_modules(report, config, "*")
	check_admins(report, config, "*")
	check_ssl(report, config, "*", ctl.prosody.paths.config)
	local has_admin = config.rawget("*", "admins") ~= nil
	local has_user_host = false
	for _, host in ipairs(hosts) do
		check_host(report, config, host)
		check_ssl(report, config, host, ctl.prosody.paths.config)
		has_admin = has_admin or config.rawget(host, "admins") ~= nil
		has_user_host = has_user_host or not config.rawget(host, "component_module")
	end
	if hosts[1] and not has_user_host then
		report:hint("%s: there are only components; nobody can have an account here", ctl.config_path)
	end
	if not has_admin then
		report:hint("%s: admins is not set, so nobody may use the commands for admins", ctl.config_path)
	end
	check_folders(report, config, ctl.prosody.paths.config)
	check_storage(report, config, "*")
	options.check(report, config)
	check_names(report, config)
	check_unsafe(report, config)
end
