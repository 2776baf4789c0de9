--- Accounts and what they may do, whoever keeps them.
--
-- Every host has a provider of accounts (hosts[h].users), which a module mod_auth_* offers as the item auth-provider,
-- and one of roles (hosts[h].authz), the environment of mod_authz_*. Without one, the null provider: nobody exists and
-- no password is right.
--
-- A provider: test_password(user, password), get_password(user), set_password(user, password), user_exists(user),
-- create_user(user, password), delete_user(user), users() -> iterator, get_sasl_handler(session),
-- get_account_info(user), is_enabled(user), enable(user), disable(user, meta). What it lacks is answered with
-- nil, "method not implemented".

local config = require "prosody.core.configmanager"
local jid = require "prosody.util.jid"
local logger = require "prosody.util.logger"
local modulemanager = require "prosody.core.modulemanager"

local log = logger.init("usermanager")

local prosody = _G.prosody
local hosts = prosody.hosts
local ipairs, next, pairs, require, setmetatable = ipairs, next, pairs, require, setmetatable
local tostring, type = tostring, type

local _M = {}
local _ENV = nil

local DEFAULT_PROVIDER = "internal_hashed"

-- Providers

local function not_implemented()
	return nil, "method not implemented"
end

--- A provider of no accounts.
function _M.new_null_provider()
	local null = {
		name = "null",
		users = function ()
			return next, {}, nil
		end,
	}
	function null.get_sasl_handler()
		local nobody = function ()
			return false
		end
		return require "prosody.util.sasl".new("null", { plain_test = nobody })
	end
	return setmetatable(null, { __index = function ()
		return not_implemented
	end })
end

local null_provider = _M.new_null_provider()

--- The provider of a host's accounts; the null provider for what is no host of ours.
function _M.get_provider(host)
	return hosts[host] and hosts[host].users or null_provider
end

local function call(host, method, ...)
	local fn = _M.get_provider(host)[method] or not_implemented
	return fn(...)
end

-- The roles of a host; nil for what is no host of ours.
local function authz_of(host)
	return hosts[host] and hosts[host].authz
end

local function load_authz(host)
	local name = config.get(host, "authorization") or "internal"
	local authz = modulemanager.load(host, "authz_" .. name)
	if not authz then
		log("error", "%s has no roles, so nobody may do anything there that needs one", host)
	end
	return authz
end

--- Gives a host its accounts and roles; called when it is activated.
function _M.initialize_host(host_name)
	local host = hosts[host_name]
	host.authz = load_authz(host_name)
	if host.type ~= "local" then
		return
	end
	local wanted = config.get(host_name, "authentication") or DEFAULT_PROVIDER
	host.users = null_provider
	host.events.add_handler("item-added/auth-provider", function (event)
		if event.item.name == wanted then
			host.users = event.item
			log("debug", "The accounts of %s are kept by %s", host_name, wanted)
		end
	end)
	host.events.add_handler("item-removed/auth-provider", function (event)
		if host.users == event.item then
			host.users = null_provider
		end
	end)
	if wanted ~= "null" then
		modulemanager.load(host_name, "auth_" .. wanted)
		if host.users == null_provider then
			log("error", "Nobody can log in to %s: mod_auth_%s offers no accounts (see the option authentication)",
				host_name, wanted)
		end
	end
end

prosody.events.add_handler("host-activated", _M.initialize_host, 100)

-- Accounts

--- Is this the account's password? true, or nil and why not.
function _M.test_password(username, host, password)
	return call(host, "test_password", username, password)
end

--- The password as text, where the provider has it.
function _M.get_password(username, host)
	return call(host, "get_password", username)
end

--- Sets an account's password. resource: the session that did so, which others need not close.
function _M.set_password(username, password, host, resource)
	local ok, err = call(host, "set_password", username, password)
	if ok then
		log("info", "The password of %s@%s was changed", username, host)
		prosody.events.fire_event("user-password-changed", { username = username, host = host, resource = resource })
	end
	return ok, err
end

--- What the provider tells of an account: { created =, password_updated =, enabled = ... }.
function _M.get_account_info(username, host)
	return call(host, "get_account_info", username)
end

--- Is there such an account? nil and an error when the provider cannot tell.
function _M.user_exists(username, host)
	if not hosts[host] then
		return false
	end
	return call(host, "user_exists", username)
