--- Users change their password and delete their account (XEP-0077 3.2, 3.3).
-- @option allow_password_change  boolean, true
-- @option allow_account_removal  boolean, true
-- @hooks  iq/self/jabber:iq:register:query, iq/host/jabber:iq:register:query, user-deleted
-- @fires  user-deregistered        @stores account_details
-- @spec   spec/modules/mod_user_account_management_spec.lua
--
-- Always true: the account acted upon is that of the session, whatever the stanza names. Who deletes the account is
-- told before the session ends with it.

local nodeprep = require "prosody.util.encodings".stringprep.nodeprep
local st = require "prosody.util.stanza"
local usermanager = require "prosody.core.usermanager"

local xmlns_register = "jabber:iq:register"

local host = module.host
local can_change_password = module:get_option_boolean("allow_password_change", true)
local can_remove = module:get_option_boolean("allow_account_removal", true)
local leaving = {} -- username -> function that answers the request to delete it
local account_details = module:open_store("account_details")

local function refuse(session, stanza, error_type, condition, text)
	session.send(st.error_reply(stanza, error_type, condition, text)) -- never the query: it may hold a password
	return true
end

local function tell_registration(session, stanza)
	local reply = st.reply(stanza):query(xmlns_register)
	reply:tag("registered"):up()
	reply:text_tag("username", session.username)
	reply:tag("password"):up()
	local details = account_details:get(session.username) or {}
	for _, name in ipairs { "name", "email" } do
		if type(details[name]) == "string" then reply:text_tag(name, details[name]) end
	end
	session.send(reply)
	return true
end

local function remove_account(session, stanza, query)
	if not can_remove then
		return refuse(session, stanza, "cancel", "not-allowed", "Accounts cannot be deleted this way here.")
	elseif #query.tags > 1 then
		return refuse(session, stanza, "modify", "bad-request", "<remove/> must be the only element.")
	end
	local username = session.username
	leaving[username] = function () session.send(st.reply(stanza)) end
	local ok, err = usermanager.delete_user(username, host)
	leaving[username] = nil
	if not ok then
		module:log("error", "Account %s@%s was not deleted: %s", username, host, err)
		return refuse(session, stanza, "wait", "internal-server-error", "The account could not be deleted.")
	end
	module:log("info", "User account deleted: %s@%s", username, host)
	module:fire_event("user-deregistered", { username = username, host = host, source = "mod_register",
		session = session })
	return true
end

local function change_password(session, stanza, query)
	local name, password = query:get_child_text("username"), query:get_child_text("password")
	if not can_change_password then
		return refuse(session, stanza, "cancel", "not-allowed", "Passwords cannot be changed this way here.")
	elseif not name or not password or password == "" then
		return refuse(session, stanza, "modify", "bad-request", "A username and a new password are needed.")
	elseif nodeprep(name) ~= session.username then
		-- SECURITY B15: somebody else's password is never touched, though the request is understood.
		return refuse(session, stanza, "auth", "forbidden", "You can change no password but your own.")
	end
	local ok, err = usermanager.set_password(session.username, password, host, session.resource)
	if session.destroyed then return true end
	if not ok then
		session.log("warn", "The password was not changed: %s", err)
		return refuse(session, stanza, "cancel", "not-allowed", "The password could not be changed.")
	end
	session.send(st.reply(stanza))
	return true
end

local function handle(event)
	local session, stanza = event.origin, event.stanza
	if session.type ~= "c2s" or session.host ~= host then return end
	local query = stanza.tags[1]
	if stanza.attr.type == "get" then
		return tell_registration(session, stanza)
	elseif query:get_child("remove") then
		return remove_account(session, stanza, query)
	end
	return change_password(session, stanza, query)
end

-- The sessions of a deleted account are closed at priority -100 of this event.
local function answer_leaving(event)
	local answer = event.host == host and leaving[event.username]
	if answer then answer() end
end

module:hook_global("user-deleted", answer_leaving, -50)
module:add_feature(xmlns_register)
module:hook("iq/self/" .. xmlns_register .. ":query", handle)
module:hook("iq/host/" .. xmlns_register .. ":query", handle)
