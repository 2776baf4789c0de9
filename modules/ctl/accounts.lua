--- coupletctl adduser, passwd, deluser, register, unregister.
--
-- While the server runs it is asked to do it, so that its memory and the store agree; else the store is written.

local human_io = require "prosody.util.human.io"
local jid = require "prosody.util.jid"
local ui = require "ctl.ui"

local commands = {}

local function read_jid(ctl, command, address)
	if not address then ui.fail_usage(command) end
	local username, host = jid.prepped_split(address)
	if not username then ui.fail("%q is not the JID of an account: it looks like romeo@example.com.", address) end
	return username, ctl:check_host(host)
end

local function read_new_password()
	if not ui.is_terminal() then
		-- A script: one line, and nobody to ask twice.
		local line = io.read("l")
		if not line or line == "" then ui.fail("No password was given.") end
		return line
	end
	local password = human_io.read_password()
	if not password or password == "" then ui.fail("No password was given.") end
	return password
end

-- Does it in the server when there is one, else with direct(usermanager). Gives the exit code.
local function perform(ctl, host, line, direct)
	local ok, text = ctl:ask_server(line)
	if ok == nil then ok, text = direct(ctl:open_accounts(host)) end
	if ok then return 0 end
	ui.warn("%s", tostring(text or "This did not work"))
	return 1
end

local function call(name, ...)
	local args = {}
	for i = 1, select("#", ...) do args[i] = ("%q"):format((select(i, ...))) end
	return ("%s(%s)"):format(name, table.concat(args, ", "))
end

local function user_exists(ctl, username, host)
	local address = username .. "@" .. host
	local exists = false
	local ok = ctl:ask_server(call("user:list", host, username), function (line)
		exists = exists or line == address
	end)
	if ok == nil then exists = ctl:open_accounts(host).user_exists(username, host) end
	return exists
end

local function create(ctl, username, host, password)
	return perform(ctl, host, call("user:create", username .. "@" .. host, password), function (usermanager)
		if usermanager.user_exists(username, host) then return nil, "That user already exists" end
		return usermanager.create_user(username, password, host)
	end)
end

local function delete(ctl, username, host)
	return perform(ctl, host, call("user:delete", username .. "@" .. host), function (usermanager)
		if not usermanager.user_exists(username, host) then return nil, "That user does not exist" end
		return usermanager.delete_user(username, host)
	end)
end

commands.adduser = {
	usage = "adduser JID",
	about = "Make an account; asks for its password",
	run = function (ctl, args)
		local username, host = read_jid(ctl, commands.adduser, args[1])
		if user_exists(ctl, username, host) then
			ui.warn("That user already exists")
			return 1
		end
		return create(ctl, username, host, read_new_password())
	end,
}

commands.passwd = {
	usage = "passwd JID",
	about = "Set an account's password",
	run = function (ctl, args)
		local username, host = read_jid(ctl, commands.passwd, args[1])
		if not user_exists(ctl, username, host) then
			ui.warn("That user does not exist")
			return 1
		end
		local password = read_new_password()
		return perform(ctl, host, call("user:password", username .. "@" .. host, password), function (usermanager)
			return usermanager.set_password(username, password, host)
		end)
	end,
}

commands.deluser = {
	usage = "deluser JID",
	about = "Delete an account and all it has stored",
	run = function (ctl, args)
		return delete(ctl, read_jid(ctl, commands.deluser, args[1]))
	end,
}

commands.register = {
	usage = "register USER HOST [PASSWORD]",
	about = "Make an account, from a script",
	details = "A password on the command line can be seen by others on this machine; without one it is read from\n"
		.. "standard input.",
	run = function (ctl, args)
		if not args[2] then ui.fail_usage(commands.register) end
		local username, host = read_jid(ctl, commands.register, args[1] .. "@" .. args[2])
		return create(ctl, username, host, args[3] or read_new_password())
	end,
}

commands.unregister = {
	usage = "unregister USER HOST",
	about = "Delete an account, from a script",
	run = function (ctl, args)
		if not args[2] then ui.fail_usage(commands.unregister) end
		return delete(ctl, read_jid(ctl, commands.unregister, args[1] .. "@" .. args[2]))
	end,
}

return commands
