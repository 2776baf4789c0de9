--- The message of the day: sent to every client when it comes online.
-- @option motd_text  string: the text; without it nothing is sent
-- @option motd_jid   string, the host: who it comes from
-- @hooks  presence/initial        @fires none        @stores none
-- @spec   spec/modules/mod_motd_spec.lua

local st = require "prosody.util.stanza"

local motd_text = module:get_option_string "motd_text"
local motd_jid = module:get_option_string("motd_jid", module.host)

if not motd_text then
	module:log("info", "There is no motd_text, so nothing will be sent")
	return
end

-- Indentation in the configuration file is not meant for the reader.
motd_text = motd_text:gsub("^%s*(.-)%s*$", "%1"):gsub("\n[ \t]+", "\n")

module:hook("presence/initial", function (event)
	module:send(st.message({ to = event.origin.full_jid, from = motd_jid }, motd_text))
end, -1) -- after the client's presence has gone out
