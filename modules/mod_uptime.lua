--- Last Activity of the server (XEP-0012 5): for how long has it been running?
-- @hooks  iq-get/host/jabber:iq:last:query
-- @fires  none        @stores none
-- @spec   spec/modules/mod_uptime_spec.lua

local st = require "prosody.util.stanza"
local now = require "prosody.util.time".now

module:add_feature "jabber:iq:last"

-- Loaded before the start is over, there is no start_time yet.
local loaded_at = now()

module:hook("iq-get/host/jabber:iq:last:query", function (event)
	local seconds = math.max(0, now() - (prosody.start_time or loaded_at)) // 1 | 0
	event.origin.send(st.reply(event.stanza):tag("query", { xmlns = "jabber:iq:last", seconds = tostring(seconds) }))
	return true
end)
