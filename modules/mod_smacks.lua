--- Stream management (XEP-0198) between servers: what is sent counts as arrived when the other side has said so. What
-- it may not have got when a connection breaks comes back to the sender.
-- @option smacks_enabled_s2s            boolean, true: offered to, and asked of, other servers
-- @option smacks_s2s_resend             boolean, false: messages that may or may not have arrived are sent again (and
--                                       may then arrive twice) instead of answered with an error
-- @option smacks_max_unacked_stanzas    integer, 32: sent without asking whether they arrived; 0: each time
-- @option smacks_max_ack_delay          period, 30 seconds: for the answer; who takes longer is taken for gone
-- @option smacks_s2s_max_queue_size     integer, 16384: stanzas of one stream that may be unacknowledged; what is
--                                       sent beyond is answered with an error
-- @option smacks_s2s_max_queue_bytes    bytes, 5242880: the same, in bytes
-- @hooks  s2s-stream-features, s2sout-proven, stanza/urn:xmpp:sm:3:enable, stanza/urn:xmpp:sm:3:resume,
--         config-reloaded
-- @fires  none        @stores none
-- @spec   spec/e2e/s2s_smacks_spec.lua, spec/core/xmpp/sm_spec.lua, spec/interop/prosody_smacks_spec.lua
--
-- The counting is the core's (core/xmpp/sm.h). Streams between servers cannot be resumed: what is lost with one is
-- known without that.

module:set_global()

local native = require "couplet.native"
local st = require "prosody.util.stanza"

local xmlns_sm = "urn:xmpp:sm:3"
local xmlns_stanzas = "urn:ietf:params:xml:ns:xmpp-stanzas"
local xmlns_streams = "http://etherx.jabber.org/streams"

local resends

local function set_options()
	resends = module:get_option_boolean("smacks_s2s_resend", false)
	native.options {
		s2s_sm_ask_stanzas = module:get_option_integer("smacks_max_unacked_stanzas", 32, 0);
		sm_answer = module:get_option_period("smacks_max_ack_delay", "30 seconds");
		s2s_sm_stanzas = module:get_option_integer("smacks_s2s_max_queue_size", 16384, 1);
		s2s_sm_bytes = module:get_option_integer("smacks_s2s_max_queue_bytes", 5 * 1024 * 1024, 65536);
	}
end

local function refuse(session, condition)
	session.sends2s(st.stanza("failed", { xmlns = xmlns_sm }):tag(condition, { xmlns = xmlns_stanzas }))
	return true
end

-- They come to us

local function offer(event)
	event.features:tag("sm", { xmlns = xmlns_sm }):up()
end

local function on_enable(session)
	-- XEP-0198 3: after authentication, by who opened the stream, once.
	if session.type ~= "s2sin" then return refuse(session, "unexpected-request") end
	if native.sm_accept(session) then
		session.resends = resends
		session.log("debug", "Stream management is on")
		return true
	end
	refuse(session, "unexpected-request")
	session:close({ condition = "policy-violation", text = "Stream management can be enabled once" })
	return true
end

local function on_resume(session)
	return refuse(session, session.type == "s2sin" and "item-not-found" or "unexpected-request")
end

-- We come to them

local function on_features(session, features)
	if session.type == "s2sout_unauthed" then session.has_sm = features:get_child("sm", xmlns_sm) ~= nil end
end

-- Before what waits is sent, so that it counts.
local function on_proven(event)
	local session = event.session
	session.resends = resends
	if session.has_sm and native.sm_enable(session) then session.log("debug", "Stream management is asked for") end
end

set_options()
module:hook("config-reloaded", set_options)

function module.add_host(module) -- luacheck: ignore 431
	if not module:get_option_boolean("smacks_enabled_s2s", true) then return end
	module:hook("s2s-stream-features", offer, 5)
	module:hook_tag(xmlns_sm, "enable", on_enable)
	module:hook_tag(xmlns_sm, "resume", on_resume)
	module:hook_tag(xmlns_streams, "features", on_features, 600)
	module:hook("s2sout-proven", on_proven)
end
