--- Announcements: a message of an admin to many users at once.
-- Sent to HOST/announce/online it reaches the sessions that are online, to HOST/announce/all every account of the host.
-- Other modules use send_to_online, send_to_all and send_to_role of module:depends "announce".
-- @hooks  message/host        @fires none        @stores none
-- @spec   spec/modules/mod_announce_spec.lua

local st = require "prosody.util.stanza"
local jid_resource = require "prosody.util.jid".resource
local jid_split = require "prosody.util.jid".split
local usermanager = require "prosody.core.usermanager"
local id = require "prosody.util.id"

local hosts = prosody.hosts

-- luacheck: globals send_to_online send_to_all send_to_role

module:default_permission("prosody:admin", ":send-announcement")

local function prepare(message, host)
	local copy = st.clone(message)
	copy.attr.type = "headline"
	copy.attr.from = host
	copy.attr.id = id.short()
	return copy
end

local function send_online_at(message, host_name)
	local host = hosts[host_name]
	local count = 0
	if host.type ~= "local" then
		return count
	end
	local copy = prepare(message, host_name)
	for _, user in pairs(host.sessions) do
		for _, session in pairs(user.sessions) do
			copy.attr.to = session.full_jid
			session.send(copy)
			count = count + 1
		end
	end
	return count
end

--- Sends to all sessions at host, or at every host; gives their number.
function send_to_online(message, host)
	if host then
		return send_online_at(message, host)
	end
	local count = 0
	for host_name in pairs(hosts) do
		count = count + send_online_at(message, host_name)
	end
	return count
end

local function send_to_users(message, host, users)
	local copy = prepare(message, host)
	copy.attr.type = nil -- headlines are not kept for those who are away: RFC 6121 8.5.2.2.1
	local count = 0
	for username in users do
		copy.attr.to = username .. "@" .. host
		module:send(st.clone(copy))
		count = count + 1
	end
	return count
end

--- Sends to all accounts at host (this one); gives their number.
function send_to_all(message, host)
	host = host or module.host
	return send_to_users(message, host, usermanager.users(host))
end

--- Sends to the accounts at host (this one) that have the role; gives their number.
function send_to_role(message, role, host)
	host = host or module.host
	local list, i = usermanager.get_users_with_role(role, host) or {}, 0
	return send_to_users(message, host, function ()
		i = i + 1
		return list[i]
	end)
end

local targets = {
	["announce/online"] = function (message) return send_to_online(message, module.host) end,
	["announce/all"] = function (message) return send_to_all(message, module.host) end,
}

module:hook("message/host", function (event)
	local origin, stanza = event.origin, event.stanza
	local target = targets[jid_resource(stanza.attr.to)]
	if not target or stanza.attr.type == "error" then
		return nil
	elseif not module:may(":send-announcement", event) then
		module:log("warn", "%s may not make announcements", stanza.attr.from)
		origin.send(st.error_reply(stanza, "auth", "forbidden", "Only admins make announcements"))
		return true
	end
	local count = target(stanza)
	local username, host = jid_split(stanza.attr.from)
	module:log("info", "%s@%s made an announcement to %d recipients", username, host, count)
	return true
end)
