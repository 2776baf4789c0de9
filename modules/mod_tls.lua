--- STARTTLS (RFC 6120 5): the offer, the upgrade, and the contexts with the host's certificate.
-- @option c2s_require_encryption  boolean, true: clients must use TLS before anything else
-- @option s2s_require_encryption  boolean, true: so must servers
-- @option require_encryption      boolean, true: default of both
-- @option ssl                     table: certificate, key, ... (see core.certmanager); found by name when not set
-- @option c2s_ssl                 table: the same, for clients alone
-- @option s2s_ssl                 table: the same, for servers alone
-- @hooks  stream-features, s2s-stream-features, stanza/urn:ietf:params:xml:ns:xmpp-tls:starttls,
--         config-reloaded, certificates-reloaded
-- @fires  none        @stores none
-- @spec   spec/modules/mod_tls_spec.lua
--
-- Always true: bytes that came in the clear behind <starttls/> are never handled as if they had come inside TLS; the
-- connection refuses to start TLS with bytes in its buffer, and is closed then (CVE-2011-0411 and its family).

local certmanager = require "prosody.core.certmanager"
local config = require "prosody.core.configmanager"
local st = require "prosody.util.stanza"

local xmlns_tls = "urn:ietf:params:xml:ns:xmpp-tls"

local host = module.host

-- What is served by which context. A session of another type cannot use STARTTLS towards us.
local kinds = {
	c2s_unauthed = { prefix = "c2s" },
	s2sin_unauthed = { prefix = "s2s" },
	s2sin = { prefix = "s2s" }, -- proven by dialback already, TLS may still come (RFC 6120 5.3.1)
}
local defaults = { s2s = { verify = { "peer" } } } -- other servers prove their domain by certificate
local contexts = {} -- prefix -> context
local is_required = {} -- prefix -> boolean

local function load_contexts()
	local default = module:get_option_boolean("require_encryption", true)
	for _, prefix in ipairs { "c2s", "s2s" } do
		is_required[prefix] = module:get_option_boolean(prefix .. "_require_encryption", default)
		local context, err = certmanager.create_context(host, "server", module:get_option(prefix .. "_ssl"),
			config.rawget(host, "ssl"), defaults[prefix])
		if not context then
			module:log("error", "No TLS for %s on %s: %s", prefix, host, err or "no certificate was found")
		end
		-- A certificate that has become unreadable does not take TLS away: what was loaded stays.
		contexts[prefix] = context or contexts[prefix]
	end
end

local function context_for(session)
	local kind = kinds[session.type]
	if not kind or session.secure or not session.conn or not session.conn.starttls then return nil end
	return contexts[kind.prefix], kind.prefix
end

local function offer(event)
	local session, features = event.origin, event.features
	local context, prefix = context_for(session)
	if not context then return end
	features:tag("starttls", { xmlns = xmlns_tls })
	if is_required[prefix] then features:tag("required"):up() end
	features:up()
end

local function start(event)
	local session = event.origin
	local context = context_for(session)
	local send = session.sends2s or session.send
	if not context then
		session.log("debug", "STARTTLS was asked for where it cannot be had")
		send(st.stanza("failure", { xmlns = xmlns_tls }))
		session:close() -- RFC 6120 5.4.2.2: the stream ends with the failure
		return true
	end
	send(st.stanza("proceed", { xmlns = xmlns_tls }))
	session:reset_stream()
	local ok, err = session.conn:starttls(context)
	if not ok then
		session.log("info", "STARTTLS failed: %s", err or "bytes came behind <starttls/>")
		session:close("policy-violation")
	end
	return true
end

module:hook("stream-features", offer, 101)
module:hook("s2s-stream-features", offer, 101)
module:hook("stanza/" .. xmlns_tls .. ":starttls", start)
module:hook_global("config-reloaded", load_contexts)
module:hook_global("certificates-reloaded", load_contexts)

load_contexts()
