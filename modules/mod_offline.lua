--- Offline messages (XEP-0160): kept while nobody is there, delivered with a delay stamp (XEP-0203) to the first
-- session that comes back with a non-negative priority.
-- @option offline_max_messages  integer, 1000: how many are kept for one user; beyond it senders get an error
-- @hooks  message/offline/handle, message/offline/broadcast      @fires none
-- @stores offline (archive)
-- @spec   spec/modules/mod_offline_spec.lua, spec/e2e/offline_spec.lua, spec/e2e/damage_spec.lua

local cache = require "prosody.util.cache"
local st = require "prosody.util.stanza"
local datetime = require "prosody.util.datetime".datetime
local jid_split = require "prosody.util.jid".split
local time_now = require "prosody.util.time".now
local monotonic = require "prosody.util.time".monotonic

local COUNTED_USERS, COUNTED_SECONDS, MANY = 1000, 5, 50

local offline_messages = module:open_store("offline", "archive")
local max_messages = module:get_option_integer("offline_max_messages", 1000, 0)

local counted = cache.new(COUNTED_USERS) -- username -> { n = how many wait, at = when that was counted }

module:add_feature("msgoffline")

-- XEP-0160 3: chat and normal messages are kept, unless they say nothing (chat states) or ask not to be (XEP-0334).
local function is_worth_keeping(stanza)
	local kind = stanza.attr.type or "normal"
	if kind ~= "chat" and kind ~= "normal" then
		return false
	elseif stanza:get_child("no-store", "urn:xmpp:hints") or stanza:get_child("no-permanent-store", "urn:xmpp:hints") then
		return false
	elseif stanza:get_child("store", "urn:xmpp:hints") then
		return true
	end
	for _, child in ipairs(stanza.tags) do
		local xmlns = child.attr.xmlns
		if child.name ~= "thread" and xmlns ~= "http://jabber.org/protocol/chatstates" then
			return true
		end
	end
	return false
end

-- How many wait, or nil and the store's error. Counting reads them all, which also finds out whether they can be read;
-- for a thousand that takes 10 ms, too long for each message of a flood.
local function count_waiting(username)
	local known = counted:get(username)
	if known and known.n >= MANY and monotonic() - known.at < COUNTED_SECONDS then return known.n end
	local waiting, total = offline_messages:find(username, { total = true, limit = 0 })
	if not waiting then return nil, total end
	counted:set(username, { n = total or 0, at = monotonic() })
	return total or 0
end

-- true, or nil and why not.
local function keep(username, stanza, stamp)
	local n, problem = count_waiting(username)
	if not n then
		return nil, problem
	elseif n >= max_messages then
		return nil, "quota-limit"
	end
	local key, err = offline_messages:append(username, nil, stanza, stamp or time_now(), "")
	local known = counted:get(username)
	if key and known then known.n = known.n + 1 end
	return key, err
end

module:hook("message/offline/handle", function (event)
	local origin, stanza = event.origin, event.stanza
	local username = jid_split(stanza.attr.to or origin.full_jid)
	if not is_worth_keeping(stanza) then
		module:log("debug", "Not keeping a message for %s that is not meant to be kept", username)
		return nil
	end
	local kept, err = keep(username, stanza, event.stamp) -- stamp: when it came, if not now
	if kept then
		module:log("debug", "Kept a message for %s", username)
		return true
	elseif err == "quota-limit" then -- XEP-0160 2
		origin.send(st.error_reply(stanza, "cancel", "service-unavailable", "This user has too many waiting messages"))
		return true
	end
	module:log("error", "Could not keep a message for %s: %s", username, err)
	origin.send(st.error_reply(stanza, "wait", "internal-server-error", "The message could not be stored"))
	return true
end, 0)

local function delayed(stanza, when)
	return stanza:tag("delay", { xmlns = "urn:xmpp:delay", from = module.host, stamp = datetime(when) }):up()
end

module:hook("message/offline/broadcast", function (event)
	local origin = event.origin
	local username = origin.username
	local waiting, err = offline_messages:find(username)
	if not waiting then
		module:log("error", "Could not read the waiting messages of %s: %s", username, err)
		return nil
	end
	local count = 0
	for _, stanza, when in waiting do
		if not origin.send(delayed(stanza, when)) then
			module:log("debug", "%s left while its messages were delivered; they stay", origin.full_jid)
			return true
		end
		count = count + 1
	end
	if count > 0 then
		offline_messages:delete(username)
		counted:set(username, nil)
		module:log("debug", "Delivered %d waiting messages to %s", count, origin.full_jid)
	end
	return true
end, -1)
