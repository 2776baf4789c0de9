--- vCards (XEP-0054): a card per account, which everybody may read and only its owner may change.
-- @hooks  iq/bare/vcard-temp:vCard, iq/host/vcard-temp:vCard
-- @fires  none        @stores vcard (keyval: the element); reads pep_urn:xmpp:vcard4 (archive) where there is none
-- @spec   spec/modules/mod_vcard_spec.lua

local st = require "prosody.util.stanza"
local jid_bare = require "prosody.util.jid".bare
local jid_node = require "prosody.util.jid".node
local to_vcard_temp = require "prosody.util.vcard4".to_vcard_temp

local vcards = module:open_store "vcard"
local pep_vcards = module:open_store("pep_urn:xmpp:vcard4", "archive")

module:add_feature "vcard-temp"

local function fail(event, username, err)
	module:log("error", "vCard of %s: %s", username or module.host, err)
	event.origin.send(st.error_reply(event.stanza, "wait", "internal-server-error"))
	return true
end

-- Accounts that come from another server may have their card in PEP (XEP-0292) only: the newest item there.
local function get_pep_vcard(username)
	local items = username and pep_vcards:find(username, { limit = 1, reverse = true })
	if items then
		local _, vcard4 = items()
		return vcard4 and to_vcard_temp(vcard4)
	end
end

local function get_vcard(event, username)
	local kept, err = vcards:get(username)
	if err then
		return fail(event, username, err)
	end
	local vcard = kept and st.deserialize(kept) or get_pep_vcard(username)
	if vcard then
		event.origin.send(st.reply(event.stanza):add_child(vcard))
	else -- the same whether there is such an account or not: XEP-0054 3.3
		event.origin.send(st.error_reply(event.stanza, "cancel", "item-not-found"))
	end
	return true
end

local function set_vcard(event)
	local origin, stanza = event.origin, event.stanza
	local to = stanza.attr.to
	local is_own = origin.type == "c2s" and origin.host == module.host
		and (not to or to == jid_bare(origin.full_jid))
	if not is_own then
		origin.send(st.error_reply(stanza, "auth", "forbidden"))
		return true
	end
	local ok, err = vcards:set(origin.username, st.preserialize(stanza.tags[1]))
	if not ok then
		return fail(event, origin.username, err)
	end
	origin.send(st.reply(stanza))
	return true
end

local function handle_vcard(event)
	local stanza = event.stanza
	if stanza.attr.type == "set" then
		return set_vcard(event)
	end
	local to = stanza.attr.to
	if to then
		return get_vcard(event, jid_node(to))
	end
	return get_vcard(event, event.origin.username)
end

module:hook("iq/bare/vcard-temp:vCard", handle_vcard)
module:hook("iq/host/vcard-temp:vCard", handle_vcard)
