--- user and role in the admin's shell: accounts.

local jid = require "prosody.util.jid"
local usermanager = require "prosody.core.usermanager"

-- Gives the parts of a JID on a host of ours, nil and why it cannot be used.
local function read_account(address)
	local prepared = jid.prep(address or "")
	local username, host = jid.split(prepared or "")
	if not username then return nil, ("%q is not the JID of an account"):format(tostring(address)) end
	if not prosody.hosts[host] then return nil, ("There is no host %s"):format(host) end
	return username, host
end

-- The same for an account that is there.
local function find_account(address)
	local username, host = read_account(address)
	if not username then return nil, host end
	if not usermanager.user_exists(username, host) then
		return nil, ("There is no account %s@%s"):format(username, host)
	end
	return username, host
end

-- Asks twice, unless the password was given.
local function get_password(self, password)
	if password and password ~= "" then return password end
	local first = self.session.ask("Password: ", true)
	if not first or first == "" then return nil, "No password was given" end
	if self.session.ask("Once more: ", true) ~= first then return nil, "The two passwords differ" end
	return first
end

local function create(self, address, password, options)
	local username, host = read_account(address)
	if not username then return nil, host end
	if usermanager.user_exists(username, host) then return nil, "That user already exists" end
	local err
	password, err = get_password(self, password)
	if not password then return nil, err end
	local role = type(options) == "table" and options.role or type(options) == "string" and options or nil
	local ok
	if role then
		ok, err = usermanager.create_user_with_role(username, password, host, role)
	else
		ok, err = usermanager.create_user(username, password, host)
	end
	if not ok then return nil, "The account was not made: " .. tostring(err) end
	return true, ("%s@%s was made"):format(username, host)
end

local function set_password(self, address, password)
	local username, host = find_account(address)
	if not username then return nil, host end
	local err, ok
	password, err = get_password(self, password)
	if not password then return nil, err end
	ok, err = usermanager.set_password(username, password, host)
	if not ok then return nil, "The password was not changed: " .. tostring(err) end
	return true, "The password was changed"
end

local function delete(_, address)
	local username, host = find_account(address)
	if not username then return nil, host end
	local ok, err = usermanager.delete_user(username, host)
	if not ok then return nil, "The account was not deleted: " .. tostring(err) end
	return true, ("%s@%s was deleted"):format(username, host)
end

local function list(self, host, pattern)
	if not host or not prosody.hosts[host] then return nil, ("There is no host %s"):format(tostring(host)) end
	local names = {}
	for name in usermanager.users(host) do
		if not pattern or name:find(pattern, 1, true) then table.insert(names, name) end
	end
	table.sort(names)
	for _, name in ipairs(names) do self.session.print(name .. "@" .. host) end
	return true, ("%d account%s"):format(#names, #names == 1 and "" or "s")
end

local function role_name(role)
	return type(role) == "table" and role.name or role
end

local function show_role(self, address)
	local username, host = find_account(address)
	if not username then return nil, host end
	self.session.print(tostring(role_name(usermanager.get_user_role(username, host)) or "none"))
	for name in pairs(usermanager.get_user_secondary_roles(username, host) or {}) do
		self.session.print(name .. " (secondary)")
	end
	return true
end

local function set_role(_, address, role)
	local username, host = find_account(address)
	if not username then return nil, host end
	local ok, err = usermanager.set_user_role(username, host, role)
	if not ok then return nil, "The role was not set: " .. tostring(err) end
	return true, ("%s@%s is %s now"):format(username, host, role)
end

local function set_enabled(change, done)
	return function (_, address)
		local username, host = find_account(address)
		if not username then return nil, host end
		local ok, err = change(username, host)
		if not ok then return nil, ("The account was not %s: %s"):format(done, tostring(err)) end
		return true, ("%s@%s is %s now"):format(username, host, done)
	end
end

local function list_roles(self, host)
	if not host or not prosody.hosts[host] then return nil, ("There is no host %s"):format(tostring(host)) end
	local names = {}
	for name, role in pairs(usermanager.get_all_roles(host) or {}) do
		table.insert(names, type(name) == "string" and name or role_name(role))
	end
	table.sort(names)
	for _, name in ipairs(names) do self.session.print(name) end
	return true, ("%d role%s"):format(#names, #names == 1 and "" or "s")
end

local function add(section, section_desc, name, desc, args, handler, flags)
	module:add_item("shell-command", { section = section, section_desc = section_desc, name = name, desc = desc,
		args = args, handler = handler, flags = flags })
end

local account = { name = "jid", type = "string", required = true }
local password = { name = "password", type = "string" }
local role = { name = "role", type = "string", required = true }
local host = { name = "host", type = "string", required = true }
add("user", "Accounts", "create", "Makes an account; asks for the password when none is given", { account, password },
	create, { value_params = { role = true }, strict = true })
add("user", nil, "password", "Sets an account's password; asks for it when none is given", { account, password },
	set_password)
add("user", nil, "delete", "Deletes an account and all it has stored", { account }, delete)
add("user", nil, "list", "Lists the accounts of a host", { host, { name = "pattern", type = "string" } }, list)
add("user", nil, "role", "Shows the role of an account", { account }, show_role)
add("user", nil, "roles", "The same", { account }, show_role)
add("user", nil, "set_role", "Sets the role of an account", { account, role }, set_role)
add("user", nil, "enable", "Lets a disabled account in again", { account },
	set_enabled(function (...) return usermanager.enable_user(...) end, "enabled"))
add("user", nil, "disable", "Keeps an account but lets nobody in", { account },
	set_enabled(function (...) return usermanager.disable_user(...) end, "disabled"))
add("role", "Roles", "list", "Lists the roles there are on a host", { host }, list_roles)
