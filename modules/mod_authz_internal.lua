--- Roles of accounts and of outsiders: who may do what (the authorization of Prosody 13).
-- Roles from weak to strong: prosody:guest, prosody:registered, prosody:member, prosody:admin, prosody:operator; each
-- may all that those before it may. JIDs in `admins` of the global section are operators, those of a host its admins.
-- @option admins             set, {}: JIDs that run the server (global section) or the host
-- @option authentication     string, "internal_hashed": with "anonymous", accounts are guests
-- @option default_user_role  string, "prosody:registered" (anonymous: "prosody:guest"): of accounts without another
-- @option parent_host        string, the name above the component's: whose accounts get host_user_role
-- @option host_user_role     string, "prosody:registered": components: of the parent host's accounts
-- @option server_user_role   string, none: components: of accounts of other hosts of this server
-- @option public_user_role   string, none: components: of everybody else
-- @option custom_roles       list, {}: { name, priority, inherits = {}, allow = {}, deny = {}, default }
-- @option add_permissions    map, {}: role -> list of permissions to allow
-- @option remove_permissions map, {}: role -> list of permissions to deny
-- @hooks  none               @fires none
-- @stores account_roles (keyval: _default and further roles), roles (keyval, read only: of 0.12)
-- @spec   spec/managers/usermanager_spec.lua
-- luacheck: allow defined top, ignore 131

local jid = require "prosody.util.jid"
local new_role = require "prosody.util.roles".new
local set = require "prosody.util.set"

local hosts = prosody.hosts
local host = module.host
local is_component = hosts[host].type == "component"
local is_anonymous = module:get_option_string("authentication") == "anonymous"

-- JIDs of the set in normal form; what is none is named.
local function prepared_jids(option)
	local prepared = set.new()
	for text in option:items() do
		local prepped = jid.prep(text)
		if prepped then
			prepared:add(prepped)
		else
			module:log("error", "The option admins has \"%s\", which is no JID", tostring(text))
		end
	end
	return prepared
end

local operators = prepared_jids(module:context("*"):get_option_set("admins", {}))
local admins = prepared_jids(module:get_option_inherited_set("admins", {}))

local default_role_name = module:get_option_string("default_user_role",
	is_anonymous and "prosody:guest" or "prosody:registered")
local parent_host = module:get_option_string("parent_host", (host:gsub("^[^%.]+%.", "")))
local host_user_role, server_user_role, public_user_role
if is_component then
	host_user_role = module:get_option_string("host_user_role", "prosody:registered")
	server_user_role = module:get_option_string("server_user_role")
	public_user_role = module:get_option_string("public_user_role")
end

local role_store = module:open_store("account_roles")
local old_role_store = module:open_store("roles")

-- Roles

local roles = {} -- name -> role
local has_configured = {} -- "role\0permission" -> true: what the configuration says is not changed by modules

local function permit(role, permissions, policy)
	for _, permission in ipairs(permissions or {}) do
		role:set_permission(permission, policy, true)
		has_configured[role.name .. "\0" .. permission] = true
	end
end

