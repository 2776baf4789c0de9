--- Rosters: who a user's contacts are and who gets whose presence (RFC 6121 2 and 3).
--
-- A roster is a table: bare JID -> { subscription, ask, name, groups = { name -> true }, approved }, and under the key
-- false what is kept beside: { version, pending = { JID -> true or the request }, broken }. It is stored as it is.
--
-- Always true: one user has one roster table as long as anybody holds it (sessions do), so everybody sees every change.
-- Every change of a subscription follows a row of roster_states. A roster that could not be read is never written.

local logger = require "prosody.util.logger"
local new_id = require "prosody.util.id".medium
local st = require "prosody.util.stanza"
local states = require "prosody.core.roster_states"
local storagemanager = require "prosody.core.storagemanager"

local log = logger.init("rostermanager")

local prosody = _G.prosody
local hosts = prosody.hosts
local next, pairs, rawget, setmetatable, tostring = next, pairs, rawget, setmetatable, tostring

local _M = {}
local _ENV = nil

local XMLNS_ROSTER = "jabber:iq:roster"

-- Loading and saving

local loaded = setmetatable({}, { __mode = "v" }) -- bare JID -> roster, while somebody holds it

-- The table of a host's stores does not change, so neither does the store of a host that stays.
local stores = setmetatable({}, { __mode = "k" }) -- host table -> store

local function store_of(host)
	local session = hosts[host]
	local store = session and stores[session]
	if not store then
		store = storagemanager.open(host, "roster", "keyval")
		if session then
			stores[session] = store
		end
	end
	return store
end

-- Brings what was stored into the form described above.
local function complete(roster, own_jid)
	local meta = roster[false]
	if not meta then
		meta = {}
		roster[false] = meta
	end
	local legacy_pending = rawget(roster, "pending")
	if legacy_pending and not legacy_pending.subscription then
		meta.pending = meta.pending or legacy_pending
		roster.pending = nil
	end
	meta.pending = meta.pending or {}
	meta.version = meta.version or 0
	if roster[own_jid] then
		log("info", "Roster of %s: the user is their own contact there; leaving it out", own_jid)
		roster[own_jid] = nil
	end
	return roster
end

--- The user's roster, empty when there is none. When it cannot be read: an empty one that is never saved, and an error.
function _M.load_roster(username, host)
	local own_jid = username .. "@" .. host
	local roster = loaded[own_jid]
	if roster then
		return roster
	end
	local stored, err = store_of(host):get(username)
	roster = complete(stored or {}, own_jid)
	if err then
		log("error", "The roster of %s could not be read: %s", own_jid, tostring(err))
		roster[false].broken = true
		return roster, err
	end
	loaded[own_jid] = roster
	hosts[host].events.fire_event("roster-load", { username = username, host = host, roster = roster })
	return roster
end

-- What goes to the store: without contacts that others only lent (shared groups).
local function lasting_part(roster)
	local lasting = {}
	for contact, item in pairs(roster) do
		if contact == false or item.persist ~= false then
			lasting[contact] = item
		end
	end
	return lasting
end

-- What was not saved did not happen: the user's sessions get what is stored.
local function read_again(username, host)
	loaded[username .. "@" .. host] = nil
	local user = hosts[host] and hosts[host].sessions[username]
	for _, session in pairs(user and user.sessions or {}) do
		if session.roster then
			session.roster = _M.load_roster(username, host)
		end
	end
end

prosody.events.add_handler("host-activated", function (host)
	hosts[host].events.add_handler("storage-write-failed", function (event)
		if event.store == "roster" and event.username then
			read_again(event.username, host)
		end
	end)
end)

--- Saves a roster (by default the loaded one) and counts its version up: true, or nil and an error.
function _M.save_roster(username, host, roster)
	roster = roster or loaded[username .. "@" .. host]
	if not roster then
		return nil, "there is no roster to save"
	end
	local meta = roster[false]
	if not meta then
		meta = complete(roster, username .. "@" .. host)[false]
	end
	if meta.broken then
		return nil, "a roster that could not be read is not overwritten"
	end
	meta.version = meta.version + 1
	local ok, err = store_of(host):set(username, lasting_part(roster))
	if not ok then
		log("error", "The roster of %s@%s could not be saved: %s", username, host, tostring(err))
		read_again(username, host)
	end
	return ok, err
end

prosody.events.add_handler("user-deleted", function (event)
	loaded[event.username .. "@" .. event.host] = nil
end)

-- Telling clients

