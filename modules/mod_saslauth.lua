--- Authentication of clients (SASL, RFC 6120 6) and resource binding (RFC 6120 7).
-- @option c2s_require_encryption        boolean, true: nobody logs in outside TLS
-- @option require_encryption            boolean, true: default of the former
-- @option allow_unencrypted_plain_auth  boolean, false: offer insecure mechanisms outside TLS too
-- @option insecure_sasl_mechanisms      set, {"PLAIN", "LOGIN"}: mechanisms that are offered inside TLS only
-- @option disable_sasl_mechanisms       set, {"DIGEST-MD5"}: mechanisms never offered
-- @option sasl_mechanisms               set, none: when given, only these are offered
-- @option tls_channel_binding           boolean, true: offer -PLUS mechanisms
-- @option sasl_downgrade_protection     boolean, true: let SCRAM sign the list of mechanisms (XEP-0474)
-- @option max_auth_failures             number, 5: failures until the connection is closed
-- @option auth_throttle_failures        number, 20: failures per address, and per account, in the window
-- @option auth_throttle_period          period, 15 minutes: the window
-- @hooks  stream-features, stanza/urn:ietf:params:xml:ns:xmpp-sasl:auth, :response and :abort,
--         stanza/iq/urn:ietf:params:xml:ns:xmpp-bind:bind, .../xmpp-session:session
-- @fires  authentication-success, authentication-failure        @stores none
-- @spec   spec/modules/mod_saslauth_spec.lua
--
-- Always true: a mechanism that was not announced on this very stream is refused; nothing of a client's message reaches
-- an authentication provider when the address or the account has failed too often.

local async = require "prosody.util.async"
local base64 = require "prosody.util.encodings".base64
local sessionmanager = require "prosody.core.sessionmanager"
local st = require "prosody.util.stanza"
local throttling = require "prosody.util.sasl.throttle"
local time = require "prosody.util.time"
local usermanager = require "prosody.core.usermanager"

local xmlns_sasl = "urn:ietf:params:xml:ns:xmpp-sasl"
local xmlns_bind = "urn:ietf:params:xml:ns:xmpp-bind"
local xmlns_session = "urn:ietf:params:xml:ns:xmpp-session"
local xmlns_binding = "urn:xmpp:sasl-cb:0"

local host = module.host
local require_encryption = module:get_option_boolean("c2s_require_encryption",
	module:get_option_boolean("require_encryption", true))
local allow_insecure_outside_tls = module:get_option_boolean("allow_unencrypted_plain_auth", false)
local insecure_mechanisms = module:get_option_set("insecure_sasl_mechanisms",
	allow_insecure_outside_tls and {} or { "PLAIN", "LOGIN" })
local disabled_mechanisms = module:get_option_set("disable_sasl_mechanisms", { "DIGEST-MD5" })
local allowed_mechanisms = module:get_option_set("sasl_mechanisms")
local use_channel_binding = module:get_option_boolean("tls_channel_binding", true)
local sign_announcement = module:get_option_boolean("sasl_downgrade_protection", true)
local max_failures = module:get_option_integer("max_auth_failures", 5, 1)
local throttle_failures = module:get_option_integer("auth_throttle_failures", 20, 1)
local throttle_seconds = module:get_option_period("auth_throttle_period", "15 minutes")

-- One count for all hosts: an address guesses no less by going from host to host.
local shared = module:shared("/*/saslauth/throttle")
shared.throttle = shared.throttle or throttling.new(time.monotonic, throttle_failures, throttle_seconds)
local throttle = shared.throttle

-- The order of preference in which mechanisms are listed; others follow.
local rank = {}
for i, name in ipairs { "SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1", "EXTERNAL", "PLAIN",
	"ANONYMOUS" } do
	rank[name] = i
end

local function by_rank(a, b)
	local rank_a, rank_b = rank[a] or math.huge, rank[b] or math.huge
	if rank_a ~= rank_b then return rank_a < rank_b end
	return a < b
end

-- RFC 9266, RFC 5929. XEP-0440 wants tls-server-end-point wherever there is TLS.
local binding_types = { "tls-exporter", "tls-unique", "tls-server-end-point" }

