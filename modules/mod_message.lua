--- Messages between users (RFC 6121 8.5): delivery to the bare and the full JID.
-- The rules run in the core (core/xmpp/delivery.c), so a message nobody else hooks never enters Lua. What is left to
-- say here is what needs the accounts: nobody stores messages for a user who does not exist.
-- @hooks  message/bare, message/full, message/offline/handle     @fires message/offline/handle (from the core)
-- @stores none
-- @spec   spec/e2e/messaging_spec.lua, spec/e2e/delivery_spec.lua

local native = require "couplet.native"
local st = require "prosody.util.stanza"
local jid_split = require "prosody.util.jid".split
local user_exists = require "prosody.core.usermanager".user_exists

-- RFC 6121 8.5.1: a user who does not exist answers like one who does not take messages.
local function refuse_unknown_user(event)
	local origin, stanza = event.origin, event.stanza
	local username, host = jid_split(stanza.attr.to or origin.full_jid)
	if user_exists(username, host) then
		return nil
	end
	origin.send(st.error_reply(stanza, "cancel", "service-unavailable"))
	return true
end

module:hook("message/bare", native.hooks.message_bare, -1)
module:hook("message/full", native.hooks.message_full, -1)
module:hook("message/offline/handle", refuse_unknown_user, 1000)
