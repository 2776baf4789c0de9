--- Software Version (XEP-0092): which server is this?
-- @option hide_os_type  boolean, false: do not name the operating system
-- @hooks  iq-get/host/jabber:iq:version:query
-- @fires  none        @stores none
-- @spec   spec/modules/mod_version_spec.lua

local st = require "prosody.util.stanza"

module:add_feature "jabber:iq:version"

local query = st.stanza("query", { xmlns = "jabber:iq:version" })
	:text_tag("name", "Couplet")
	:text_tag("version", prosody.version or "unknown")

if not module:get_option_boolean("hide_os_type", false) then
	local found, pposix = pcall(require, "prosody.util.pposix")
	local system = found and pposix.uname and pposix.uname()
	query:text_tag("os", system and system.sysname or prosody.platform or "unknown")
end

module:hook("iq-get/host/jabber:iq:version:query", function (event)
	event.origin.send(st.reply(event.stanza):add_child(query))
	return true
end)