end

-- Has the provider do it to the account of the event; then the log hears that it was done, and the modules by
-- user-created, user-deleted, user-enabled or user-disabled.
local function change(method, done, event, ...)
	local ok, err = call(event.host, method, event.username, ...)
	if ok then
		log("info", "The account %s@%s was %s", event.username, event.host, done)
		prosody.events.fire_event("user-" .. done, event)
	end
	return ok, err
end

--- Makes an account. Callers who let people register fire user-registered.
function _M.create_user(username, password, host)
	return change("create_user", "created", { username = username, host = host }, password)
end

--- Makes an account that has a role from the start.
function _M.create_user_with_role(username, password, host, role_name)
	local role = _M.get_role_by_name(role_name, host)
	if not role then
		return nil, "no such role: " .. tostring(role_name)
	end
	local ok, err = _M.create_user(username, password, host)
	if not ok then
		return ok, err
	end
	ok, err = _M.set_user_role(username, host, role_name)
	if not ok then
		_M.delete_user(username, host)
		return nil, "the role could not be set: " .. tostring(err)
	end
	return true
end

--- Deletes an account. What modules keep of it goes with the event user-deleted.
function _M.delete_user(username, host)
	return change("delete_user", "deleted", { username = username, host = host })
end

--- Can the account be used? Providers that know no disabled accounts say yes for those that exist.
function _M.user_is_enabled(username, host)
	local provider = _M.get_provider(host)
	if provider.is_enabled and provider.is_enabled ~= not_implemented then
		return provider.is_enabled(username)
	end
	return _M.user_exists(username, host)
end

--- Takes disable_user back: true, or nil and an error.
function _M.enable_user(username, host)
	return change("enable", "enabled", { username = username, host = host })
end

--- Keeps the account but lets nobody use it. meta: { reason =, comment = ... } kept with it.
function _M.disable_user(username, host, meta)
	return change("disable", "disabled", { username = username, host = host, meta = meta }, meta)
end

--- Iterates over the names of a host's accounts.
function _M.users(host)
	local iterator, state, first = call(host, "users")
	if not iterator then
		return next, {}, nil
	end
	return iterator, state, first
end

--- A util.sasl handler for a session that wants to log in.
function _M.get_sasl_handler(host, session)
	return call(host, "get_sasl_handler", session)
end

-- Roles

local function call_authz(host, method, ...)
	local authz = authz_of(host)
	if not authz then
		return nil, "no such host or no authorization on it"
	end
	local fn = authz[method] or not_implemented
	return fn(...)
end

--- A role of a host by its name ("prosody:admin").
function _M.get_role_by_name(role_name, host)
	return call_authz(host, "get_role_by_name", role_name)
end

--- name -> role of all roles on a host.
function _M.get_all_roles(host)
	return call_authz(host, "get_all_roles")
end

--- The role an account has when it logs in.
function _M.get_user_role(username, host)
	if type(username) ~= "string" then
		return nil, "username must be text"
	end
	return call_authz(host, "get_user_role", username)
end

--- Sets the account's role by name: the role, or nil and an error.
function _M.set_user_role(username, host, role_name)
	local role, err = call_authz(host, "set_user_role", username, role_name)
	if role then
		log("info", "%s@%s now has the role %s", username, host, role.name)
		prosody.events.fire_event("user-role-changed", { username = username, host = host, role = role })
	end
	return role, err
end

--- May the account use that role for a session?
function _M.user_can_assume_role(username, host, role_name)
	return call_authz(host, "user_can_assume_role", username, role_name)
end

--- Further roles the account may use: name -> role.
function _M.get_user_secondary_roles(username, host)
	return call_authz(host, "get_user_secondary_roles", username)
end

--- Lets the account use one more role: true, or nil and an error. remove_user_secondary_role takes it back.
function _M.add_user_secondary_role(username, host, role_name)
	local ok, err = call_authz(host, "add_user_secondary_role", username, role_name)
	if ok then
		prosody.events.fire_event("user-role-added", { username = username, host = host, role_name = role_name })
	end
	return ok, err
end

function _M.remove_user_secondary_role(username, host, role_name)
	local ok, err = call_authz(host, "remove_user_secondary_role", username, role_name)
	if ok then
		prosody.events.fire_event("user-role-removed", { username = username, host = host, role_name = role_name })
	end
	return ok, err
