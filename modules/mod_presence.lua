--- Presence and subscriptions (RFC 6121 3 and 4): who is told that a user is there, and who may be.
-- What a subscription stanza does to the roster is looked up in core/roster_states (appendix A of the RFC); here it is
-- sent on, pushed and answered.
-- @hooks  pre-presence/bare, pre-presence/full, pre-presence/host, presence/bare, presence/full, presence/host,
--         resource-unbind, roster-item-removed
-- @fires  presence/initial, message/offline/broadcast
-- @stores roster (through core.rostermanager)
-- @spec   spec/modules/mod_presence_spec.lua, spec/e2e/presence_spec.lua, spec/e2e/roster_spec.lua,
--         spec/managers/rostermanager_spec.lua

local st = require "prosody.util.stanza"
local native = require "couplet.native"
local jid_bare = require "prosody.util.jid".bare
local jid_split = require "prosody.util.jid".split
local user_exists = require "prosody.core.usermanager".user_exists
local rostermanager = require "prosody.core.rostermanager"
local subscription_row = rostermanager.subscription_row

local hosts = prosody.hosts
local core_post_stanza = prosody.core_post_stanza

local directed_max = 1000 -- addresses one session is present to without a subscription: rooms, mostly

local is_subscription = { subscribe = true, subscribed = true, unsubscribe = true, unsubscribed = true }

local function sessions_of(username)
	local user = hosts[module.host].sessions[username]
	return user and user.sessions or {}
end

local function roster_of(session)
	local roster = session.roster
	if not roster then
		roster = rostermanager.load_roster(session.username, session.host)
		session.roster = roster
	end
	return roster
end

-- Sends one stanza to many: only `to` differs. It passes the pre- hooks as if the client had sent it to each of them,
-- so that a blocklist (XEP-0191) sees it.
local function send_to(origin, stanza, jid)
	stanza.attr.to = jid
	core_post_stanza(origin, stanza, true)
	stanza.attr.to = nil
end

---- What a client says of itself (RFC 6121 4.2 to 4.5) ----

local function broadcast_to_subscribers(origin, stanza)
	for jid, item in pairs(roster_of(origin)) do
		if jid and (item.subscription == "both" or item.subscription == "from") then
			send_to(origin, stanza, jid)
		end
	end
end

-- RFC 6121 4.2.2, 4.4.2: a user's own available sessions see each other.
local function broadcast_to_own(origin, stanza)
	for _, session in pairs(sessions_of(origin.username)) do
		if session.presence then
			stanza.attr.to = session.full_jid
			session.send(stanza)
		end
	end
	stanza.attr.to = nil
end

local function probe_contacts(origin)
	local probe = st.presence { type = "probe", from = origin.full_jid }
	for jid, item in pairs(roster_of(origin)) do
		if jid and (item.subscription == "both" or item.subscription == "to") then
			send_to(origin, probe, jid)
		end
	end
	for _, session in pairs(sessions_of(origin.username)) do
		if session ~= origin and session.presence then
			local presence = st.clone(session.presence)
			presence.attr.to = origin.full_jid
			origin.send(presence)
		end
	end
end

-- RFC 6121 3.1.3: a request waits until it is answered, and is shown to each session that becomes available.
local function show_requests(origin)
	local roster = roster_of(origin)
	for jid in pairs(roster[false].pending) do
		local request = rostermanager.is_contact_pending_in(origin.username, origin.host, jid)
		request = st.is_stanza(request) and st.clone(request) or st.presence { type = "subscribe", from = jid }
		request.attr.to = origin.username.."@"..origin.host
		origin.send(request)
	end
	-- RFC 6121 3.1.2: requests of ours that nobody answered are sent again, in case they were lost on the way.
	local own = origin.username.."@"..origin.host
	for jid, item in pairs(roster) do
		if jid and item.ask then
			core_post_stanza(origin, st.presence { type = "subscribe", from = own, to = jid })
		end
	end
end

local function become_available(origin, stanza)
	local is_initial = not origin.presence
	local was_reachable = origin.presence and origin.priority >= 0
	local kept = st.clone(stanza)
	kept.attr.to = nil
	if is_initial then
		module:fire_event("presence/initial", { origin = origin, stanza = stanza })
	end
	origin.presence = kept
	broadcast_to_subscribers(origin, stanza)
	broadcast_to_own(origin, stanza)
	if is_initial then
		probe_contacts(origin)
		show_requests(origin)
	end
	if origin.priority >= 0 and not was_reachable then -- RFC 6121 4.7.2.3, XEP-0160 3
		module:fire_event("message/offline/broadcast", { origin = origin, stanza = stanza })
	end
