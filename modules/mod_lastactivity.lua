--- Last Activity of accounts (XEP-0012 3 and 4): when was somebody here for the last time?
-- Told only to those who may see the account's presence; so are questions to its sessions passed on.
-- @hooks  iq-get/bare/jabber:iq:last:query, iq/full, resource-unbind, pre-presence/bare
-- @fires  none        @stores lastactivity (keyval: time, status)
-- @spec   spec/modules/mod_lastactivity_spec.lua

local st = require "prosody.util.stanza"
local jid_bare = require "prosody.util.jid".bare
local jid_node = require "prosody.util.jid".node
local is_contact_subscribed = require "prosody.core.rostermanager".is_contact_subscribed
local now = require "prosody.util.time".now

local hosts = prosody.hosts
local host = module.host
local store = module:open_store "lastactivity"

module:add_feature "jabber:iq:last"

local function may_see(username, from)
	from = jid_bare(from)
	return from == username .. "@" .. host or is_contact_subscribed(username, host, from)
end

local function is_online(username)
	local user = hosts[host].sessions[username]
	for _, session in pairs(user and user.sessions or {}) do
		if session.presence then
			return true
		end
	end
	return false
end

local function remember(username, status)
	local ok, err = store:set(username, { time = now() // 1 | 0, status = status })
	if not ok then
		module:log("error", "Could not store the last activity of %s: %s", username, err)
	end
end

-- What a client says when it leaves by itself.
module:hook("pre-presence/bare", function (event)
	local origin, stanza = event.origin, event.stanza
	if stanza.attr.type == "unavailable" and not stanza.attr.to and origin.username then
		remember(origin.username, stanza:get_child_text "status")
	end
end, 10)

-- One that was available to the end was cut off, or did not bother.
module:hook("resource-unbind", function (event)
	local session = event.session
	if session.presence then
		remember(session.username)
	end
end, 10)

module:hook("iq-get/bare/jabber:iq:last:query", function (event)
	local origin, stanza = event.origin, event.stanza
	local username = jid_node(stanza.attr.to) or origin.username
	if not may_see(username, stanza.attr.from or origin.full_jid) then
		origin.send(st.error_reply(stanza, "auth", "forbidden"))
		return true
	end
	local seconds, status = 0, nil
	if not is_online(username) then
		local last, err = store:get(username)
		if err then
			module:log("error", "Could not read the last activity of %s: %s", username, err)
			origin.send(st.error_reply(stanza, "wait", "internal-server-error"))
			return true
		elseif not last then
			origin.send(st.error_reply(stanza, "cancel", "item-not-found", "This user has not been seen yet"))
			return true
		end
		seconds, status = math.max(0, (now() // 1 | 0) - last.time), last.status
	end
	origin.send(st.reply(stanza)
		:tag("query", { xmlns = "jabber:iq:last", seconds = tostring(seconds) }):text(status))
	return true
end)

-- XEP-0012 4: the question is not even delivered.
module:hook("iq/full", function (event)
	local origin, stanza = event.origin, event.stanza
	if stanza.attr.type ~= "get" or not stanza:get_child("query", "jabber:iq:last") then
		return nil
	end
	if not may_see(jid_node(stanza.attr.to), stanza.attr.from or origin.full_jid) then
		origin.send(st.error_reply(stanza, "auth", "forbidden"))
		return true
	end
end, 10)
