--- Private XML Storage (XEP-0049): a client keeps elements of its own at the server.
-- @option private_max_elements  integer, 100: how many elements an account may keep
-- @option private_max_bytes     integer, 262144: how large one element may be
-- @hooks  iq/self/jabber:iq:private:query, iq/bare/jabber:iq:private:query
-- @fires  none        @stores private (map: "NAME:NAMESPACE" -> element)
-- @spec   spec/modules/mod_private_spec.lua

local st = require "prosody.util.stanza"
local jid_bare = require "prosody.util.jid".bare

local store = module:open_store("private", "map")
local all = module:open_store "private"
local max_elements = module:get_option_integer("private_max_elements", 100, 1)
local max_bytes = module:get_option_integer("private_max_bytes", 262144, 1024)

module:add_feature "jabber:iq:private"

local function key_of(element)
	return element.name .. ":" .. (element.attr.xmlns or "")
end

-- An element with nothing in it clears what was kept: asking for it gives the same.
local function is_empty(element)
	if #element > 0 then
		return false
	end
	for name in pairs(element.attr) do
		if name ~= "xmlns" then
			return false
		end
	end
	return true
end

local function fail(event, err)
	module:log("error", "Private storage of %s: %s", event.origin.username, err)
	event.origin.send(st.error_reply(event.stanza, "wait", "internal-server-error"))
	return true
end

local function get_elements(event, query)
	local username = event.origin.username
	local reply = st.reply(event.stanza):query "jabber:iq:private"
	for _, element in ipairs(query.tags) do
		local kept, err = store:get(username, key_of(element))
		if err then
			return fail(event, err)
		end
		reply:add_child(kept and st.deserialize(kept) or st.stanza(element.name, { xmlns = element.attr.xmlns }))
	end
	event.origin.send(reply)
	return true
end

local function has_room(username, changes)
	local kept, err = all:get(username)
	if err then
		return nil, err
	end
	kept = kept or {}
	local count = 0
	for _ in pairs(kept) do
		count = count + 1
	end
	for key, element in pairs(changes) do
		if kept[key] == nil and element ~= store.remove then
			count = count + 1
		end
	end
	return count <= max_elements
end

local function set_elements(event, query)
	local origin, stanza = event.origin, event.stanza
	local changes = {}
	for _, element in ipairs(query.tags) do
		if #tostring(element) > max_bytes then
			origin.send(st.error_reply(stanza, "modify", "policy-violation", "The element is too large"))
			return true
		end
		changes[key_of(element)] = is_empty(element) and store.remove or st.preserialize(element)
	end
	local fits, err = has_room(origin.username, changes)
	if err then
		return fail(event, err)
	elseif not fits then
		origin.send(st.error_reply(stanza, "wait", "resource-constraint", "Too many elements are kept already"))
		return true
	end
	local ok, set_err = store:set_keys(origin.username, changes)
	if not ok then
		return fail(event, set_err)
	end
	origin.send(st.reply(stanza))
	return true
end

module:hook("iq/self/jabber:iq:private:query", function (event)
	local stanza = event.stanza
	local query = stanza.tags[1]
	if #query.tags == 0 then -- XEP-0049 2.3
		event.origin.send(st.error_reply(stanza, "modify", "bad-request", "Which element?"))
		return true
	elseif stanza.attr.type == "get" then
		return get_elements(event, query)
	end
	return set_elements(event, query)
end)

-- XEP-0049 2.3: not somebody else's. What is one's own comes here first and goes on to iq/self.
module:hook("iq/bare/jabber:iq:private:query", function (event)
	local origin, stanza = event.origin, event.stanza
	local to = stanza.attr.to
	if origin.type == "c2s" and (not to or to == jid_bare(origin.full_jid)) then
		return nil
	end
	origin.send(st.error_reply(stanza, "auth", "forbidden"))
	return true
end)
