--- Tells somebody about each new account.
-- @option registration_watchers      set of JIDs, the admins: who is told
-- @option admins                     set of JIDs
-- @option registration_from          string, the host: who it comes from
-- @option registration_notification  string: the text; $username, $host and $ip are filled in
-- @hooks  user-registered        @fires none        @stores none
-- @spec   spec/modules/mod_watchregistrations_spec.lua

local st = require "prosody.util.stanza"
local jid_prep = require "prosody.util.jid".prep

local host = module.host
local watchers = module:get_option_set("registration_watchers", module:get_option("admins", {})) / jid_prep
local from = module:get_option_string("registration_from", host)
local notification = module:get_option_string("registration_notification",
	"User $username just registered on $host from $ip")

module:hook("user-registered", function (event)
	local values = { username = event.username, host = host, ip = event.ip or event.session and event.session.ip or "?" }
	local message = st.message({ type = "chat", from = from }, (notification:gsub("%$(%w+)", values)))
	module:broadcast(watchers, message, watchers.items)
	module:log("debug", "Told the watchers about %s", event.username)
end)
