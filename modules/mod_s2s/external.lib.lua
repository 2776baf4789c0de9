--- SASL EXTERNAL between servers (RFC 6120 6.3.4, XEP-0178 3): the certificate of the TLS below is the proof. Both
-- sides.
--
-- Always true: who we let in is the domain of the stream's header, proven by the certificate; an authorization
-- identity may only repeat it (SECURITY C6).

local base64 = require "prosody.util.encodings".base64
local jid = require "prosody.util.jid"
local st = require "prosody.util.stanza"

local xmlns_sasl = "urn:ietf:params:xml:ns:xmpp-sasl"
local xmlns_streams = "http://etherx.jabber.org/streams"

-- Below: hooks on a host. parts: certificates, policy.
return function (host_module, certificates)
	-- They come to us

	local function can_offer(session)
		return session.type == "s2sin_unauthed" and session.secure and session.from_host
			and certificates.prove(session, session.from_host)
	end

	host_module:hook("s2s-stream-features", function (event)
		local session = event.origin
		session.external_offered = can_offer(session) or nil
		if session.external_offered then
			event.features:tag("mechanisms", { xmlns = xmlns_sasl }):text_tag("mechanism", "EXTERNAL"):up()
		end
	end, 50)

	local function refuse(session, condition, text)
		local failure = st.stanza("failure", { xmlns = xmlns_sasl }):tag(condition):up()
		failure:text_tag("text", text, { ["xml:lang"] = "en" })
		session.sends2s(failure)
		session:close() -- XEP-0178 3, step 11: the stream ends
		return true
	end

	host_module:hook_tag(xmlns_sasl, "auth", function (session, stanza)
		if session.type ~= "s2sin_unauthed" then return end
		if stanza.attr.mechanism ~= "EXTERNAL" or not session.external_offered or not can_offer(session) then
			return refuse(session, session.secure and "invalid-mechanism" or "encryption-required",
				"EXTERNAL was not offered: your certificate does not prove your domain")
		end
		local text = stanza:get_text() or ""
		local authzid = text == "=" and "" or base64.decode(text)
		if not authzid then
			return refuse(session, "incorrect-encoding", "This is not Base64")
		elseif authzid ~= "" and jid.prep(authzid) ~= session.from_host then
			return refuse(session, "invalid-authzid", "You can only be the domain of your stream's header")
		end
		session.sends2s(st.stanza("success", { xmlns = xmlns_sasl }))
		session:reset_stream()
		host_module:fire_event("s2s-authenticated",
			{ session = session, host = session.from_host, mechanism = "EXTERNAL" })
		return true
	end)

	-- We come to them

	local function is_offered(features)
		local mechanisms = features:get_child("mechanisms", xmlns_sasl)
		for mechanism in mechanisms and mechanisms:childtags("mechanism") or function () end do
			if mechanism:get_text() == "EXTERNAL" then return true end
		end
		return false
	end

	host_module:hook_tag(xmlns_streams, "features", function (session, features)
		local link = session.link
		if not link or session.type ~= "s2sout_unauthed" or not session.secure then return end
		if session.external == "done" then -- the stream after a success
			host_module:fire_event("s2s-authenticated", { session = session, host = session.to_host, mechanism = "EXTERNAL" })
			return true
		elseif not session.external and session.has_certificate and is_offered(features) then
			session.external = "asked"
			session.features = st.clone(features)
			link:note("our certificate is offered as proof (SASL EXTERNAL)")
			session.sends2s(st.stanza("auth", { xmlns = xmlns_sasl, mechanism = "EXTERNAL" })
				:text(base64.encode(session.from_host)))
			return true
		end
	end, 150)

	host_module:hook_tag(xmlns_sasl, "success", function (session)
		if session.type ~= "s2sout_unauthed" or session.external ~= "asked" then return end
		session.external = "done"
		session:reset_stream()
		session:open_stream()
		return true
	end)

	host_module:hook_tag(xmlns_sasl, "failure", function (session, stanza)
		if session.type ~= "s2sout_unauthed" or session.external ~= "asked" then return end
		session.external = "failed"
		local condition = stanza.tags[1] and stanza.tags[1].name or "no reason given"
		session.link:note("SASL EXTERNAL was refused: %s%s", condition,
			stanza:get_child_text("text") and ": " .. stanza:get_child_text("text") or "")
		if not host_module:fire_event("s2sout-authenticate-legacy", { origin = session }) then
			session.link:refuse(session, ("%s does not accept our certificate (%s)"):format(session.to_host, condition))
		end
		return true
	end)
end
