--- Blocking Command (XEP-0191): nothing passes between a user and those the user has blocked.
-- @option blocklist_max_items   number, 10000: entries per user
-- @option blocklist_cache_size  number, 1024: lists kept in memory
-- @hooks  iq-get/self/urn:xmpp:blocking:blocklist, iq-set/self/...:block, :unblock; while anybody blocks somebody also
--         pre-message, pre-presence, pre-iq and message, presence, iq, each /bare, /full (and pre- /host)
-- @fires  none        @stores blocklist
-- @spec   spec/modules/mod_blocklist_spec.lua
--
-- Always true: a list that cannot be read blocks everybody but the user, so that a broken disk lets no blocked message
-- through; no path tells a blocked sender more than "service-unavailable", which any offline user gives.
--
-- The record is Prosody's: [jid] = time, and [false] = { created, modified }. `listed` holds the names of those who
-- have a list; a stanza of anybody else costs one look-up, and on a host where nobody blocks there is no hook at all.

local cache = require "prosody.util.cache"
local jid = require "prosody.util.jid"
local new_id = require "prosody.util.id".medium
local rostermanager = require "prosody.core.rostermanager"
local st = require "prosody.util.stanza"
local time = require "prosody.util.time"

local xmlns_blocking = "urn:xmpp:blocking"

local host = module.host
local max_items = module:get_option_integer("blocklist_max_items", 10000, 1)
local store = module:open_store("blocklist")

local lists = cache.new(module:get_option_integer("blocklist_cache_size", 1024, 1))
local listed -- username -> true; nil when the store cannot list its users: then everybody may have a list

local everybody = {} -- stands for a list that could not be read

local function is_listed(username)
	return not listed or listed[username]
end

-- Gives the user's list, jid -> time; read only.
local function get_list(username)
	if not is_listed(username) then return nil end
	local list = lists:get(username)
	if list then return list end
	local err
	list, err = store:get(username)
	if not list and err then
		module:log("error", "The blocklist of %s cannot be read, so everybody is blocked: %s", username, err)
		return everybody
	end
	list = list or {}
	lists:set(username, list)
	return list
end

-- The order of XEP-0191 5. All forms match, so the order only says which is found first.
local function is_in_list(list, address)
	local node, domain, resource = jid.split(address)
	if not domain then return false end
	local bare = node and node .. "@" .. domain or domain
	if resource and list[bare .. "/" .. resource] then return true end
	if node and list[bare] then return true end
	if resource and list[domain .. "/" .. resource] then return true end
	return list[domain] ~= nil
end

--- Has the user blocked this address?
local function is_blocked(username, address)
	local list = get_list(username)
	if not list or (list ~= everybody and next(list) == nil) then return false end
	if not address or jid.bare(address) == username .. "@" .. host then return false end -- XEP-0191 4: never oneself
	return list == everybody or is_in_list(list, address)
end

-- Stanzas on their way out.

local subscription_types = { subscribe = true, subscribed = true, unsubscribe = true, unsubscribed = true }

local function refuse_outgoing(event)
	local session, stanza = event.origin, event.stanza
	if not session.username or session.host ~= host or not is_blocked(session.username, stanza.attr.to) then return end
	local kind = stanza.attr.type
	-- What the user sent to that address gets the error of XEP-0191 3.3. An answer gets none, nor does presence that
	-- goes to all contacts: it was not meant for this one.
	local is_answer = kind == "error" or kind == "result"
	if is_answer or (stanza.name == "presence" and not subscription_types[kind]) then return true end
	session.send(st.error_reply(stanza, "cancel", "not-acceptable", "You have blocked this address")
		:tag("blocked", { xmlns = "urn:xmpp:blocking:errors" }))
	return true
end

-- Stanzas on their way in.

local function is_incoming_blocked(event)
	local stanza = event.stanza
	local username = jid.split(stanza.attr.to)
	return username and is_blocked(username, stanza.attr.from)
end

local function bounce(event)
	event.origin.send(st.error_reply(event.stanza, "cancel", "service-unavailable"))
	return true
end

local function refuse_message(event)
	if not is_incoming_blocked(event) then return end
	local kind = event.stanza.attr.type
	-- An error to a room would end the user's stay in it, one to a headline would go to nobody.
	if kind == nil or kind == "normal" or kind == "chat" then return bounce(event) end
	return true
