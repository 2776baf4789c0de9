-- What becomes of stanzas that a client has not acknowledged when its session ends: the same as of those to a resource
-- that is not there (XEP-0198 4, RFC 6121 8.5). A module may know better: delivery/failure { session, stanza },
-- answered with true, is all that happens to that stanza.

local datetime = require "prosody.util.datetime"
local st = require "prosody.util.stanza"
local xml = require "prosody.util.xml"

local xmlns_carbons, xmlns_delay, xmlns_hints = "urn:xmpp:carbons:2", "urn:xmpp:delay", "urn:xmpp:hints"

-- What only this one session was to see: copies of other messages, and what it had asked an archive for.
local function is_copy(stanza)
	return stanza:get_child("received", xmlns_carbons) or stanza:get_child("sent", xmlns_carbons)
		or stanza:get_child("result", "urn:xmpp:mam:2")
end

-- XEP-0280 6.1
local function is_for_carbons(stanza)
	if stanza:get_child("private", xmlns_carbons) or stanza:get_child("no-copy", xmlns_hints) then return false end
	return stanza.attr.type == "chat" or stanza:get_child("body") ~= nil
end

-- Did another session of the account get it when this one did? All of the highest priority get what is sent to the bare
-- JID, and who wants carbons gets the rest.
local function has_it(other, session, stanza, sent_at)
	if not other.available_since or other.available_since > sent_at then return false end
	if other.want_carbons and is_for_carbons(stanza) then return true end
	local is_to_all = stanza.attr.to == nil or not stanza.attr.to:find("/", 1, true)
	return is_to_all and other.priority == session.last_priority
end

-- The stamp of an earlier delay is the true one.
local function take_stamp(module, stanza, sent_at) -- luacheck: ignore 431
	local delay = stanza:get_child_with_attr("delay", xmlns_delay, "from", module.host)
	local stamp = delay and datetime.parse(delay.attr.stamp or "")
	if not stamp then return sent_at end
	stanza:maptags(function (tag) return tag ~= delay and tag or nil end)
	return stamp
end

local function send_error(module, stanza) -- luacheck: ignore 431
	module:send(st.error_reply(stanza, "cancel", "service-unavailable"))
end

local function give_message(module, session, stanza, sent_at, is_stopping) -- luacheck: ignore 431
	local kind = stanza.attr.type
	if kind == "error" or kind == "headline" or is_copy(stanza) then return end
	if kind == "groupchat" then return send_error(module, stanza) end -- RFC 6121 8.5.3.2.1
	stanza.attr.to = stanza.attr.to or session.username .. "@" .. session.host
	local user = prosody.hosts[session.host].sessions[session.username]
	local highest, takers = 0, {}
	for _, other in pairs(user and user.sessions or {}) do
		local priority = other ~= session and other.presence and other.priority
		if priority and priority >= 0 and has_it(other, session, stanza, sent_at) then return end
		if priority and priority >= highest then
			if priority > highest then takers = {} end
			highest = priority
			table.insert(takers, other)
		end
	end
	local stamp = take_stamp(module, stanza, sent_at)
	local was_given = false
	if takers[1] and not is_stopping then
		local delayed = st.clone(stanza):tag("delay", { xmlns = xmlns_delay, from = module.host,
			stamp = datetime.datetime(stamp) }):up()
		for _, other in ipairs(takers) do was_given = other.send(delayed) or was_given end
	end
	if was_given then return end
	local event = { origin = prosody.hosts[session.host], stanza = stanza, username = session.username, stamp = stamp }
	if not module:fire_event("message/offline/handle", event) then send_error(module, stanza) end
end

--- module: of the host; texts, times: as native.sm_kept gives them.
return function (module, session, texts, times, is_stopping) -- luacheck: ignore 431
	for i, text in ipairs(texts) do
		local stanza = xml.parse(text)
		local is_done = not stanza or module:fire_event("delivery/failure", { session = session, stanza = stanza })
		if is_done then
			session.log("debug", "An unacknowledged stanza is taken care of")
		elseif stanza.name == "message" then
			give_message(module, session, stanza, times[i], is_stopping)
		elseif stanza.name == "iq" and (stanza.attr.type == "get" or stanza.attr.type == "set") then
			send_error(module, stanza) -- RFC 6121 8.5.3.2.3; answers and presence are of no use any more
		end
	end
end
