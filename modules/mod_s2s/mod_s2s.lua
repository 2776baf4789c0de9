--- Talking to other servers (RFC 6120, jabber:server): the ports they come in on, the links that carry what our
-- users send to other domains, and who is believed.
-- @option s2s_timeout               period, 30 seconds: for another server to prove its domain
-- @option s2s_close_timeout         period, 5 seconds: for what is under way when a stream is closed, and then again
--                                   for the other side to close it too
-- @option s2s_idle_timeout          period, 1 hour: a stream that is not used is closed
-- @option s2s_stanza_size_limit     bytes, 524288: of a stanza from another server, at least 10000 (RFC 6120 13.12)
-- @option s2s_secure_auth           boolean, true: every domain needs a certificate that proves it
-- @option s2s_insecure_domains      set, none: but not these; dialback will do for them
-- @option s2s_secure_domains        set, none: these need one even if s2s_secure_auth is false
-- @option s2s_require_encryption    boolean, true: nothing is said outside TLS
-- @option require_encryption        boolean, true: default of the former
-- @option s2s_allowed_domains       set, none: when given, only with these domains ("*.example.org": all below it)
--                                  we talk
-- @option s2s_denied_domains        set, none: never with these
-- @option s2s_trust_on_first_use    set, none: of these domains ("*.lan": all below it) the certificate that is seen
--                                  first is believed, whoever made it, and from then on no other
-- @option s2s_connect_overrides     table: domain -> { host = name or address (default: the domain), port = 5269 or
--                                   with direct_tls = true 5270, fingerprint = SHA-256 of the one certificate that
--                                   proves the domain }, or a list of such; in place of what the DNS says
-- @option s2s_allow_private_targets list, none: ranges ("10.0.0.0/8") and kinds ("private", "loopback",
--                                   "link-local") of addresses that are connected to although only the DNS names them
-- @option unbound                   table: how names are looked up: forward, resolvconf, hoststxt, trusted, trustfile,
--                                   options (see docs/federation.md)
-- @option dns_timeout               seconds, 10: that an answer of a name server may take
-- @option use_dane                  boolean, false: a domain whose servers have TLSA records, validated by DNSSEC,
--                                   proves itself by the certificate they name, and by no other (RFC 7673)
-- @option disallow_s2s              boolean, false: a host that does not talk to other servers
-- @option s2s_ssl                   table: as ssl (see core.certmanager), for streams between servers
-- @option ssl                       table: see core.certmanager
-- @hooks  route/remote, s2s-check-certificate, s2s-stream-opened, s2s-stream-features, s2s-authenticated,
--         s2sout-connected, s2s-session-secured, s2s-session-ended, stanza/http://etherx.jabber.org/streams:features,
--         stanza/urn:ietf:params:xml:ns:xmpp-tls:proceed, stanza/urn:ietf:params:xml:ns:xmpp-tls:failure,
--         stanza/urn:ietf:params:xml:ns:xmpp-sasl:auth, :success and :failure, host-deactivated, server-stopping,
--         config-reloaded, certificates-reloaded
-- @fires  s2s-check-certificate, s2s-authenticated, s2sin-established, s2sout-established, s2sin-destroyed,
--         s2sout-destroyed, s2sout-proven, s2sout-authenticate-legacy
-- @stores s2s_first_use (the certificates seen first)
-- @spec   spec/e2e/s2s_chat_spec.lua, spec/e2e/s2s_certificates_spec.lua, spec/e2e/s2s_forged_spec.lua,
--         spec/e2e/s2s_first_use_spec.lua, spec/e2e/s2s_links_spec.lua, spec/e2e/s2s_dns_spec.lua,
--         spec/e2e/s2s_dane_spec.lua, spec/e2e/s2s_limits_spec.lua, spec/modules/mod_s2s/race_spec.lua,
--         spec/modules/mod_s2s/links_spec.lua, spec/e2e/s2s_kill_spec.lua, spec/e2e/s2s_dead_spec.lua,
--         spec/modules/mod_s2s/targets_spec.lua, spec/modules/mod_s2s/policy_spec.lua,
--         spec/modules/mod_s2s/certificates_spec.lua, spec/modules/mod_s2s/limits_spec.lua,
--         spec/interop/prosody_s2s_spec.lua, spec/interop/ejabberd_s2s_spec.lua, spec/interop/lan_spec.lua,
--         spec/interop/hole_spec.lua
--
-- Always true: a domain is believed only through s2s-authenticated, and not against the policy; the core takes
-- stanzas only of proven pairs of domains.

module:set_global()

local native = require "couplet.native"
local s2smanager = require "prosody.core.s2smanager"
local st = require "prosody.util.stanza"

local xmlns_streams = "http://etherx.jabber.org/streams"
local xmlns_tls = "urn:ietf:params:xml:ns:xmpp-tls"

local hosts = prosody.hosts

