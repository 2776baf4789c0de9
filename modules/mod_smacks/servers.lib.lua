-- Between servers: they come to us, and we come to them.

local native = require "couplet.native"

local xmlns_sm = "urn:xmpp:sm:3"
local xmlns_streams = "http://etherx.jabber.org/streams"

local servers = {}

local resends

--- Are messages that may have arrived sent again?
function servers.set_resends(value) resends = value end

--- <enable/> on a stream that came in. {} (the core has answered), nil: not for the first time.
function servers.enable(session)
	if not native.sm_accept(session) then return nil end
	session.resends = resends
	return {}
end

local function offer(event) event.features:tag("sm", { xmlns = xmlns_sm }):up() end

local function on_features(session, features)
	if session.type == "s2sout_unauthed" then session.has_sm = features:get_child("sm", xmlns_sm) ~= nil end
end

-- Before what waits is sent, so that it counts.
local function on_proven(event)
	local session = event.session
	session.resends = resends
	if session.has_sm and native.sm_enable(session) then session.log("debug", "Stream management is asked for") end
end

function servers.add_host(module) -- luacheck: ignore 431
	module:hook("s2s-stream-features", offer, 5)
	module:hook_tag(xmlns_streams, "features", on_features, 600)
	module:hook("s2sout-proven", on_proven)
end

return servers