local function add_role(spec)
	local inherits = {}
	for _, name in ipairs(spec.inherits or {}) do
		if not roles[name] then
			error(("the role %s inherits from %s, which is not defined before it"):format(spec.name, name))
		end
		inherits[#inherits + 1] = roles[name]
	end
	local role = new_role { name = spec.name, priority = spec.priority, inherits = inherits, default = spec.default }
	permit(role, spec.allow, true)
	permit(role, spec.deny, false)
	roles[spec.name] = role
end

add_role { name = "prosody:guest", priority = 15 }
add_role { name = "prosody:registered", priority = 25, inherits = { "prosody:guest" }, default = true }
add_role { name = "prosody:member", priority = 35, inherits = { "prosody:registered" } }
add_role { name = "prosody:admin", priority = 50, inherits = { "prosody:member" } }
add_role { name = "prosody:operator", priority = 75, inherits = { "prosody:admin" } }

for i, spec in ipairs(module:get_option_array("custom_roles", {})) do
	if type(spec) ~= "table" or type(spec.name) ~= "string" then
		module:log("error", "custom_roles: entry %d needs a name", i)
	elseif roles[spec.name] then
		module:log("error", "custom_roles: there is already a role %s", spec.name)
	else
		local ok, err = pcall(add_role, spec)
		if not ok then
			module:log("error", "custom_roles: %s", err)
		end
	end
end

local function permit_from_option(option, policy)
	for name, permissions in pairs(module:get_option(option, {})) do
		if roles[name] then
			permit(roles[name], permissions, policy)
		else
			module:log("error", "%s: there is no role %s", option, tostring(name))
		end
	end
end

permit_from_option("add_permissions", true)
permit_from_option("remove_permissions", false)

if not roles[default_role_name] then
	module:log("error", "default_user_role: there is no role %s; accounts are guests", default_role_name)
	default_role_name = "prosody:guest"
end

--- All roles: name -> role.
function get_all_roles()
	return roles
end

function get_role_by_name(role_name)
	return roles[role_name]
end

--- What modules give to a role, unless the configuration decided.
function add_default_permission(role_name, permission)
	local role = roles[role_name]
	if not role then
		module:log("warn", "No role %s to give %s to", tostring(role_name), permission)
		return
	end
	if not has_configured[role_name .. "\0" .. permission] then
		role:set_permission(permission, true)
	end
end

-- Accounts

-- The role the configuration gives to a JID, whatever is stored.
local function configured_role(bare_jid)
	if operators:contains(bare_jid) then
		return roles["prosody:operator"]
	elseif admins:contains(bare_jid) then
		return roles["prosody:admin"]
	end
end

-- 0.12 kept a set of roles, of which only the admin's was used.
local function role_of_012(username)
	local old = old_role_store:get(username)
	return old and old["prosody:admin"] and "prosody:admin" or nil
end

-- What is stored: { _default = name, [further role] = true }, or nil and an error.
local function stored_roles(username)
	local stored, err = role_store:get(username)
	if err then
		return nil, err
	end
	if stored then
		return stored
	end
	return { _default = role_of_012(username) }
end

--- The account's role; nil and an error when it cannot be read (then nothing may be assumed).
function get_user_role(username)
	local configured = configured_role(username .. "@" .. host)
	if configured then
		return configured
	end
	local stored, err = stored_roles(username)
	if not stored then
		return nil, "the account's roles could not be read: " .. tostring(err)
	end
	local name = stored._default or default_role_name
	if not roles[name] then
		return nil, "unknown role: " .. tostring(name)
	end
	return roles[name]
end

-- Changes what is stored of an account; change(stored) gives nil and an error to refuse.
local function change_stored(username, change)
	local stored, err = stored_roles(username)
	if not stored then
		return nil, err
	end
	local ok
	ok, err = change(stored)
	if not ok then
		return nil, err
	end
	return role_store:set(username, next(stored) ~= nil and stored or nil)
end

--- Sets the account's role: the role, or nil and an error.
function set_user_role(username, role_name)
	local role = roles[role_name]
	if not role then
		return nil, "there is no role " .. tostring(role_name)
	end
	local ok, err = change_stored(username, function (stored)
		stored._default = role_name ~= default_role_name and role_name or nil
		stored[role_name] = nil
		return true
	end)
	if not ok then
		return nil, err
	end
	return role
end

--- Further roles: name -> role.
function get_user_secondary_roles(username)
	local stored, err = stored_roles(username)
	if not stored then
		return nil, err
	end
	local secondary = {}
	for name in pairs(stored) do
		if name ~= "_default" and roles[name] then
			secondary[name] = roles[name]
		end
	end
	return secondary
end

function add_user_secondary_role(username, role_name)
	if not roles[role_name] then
		return nil, "there is no role " .. tostring(role_name)
	end
	return change_stored(username, function (stored)
		if (stored._default or default_role_name) == role_name then
			return nil, "it is already the account's role"
		end
		stored[role_name] = true
		return true
	end)
end

function remove_user_secondary_role(username, role_name)
	return change_stored(username, function (stored)
		stored[role_name] = nil
		return true
	end)
end

--- Its own role and its further ones.
function user_can_assume_role(username, role_name)
	local wanted, own = roles[role_name], get_user_role(username)
	if not wanted or not own then
		return false
	elseif wanted == own then
		return true
	end
	local secondary = get_user_secondary_roles(username)
	return secondary ~= nil and secondary[role_name] ~= nil
end

-- JIDs

local function role_of_outsider(jid_host)
	if host_user_role and jid_host == parent_host then
		return host_user_role
	elseif server_user_role and hosts[jid_host] then
		return server_user_role
	end
	return public_user_role
end

--- The role of any JID; nil: none.
function get_jid_role(for_jid)
	local bare_jid = jid.bare(for_jid)
	local node, jid_host = jid.split(bare_jid)
	if node and jid_host == host and not is_component then
		return get_user_role(node)
	end
	return configured_role(bare_jid) or roles[role_of_outsider(jid_host)]
end

--- Roles of outsiders come from the configuration.
function set_jid_role()
	return nil, "roles of other hosts' JIDs are set in the configuration (admins)"
end

-- The JIDs that the configuration, not an account, gives a role to.
local function configured_jids(role_name)
	local found = {}
	for bare_jid in (role_name == "prosody:operator" and operators or admins):items() do
		if configured_role(bare_jid).name == role_name then
			found[#found + 1] = bare_jid
		end
	end
	return found
end

--- Names of the accounts that have a role: a sorted list. Accounts that were never given one are not looked for.
function get_users_with_role(role_name)
	local seen, names = {}, {}
	local function add(name)
		if not seen[name] then
			seen[name] = true
			names[#names + 1] = name
		end
	end
	for _, bare_jid in ipairs(configured_jids(role_name)) do
		local node, jid_host = jid.split(bare_jid)
		if node and jid_host == host then
			add(node)
		end
	end
	for username in role_store:users() do
		local role = get_user_role(username)
		if role and role.name == role_name then
			add(username)
		end
	end
	table.sort(names)
	return names
end

--- JIDs that have a role, outsiders of the configuration included: a list.
function get_jids_with_role(role_name)
	local jids = {}
	for _, username in ipairs(get_users_with_role(role_name)) do
		jids[#jids + 1] = username .. "@" .. host
	end
	for _, bare_jid in ipairs(configured_jids(role_name)) do
		if jid.host(bare_jid) ~= host then
			jids[#jids + 1] = bare_jid
		end
	end
	return jids
end