--- Adds an <item/> for a contact below the element the builder stands at; item nil: it was removed. Goes up again.
function _M.add_item_tag(builder, contact, item)
	builder:tag("item", {
		jid = contact,
		subscription = item and item.subscription or "remove",
		ask = item and item.ask or nil,
		name = item and item.name or nil,
		approved = item and item.approved and "true" or nil,
	})
	for group in pairs(item and item.groups or {}) do
		builder:text_tag("group", group)
	end
	return builder:up()
end

--- Tells the user's clients that asked for the roster what became of a contact (RFC 6121 2.1.6).
function _M.roster_push(username, host, contact)
	local user = hosts[host] and hosts[host].sessions[username]
	local roster = _M.load_roster(username, host)
	if not user or contact == false or contact == "pending" then
		return
	end
	local push = st.iq { type = "set", id = new_id() }
		:tag("query", { xmlns = XMLNS_ROSTER, ver = tostring(roster[false].version) })
	_M.add_item_tag(push, contact, roster[contact])
	push:reset()
	for _, session in pairs(user.sessions) do
		if session.interested then
			local copy = st.clone(push)
			copy.attr.to = session.full_jid
			session.send(copy)
		end
	end
end

-- Contacts as the user edits them

--- Adds a contact or changes name and groups (never the subscription): true, or nil, type, condition and text.
function _M.add_to_roster(session, contact, item)
	local roster = _M.load_roster(session.username, session.host)
	local old = roster[contact]
	roster[contact] = {
		subscription = old and old.subscription or "none",
		ask = old and old.ask or nil,
		approved = old and old.approved or nil,
		name = item.name,
		groups = item.groups or {},
	}
	if _M.save_roster(session.username, session.host, roster) then
		return true
	end
	roster[contact] = old
	return nil, "wait", "internal-server-error", "Unable to save roster"
end

--- Removes a contact: true, or nil, type, condition and text.
function _M.remove_from_roster(session, contact)
	local roster = _M.load_roster(session.username, session.host)
	local old, was_pending = roster[contact], roster[false].pending[contact]
	roster[contact] = nil
	roster[false].pending[contact] = nil
	if _M.save_roster(session.username, session.host, roster) then
		return true
	end
	roster[contact], roster[false].pending[contact] = old, was_pending
	return nil, "wait", "internal-server-error", "Unable to save roster"
end

-- States

local function state_of(roster, contact)
	local item = roster[contact]
	return states.state_of(item and item.subscription, item and item.ask, roster[false].pending[contact])
end

-- Does a contact have anything but "no subscription"? Then it stays in the roster without being put there by the user.
local function is_worth_keeping(item)
	return item.subscription ~= "none" or item.ask or item.approved or item.name or next(item.groups) ~= nil
		or item.persist == false
end

-- Writes a state into the roster. request: what is kept for a contact that asks.
local function put_state(roster, contact, name, request)
	local parts = states.kept[name]
	local pending = roster[false].pending
	pending[contact] = parts.pending and (request or pending[contact] or true) or nil
	local item = roster[contact]
	if not item then
		item = { subscription = "none", groups = {} }
		if parts.subscription == "none" and not parts.ask then
			return -- only asks: not a contact yet
		end
		roster[contact] = item
	end
	item.subscription = parts.subscription
	item.ask = parts.ask and "subscribe" or nil
	item.groups = item.groups or {}
end

-- Lets a stanza change the state and saves. Gives the row, and whether something changed and was saved.
local function follow(table_of_states, username, host, contact, request)
	local roster, err = _M.load_roster(username, host)
	if err then
		return nil, false
	end
	local before = state_of(roster, contact)
	local row = table_of_states[before]
	if row.state == before then
		return row, false
	end
	put_state(roster, contact, row.state, request)
	return row, _M.save_roster(username, host, roster) and true or false
end

local function kept_state(username, host, contact)
	return states.kept[state_of(_M.load_roster(username, host), contact)]
end

--- What a presence of that type, sent by ("outbound") or to ("inbound") the user, has to do: a row of roster_states.
-- Changes nothing.
function _M.subscription_row(direction, presence_type, username, host, contact)
	local rows = states[direction][presence_type]
	if direction == "inbound" and presence_type == "subscribe" and _M.is_contact_preapproved(username, host, contact) then
		rows = states.inbound_preapproved
	end
	return rows[state_of(_M.load_roster(username, host), contact)]
end

-- Does presence flow that way, "from" the user or "to" the user? Users get their own.
local function is_subscribed(username, host, contact, direction)
	if contact == username .. "@" .. host then
		return true
	end
	local subscription = kept_state(username, host, contact).subscription
	return subscription == direction or subscription == "both"
end