end

-- RFC 6121 4.5.2, 4.6.5: subscribers hear of it, and whoever was told directly.
local function become_unavailable(origin, stanza)
	origin.presence = nil
	broadcast_to_subscribers(origin, stanza)
	broadcast_to_own(origin, stanza)
	local directed = origin.directed
	origin.directed, origin.n_directed = nil, nil
	for jid in pairs(directed or {}) do
		send_to(origin, stanza, jid)
	end
end

-- RFC 6121 4.7.2.3
local function is_priority(text)
	local number = text:match("^%s*[+-]?%d+%s*$") and tonumber(text)
	return number and number >= -128 and number <= 127
end

local function handle_own_presence(origin, stanza)
	if stanza.attr.type == nil then
		local priority = stanza:get_child_text("priority")
		if priority and not is_priority(priority) then
			origin.send(st.error_reply(stanza, "modify", "bad-request", "The priority must be from -128 to 127"))
			return
		end
		become_available(origin, stanza)
	elseif stanza.attr.type == "unavailable" then
		if origin.presence then
			become_unavailable(origin, stanza)
		end
	else -- a subscription or probe must say to whom
		origin.send(st.error_reply(stanza, "modify", "bad-request"))
	end
end

module:hook("resource-unbind", function (event)
	local session = event.session
	if not (session.presence or session.directed) then return end
	local unavailable = st.presence { type = "unavailable", from = session.full_jid }
	if event.error and event.error ~= "session ended" then
		unavailable:text_tag("status", "Disconnected: "..event.error)
	end
	become_unavailable(session, unavailable)
end)

---- What a client sends to others ----

-- RFC 6121 3.1.2, 3.2.2, 3.3.2, 3.4.1: the user's side of a subscription.
local function handle_outbound_subscription(origin, stanza)
	local kind, contact = stanza.attr.type, jid_bare(stanza.attr.to)
	local username, host = origin.username, origin.host
	if contact == username.."@"..host then
		return true -- users always have their own presence
	end
	stanza.attr.from, stanza.attr.to = username.."@"..host, contact
	local row = subscription_row("outbound", kind, username, host, contact)
	local is_pushed = row.push
	if kind == "subscribe" then
		rostermanager.set_contact_pending_out(username, host, contact)
	elseif kind == "unsubscribe" then
		rostermanager.unsubscribe(username, host, contact)
	elseif kind == "subscribed" then
		is_pushed = rostermanager.subscribed(username, host, contact)
	else
		is_pushed = rostermanager.unsubscribed(username, host, contact)
	end
	if is_pushed then
		rostermanager.roster_push(username, host, contact)
	end
	if row.deliver then
		core_post_stanza(origin, stanza)
	end
	if kind == "subscribed" and row.deliver then
		for _, session in pairs(sessions_of(username)) do -- RFC 6121 3.1.5
			if session.presence then
				local presence = st.clone(session.presence)
				send_to(session, presence, contact)
			end
		end
	elseif kind == "unsubscribed" and row.push then
		for _, session in pairs(sessions_of(username)) do -- RFC 6121 3.2.2
			if session.presence then
				send_to(session, st.presence { type = "unavailable", from = session.full_jid }, contact)
			end
		end
	end
	return true
end

-- RFC 6121 4.6: those told directly are remembered, so that they hear when it ends. false: there are too many.
local function remember_directed(origin, stanza)
	local to, kind = stanza.attr.to, stanza.attr.type
	local directed, count = origin.directed or {}, origin.n_directed or 0
	if kind == "unavailable" then
		if directed[to] then
			directed[to], origin.n_directed = nil, count - 1
		end
	elseif kind == nil and not directed[to]
	and not rostermanager.is_contact_subscribed(origin.username, origin.host, jid_bare(to)) then
		if count >= directed_max then return false end
		directed[to] = true
		origin.directed, origin.n_directed = directed, count + 1
	end
	return true
end

local function handle_outbound(event)
	local origin, stanza = event.origin, event.stanza
	if not stanza.attr.to then return nil end -- presence/bare below
	if is_subscription[stanza.attr.type] then
		return handle_outbound_subscription(origin, stanza)
	end
	if not remember_directed(origin, stanza) then
		origin.send(st.error_reply(stanza, "wait", "resource-constraint", "You are present to too many already"))
		return true
	end
	return nil
end

module:hook("pre-presence/bare", handle_outbound)
module:hook("pre-presence/full", handle_outbound)
module:hook("pre-presence/host", handle_outbound)

---- What others send to a user (RFC 6121 3.1.3, 3.1.6, 3.2.3, 3.3.3, 4.3.2) ----