-- Adds what the session's connection can bind to. Gives the names, for the announcement.
local function add_bindings(session, handler)
	local found, conn = {}, session.conn
	if not use_channel_binding or not session.secure or not conn or not conn.ssl_binding then return found end
	if not handler.add_cb_handler then return found end
	local info = conn.ssl_info and conn:ssl_info()
	for _, name in ipairs(binding_types) do
		if conn:ssl_binding(name) then
			handler:add_cb_handler(name, function () return conn:ssl_binding(name) end)
			-- COMPAT with slixmpp and aioxmpp, which use tls-unique on TLS 1.3 too, where no RFC defines it: understood
			-- there (it binds to the client's Finished message), but not announced.
			if not (name == "tls-unique" and info and info.protocol == "TLSv1.3") then
				table.insert(found, name)
			end
		end
	end
	return found
end

local function is_offered(name, session)
	if disabled_mechanisms:contains(name) then return false end
	if not session.secure and insecure_mechanisms:contains(name) then return false end
	if not allowed_mechanisms or allowed_mechanisms:contains(name) then return true end
	local plain_name = name:match("^(.*)%-PLUS$")
	return plain_name ~= nil and allowed_mechanisms:contains(plain_name)
end

local function has_plus(names)
	for _, name in ipairs(names) do
		if name:sub(-5) == "-PLUS" then return true end
	end
	return false
end

-- Gives the session a fresh handler. Gives the names to announce, best first, and those of the channel bindings.
local function prepare(session)
	local handler = usermanager.get_sasl_handler(host, session)
	session.sasl_handler, session.sasl_offered = handler, nil
	if not handler then return {}, {} end
	local bindings, names, offered = add_bindings(session, handler), {}, {}
	for name in pairs(handler:mechanisms()) do
		if is_offered(name, session) then
			table.insert(names, name)
			offered[name] = true
		end
	end
	table.sort(names, by_rank)
	session.sasl_offered = offered
	-- XEP-0440 4, rule 5: types without a mechanism that uses them would look like an attack.
	if not has_plus(names) then bindings = {} end
	if handler.announce then -- ours; providers may bring handlers of their own
		handler:announce(names, bindings, sign_announcement)
		handler.gate = function (username)
			local account = username .. "@" .. host
			if not throttle:allows(session.ip, account) then return nil, "Too many failed logins; try again later" end
			throttle:enter(session.ip, account)
			session.sasl_entered = { ip = session.ip, account = account }
			return true
		end
	end
	return names, bindings
end

local function add_sasl_features(session, features)
	if require_encryption and not session.secure then return end -- RFC 6120 5.3.1: STARTTLS comes first
	local names, bindings = prepare(session)
	if not names[1] then
		module:log("debug", "There is no mechanism to offer to %s", session.ip or "a client")
		return
	end
	features:tag("mechanisms", { xmlns = xmlns_sasl })
	for _, name in ipairs(names) do features:text_tag("mechanism", name) end
	features:up()
	if bindings[1] then
		features:tag("sasl-channel-binding", { xmlns = xmlns_binding })
		for _, name in ipairs(bindings) do features:tag("channel-binding", { type = name }):up() end
		features:up()
	end
end

local function add_features(event)
	local session, features = event.origin, event.features
	if not session.username then
		add_sasl_features(session, features)
	elseif not session.full_jid then
		features:tag("bind", { xmlns = xmlns_bind }):tag("required"):up():up()
		-- RFC 3921's session: a client of today ignores it, one of yesterday needs to see it.
		features:tag("session", { xmlns = xmlns_session }):tag("optional"):up():up()
	end
end

local function send_failure(session, condition, text)
	local failure = st.stanza("failure", { xmlns = xmlns_sasl }):tag(condition):up()
	if text then failure:text_tag("text", text, { ["xml:lang"] = "en" }) end
	session.send(failure)
end

-- Answers a failed attempt and makes the next one possible, later.
local function fail(session, condition, text)
	local handler = session.sasl_handler
	local guessed = handler and handler.claimed_username
	module:fire_event("authentication-failure", { session = session, condition = condition, text = text })
	if handler then session.sasl_handler = handler:clean_clone() end

	session.sasl_failures = (session.sasl_failures or 0) + 1
	local is_last = session.sasl_failures >= max_failures -- RFC 6120 6.4.5: retries, but not many
	-- Only a password that was wrong is a guess; mistakes of a client's author count for the connection alone.
	local delay_seconds = guessed and condition == "not-authorized" and throttle:failed(session.ip, guessed .. "@" .. host)
		or 0
	if delay_seconds > 0 and async.ready() then
		async.sleep(delay_seconds) -- this session waits, nobody else does
		if session.destroyed then return true end
	end
	send_failure(session, condition, text)
	if is_last then
		session:close({ condition = "policy-violation", text = "Too many failed logins" })
	end
	return true
end

local function succeed(session, data)
	local handler = session.sasl_handler
	local username = handler.username
	local ok, err = sessionmanager.make_authenticated(session, username, handler.role)
	if not ok then return fail(session, "not-authorized", err) end
	throttle:succeeded(session.ip, session.username .. "@" .. host)
	session.log("info", "Authenticated as %s@%s by %s", session.username, host, handler.selected)
	session.sasl_handler, session.sasl_offered, session.sasl_failures = nil, nil, nil
	module:fire_event("authentication-success", { session = session })
	local success = st.stanza("success", { xmlns = xmlns_sasl })
	if data then success:text(data == "" and "=" or base64.encode(data)) end
	session.send(success)
	session:reset_stream() -- RFC 6120 6.4.6: the client opens a new one
	return true
end

-- Gives the bytes of an SASL element, nil when they are not base64 as RFC 6120 6.4.2 wants it.
local function decode(text)
	if text == "=" or text == "" then return "" end
	return base64.decode(text, true)
end

local function process(session, text)
	local message = decode(text)
	if not message then return fail(session, "incorrect-encoding") end
	local handler = session.sasl_handler
	local called, status, data, reason = xpcall(handler.process, debug.traceback, handler, message)
	local entered = session.sasl_entered
	if entered then
		throttle:leave(entered.ip, entered.account)
		session.sasl_entered = nil
	end
	if session.destroyed then return true end -- it left while we were waiting
	if not called then
		module:log("error", "The %s exchange died: %s", tostring(handler.selected), status)
		return fail(session, "temporary-auth-failure")
	end
	if status == "challenge" then
		session.send(st.stanza("challenge", { xmlns = xmlns_sasl }):text(data == "" and "=" or base64.encode(data)))
		return true
	elseif status == "success" then
		return succeed(session, data)
	end
	session.log("info", "Login failed: %s%s", data or "?", reason and " (" .. reason .. ")" or "")
	return fail(session, data or "not-authorized", reason)
end

-- In these the client speaks first; without an initial response it is asked with an empty challenge (RFC 4422 3.2).
local function wants_initial_response(mechanism)
	return mechanism == "PLAIN" or mechanism:sub(1, 6) == "SCRAM-"
end

local function handle_auth(event)
	local session, stanza = event.origin, event.stanza
	if session.type ~= "c2s_unauthed" then return end
	if require_encryption and not session.secure then
		send_failure(session, "encryption-required", "Use STARTTLS before you log in")
		return true
	end
	if not throttle:allows(session.ip) then
		send_failure(session, "temporary-auth-failure", "Too many failed logins from your address; try again later")
		session:close({ condition = "policy-violation", text = "Too many failed logins" })
		return true
	end
	local handler, mechanism = session.sasl_handler, stanza.attr.mechanism
	if not mechanism or not handler or not (session.sasl_offered and session.sasl_offered[mechanism]) then
		return fail(session, "invalid-mechanism", "This mechanism was not offered")
	end
	if handler.selected then -- the client begins again
		handler = handler:clean_clone()
		session.sasl_handler = handler
	end
	if not handler:select(mechanism) then
		return fail(session, "invalid-mechanism", "This mechanism was not offered")
	end
	local text = stanza:get_text() or ""
	if text == "" and wants_initial_response(mechanism) then
		session.send(st.stanza("challenge", { xmlns = xmlns_sasl }))
		return true
	end
	return process(session, text)
end

local function handle_response(event)
	local session = event.origin
	if session.type ~= "c2s_unauthed" then return end
	if not session.sasl_handler or not session.sasl_handler.selected then
		return fail(session, "malformed-request", "There was no challenge to answer")
	end
	return process(session, event.stanza:get_text() or "")
end

local function handle_abort(event)
	local session = event.origin
	if session.type ~= "c2s_unauthed" then return end
	return fail(session, "aborted")
end

local function handle_bind(event)
	local session, stanza = event.origin, event.stanza
	if not session.username or stanza.attr.type ~= "set" then return end
	local resource = stanza.tags[1]:get_child_text("resource")
	local ok, error_type, condition, text = sessionmanager.bind_resource(session, resource)
	if not ok then
		session.log("debug", "Resource bind failed: %s", condition or text or "?")
		session.send(st.error_reply(stanza, error_type, condition, text))
		return true
	end
	session.send(st.reply(stanza):tag("bind", { xmlns = xmlns_bind }):text_tag("jid", session.full_jid))
	return true
end

local function handle_legacy_session(event)
	local session, stanza = event.origin, event.stanza
	if not session.full_jid or stanza.attr.type ~= "set" then return end
	session.send(st.reply(stanza))
	return true
end

module:hook("stream-features", add_features)
module:hook("stanza/" .. xmlns_sasl .. ":auth", handle_auth)
module:hook("stanza/" .. xmlns_sasl .. ":response", handle_response)
module:hook("stanza/" .. xmlns_sasl .. ":abort", handle_abort)
module:hook("stanza/iq/" .. xmlns_bind .. ":bind", handle_bind)
module:hook("stanza/iq/" .. xmlns_session .. ":session", handle_legacy_session)
module:hook("iq-set/self/" .. xmlns_session .. ":session", handle_legacy_session)
module:hook("iq-set/host/" .. xmlns_session .. ":session", handle_legacy_session)
