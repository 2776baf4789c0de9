--- Server Dialback (XEP-0220): a server is believed because the one that is in charge of its domain says so. All
-- three parts: we ask to be believed, we find out whether to believe, we answer for our own hosts.
-- @option dialback_secret  string: what our keys are made from (XEP-0185), if several servers serve one host; by
--                          default made once and kept
-- @hooks  s2s-stream-features, stanza/http://etherx.jabber.org/streams:features,
--         stanza/jabber:server:dialback:result, stanza/jabber:server:dialback:verify, s2sout-authenticate-legacy
-- @fires  s2s-authenticated        @stores dialback (the secret)
-- @spec   spec/e2e/s2s_dialback_spec.lua, spec/e2e/s2s_forged_spec.lua
--
-- Always true: an answer counts only on the stream on which we have asked, for what we have asked, once (SECURITY
-- C1). Where policy wants a certificate, one that proves the domain is enough and its key is not looked at; without
-- one no key will do (SECURITY C3).

local hashes = require "prosody.util.hashes"
local jid = require "prosody.util.jid"
local random = require "prosody.util.random"
local st = require "prosody.util.stanza"

local xmlns_dialback = "urn:xmpp:features:dialback"
local xmlns_db = "jabber:server:dialback"
local xmlns_streams = "http://etherx.jabber.org/streams"
local xmlns_stanzas = "urn:ietf:params:xml:ns:xmpp-stanzas"

local MAX_PENDING = 20 -- keys of one stream that are being verified

local hosts = prosody.hosts
local host = module.host
local s2s = module:depends("s2s").s2s
local policy, certificates, links = s2s.policy, s2s.certificates, s2s.links

-- Keys

local secret -- nil until first needed

local function load_secret()
	secret = module:get_option_string("dialback_secret") or hosts[host].dialback_secret
	if secret then return end
	local store = module:open_store("dialback")
	local kept = store and store:get()
	if kept and kept.secret then
		secret = kept.secret
		return
	end
	secret = random.bytes(32):gsub(".", function (c) return ("%02x"):format(c:byte()) end)
	local ok, err
	if store then ok, err = store:set(nil, { secret = secret }) end
	if not ok then module:log("warn", "The secret of dialback keys could not be kept: %s", err or "no storage") end
end

-- XEP-0185 2: both domains and the stream's id, with separators that none of them can hold.
local function make_key(receiving, originating, stream_id)
	if not secret then load_secret() end
	return hashes.hmac_sha256(hashes.sha256(secret, true), receiving .. " " .. originating .. " " .. stream_id, true)
end

local function db(name, attributes) return st.stanza("db:" .. name, attributes) end

local function db_error(name, attributes, condition, text)
	attributes.type = "error"
	local stanza = db(name, attributes):tag("error", { type = "cancel" }):tag(condition, { xmlns = xmlns_stanzas }):up()
	if text then stanza:text_tag("text", text, { xmlns = xmlns_stanzas }) end
	return stanza:up()
end

-- The error inside an answer, for the admin.
local function error_text(stanza)
	local condition, text
	for _, error in ipairs(stanza.tags) do -- in the stream's namespace, not in dialback's
		for _, tag in ipairs(error.name == "error" and error.tags or {}) do
			if tag.name == "text" then text = tag:get_text() else condition = tag.name end
		end
	end
	return (condition or "no reason given") .. (text and ": " .. text or "")
end

---- We want to be believed (XEP-0220 2.1) ----

local function ask_to_be_believed(session)
	if session.dialback_asked or session.type ~= "s2sout_unauthed" or not session.link then return false end
	session.dialback_asked = true
	session.link:note("our dialback key is sent")
	session.sends2s(db("result", { from = session.from_host, to = session.to_host })
		:text(make_key(session.to_host, session.from_host, session.streamid)))
	return true
end

module:hook_tag(xmlns_streams, "features", function (session, features)
	local is_offered = features:get_child("dialback", xmlns_dialback)
	-- RFC 6120 13: servers without the feature may still speak dialback, if they offer nothing else.
	if is_offered or not features:get_child("mechanisms", "urn:ietf:params:xml:ns:xmpp-sasl") then
		if ask_to_be_believed(session) then return true end
	end
end, 0)

module:hook("s2sout-authenticate-legacy", function (event)
	local session = event.origin
	if session.features and session.features:get_child("dialback", xmlns_dialback) and ask_to_be_believed(session) then
		return true
	end
end)

local function on_result_answer(session, stanza)
	local attr = stanza.attr
	-- The id of what was asked is the stream itself: one question for one pair, and it is answered once.
	if session.direction ~= "outgoing" or not session.dialback_asked or session.dialback_answered
		or jid.prep(attr.from) ~= session.to_host or jid.prep(attr.to) ~= session.from_host then
		session:close({ condition = "invalid-from", text = "Nobody has asked for that dialback result" })
		return true
	end
	session.dialback_answered = true
	if attr.type == "valid" then
		module:fire_event("s2s-authenticated", { session = session, host = session.to_host, mechanism = "dialback" })
	elseif attr.type == "invalid" then
		session.link:refuse(session, session.to_host .. " says that our dialback key is not valid")
	else
		session.link:refuse(session, ("%s could not check our dialback key (%s)"):format(session.to_host,
			error_text(stanza)))
	end
	return true
end

---- Whether to believe (XEP-0220 2.2) ----