end

local function refuse_presence(event)
	if is_incoming_blocked(event) then return true end
end

local function refuse_iq(event)
	if not is_incoming_blocked(event) then return end
	local kind = event.stanza.attr.type
	if kind == "get" or kind == "set" then return bounce(event) end
	return true
end

local hooks = {}
for _, target in ipairs { "bare", "full", "host" } do
	for _, name in ipairs { "message", "presence", "iq" } do
		hooks["pre-" .. name .. "/" .. target] = refuse_outgoing
	end
end
for _, target in ipairs { "bare", "full" } do
	hooks["message/" .. target] = refuse_message
	hooks["presence/" .. target] = refuse_presence
	hooks["iq/" .. target] = refuse_iq
end

local is_hooked = false

local function hook_if_needed()
	local is_needed = not listed or next(listed) ~= nil
	if is_needed == is_hooked then return end
	is_hooked = is_needed
	for event, handler in pairs(hooks) do
		if is_needed then
			module:hook(event, handler, 100)
		else
			module:unhook(event, handler)
		end
	end
end

local function set_listed(username, has_list)
	if listed then listed[username] = has_list or nil end
	hook_if_needed()
end

-- The commands.

-- Gives the items of a command, prepared, in order; nil and an error when one cannot be used.
local function read_items(session, command)
	local items, own = {}, session.username .. "@" .. host
	for item in command:childtags("item") do
		local address = item.attr.jid and jid.prep(item.attr.jid)
		if not address then
			return nil, "modify", "jid-malformed", ("%s is not an address"):format(item.attr.jid or "An empty item")
		elseif jid.bare(address) == own then
			return nil, "cancel", "not-allowed", "You cannot block yourself"
		end
		table.insert(items, address)
	end
	return items
end

local function resources_of(username)
	local user = prosody.hosts[host].sessions[username]
	return user and user.sessions or {}
end

local function push(username, command, items)
	for _, session in pairs(resources_of(username)) do
		if session.interested_blocklist then -- it has asked for the list
			local iq = st.iq({ type = "set", id = new_id(), to = session.full_jid })
				:tag(command, { xmlns = xmlns_blocking })
			for _, address in ipairs(items) do iq:tag("item", { jid = address }):up() end
			session.send(iq)
		end
	end
end

-- Calls fn(contact) for the contacts that get the user's presence and that one of the items means.
local function each_follower(username, items, fn)
	local roster = rostermanager.load_roster(username, host)
	if not roster then return end
	local meant = {}
	for _, address in ipairs(items) do meant[address] = true end
	for contact, entry in pairs(roster) do
		if contact and (entry.subscription == "both" or entry.subscription == "from") then
			local resource_of_it = false
			for address in pairs(meant) do
				resource_of_it = resource_of_it or jid.bare(address) == contact
			end
			if resource_of_it or is_in_list(meant, contact) then fn(contact) end
		end
	end
end

local function send_unavailable(username, items)
	each_follower(username, items, function (contact)
		for _, session in pairs(resources_of(username)) do
			if session.presence then
				module:send(st.presence({ type = "unavailable", from = session.full_jid, to = contact }))
			end
		end
	end)
end

local function send_current_presence(username, items)
	each_follower(username, items, function (contact)
		if is_blocked(username, contact) then return end -- still, by another item
		for _, session in pairs(resources_of(username)) do
			if session.presence then
				local presence = st.clone(session.presence)
				presence.attr.from, presence.attr.to = session.full_jid, contact
				module:send(presence)
			end
		end
		-- Theirs was kept back meanwhile.
		module:send(st.presence({ type = "probe", from = username .. "@" .. host, to = contact }))
	end)
end

-- A request that waits in the roster would be delivered at the next login, past every hook.
local function drop_pending_requests(username, items)
	local roster = rostermanager.load_roster(username, host)
	local pending = roster and roster[false] and roster[false].pending
	if not pending then return end
	local meant, dropped = {}, {}
	for _, address in ipairs(items) do meant[address] = true end
	for contact in pairs(pending) do
		if is_in_list(meant, contact) then table.insert(dropped, contact) end
	end
	if not dropped[1] then return end
	for _, contact in ipairs(dropped) do pending[contact] = nil end
	rostermanager.save_roster(username, host, roster)
