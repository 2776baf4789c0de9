--- Stream management (XEP-0198). Clients: what is sent to them is kept until they have it; a session whose connection
-- breaks goes on without, and the client finds it as it was when it comes back. Servers: what one may not have got
-- comes back to the sender.
-- @option smacks_hibernation_time              period, 10 minutes: for a client whose connection broke to come back
-- @option smacks_max_hibernated_sessions       integer, 5: of one account; beyond, the one that is away for longest
--         ends
-- @option smacks_max_queue_size                integer, 1000: stanzas that may wait for a client that is away; with
--         one more its session ends, and they go where they would without it
-- @option smacks_max_queue_bytes               bytes, 2097152: the same, in bytes; a connected client may owe us
--         acknowledgements for four times as much
-- @option smacks_max_old_sessions              integer, 10: of one account, of which it is remembered after their end
--         how much they had sent
-- @option smacks_max_unacked_stanzas           integer, 32: sent without asking whether they arrived; 0: each time
-- @option smacks_max_inactive_unacked_stanzas  integer, 256: the same to clients that nobody looks at (XEP-0352)
-- @option smacks_max_ack_delay                 period, 30 seconds: for the answer; of clients who take longer modules
--         are told (push notifications), servers who do are taken for gone
-- @option smacks_ack_timeout                   period, 60 seconds: clients who take longer are taken for gone
-- @option smacks_enabled_c2s                   boolean, true: offered to clients
-- @option smacks_enabled_s2s                   boolean, true: offered to, and asked of, other servers
-- @option smacks_s2s_resend                    boolean, false: messages that may or may not have arrived are sent
--         again (and may then arrive twice) instead of answered with an error
-- @option smacks_s2s_max_queue_size            integer, 16384: stanzas of one stream between servers that may be
--         unacknowledged; what is sent beyond is answered with an error
-- @option smacks_s2s_max_queue_bytes           bytes, 5242880: the same, in bytes
-- @hooks stream-features, stanza/urn:xmpp:sm:3:enable, stanza/urn:xmpp:sm:3:resume, sm-hibernated, sm-settled,
--         sm-queued, sm-ack-delayed, pre-resource-unbind, session-ended, c2s-read-timeout, csi-client-inactive,
--         csi-client-active, s2s-stream-features, s2sout-proven, server-stopping, config-reloaded
-- @fires smacks-hibernation-start, smacks-hibernation-end, smacks-hibernation-stanza-queued, smacks-ack-delayed,
--         delivery/failure, message/offline/handle
-- @stores smacks_h (keyval: id of an ended session -> { h =, t = })
-- @spec spec/e2e/smacks_spec.lua, spec/e2e/smacks_cuts_spec.lua, spec/e2e/s2s_smacks_spec.lua,
--         spec/core/xmpp/sm_spec.lua, spec/interop/smacks_spec.lua, spec/interop/prosody_smacks_spec.lua
--
-- The counting is the core's (core/xmpp/sm.h, session_sm.h). Streams between servers cannot be resumed: what is lost
-- with one is known without that.

module:set_global()

local native = require "couplet.native"
local st = require "prosody.util.stanza"

local xmlns_sm = "urn:xmpp:sm:3"
local xmlns_stanzas = "urn:ietf:params:xml:ns:xmpp-stanzas"

local clients = module:require "clients"
local servers = module:require "servers"

local function set_options()
	local bytes = module:get_option_integer("smacks_max_queue_bytes", 2 * 1024 * 1024, 65536)
	local asks = module:get_option_integer("smacks_max_unacked_stanzas", 32, 0)
	native.options {
		c2s_sm_away_stanzas = module:get_option_integer("smacks_max_queue_size", 1000, 1),
		c2s_sm_away_bytes = bytes,
		c2s_sm_bytes = 4 * bytes,
		c2s_sm_inactive_bytes = 4 * bytes,
		c2s_sm_ask_stanzas = asks,
		c2s_sm_inactive_ask_stanzas = module:get_option_integer("smacks_max_inactive_unacked_stanzas", 256, 0),
		c2s_sm_delay = module:get_option_period("smacks_max_ack_delay", "30 seconds"),
		c2s_sm_answer = module:get_option_period("smacks_ack_timeout", "60 seconds"),
		s2s_sm_ask_stanzas = asks,
		sm_answer = module:get_option_period("smacks_max_ack_delay", "30 seconds"),
		s2s_sm_stanzas = module:get_option_integer("smacks_s2s_max_queue_size", 16384, 1),
		s2s_sm_bytes = module:get_option_integer("smacks_s2s_max_queue_bytes", 5 * 1024 * 1024, 65536),
	}
	servers.set_resends(module:get_option_boolean("smacks_s2s_resend", false))
end

-- Answers of XEP-0198 that are no stanzas go to this very stream.
local function say(session, element)
	return (session.sends2s or session.send)(element)
end

-- Section 5: h tells how much of the session that is no more was handled.
local function refuse(session, condition, h)
	say(session, st.stanza("failed", { xmlns = xmlns_sm, h = h and ("%d"):format(h) })
		:tag(condition, { xmlns = xmlns_stanzas }))
	return true
end

local function is_server(session) return session.type:sub(1, 3) == "s2s" end

-- Section 3: after authentication, and a client after binding; once.
local function on_enable(session, stanza)
	if is_server(session) and session.type ~= "s2sin" or not is_server(session) and not session.full_jid then
		return refuse(session, "unexpected-request")
	end
	local handler = is_server(session) and servers or clients
	local enabled = handler.enable(session, stanza)
	if enabled then
		if enabled.attributes then say(session, st.stanza("enabled", enabled.attributes)) end
		session.log("debug", "Stream management is on%s", enabled.id and ", and the session can be resumed" or "")
		return true
	end
	refuse(session, "unexpected-request")
	session:close({ condition = "policy-violation", text = "Stream management can be enabled once" })
	return true
end

local function on_resume(session, stanza)
	if is_server(session) then
		return refuse(session, session.type == "s2sin" and "item-not-found" or "unexpected-request")
	end
	local resumed, condition, h = clients.resume(session, stanza)
	if resumed then
		resumed.finish()
	elseif not session.destroyed then
		refuse(session, condition, h)
		clients.note_failure(session)
	end
	return true
end

set_options()
module:hook("config-reloaded", set_options)

-- Before mod_c2s ends them.
module:hook("server-stopping", clients.stop, -70)

-- For modules that do the same inside of something else (SASL2, bind 2).

--- <enable/> of a bound session: { id =, max =, attributes = of <enabled/> }, or nil and a stanza error condition.
-- Counting has begun: <enabled/> is to be sent next.
function _ENV.do_enable(session, stanza)
	if not session.full_jid then return nil, "unexpected-request" end
	return clients.enable(session, stanza)
end

--- <resume/> of a session that is logged in and not bound: { session = the one that goes on, h =, id =, finish = sends
-- <resumed/> and the rest }, or nil, a stanza error condition and maybe h.
function _ENV.do_resume(session, stanza) return clients.resume(session, stanza) end

function module.add_host(module) -- luacheck: ignore 431
	local has_servers = module:get_option_boolean("smacks_enabled_s2s", true)
	local has_clients = module:get_option_boolean("smacks_enabled_c2s", true) and module:get_host_type() == "local"
	if not (has_servers or has_clients) then return end
	module:hook_tag(xmlns_sm, "enable", on_enable)
	module:hook_tag(xmlns_sm, "resume", on_resume)
	if has_servers then servers.add_host(module) end
	if has_clients then clients.add_host(module) end
end
