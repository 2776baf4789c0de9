--- Client connections (RFC 6120): the ports they come in on and the limits they live under. The streams themselves are
-- native.
-- @option c2s_timeout                 period, 30 seconds: to log in and bind a resource
-- @option c2s_idle_timeout            period, 5 minutes: silence before the client is asked whether it is still there
-- @option c2s_close_timeout           period, 5 seconds: for the client's </stream:stream>
-- @option c2s_stanza_size_limit       bytes, 262144: of a stanza after login, at least 10000 (RFC 6120 13.12)
-- @option c2s_unauthed_stanza_size_limit  bytes, 8192: before login
-- @option c2s_max_resources           number, 10: sessions per account
-- @hooks  stream-features, c2s-read-timeout, server-stopping, config-reloaded        @fires none        @stores none
-- @spec   spec/modules/mod_c2s_spec.lua

module:set_global()

local native = require "couplet.native"

local sessions = module:shared("sessions") -- COMPAT with modules that read /*/c2s/sessions: conn -> session

local options

local function set_options()
	options = {
		c2s_timeout = module:get_option_period("c2s_timeout", "30 seconds"),
		c2s_idle = module:get_option_period("c2s_idle_timeout", "5 minutes"),
		c2s_close = module:get_option_period("c2s_close_timeout", "5 seconds"),
		c2s_stanza_size = module:get_option_integer("c2s_stanza_size_limit", 256 * 1024, 10000),
		c2s_unauthed_stanza_size = module:get_option_integer("c2s_unauthed_stanza_size_limit", 8192, 1024),
		resources_per_user = module:get_option_integer("c2s_max_resources", 10, 1),
	}
	native.options(options)
end

-- What walks over /*/c2s/sessions sees the sessions that are there now.
setmetatable(sessions, {
	__pairs = function ()
		local now = {}
		for session in native.sessions() do
			if session.conn and session.type:sub(1, 3) == "c2s" then now[session.conn] = session end
		end
		return next, now, nil
	end,
})

function module.add_host(host_module)
	-- What we take (XEP-0478): after login more, so it is told again then.
	host_module:hook("stream-features", function (event)
		local is_in = event.origin.type ~= "c2s_unauthed"
		event.features:tag("limits", { xmlns = "urn:xmpp:stream-limits:0" })
			:text_tag("max-bytes", ("%d"):format(is_in and options.c2s_stanza_size or options.c2s_unauthed_stanza_size))
			:text_tag("idle-seconds", ("%d"):format(is_in and options.c2s_idle or options.c2s_timeout)):up()
	end, -100)

	-- A client that says nothing gets a space: a dead connection shows by not acknowledging it (RFC 6120 4.6.1).
	host_module:hook("c2s-read-timeout", function (event)
		event.session.send(" ")
		return true
	end, -1)
end

local function close_all(event)
	local reason = event and event.reason
	local doomed = {}
	for session in native.sessions() do
		if session.type:sub(1, 3) == "c2s" then table.insert(doomed, session) end
	end
	for _, session in ipairs(doomed) do
		session:close({ condition = "system-shutdown", text = reason })
	end
end

module:hook("server-stopping", close_all, -80)
module:hook("config-reloaded", set_options)

set_options()

module:provides("net", {
	name = "c2s",
	listener = "c2s",
	default_port = 5222,
	encryption = "starttls",
	multiplex = { protocol = "xmpp-client", pattern = "^<.*:stream.*%sxmlns%s*=%s*(['\"])jabber:client%1.*>" },
})

-- XEP-0368. No default port: prosody.cfg.lua names 5223 (c2s_direct_tls_ports).
module:provides("net", {
	name = "c2s_direct_tls",
	listener = "c2s",
	encryption = "ssl",
	ssl_config = { alpn = "xmpp-client" },
})