local policy = module:require "policy"
local story = module:require "story"
local targets = module:require "targets"
targets.is_in_lan = policy.trusts_on_first_use
local certificates = module:require "certificates" (policy)
local dane = module:require "dane"
local first_use = module:require "first_use" (policy)
local limits = module:require "limits"
local slices = module:require "slices"
local answers = module:require "answers" (slices)
local links = module:require "links" {
	policy = policy, targets = targets, certificates = certificates, story = story, limits = limits,
	race = module:require "race", answers = answers, slices = slices,
}
local hook_external = module:require "external"
local ask = module:require "ask"
module:require "commands" { links = links, story = story, first_use = first_use }

-- For modules that depend on this one, such as mod_dialback.
s2s = { -- luacheck: globals s2s
	policy = policy, certificates = certificates, links = links, dane = dane, limits = limits, ask = ask,
	targets = targets,
}

local sessions = module:shared("sessions") -- COMPAT with modules that read /*/s2s/sessions: conn -> session

local function is_s2s(session)
	local direction = session.type:sub(1, 5)
	return direction == "s2sin" or direction == "s2sou"
end

setmetatable(sessions, {
	__pairs = function ()
		local now = {}
		for session in native.sessions() do
			if session.conn and is_s2s(session) then now[session.conn] = session end
		end
		return next, now, nil
	end,
})

local function set_options()
	local options = {
		s2s_timeout = module:get_option_period("s2s_timeout", "30 seconds"),
		s2s_close = module:get_option_period("s2s_close_timeout", "5 seconds"),
		s2s_idle = module:get_option_period("s2s_idle_timeout", "1 hour"),
		s2s_stanza_size = module:get_option_integer("s2s_stanza_size_limit", 512 * 1024, 10000),
	}
	native.options(options)
	limits.load(options)
end

---- Streams that came in ----

-- Begins the story of a stream that came in; gives what adds to it.
local function note_incoming(session, text, ...)
	local remote = session.from_host
	if not remote then return end
	local one = session.story
	if not one then
		one = story.begin(session.to_host, "from", remote)
		session.story = one
		one:note("a connection came from %s", session.ip or "?")
	end
	one:note(text, ...)
end

local function on_opened(event)
	local session = event.session
	if session.type ~= "s2sin_unauthed" and session.type ~= "s2sin" then return end
	local ours, theirs = session.to_host, session.from_host
	if hosts[ours].disallow_s2s then return end -- the core refuses who gets no answer
	s2smanager.add(session)
	if not theirs then return true end -- it may name itself under TLS, or by dialback
	local may, why = policy.may_talk(theirs)
	if not may then
		note_incoming(session, "refused: %s", why)
		session:close({ condition = "policy-violation", text = why })
	elseif session.secure and session.type == "s2sin_unauthed" then
		local info = session.conn:ssl_info() or {}
		local is_valid, text, is_refused = certificates.prove(session, theirs)
		note_incoming(session, "TLS: %s, %s; %s", info.protocol or "?", info.cipher or "?", text)
		if not is_valid and (is_refused or policy.needs_certificate(theirs)) then
			session.log("info", "%s is not believed: %s", theirs, text)
			session:close({ condition = "not-authorized", text = ("You have not proven to be %s: %s"):format(theirs, text) })
		end
	end
	return true
end

---- Streams we opened ----

local function on_features(session, features)
	local link = session.link
	if not link or session.type ~= "s2sout_unauthed" then return end
	limits.read(session, features)
	if session.secure then
		link:ready()
	elseif features:get_child("starttls", xmlns_tls) then
		session.sends2s(st.stanza("starttls", { xmlns = xmlns_tls }))
		return true
	elseif policy.needs_encryption(session.to_host) or dane.needs_encryption(session) then
		link:refuse(session, session.to_host .. " does not offer encryption (STARTTLS), without which we do not talk")
		return true
	else
		link:ready()
	end
end

local function on_proceed(session)
	local link = session.link
	if not link or session.type ~= "s2sout_unauthed" or session.secure then return end
	session:reset_stream()
	session.conn:starttls(session.tls_context, policy.dns_name(session.to_host))
	return true
end

local function on_tls_failure(session)
	if not session.link then return end
	session.link:refuse(session, session.to_host .. " offered encryption, but refused to begin it")
	return true
end

-- Nobody could make use of the features.
local function on_useless_features(session)
	if not session.link or session.type ~= "s2sout_unauthed" then return end
	session.link:refuse(session, session.to_host .. " accepts neither our certificate nor dialback from us")
	return true
end

---- Both ----

-- The last look before a domain is believed (SECURITY C3).
local function check_policy(event)
	local session, theirs = event.session, event.host
	local may, why = policy.may_talk(theirs)
	if may and policy.needs_encryption(theirs) and not session.secure then
		may, why = false, "the connection is not encrypted"
	end
	if may and (session.secure or policy.needs_certificate(theirs)) then
		local is_valid, text, is_refused = certificates.prove(session, theirs)
		if not is_valid and (is_refused or policy.needs_certificate(theirs)) then may, why = false, text end
	end
	if may then return end
	session.log("warn", "%s is not believed: %s", theirs, why)
	session:close({ condition = "not-authorized", text = why })
	return false
end

local function on_authenticated(event)
	local session, theirs = event.session, event.host
	if session.direction == "outgoing" then
		if not session.link then return false end
		session.link:established(session)
		if session.destroyed then return false end
		session.log("info", "Talking to %s (%s)", theirs, event.mechanism or "?")
		hosts[session.host].events.fire_event("s2sout-established", { session = session })
		return
	end
	local ours = event.to or session.host
	local is_first = session.type == "s2sin_unauthed"
	if not native.s2s_prove(session, ours, theirs, "in") then
		session:close({ condition = "resource-constraint", text = "Too many domains on one stream" })
		return false
	end
	session.hosts[theirs] = session.hosts[theirs] or {}
	session.hosts[theirs].authed = true
	links.forget_failures(theirs) -- it is there again
	note_incoming(session, "%s was proven by %s", theirs, event.mechanism or "?")
	session.log("info", "%s was proven by %s", theirs, event.mechanism or "?")
	if is_first then hosts[ours].events.fire_event("s2sin-established", { session = session }) end
end

-- What it was to carry goes another way, or back.
local function give_back(session, reason)
	links.returned(session, reason)
	if session.link then session.link:lost(session, reason) end
	links.go_on(session)
end

local function on_ended(event)
	local session = event.session
	local reason = event.error or "the connection ended"
	if session.direction == "incoming" then
		if session.from_host then note_incoming(session, "ended: %s", reason) end
		if prosody.incoming_s2s[session] then s2smanager.ended(session, reason) end
		return give_back(session, reason)
	end
	s2smanager.ended(session, reason)
	give_back(session, reason)
end

local function route(event)
	local ours, theirs = event.from_host, event.to_host
	if not hosts[ours] or hosts[ours].disallow_s2s or hosts[theirs] then return end
	links.send(ours, theirs, event.stanza)
	return true
end

function module.add_host(module) -- luacheck: ignore 431
	if module:get_option_boolean("disallow_s2s", false) then
		module:log("debug", "%s does not talk to other servers", module.host)
		return
	end
	-- A link that is up is the core's affair; Lua sees a stanza only while there is none.
	module:hook("route/remote", native.hooks.route_remote, 200)
	module:hook("route/remote", route, -1)
	module:hook("s2s-stream-opened", on_opened)
	module:hook("s2sout-connected", function (event)
		if event.session.link then event.session.link:connected(event.session) end
	end)
	module:hook("s2s-session-secured", function (event)
		if event.session.link then event.session.link:secured(event.session) end
	end)
	module:hook_tag(xmlns_streams, "features", on_features, 500)
	module:hook_tag(xmlns_streams, "features", on_useless_features, -1000)
	module:hook_tag(xmlns_tls, "proceed", on_proceed)
	module:hook_tag(xmlns_tls, "failure", on_tls_failure)
	module:hook("s2s-stream-features", function (event) limits.tell(event.features) end, -100)
	module:hook("s2s-check-certificate", dane.check_outgoing, 10)
	module:hook("s2s-check-certificate", dane.accept_outgoing_delegate, -5)
	module:hook("s2s-authenticated", check_policy, 100)
	module:hook("s2s-authenticated", on_authenticated)
	module:hook("s2s-session-ended", on_ended, 1000) -- what is left of the stream can be had only now
	hook_external(module, certificates)
	first_use.add_host(module)

	function module.unload() links.forget_host(module.host, module.host .. " no longer talks to other servers") end
end

local function close_all(event)
	local doomed = {}
	for session in native.sessions() do
		if is_s2s(session) then table.insert(doomed, session) end
	end
	local reason = event and event.reason or "This server stops"
	for host in pairs(hosts) do links.forget_host(host, reason, "system-shutdown") end
	for _, session in ipairs(doomed) do
		session:close({ condition = "system-shutdown", text = reason })
	end
end

module:hook("s2s-session-ended", on_ended) -- of streams that never had a host
module:hook("host-deactivated", function (host) links.forget_host(host, "The host is no longer served") end)
-- Between the two clients leave, and tell so (mod_c2s).
module:hook("server-stopping", links.stop, -70)
module:hook("server-stopping", close_all, -90)
module:hook("config-reloaded", function ()
	set_options()
	policy.load()
	targets.load()
	dane.load()
	certificates.forget()
	links.forget_failures()
end)
module:hook("certificates-reloaded", function ()
	certificates.forget()
	links.forget_failures()
end)

-- What is to be answered is, whoever loads the module anew meanwhile.
function module.save() return { answers = answers.save() } end

function module.restore(saved) answers.restore(saved.answers) end

set_options()

module:provides("net", {
	name = "s2s",
	listener = "s2s",
	default_port = 5269,
	encryption = "starttls",
	multiplex = { protocol = "xmpp-server", pattern = "^<.*:stream.*%sxmlns%s*=%s*(['\"])jabber:server%1.*>" },
})

-- XEP-0368. No default port: s2s_direct_tls_ports = { 5270 } opens it.
module:provides("net", {
	name = "s2s_direct_tls",
	listener = "s2s",
	encryption = "ssl",
	ssl_config = { alpn = "xmpp-server", verify = { "peer" } },
})
