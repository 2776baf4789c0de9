--- An example: greets whoever comes online, with a text of the admin's choice.
-- @option example_greeting  string, "Welcome back!": what is said
-- @hooks  presence/initial        @fires none        @stores none
-- @spec   spec/e2e/docs_spec.lua
local st = require "util.stanza"
local greeting = module:get_option_string("example_greeting", "Welcome back!")

module:hook("presence/initial", function (event)
	local session = event.origin
	module:send(st.message({ from = module.host, to = session.full_jid, type = "headline" }, greeting))
end)
