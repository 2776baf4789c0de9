--- Service Discovery (XEP-0030, XEP-0128) and the server's capabilities (XEP-0115): what can host and accounts do?
-- A module says what it adds by items (module:add_feature, add_identity, add_extension); what depends on who asks is
-- added by the events below. In all of them the handler adds to event.reply; for nodes it also sets event.exists. A
-- handler that returns true has answered by itself.
-- @option disco_items          list of { jid, name }: more to find at the host besides its components
-- @option disco_expose_admins  boolean, false: list the admins, too
-- @option admins               set of JIDs: who they are
-- @option name                 string: what the host calls itself
-- @hooks  iq-get/host/http://jabber.org/protocol/disco#info:query, stream-features, item-added/*,
--         iq-get/bare/http://jabber.org/protocol/disco#info:query, s2s-stream-features, item-removed/*,
--         iq-get/host/http://jabber.org/protocol/disco#items:query,
--         iq-get/bare/http://jabber.org/protocol/disco#items:query
-- @fires  host-disco-info-node, host-disco-items, host-disco-items-node, account-disco-info, account-disco-info-node,
--         account-disco-items, account-disco-items-node, server-disco-info
-- @stores none
-- @spec   spec/modules/mod_disco_spec.lua

local st = require "prosody.util.stanza"
local calculate_hash = require "prosody.util.caps".calculate_hash
local get_children = require "prosody.core.hostmanager".get_children
local jid_bare = require "prosody.util.jid".bare
local jid_node = require "prosody.util.jid".node
local jid_prep = require "prosody.util.jid".prep
local is_contact_subscribed = require "prosody.core.rostermanager".is_contact_subscribed

local host = module.host
local xmlns_info = "http://jabber.org/protocol/disco#info"
local xmlns_items = "http://jabber.org/protocol/disco#items"
-- XEP-0115 4: a URI that stands for this software, in all its versions. The project has no domain of its own to put one
-- under, so it is a number that nobody else has (RFC 9562).
local caps_node = "urn:uuid:aadd7222-fc7e-4c4b-925c-451018348b45"

local disco_items = module:get_option_array("disco_items", {})
local expose_admins = module:get_option_boolean("disco_expose_admins", false)

