--- Answers to who has sent something that cannot be delivered: at once, or, where thousands are due, a few in each
-- turn, so that nobody else waits for them, and no more than the one they are for reads. Also keeps count of the memory
-- that waiting stanzas take, here and in the links' queues.
--
-- Always true: what is given to `later` is answered once (if it is one that is answered), in the order given unless its
-- reader is slow; `bytes` is the cost of all that waits, and never more than MAX_BYTES through `may_keep`.

local native = require "couplet.native"
local st = require "prosody.util.stanza"
local xml = require "prosody.util.xml"

local MAX_BYTES = 16 * 1024 * 1024 -- SECURITY C8
local STANZA_COST = 64             -- what a waiting stanza takes beside its bytes
local PER_TURN = 32                -- a good millisecond
local FULL_BYTES = 128 * 1024      -- that a client has yet to read; at twice that it is not read from any more
local LOOKS_PER_TURN, LOOK_AGAIN_SECONDS = 1000, 0.1 -- for one who reads

local hosts = prosody.hosts
local subscribing = { subscribe = true, subscribed = true, unsubscribe = true, unsubscribed = true }

local M = { bytes = 0 }

local due, first, last = {}, 1, 0 -- { ours =, texts =, at = the next of them, n =, failure = }, oldest first

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
	local text = one.texts[one.at]
	one.texts[one.at] = nil
	one.at = one.at + 1
	if one.at > one.n then
		due[first] = nil
		first = first + 1
	end
	M.bytes = M.bytes - M.cost(text)
	local stanza = xml.parse(text)
	if stanza then answer(one.ours, stanza, one.failure) end
end

-- Has the client that the first answer is for enough to read? Thousands may be due to it, and too much ends its
-- session. The text is of our own writer, so the attribute looks like this.
local function is_first_full()
	local one = due[first]
	local from = one.texts[one.at]:match "^<[^>]- from='([^']*)'"
	local session = from and prosody.full_sessions[from]
	local conn = session and session.conn
	return conn and conn.counts and select(3, conn:counts()) > FULL_BYTES
end

local function put_off_first()
	last = last + 1
	due[last] = due[first]
	due[first] = nil
	first = first + 1
end

local function answer_some()
	local n, n_full = 0, 0
	while first <= last and n < PER_TURN and n_full < LOOKS_PER_TURN and n_full <= last - first do
		if is_first_full() then
			put_off_first()
			n_full = n_full + 1
		else
			answer_first()
			n, n_full = n + 1, 0
		end
	end
	if first > last then
		first, last = 1, 0
	elseif n_full > 0 then
		native.timer(LOOK_AGAIN_SECONDS, answer_some)
	else
		native.defer(answer_some)
	end
end

--- Answers in a later turn. ours: the host they were sent from. texts: taken, n of them. failure: { type =,
-- condition =, text =, is_doubtful = they may have arrived }. The caller has added the cost of each text to `bytes`.
function M.later(ours, texts, n, failure)
	if n == 0 then return end
	if first > last then native.defer(answer_some) end
	last = last + 1
	due[last] = { ours = ours, texts = texts, at = 1, n = n, failure = failure }
end

--- Answers at once, unless others come first and there is room to wait behind them.
function M.give(ours, stanza, failure)
	if first > last then return answer(ours, stanza, failure) end
	local text = M.text(stanza)
	if not M.may_keep(M.cost(text)) then return answer(ours, stanza, failure) end
	M.bytes = M.bytes + M.cost(text)
	M.later(ours, { text }, 1, failure)
end

--- Gives all answers that are due.
function M.give_all()
	while first <= last do answer_first() end
end

return M
