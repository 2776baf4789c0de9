--- Answers to who has sent something that cannot be delivered: at once, or, where thousands are due, a few in each turn
-- and in their order, so that nobody else waits for them. Also keeps count of the memory that waiting stanzas take,
-- here and in the links' queues.
--
-- Always true: what is given to `later` is answered once (if it is one that is answered), in the order given; `bytes`
-- is the cost of all that waits, and never more than MAX_BYTES through `may_keep`.

local native = require "couplet.native"
local st = require "prosody.util.stanza"
local xml = require "prosody.util.xml"

local MAX_BYTES = 16 * 1024 * 1024 -- SECURITY C8
local STANZA_COST = 64             -- what a waiting stanza takes beside its bytes
local PER_TURN = 32                -- a good millisecond

local hosts = prosody.hosts
local subscribing = { subscribe = true, subscribed = true, unsubscribe = true, unsubscribed = true }

local M = { bytes = 0 }

local due, first, last = {}, 1, 0 -- { ours =, text =, failure = }, oldest first

function M.cost(text) return #text + STANZA_COST end

function M.may_keep(cost) return M.bytes + cost <= MAX_BYTES end

--- The text of a stanza, as it is kept.
function M.text(stanza)
	if stanza.attr.xmlns then -- jabber:client by name means the same as none
		stanza = st.clone(stanza)
		stanza.attr.xmlns = nil
	end
	return tostring(stanza)
end

-- RFC 6120 8.3.1, RFC 6121 4.5.2. Of what may have arrived, only what somebody waits for is worth an error: presence is
-- told anew when the link is.
local function is_answered(stanza, failure)
	local kind = stanza.attr.type
	if kind == "error" or kind == "result" then return false end
	if stanza.name ~= "presence" then return true end
	return subscribing[kind] or kind ~= "unavailable" and not failure.is_doubtful
end

local function answer(ours, stanza, failure)
	local host = hosts[ours]
	if host and is_answered(stanza, failure) then
		prosody.core_route_stanza(host, st.error_reply(stanza, failure.type, failure.condition, failure.text))
	end
end

local function answer_first()
	local one = due[first]
	due[first] = nil
	first = first + 1
	M.bytes = M.bytes - M.cost(one.text)
	local stanza = xml.parse(one.text)
	if stanza then answer(one.ours, stanza, one.failure) end
end

local function answer_some()
	for _ = 1, PER_TURN do
		if first > last then break end
		answer_first()
	end
	if first <= last then return native.defer(answer_some) end
	first, last = 1, 0
end

--- Answers in a later turn. ours: the host it was sent from. failure: { type =, condition =, text =, is_doubtful = it
-- may have arrived }. The caller has added the cost of the text to `bytes`.
function M.later(ours, text, failure)
	if first > last then native.defer(answer_some) end
	last = last + 1
	due[last] = { ours = ours, text = text, failure = failure }
end

--- Answers at once, unless others come first and there is room to wait behind them.
function M.give(ours, stanza, failure)
	if first > last then return answer(ours, stanza, failure) end
	local text = M.text(stanza)
	if not M.may_keep(M.cost(text)) then return answer(ours, stanza, failure) end
	M.bytes = M.bytes + M.cost(text)
	M.later(ours, text, failure)
end

--- Gives all answers that are due.
function M.give_all()
	while first <= last do answer_first() end
end

return M