end

local function handle_get(event)
	local session = event.origin
	local list = get_list(session.username) or {}
	if list == everybody then
		session.send(st.error_reply(event.stanza, "wait", "internal-server-error", "Your list cannot be read now"))
		return true
	end
	session.interested_blocklist = true
	local reply = st.reply(event.stanza):tag("blocklist", { xmlns = xmlns_blocking })
	local addresses = {}
	for address in pairs(list) do
		if address then table.insert(addresses, address) end
	end
	table.sort(addresses)
	for _, address in ipairs(addresses) do reply:tag("item", { jid = address }):up() end
	session.send(reply)
	return true
end

-- Writes a changed copy of the list: what is in force only changes with what is on disk.
local function change_list(username, change)
	local list = get_list(username) or {}
	if list == everybody then return nil, "wait", "internal-server-error", "Your list cannot be read now" end
	local now = math.floor(time.now())
	local changed = {}
	for address, since in pairs(list) do
		if address then changed[address] = since end
	end
	change(changed, now)
	local count = 0
	for _ in pairs(changed) do count = count + 1 end
	if count > max_items then return nil, "wait", "resource-constraint", "Your list is full" end
	local has_items = count > 0
	changed[false] = { created = type(list[false]) == "table" and list[false].created or now, modified = now }
	local ok, err = store:set(username, has_items and changed or nil)
	if not ok then
		module:log("error", "The blocklist of %s was not saved: %s", username, err)
		return nil, "wait", "internal-server-error", "Your list could not be saved"
	end
	lists:set(username, has_items and changed or nil)
	set_listed(username, has_items)
	return true
end

local function answer_error(session, stanza, error_type, condition, text)
	session.send(st.error_reply(stanza, error_type, condition, text))
	return true
end

local function handle_block(event)
	local session, stanza = event.origin, event.stanza
	local username = session.username
	local items, error_type, condition, text = read_items(session, stanza.tags[1])
	if not items then return answer_error(session, stanza, error_type, condition, text) end
	if not items[1] then
		return answer_error(session, stanza, "modify", "bad-request", "There is nothing to block")
	end
	local ok
	ok, error_type, condition, text = change_list(username, function (list, now)
		for _, address in ipairs(items) do list[address] = list[address] or now end
	end)
	if not ok then return answer_error(session, stanza, error_type, condition, text) end
	session.send(st.reply(stanza))
	push(username, "block", items)
	send_unavailable(username, items)
	drop_pending_requests(username, items)
	return true
end

local function handle_unblock(event)
	local session, stanza = event.origin, event.stanza
	local username = session.username
	local items, error_type, condition, text = read_items(session, stanza.tags[1])
	if not items then return answer_error(session, stanza, error_type, condition, text) end
	local is_everything = items[1] == nil
	local unblocked = {}
	local ok
	ok, error_type, condition, text = change_list(username, function (list)
		if is_everything then
			for address in pairs(list) do table.insert(items, address) end
		end
		for _, address in ipairs(items) do
			if list[address] then table.insert(unblocked, address) end
			list[address] = nil
		end
	end)
	if not ok then return answer_error(session, stanza, error_type, condition, text) end
	session.send(st.reply(stanza))
	push(username, "unblock", is_everything and {} or items) -- XEP-0191 3.5: all of them is told as none
	send_current_presence(username, unblocked)
	return true
end

local function forget_user(event)
	if event.host ~= host then return end
	lists:set(event.username, nil)
	set_listed(event.username, false)
end

module:add_feature(xmlns_blocking)
module:hook("iq-get/self/" .. xmlns_blocking .. ":blocklist", handle_get)
module:hook("iq-set/self/" .. xmlns_blocking .. ":block", handle_block)
module:hook("iq-set/self/" .. xmlns_blocking .. ":unblock", handle_unblock)
module:hook_global("user-deleted", forget_user)

local iterate, state, first = store:users()
if iterate then
	listed = {}
	for username in iterate, state, first do listed[username] = true end
end
hook_if_needed()
