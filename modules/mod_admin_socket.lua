--- The unix socket on which coupletctl talks to the running server. Whoever can open it is the admin: it belongs to the
-- server's user, mode 0600.
-- @option admin_socket  path, "prosody.sock" in the data directory
-- @hooks  none        @fires admin/TYPE for a message of that type, admin/closed        @stores none
-- @spec   spec/modules/mod_admin_socket_spec.lua

module:set_global()

local adminstream = require "prosody.util.adminstream"
local native = require "couplet.native"

local path = module:get_option_path("admin_socket", "prosody.sock", "data")
local sessions = module:shared("sessions") -- conn -> session

local function handle_message(session, message)
	module:fire_event("admin/" .. message.type, { origin = session, message = message })
end

local function handle_close(session)
	module:fire_event("admin/closed", { origin = session })
end

local listener, err = native.listen {
	path = path,
	listener = adminstream.server(sessions, handle_message, handle_close),
}
if listener then
	module:log("debug", "The admin socket is %s", path)
else
	-- The server serves its users without it; only coupletctl cannot reach it.
	module:log("error", "There is no admin socket: %s", err)
end

function module.unload()
	if listener then listener:close() end
	for _, session in pairs(sessions) do session:close() end
end