-- Reply in the user's name.
local function answer(username, contact, kind)
	module:send(st.presence { type = kind, from = username.."@"..module.host, to = contact })
end

local function send_presence_of_available_resources(username, to)
	local count = 0
	for _, session in pairs(sessions_of(username)) do
		if session.presence then
			send_to(session, st.clone(session.presence), to)
			count = count + 1
		end
	end
	return count
end

local function handle_probe(username, from)
	local contact = jid_bare(from)
	if not user_exists(username, module.host)
	or not rostermanager.is_contact_subscribed(username, module.host, contact) then
		answer(username, contact, "unsubscribed") -- RFC 6121 4.3.2.1
	elseif send_presence_of_available_resources(username, from) == 0 then
		answer(username, from, "unavailable") -- RFC 6121 4.3.2.3
	end
end

local function deliver_to_interested(username, stanza)
	for _, session in pairs(sessions_of(username)) do
		if session.presence or session.interested then
			session.send(stanza)
		end
	end
end

local function handle_inbound_subscription(username, contact, stanza)
	local kind, host = stanza.attr.type, module.host
	if not user_exists(username, host) then
		if kind == "subscribe" then
			answer(username, contact, "unsubscribed") -- RFC 6121 3.1.3
		end
		return
	end
	local row = subscription_row("inbound", kind, username, host, contact)
	local is_changed
	if kind == "subscribe" then
		if row.reply then
			rostermanager.process_inbound_preapproved_request(username, host, contact)
		else
			is_changed = rostermanager.set_contact_pending_in(username, host, contact, stanza)
		end
	elseif kind == "unsubscribe" then
		is_changed = rostermanager.process_inbound_unsubscribe(username, host, contact)
	elseif kind == "subscribed" then
		is_changed = rostermanager.process_inbound_subscription_approval(username, host, contact)
	else
		is_changed = rostermanager.process_inbound_subscription_cancellation(username, host, contact)
	end
	if row.deliver and is_changed then
		deliver_to_interested(username, stanza)
	end
	if row.push then -- RFC 6121 3.1.6: the stanza first, then the push
		rostermanager.roster_push(username, host, contact)
	end
	if row.reply then
		answer(username, contact, row.reply)
		send_presence_of_available_resources(username, contact)
	elseif kind == "unsubscribe" and is_changed and row.push then
		for _, session in pairs(sessions_of(username)) do -- RFC 6121 3.3.3
			if session.presence then
				send_to(session, st.presence { type = "unavailable", from = session.full_jid }, contact)
			end
		end
	end
end

local function handle_inbound_bare(event)
	local origin, stanza = event.origin, event.stanza
	local to, kind = stanza.attr.to, stanza.attr.type
	if not to then
		handle_own_presence(origin, stanza)
		return true
	end
	local username = jid_split(to)
	if kind == "probe" then
		handle_probe(username, stanza.attr.from)
	elseif is_subscription[kind] then
		stanza.attr.from, stanza.attr.to = jid_bare(stanza.attr.from), jid_bare(to)
		handle_inbound_subscription(username, stanza.attr.from, stanza)
	else
		for _, session in pairs(sessions_of(username)) do
			if session.presence then
				session.send(stanza)
			end
		end
	end
	return true
end

module:hook("presence/bare", handle_inbound_bare)
module:hook("presence/full", native.hooks.presence_full)
module:hook("presence/full", handle_inbound_bare, -1) -- subscriptions and probes to a full JID concern the user

-- The host itself is always there, for whoever asks.
module:hook("presence/host", function (event)
	local stanza = event.stanza
	local from, kind = stanza.attr.from, stanza.attr.type
	if kind == "probe" then
		module:send(st.presence { from = module.host, to = from })
	elseif kind == "subscribe" then
		module:send(st.presence { type = "subscribed", from = module.host, to = jid_bare(from) })
		module:send(st.presence { from = module.host, to = from })
	elseif kind == "unsubscribe" then
		module:send(st.presence { type = "unsubscribed", from = module.host, to = jid_bare(from) })
	end
	return true
end)

-- RFC 6121 2.5.2: who was removed from a roster no longer sees its owner.
module:hook("roster-item-removed", function (event)
	local item = event.item
	if item.subscription ~= "both" and item.subscription ~= "from" then return end
	for _, session in pairs(sessions_of(event.username)) do
		if session.presence then
			send_to(session, st.presence { type = "unavailable", from = session.full_jid }, event.jid)
		end
	end
end)


-- For modules that depend on this one (Prosody's name).
function _ENV.send_presence_of_available_resources(username, _, to)
	return send_presence_of_available_resources(username, to)
end
