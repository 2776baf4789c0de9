--- Entity Time (XEP-0202): what time is it at the server?
-- @hooks  iq-get/bare/urn:xmpp:time:time, iq-get/host/urn:xmpp:time:time
-- @fires  none        @stores none
-- @spec   spec/modules/mod_time_spec.lua

local st = require "prosody.util.stanza"
local datetime = require "prosody.util.datetime".datetime
local now = require "prosody.util.time".now

module:add_feature "urn:xmpp:time"

-- The server's own zone is nobody's business: it answers in UTC, which XEP-0202 4 allows.
local function handle_time(event)
	event.origin.send(st.reply(event.stanza)
		:tag("time", { xmlns = "urn:xmpp:time" })
			:text_tag("tzo", "+00:00")
			:text_tag("utc", datetime(now() // 1)))
	return true
end

module:hook("iq-get/bare/urn:xmpp:time:time", handle_time)
module:hook("iq-get/host/urn:xmpp:time:time", handle_time)
