--- Bidirectional streams between servers (XEP-0288): one connection carries stanzas both ways.
-- @hooks  s2s-stream-features, stanza/http://etherx.jabber.org/streams:features, stanza/urn:xmpp:bidi:bidi,
--         s2s-authenticated
-- @fires  none        @stores none
-- @spec   spec/e2e/s2s_chat_spec.lua
--
-- Always true: only under TLS, and only the pair of domains that was proven on this stream (SECURITY C4).

local native = require "couplet.native"
local st = require "prosody.util.stanza"

local xmlns_feature = "urn:xmpp:features:bidi"
local xmlns_bidi = "urn:xmpp:bidi"
local xmlns_streams = "http://etherx.jabber.org/streams"

local s2s = module:depends("s2s").s2s
local links, limits, dane = s2s.links, s2s.limits, s2s.dane

-- They come to us

module:hook("s2s-stream-features", function (event)
	local session = event.origin
	if session.type == "s2sin_unauthed" and session.secure and dane.may_send(session, session.from_host) then
		event.features:tag("bidi", { xmlns = xmlns_feature }):up()
	end
end, 20)

module:hook_tag(xmlns_bidi, "bidi", function (session, stanza)
	if session.type ~= "s2sin_unauthed" or not session.secure then return end
	session.wants_bidi = true
	limits.read(session, stanza)
	return true
end)

-- We come to them

module:hook_tag(xmlns_streams, "features", function (session, features)
	if session.type == "s2sout_unauthed" and session.secure and session.link and not session.wants_bidi
		and features:get_child("bidi", xmlns_feature) then
		session.wants_bidi = true
		session.link:note("one stream for both directions is agreed on")
		local bidi = st.stanza("bidi", { xmlns = xmlns_bidi })
		limits.tell(bidi)
		session.sends2s(bidi)
	end
end, 155)

-- Both

-- From now on we send on a stream that came in. In a turn of its own: first the other side is told that it is believed.
local function send_on(session, ours, theirs)
	native.defer(function ()
		if session.destroyed or not dane.may_send(session, theirs)
			or not native.s2s_prove(session, ours, theirs, "out") then
			return
		end
		session.incoming, session.outgoing = true, true
		local link = links.get(ours, theirs)
		if link and native.s2s_link(ours, theirs) == session then link:adopt(session) end
	end)
end

module:hook("s2s-authenticated", function (event)
	local session = event.session
	if not session.wants_bidi or session.destroyed then return end
	local ours, theirs = event.to or session.host, event.host
	if session.direction == "outgoing" then
		native.s2s_prove(session, ours, theirs, "in")
		session.outgoing, session.incoming = true, true
	elseif event.mechanism ~= "EXTERNAL" then
		send_on(session, ours, theirs)
	end -- after SASL the stream begins anew before it is used
end, -1)

module:hook("s2s-stream-features", function (event)
	local session = event.origin
	if session.type == "s2sin" and session.wants_bidi and session.from_host then
		send_on(session, session.to_host, session.from_host)
	end
end, -1000)
