--- The roster (RFC 6121 2): a user's contacts, versioned (2.6), kept here and pushed to all interested sessions.
-- @hooks  iq-get/self/jabber:iq:roster:query, iq-set/self/jabber:iq:roster:query, stream-features, user-deleted,
--         roster-item-removed
-- @fires  roster-get, roster-item-removed (through core.rostermanager)
-- @stores roster (keyval, through core.rostermanager)
-- @spec   spec/modules/mod_roster_spec.lua, spec/e2e/roster_spec.lua

local st = require "prosody.util.stanza"
local jid_prep = require "prosody.util.jid".prep
local rostermanager = require "prosody.core.rostermanager"

local xmlns_roster = "jabber:iq:roster"
local name_max_bytes, group_max_bytes, groups_max = 1023, 1023, 64

module:add_feature(xmlns_roster)

local rosterver = st.stanza("ver", { xmlns = "urn:xmpp:features:rosterver" })
local preapproval = st.stanza("sub", { xmlns = "urn:xmpp:features:pre-approval" })

module:hook("stream-features", function (event)
	if event.origin.username then -- RFC 6121 2.6.1, 3.4.1
		event.features:add_child(rosterver)
		event.features:add_child(preapproval)
	end
end)

module:hook("iq-get/self/jabber:iq:roster:query", function (event)
	local origin, stanza = event.origin, event.stanza
	local roster, err = rostermanager.load_roster(origin.username, module.host)
	if not roster then
		module:log("error", "Could not load the roster of %s: %s", origin.username, err)
		origin.send(st.error_reply(stanza, "wait", "internal-server-error"))
		return true
	end
	origin.roster = roster
	origin.interested = true -- RFC 6121 2.2: from now on it gets roster pushes
	local reply = st.reply(stanza)
	local version = tostring(roster[false] and roster[false].version or 0)
	if stanza.tags[1].attr.ver ~= version then -- RFC 6121 2.6.2: an empty result says "what you have is current"
		local query = reply:query(xmlns_roster)
		query.tags[1].attr.ver = stanza.tags[1].attr.ver and version or nil
		module:fire_event("roster-get", { session = origin, roster = roster, reply = reply })
		for jid, item in pairs(roster) do
			if jid and item.subscription then
				rostermanager.add_item_tag(query, jid, item)
			end
		end
	end
	origin.send(reply)
	return true
end)

-- RFC 6121 2.1.5, 2.3.3: what a client may ask to be set; nil, condition when it may not.
local function read_item(query)
	local item = query.tags[1]
	if not item or item.name ~= "item" or #query.tags ~= 1 or not item.attr.jid then
		return nil, "bad-request"
	end
	local jid = jid_prep(item.attr.jid)
	if not jid then
		return nil, "jid-malformed"
	end
	local wanted = { jid = jid, remove = item.attr.subscription == "remove", name = item.attr.name, groups = {} }
	if wanted.name == "" then wanted.name = nil end
	if wanted.name and #wanted.name > name_max_bytes then
		return nil, "not-acceptable"
	end
	local count = 0
	for group in item:childtags("group") do
		local text = group:get_text() or ""
		count = count + 1
		if text == "" or #text > group_max_bytes or count > groups_max then
			return nil, "not-acceptable"
		elseif wanted.groups[text] then
			return nil, "bad-request" -- RFC 6121 2.3.3: duplicate groups
		end
		wanted.groups[text] = true
	end
	return wanted
end

local function remove_item(origin, stanza, jid)
	local roster = origin.roster
	local item = roster[jid]
	if not item then
		return origin.send(st.error_reply(stanza, "cancel", "item-not-found")) -- RFC 6121 2.5.3
	end
	local removed, err_type, condition = rostermanager.remove_from_roster(origin, jid)
	if not removed then
		return origin.send(st.error_reply(stanza, err_type or "wait", condition or "internal-server-error"))
	end
	origin.send(st.reply(stanza))
	rostermanager.roster_push(origin.username, module.host, jid)
	-- RFC 6121 2.5.2: the contact is told as if both subscriptions had been cancelled by hand
	local own = origin.username.."@"..module.host
	if item.subscription == "both" or item.subscription == "to" or item.ask then
		module:send(st.presence({ type = "unsubscribe", from = own, to = jid }), origin)
	end
	if item.subscription == "both" or item.subscription == "from" then
		module:send(st.presence({ type = "unsubscribed", from = own, to = jid }), origin)
	end
	module:fire_event("roster-item-removed", { origin = origin, username = origin.username, jid = jid, item = item })
end

module:hook("iq-set/self/jabber:iq:roster:query", function (event)
	local origin, stanza = event.origin, event.stanza
	local wanted, condition = read_item(stanza.tags[1])
	if not wanted then
		origin.send(st.error_reply(stanza, "modify", condition))
		return true
	end
	if not origin.roster then
		origin.roster = rostermanager.load_roster(origin.username, module.host)
	end
	if wanted.remove then
		remove_item(origin, stanza, wanted.jid)
		return true
	end
	local added, err_type, err_condition = rostermanager.add_to_roster(origin, wanted.jid, {
		name = wanted.name, groups = wanted.groups,
	})
	if added then
		origin.send(st.reply(stanza))
		rostermanager.roster_push(origin.username, module.host, wanted.jid)
	else
		origin.send(st.error_reply(stanza, err_type or "wait", err_condition or "internal-server-error"))
	end
	return true
end)

-- A deleted account leaves its contacts' rosters as if it had cancelled every subscription (RFC 6121 2.5.2).
module:hook_global("user-deleted", function (event)
	if event.host ~= module.host then return end
	local own = event.username.."@"..event.host
	local roster = rostermanager.load_roster(event.username, event.host)
	for jid, item in pairs(roster or {}) do
		if jid then
			if item.subscription == "both" or item.subscription == "to" or item.ask then
				module:send(st.presence({ type = "unsubscribe", from = own, to = jid }))
			end
			if item.subscription == "both" or item.subscription == "from" then
				module:send(st.presence({ type = "unsubscribed", from = own, to = jid }))
			end
		end
	end
end, 300)