-- Sends the verdict to the stream that asked, if it is still there.
local function conclude(session, ours, theirs, verdict, text)
	local pending = session.dialback_pending
	if session.destroyed or not pending or not pending[ours .. " " .. theirs] then return end
	pending[ours .. " " .. theirs] = nil
	session.dialback_n = session.dialback_n - 1
	if verdict == "valid" then
		local result = module:fire_event("s2s-authenticated",
			{ session = session, host = theirs, to = ours, mechanism = "dialback" })
		if result ~= false and not session.destroyed then
			session.sends2s(db("result", { from = ours, to = theirs, type = "valid" }))
		end
	elseif verdict == "invalid" then
		session.log("warn", "%s was claimed with a key that is not its own", theirs)
		session.sends2s(db("result", { from = ours, to = theirs, type = "invalid" }))
		session:close() -- XEP-0220 2.2.1
	else
		session.log("info", "Whether it is %s could not be found out: %s", theirs, text)
		session.sends2s(db_error("result", { from = ours, to = theirs }, "remote-server-timeout", text))
	end
end

local function on_result(session, stanza)
	local attr = stanza.attr
	local theirs, ours = jid.prep(attr.from), jid.prep(attr.to)
	local node, _, resource = jid.split(theirs or "")
	if not theirs or not ours or node or resource then
		session:close({ condition = "improper-addressing", text = "A dialback key needs 'from' and 'to'" })
		return true
	end
	local function refuse(condition, text)
		session.log("info", "Dialback of %s to %s is refused: %s", theirs, ours, text)
		session.sends2s(db_error("result", { from = attr.to, to = attr.from }, condition, text))
		return true
	end
	local may, why = policy.may_talk(theirs)
	if hosts[theirs] then
		session:close({ condition = "invalid-from", text = "You are not a host of this server" })
		return true
	elseif not hosts[ours] or hosts[ours].disallow_s2s or not hosts[ours].modules.dialback then
		return refuse("item-not-found", "This server does not serve " .. ours) -- XEP-0220 2.4.2
	elseif not may then
		return refuse("policy-violation", why)
	elseif policy.needs_encryption(theirs) and not session.secure then
		return refuse("policy-violation", "Use STARTTLS first")
	end
	local pending = session.dialback_pending or {}
	session.dialback_pending, session.dialback_n = pending, session.dialback_n or 0
	local pair = ours .. " " .. theirs
	if pending[pair] then
		return refuse("policy-violation", "That key is being verified already")
	elseif session.dialback_n >= MAX_PENDING then
		return refuse("resource-constraint", "Too many keys are being verified")
	end
	pending[pair], session.dialback_n = true, session.dialback_n + 1
	local is_proven, text = certificates.prove(session, theirs)
	if is_proven then -- dialback without dialling back
		conclude(session, ours, theirs, "valid")
		return true
	elseif policy.needs_certificate(theirs) then
		pending[pair], session.dialback_n = nil, session.dialback_n - 1
		return refuse("not-authorized", text)
	end
	session.log("debug", "The key of %s is verified with who is in charge of it", theirs)
	local question = db("verify", { from = ours, to = theirs, id = session.streamid }):text(stanza:get_text() or "")
	links.verify(ours, theirs, question, function (verdict, reason)
		conclude(session, ours, theirs, verdict, reason)
	end)
	return true
end

module:hook_tag(xmlns_db, "result", function (session, stanza)
	if stanza.attr.type ~= nil then return on_result_answer(session, stanza) end
	if session.direction ~= "incoming" then
		session:close({ condition = "unsupported-stanza-type", text = "Dialback keys are taken on your own streams" })
		return true
	end
	return on_result(session, stanza)
end)

---- We answer for our hosts, and hear answers (XEP-0220 2.3) ----

local function on_question(session, stanza)
	local attr = stanza.attr
	local theirs, ours = jid.prep(attr.from), jid.prep(attr.to)
	if session.direction ~= "incoming" or not theirs or not ours or not attr.id then
		session:close({ condition = "improper-addressing", text = "A question about a key needs 'from', 'to' and 'id'" })
		return true
	end
	local answer = { from = attr.to, to = attr.from, id = attr.id }
	if not hosts[ours] or ours ~= host and not hosts[ours].modules.dialback then
		session.sends2s(db_error("verify", answer, "item-not-found", "This server does not serve " .. ours))
		return true
	end
	local right = hosts[ours].modules.dialback.make_key(theirs, ours, attr.id)
	answer.type = hashes.equals(right, stanza:get_text() or "") and "valid" or "invalid"
	session.log("debug", "A key of %s for %s is %s", ours, theirs, answer.type)
	session.sends2s(db("verify", answer))
	return true
end

local function on_answer(session, stanza)
	local attr = stanza.attr
	local link = session.link
	if not link or not attr.id or jid.prep(attr.from) ~= link.theirs or jid.prep(attr.to) ~= link.ours
		or not link:verified(session, attr.id, (attr.type == "valid" or attr.type == "invalid") and attr.type or "error",
			attr.type == "error" and error_text(stanza) or nil) then
		session:close({ condition = "invalid-from", text = "Nobody has asked about that dialback key" })
	end
	return true
end

module:hook_tag(xmlns_db, "verify", function (session, stanza)
	if stanza.attr.type == nil then return on_question(session, stanza) end
	return on_answer(session, stanza)
end)

module:hook("s2s-stream-features", function (event)
	local session = event.origin
	if session.secure or not policy.needs_encryption(session.from_host or "") then
		event.features:tag("dialback", { xmlns = xmlns_dialback }):tag("errors"):up():up()
	end
end, 10)

-- For the hosts that share a stream.
function _ENV.make_key(receiving, originating, stream_id) return make_key(receiving, originating, stream_id) end
