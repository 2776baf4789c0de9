--- Sessions of clients, for modules: who they are, which resource they have, and sending to those of a user.
--
-- The core keeps the sessions (prosody.hosts[h].sessions, bare_sessions and full_sessions are views of them); what is
-- here adds to its steps what Lua knows: roles, rosters and the events modules wait for.

local logger = require "prosody.util.logger"
local native = require "couplet.native"
local rostermanager = require "prosody.core.rostermanager"
local usermanager = require "prosody.core.usermanager"

local log = logger.init("sessionmanager")

local hosts = _G.prosody.hosts
local os_time, pairs, tostring, type = os.time, pairs, tostring, type

local _M = {}
local _ENV = nil

--- A session for a client that comes over a transport written in Lua (BOSH, WebSocket). Its fields send and close are
-- the transport's.
function _M.new_session(conn, host)
	local session = native.new_session("c2s_unauthed", host)
	session.conn = conn
	session.ip = conn and conn.ip and conn:ip() or nil
	session.conntime = os_time()
	return session
end

-- The role a session begins with. wanted: a role, a role's name, or nil for the account's own.
local function role_for(username, host, wanted)
	if wanted == nil then
		return usermanager.get_user_role(username, host)
	elseif type(wanted) == "table" then
		return wanted
	elseif not usermanager.user_can_assume_role(username, host, wanted) then
		return nil, "the account may not use the role " .. tostring(wanted)
	end
	return usermanager.get_role_by_name(wanted, host)
end

--- After login: the session speaks for username@host. role (may be nil): a role or its name, instead of the account's
-- own. true, or nil and a text.
function _M.make_authenticated(session, username, role)
	local host = session.host
	local session_role, err = role_for(username, host, role)
	if not session_role and role ~= nil then
		return nil, err
	elseif not session_role then
		-- Without a role nobody is refused login, only what needs a permission.
		log("warn", "%s@%s has no role: %s", username, tostring(host), tostring(err))
	end
	local ok, text = native.make_authenticated(session, username)
	if not ok then
		return nil, text
	end
	session.role = session_role
	session.auth_timestamp = os_time()
	return true
end

--- Resource binding (RFC 6120 7). Modules may change or refuse the resource (pre-resource-bind) and hear of it
-- (resource-bind). true, or nil, error type, condition and text.
function _M.bind_resource(session, resource)
	if not session.username then
		return nil, "auth", "not-authorized", "Log in first"
	end
	local host = hosts[session.host]
	local event = { session = session, resource = resource }
	if host.events.fire_event("pre-resource-bind", event) == false then
		local refusal = event.error or {}
		return nil, refusal.type or "cancel", refusal.condition or "not-allowed", refusal.text
	end
	local roster, err = rostermanager.load_roster(session.username, session.host)
	if err then
		return nil, "wait", "internal-server-error", "The roster cannot be read at the moment"
	end
	local ok, error_type, condition, text = native.bind_resource(session, event.resource)
	if not ok then
		return nil, error_type, condition, text
	end
	-- The user's table lives as long as the user is online, and with it the roster all sessions share.
	host.sessions[session.username].roster = roster
	session.roster = roster
	host.events.fire_event("resource-bind", { session = session })
	return true
end

--- Ends a session at once, without a word to the client: for transports whose other side has gone.
function _M.destroy_session(session, reason)
	if session.destroyed then
		return
	end
	native.end_session(session, reason and tostring(type(reason) == "table" and reason.text or reason) or nil)
end

local function send_to(username, host, stanza, wanted)
	local user = hosts[host] and hosts[host].sessions[username]
	local count = 0
	if user then
		for _, session in pairs(user.sessions) do
			if session[wanted] then
				session.send(stanza)
				count = count + 1
			end
		end
	end
	return count
end

--- Sends to every session of a user that has sent presence; gives how many those are.
function _M.send_to_available_resources(username, host, stanza)
	return send_to(username, host, stanza, "presence")
end

--- Sends to every session of a user that has asked for the roster; gives how many those are.
function _M.send_to_interested_resources(username, host, stanza)
	return send_to(username, host, stanza, "interested")
end

return _M
