--- Greets new accounts with a message.
-- @option welcome_message  string: the text; $username and $host are filled in
-- @hooks  user-registered        @fires none        @stores none
-- @spec   spec/modules/mod_welcome_spec.lua

local st = require "prosody.util.stanza"
local jid_join = require "prosody.util.jid".join

local host = module.host
local welcome_message = module:get_option_string("welcome_message", "Hello $username, welcome to the $host IM server!")

module:hook("user-registered", function (event)
	local values = { username = event.username, host = host }
	local text = welcome_message:gsub("%$(%w+)", values)
	module:send(st.message({ to = jid_join(event.username, host), from = host }, text))
	module:log("debug", "Welcomed %s", event.username)
end)