end

--- The role of a JID on a host: of its account there, else what the host grants to outsiders.
function _M.get_jid_role(for_jid, host)
	local node, jid_host = jid.split(for_jid)
	if node and jid_host == host and hosts[host] and hosts[host].type == "local" then
		return _M.get_user_role(node, host)
	end
	return call_authz(host, "get_jid_role", for_jid)
end

--- Sets the role of a JID by name: of an account there, or of an outsider.
function _M.set_jid_role(for_jid, host, role_name)
	local node, jid_host = jid.split(for_jid)
	if node and jid_host == host then
		return _M.set_user_role(node, host, role_name)
	end
	return call_authz(host, "set_jid_role", for_jid, role_name)
end

--- Names of the accounts that have a role: a list.
function _M.get_users_with_role(role_name, host)
	return call_authz(host, "get_users_with_role", role_name) or {}
end

--- JIDs that have a role on a host, the accounts included: a list.
function _M.get_jids_with_role(role_name, host)
	return call_authz(host, "get_jids_with_role", role_name) or {}
end

--- COMPAT with modules before 13: is the JID an admin of the host (nil or "*": of the whole server)?
function _M.is_admin(for_jid, host)
	if not host or host == "*" then
		for name, host_session in pairs(hosts) do
			local role = host_session.authz and _M.get_jid_role(for_jid, name)
			if role and role.name == "prosody:operator" then
				return true
			end
		end
		return false
	end
	local role = _M.get_jid_role(for_jid, host)
	return role ~= nil and (role.name == "prosody:admin" or role.name == "prosody:operator")
end

-- COMPAT with 0.12: sets of roles, role name -> true.
local function as_role_set(role, secondary)
	local names = {}
	if role then
		names[role.name] = true
	end
	for name in pairs(secondary or {}) do
		names[name] = true
	end
	return names
end

--- COMPAT: sets of names, role -> true.
function _M.get_user_roles(username, host)
	return as_role_set(_M.get_user_role(username, host), _M.get_user_secondary_roles(username, host))
end

--- The same of a JID; on "*" nil for all but operators.
function _M.get_roles(for_jid, host)
	if not host or host == "*" then
		return _M.is_admin(for_jid, "*") and { ["prosody:operator"] = true, ["prosody:admin"] = true } or nil
	end
	local role = _M.get_jid_role(for_jid, host)
	return role and as_role_set(role) or nil
end

--- The weightiest of the given roles becomes the account's role, the others its further ones.
function _M.set_user_roles(username, host, role_names)
	local first
	for name in pairs(role_names) do
		local role = _M.get_role_by_name(name, host)
		if not role then
			return nil, "no such role: " .. tostring(name)
		elseif not first or (role.priority or 0) > (first.priority or 0) then
			first = role
		end
	end
	if not first then
		return nil, "no role given"
	end
	local ok, err = _M.set_user_role(username, host, first.name)
	if not ok then
		return nil, err
	end
	for name in pairs(role_names) do
		if name ~= first.name then
			ok, err = _M.add_user_secondary_role(username, host, name)
			if not ok then
				return nil, err
			end
		end
	end
	return true
end

-- Whoever is online with a role that was taken away, or whose account is no more, cannot go on with it.

local function close_sessions(username, host, reason, except_resource)
	local user = hosts[host] and hosts[host].sessions and hosts[host].sessions[username]
	if not user then
		return
	end
	local list = {}
	for resource, session in pairs(user.sessions) do
		if resource ~= except_resource then
			list[#list + 1] = session
		end
	end
	for _, session in ipairs(list) do
		session:close(reason)
	end
end

prosody.events.add_handler("user-deleted", function (event)
	close_sessions(event.username, event.host, { condition = "not-authorized", text = "Account deleted" })
end, -100)

prosody.events.add_handler("user-disabled", function (event)
	close_sessions(event.username, event.host, { condition = "not-authorized", text = "Account disabled" })
end, -100)

prosody.events.add_handler("user-password-changed", function (event)
	close_sessions(event.username, event.host, { condition = "reset", text = "Password changed" }, event.resource)
end, -100)

prosody.events.add_handler("user-role-changed", function (event)
	close_sessions(event.username, event.host, { condition = "reset", text = "Role changed" })
end, -100)

return _M