--- Does the contact get the user's presence?
function _M.is_contact_subscribed(username, host, contact)
	return is_subscribed(username, host, contact, "from")
end

--- Does the user get the contact's presence?
function _M.is_user_subscribed(username, host, contact)
	return is_subscribed(username, host, contact, "to")
end

--- Has the contact asked, and was not answered yet? The request (a stanza, or true) or nil.
function _M.is_contact_pending_in(username, host, contact)
	local request = _M.load_roster(username, host)[false].pending[contact]
	if request and request ~= true and not st.is_stanza(request) then
		request = st.deserialize(request)
	end
	return request
end

--- Has the user asked, and was not answered yet?
function _M.is_contact_pending_out(username, host, contact)
	local item = _M.load_roster(username, host)[contact]
	return item and item.ask or nil
end

--- Will the contact's next request be granted without asking the user (RFC 6121 3.4)?
function _M.is_contact_preapproved(username, host, contact)
	local item = _M.load_roster(username, host)[contact]
	return item ~= nil and item.approved == true
end

-- What the user sends

--- The user asks for the contact's presence: true when that changed the roster.
function _M.set_contact_pending_out(username, host, contact)
	local _, changed = follow(states.outbound.subscribe, username, host, contact)
	return changed
end
_M.process_outbound_subscription_request = _M.set_contact_pending_out

--- The user no longer wants the contact's presence: true when that changed the roster.
function _M.unsubscribe(username, host, contact)
	local _, changed = follow(states.outbound.unsubscribe, username, host, contact)
	return changed
end

-- Keeps or takes back an approval in advance.
local function set_preapproval(username, host, contact, approved)
	local roster, err = _M.load_roster(username, host)
	local item = roster[contact]
	if err or (item and item.approved or nil) == (approved or nil) then
		return false
	elseif not item then
		item = { subscription = "none", groups = {} }
		roster[contact] = item
	end
	item.approved = approved or nil
	if not is_worth_keeping(item) then
		roster[contact] = nil
	end
	return _M.save_roster(username, host, roster) and true or false
end

--- The user grants a request; without one it is kept as approval in advance (RFC 6121 3.4.1). First result: did that
-- change the roster (push it)? Second: was a request granted (route it, send presence)?
function _M.subscribed(username, host, contact)
	local row, changed = follow(states.outbound.subscribed, username, host, contact)
	if not row then
		return false, false
	elseif row.deliver then
		return changed, true
	elseif _M.is_contact_subscribed(username, host, contact) then
		return false, false
	end
	return set_preapproval(username, host, contact, true), false
end
_M.process_outbound_subscription_approval = _M.subscribed

--- The user denies a request or takes back a subscription, or an approval in advance. First result: did that change the
-- roster (push it)? Second: did the contact get the user's presence until now (send unavailable presence)?
function _M.unsubscribed(username, host, contact)
	local was_subscribed = kept_state(username, host, contact).subscription
	local row, changed = follow(states.outbound.unsubscribed, username, host, contact)
	if not row then
		return false, false
	end
	local took_back = set_preapproval(username, host, contact, false)
	local is_visible = took_back or changed and row.push
	return is_visible, changed and (was_subscribed == "from" or was_subscribed == "both")
end

-- What contacts send

--- The contact asks for the user's presence. stanza (may be nil) is kept, to be shown to clients that come later. True
-- when the user is to be asked.
function _M.set_contact_pending_in(username, host, contact, stanza)
	local request = stanza and st.preserialize(st.clone(stanza)) or true
	local _, changed = follow(states.inbound.subscribe, username, host, contact, request)
	return changed
end

--- The request of a contact that was approved in advance is granted: true when that changed the roster.
function _M.process_inbound_preapproved_request(username, host, contact)
	local _, changed = follow(states.inbound_preapproved, username, host, contact)
	return changed
end

--- The contact granted the user's request: true when that changed the roster.
function _M.process_inbound_subscription_approval(username, host, contact)
	local _, changed = follow(states.inbound.subscribed, username, host, contact)
	return changed
end

--- The contact denied the request or took back the subscription: true when that changed the roster.
function _M.process_inbound_subscription_cancellation(username, host, contact)
	local _, changed = follow(states.inbound.unsubscribed, username, host, contact)
	return changed
end

--- The contact no longer wants the user's presence, or takes back its request. First result: did that change anything?
-- Second: was it only a request (so the roster shows no change)?
function _M.process_inbound_unsubscribe(username, host, contact)
	local row, changed = follow(states.inbound.unsubscribe, username, host, contact)
	return changed, changed and not row.push
end

return _M
