--- XMPP Ping (XEP-0199): answers pings to the server and to accounts.
-- @hooks  iq-get/bare/urn:xmpp:ping:ping, iq-get/host/urn:xmpp:ping:ping
-- @fires  none        @stores none
-- @spec   spec/modules/mod_ping_spec.lua

local st = require "prosody.util.stanza"

module:add_feature "urn:xmpp:ping"

-- The server answers for its accounts, existing or not: an answer tells nothing about them.
local function handle_ping(event)
	event.origin.send(st.reply(event.stanza))
	return true
end

module:hook("iq-get/bare/urn:xmpp:ping:ping", handle_ping)
module:hook("iq-get/host/urn:xmpp:ping:ping", handle_ping)
