--- Contact Addresses (XEP-0157): whom to write to about this server.
-- @option contact_info  table of lists of URIs: abuse, admin, feedback, sales, security, status, support.
--                       Without it the admins are named as admin.
-- @option admins        set of JIDs
-- @hooks  none        @fires none        @stores none
-- @spec   spec/modules/mod_server_contact_info_spec.lua

local dataforms = require "prosody.util.dataforms"
local jid_prep = require "prosody.util.jid".prep
local url_encode = require "prosody.util.http".urlencode

local kinds = { "abuse", "admin", "feedback", "sales", "security", "status", "support" }

local form = dataforms.new { { name = "FORM_TYPE", type = "hidden", value = "http://jabber.org/network/serverinfo" } }
for _, kind in ipairs(kinds) do
	form[#form + 1] = { name = kind, var = kind .. "-addresses", type = "list-multi" }
end

local contacts = module:get_option "contact_info"
if type(contacts) ~= "table" or next(contacts) == nil then
	local admins = {}
	for jid in module:get_option_inherited_set("admins", {}):items() do
		jid = jid_prep(jid)
		if jid then
			-- RFC 5122: what is special in a URI is escaped; the @ stands as it is.
			admins[#admins + 1] = "xmpp:" .. url_encode(jid):gsub("%%40", "@")
		end
	end
	if #admins == 0 then
		module:log_status("error", "There is neither contact_info nor an admin, so there is nobody to name")
		return
	end
	table.sort(admins)
	module:log("info", "There is no contact_info: the admins are named")
	contacts = { admin = admins }
end

-- luacheck: globals addresses

--- Kind of address -> list of URIs; for other modules. One address may stand without a list in the configuration.
addresses = {}
for _, kind in ipairs(kinds) do
	local found = contacts[kind]
	addresses[kind] = type(found) == "string" and { found } or found
end

module:add_extension(form:form(addresses, "result"))