-- An item that is wrong is left out now rather than found out by whoever asks.
do
	local valid = {}
	for i, item in ipairs(disco_items) do
		local jid = type(item) == "table" and type(item[1]) == "string" and jid_prep(item[1])
		if jid and (item[2] == nil or type(item[2]) == "string") then
			valid[#valid + 1] = { jid, item[2] }
		else
			module:log("error", "disco_items: entry %d is not { \"jid\", \"name\" } and is left out", i)
		end
	end
	disco_items = valid
end

if module:get_host_type() == "local" then
	module:add_identity("server", "im", module:get_option_string("name", "Couplet"))
end
module:add_feature(xmlns_info)
module:add_feature(xmlns_items)

---- What the host says: made when first asked for, forgotten when an item comes or goes ----

local host_info, host_ver

local function forget()
	host_info, host_ver = nil, nil
end

for _, key in ipairs { "identity", "feature", "extension" } do
	module:handle_items(key, forget, forget, false)
end

local function build_host_info()
	local query = st.stanza("query", { xmlns = xmlns_info })
	local seen = {}
	for _, identity in ipairs(module:get_host_items "identity") do
		local key = identity.category .. "/" .. identity.type
		if not seen[key] then
			seen[key] = true
			query:tag("identity", identity):up()
		end
	end
	for _, feature in ipairs(module:get_host_items "feature") do
		if not seen[feature] then
			seen[feature] = true
			query:tag("feature", { var = feature }):up()
		end
	end
	for _, extension in ipairs(module:get_host_items "extension") do
		query:add_child(extension)
	end
	module:fire_event("server-disco-info", { reply = query })
	return query
end

local function get_host_info()
	if not host_info then
		host_info = build_host_info()
		host_ver = calculate_hash(host_info)
	end
	return host_info, host_ver
end

local function caps_feature()
	local _, ver = get_host_info()
	return st.stanza("c", { xmlns = "http://jabber.org/protocol/caps", hash = "sha-1", node = caps_node, ver = ver })
end

-- XEP-0115 6.3: only peers that are in learn it here; a client after login.
module:hook("stream-features", function (event)
	if event.origin.type == "c2s" then
		event.features:add_child(caps_feature())
	end
end, -1)

module:hook("s2s-stream-features", function (event)
	if event.origin.type == "s2sin" then
		event.features:add_child(caps_feature())
	end
end, -1)

---- Answers ----

local function node_of(stanza)
	local node = stanza.tags[1].attr.node
	return node ~= "" and node or nil
end

-- Fires an event about one node; nobody knows it: item-not-found (XEP-0030 3.2).
local function answer_node(event, name, xmlns, node, username)
	local origin, stanza = event.origin, event.stanza
	local reply = st.reply(stanza):tag("query", { xmlns = xmlns, node = node })
	local node_event = {
		origin = origin, stanza = stanza, reply = reply, node = node, exists = false, username = username,
	}
	local result = module:fire_event(name, node_event)
	if result ~= nil then
		return result
	end
	if node_event.exists then
		origin.send(reply)
	else
		origin.send(st.error_reply(stanza, "cancel", "item-not-found", "This node does not exist"))
	end
	return true
end

module:hook("iq-get/host/" .. xmlns_info .. ":query", function (event)
	local origin, stanza = event.origin, event.stanza
	local node = node_of(stanza)
	local info, ver = get_host_info()
	if node and node ~= caps_node .. "#" .. ver then
		return answer_node(event, "host-disco-info-node", xmlns_info, node)
	end
	local query = st.clone(info)
	query.attr.node = node
	origin.send(st.reply(stanza):add_child(query))
	return true
end)

module:hook("iq-get/host/" .. xmlns_items .. ":query", function (event)
	local origin, stanza = event.origin, event.stanza
	local node = node_of(stanza)
	if node then
		return answer_node(event, "host-disco-items-node", xmlns_items, node)
	end
	local reply = st.reply(stanza):query(xmlns_items)
	local result = module:fire_event("host-disco-items", { origin = origin, stanza = stanza, reply = reply })
	if result ~= nil then
		return result
	end
	for _, child in ipairs(get_children(host)) do
		reply:tag("item", { jid = child, name = module:context(child):get_option_string "name" }):up()
	end
	for _, item in ipairs(disco_items) do
		reply:tag("item", { jid = item[1], name = item[2] }):up()
	end
	if expose_admins then
		for jid in module:get_option_inherited_set("admins", {}):items() do
			reply:tag("item", { jid = jid, name = "admin" }):up()
		end
	end
	origin.send(reply)
	return true
end)

-- XEP-0030 8: who may not see the account's presence learns nothing, not even whether it exists.
local function may_see(username, from)
	from = jid_bare(from)
	return from == username .. "@" .. host or is_contact_subscribed(username, host, from)
end

-- The account that is asked about, and whether the one who asks may know.
local function whom(event)
	local origin, stanza = event.origin, event.stanza
	local username = stanza.attr.to and jid_node(stanza.attr.to) or origin.username
	return username, may_see(username, stanza.attr.from or origin.full_jid)
end

-- Other modules add to the reply, or answer themselves.
local function answer_account(event_name, event, reply, username)
	local origin = event.origin
	local result = module:fire_event(event_name, {
		origin = origin, stanza = event.stanza, reply = reply, username = username,
	})
	if result ~= nil then
		return result
	end
	origin.send(reply)
	return true
end

module:hook("iq-get/bare/" .. xmlns_info .. ":query", function (event)
	local origin, stanza = event.origin, event.stanza
	local username, allowed = whom(event)
	if not allowed then
		origin.send(st.error_reply(stanza, "cancel", "service-unavailable"))
		return true
	end
	local node = node_of(stanza)
	if node then
		return answer_node(event, "account-disco-info-node", xmlns_info, node, username)
	end
	local reply = st.reply(stanza):query(xmlns_info)
		:tag("identity", { category = "account", type = "registered" }):up()
		:tag("feature", { var = xmlns_info }):up()
		:tag("feature", { var = xmlns_items }):up()
	return answer_account("account-disco-info", event, reply, username)
end)

module:hook("iq-get/bare/" .. xmlns_items .. ":query", function (event)
	local origin, stanza = event.origin, event.stanza
	local username, allowed = whom(event)
	local node = node_of(stanza)
	if not allowed then
		origin.send(st.reply(stanza):tag("query", { xmlns = xmlns_items, node = node }))
		return true
	elseif node then
		return answer_node(event, "account-disco-items-node", xmlns_items, node, username)
	end
	local reply = st.reply(stanza):query(xmlns_items)
	return answer_account("account-disco-items", event, reply, username)
end)
