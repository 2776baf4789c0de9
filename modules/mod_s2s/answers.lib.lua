--- Answers to who has sent something that cannot be delivered: at once, or, where thousands are due, a few in each
-- turn, so that nobody else waits for them, and no more than the one they are for reads. Also keeps count of the memory
-- that waiting stanzas take, here and in the links' queues.
--
-- Always true: what is given to `later` is answered once (if it is one that is answered), in the order given unless its
-- reader is slow; what all that waits costs is never more than MAX_BYTES through `room`. That holds when the module is
-- loaded anew, too: the old one and the new one share the state.

local native = require "couplet.native"
local st = require "prosody.util.stanza"
local texts = require "prosody.util.texts"
local xml = require "prosody.util.xml"

local MAX_BYTES = 16 * 1024 * 1024 -- SECURITY C8
local STANZA_COST = 64             -- what a waiting stanza takes beside its bytes
local FULL_BYTES = 128 * 1024      -- that a client has yet to read; at twice that it is not read from any more
local LOOKS, LOOK_AGAIN_SECONDS = 32, 0.1 -- for one who reads, in a step

local hosts = prosody.hosts
local subscribing = { subscribe = true, subscribed = true, unsubscribe = true, unsubscribed = true }

local slices

-- due: { ours =, queue = texts, failure = }, from first to last. bytes: the cost of all that waits.
local state = { due = {}, first = 1, last = 0, bytes = 0, is_running = false }

local M = {}

--- What so many texts of so many bytes together cost.
local function cost_of(n, bytes) return n * STANZA_COST + bytes end

--- The cost of one text.
function M.cost(text) return cost_of(1, #text) end

--- The cost of all that waits.
function M.bytes() return state.bytes end

--- Puts a stanza last in a queue. Gives its cost; nil when it would cost more than that, or when too much waits
-- already.
function M.put(queue, stanza, max_cost)
	local room = math.min(max_cost, MAX_BYTES - state.bytes) - STANZA_COST
	local bytes = room >= 0 and queue:add(stanza, room)
	if not bytes then return nil end
	state.bytes = state.bytes + bytes + STANZA_COST
	return bytes + STANZA_COST
end

--- Counts a queue that was filled elsewhere; gives its cost.
function M.count(queue)
	local cost = cost_of(queue:count())
	state.bytes = state.bytes + cost
	return cost
end

--- Drops the first text of a queue, and its cost.
function M.drop(queue, text)
	queue:drop()
	state.bytes = state.bytes - cost_of(1, #text)
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

local function take_first_due()
	local one = state.due[state.first]
	state.due[state.first] = nil
	state.first = state.first + 1
	return one
end

local function put_due(one)
	state.last = state.last + 1
	state.due[state.last] = one
end

local function is_any_due() return state.first <= state.last end

local function first_text(one)
	one.text = one.text or one.queue:first()
	return one.text
end

local function answer_first()
	local one = state.due[state.first]
	local text = first_text(one)
	one.text = nil
	M.drop(one.queue, text)
	if one.queue:count() == 0 then take_first_due() end
	local stanza = xml.parse(text)
	if stanza then answer(one.ours, stanza, one.failure) end
end

-- Has the client that the first answer is for enough to read? Thousands may be due to it, and too much ends its
-- session. The text is of our own writer, so the attribute looks like this.
local function is_first_full()
	local from = first_text(state.due[state.first]):match "^<[^>]- from='([^']*)'"
	local session = from and prosody.full_sessions[from]
	local conn = session and session.conn
	return conn and conn.counts and select(3, conn:counts()) > FULL_BYTES
end

-- Answers one. Gives whether there are more to answer now.
local function answer_one()
	local n_due = state.last - state.first + 1
	for _ = 1, math.min(n_due, LOOKS) do
		if not is_first_full() then
			answer_first()
			state.n_full = 0
			if is_any_due() then return true end
			break
		end
		state.n_full = (state.n_full or 0) + 1
		put_due(take_first_due())
	end
	if not is_any_due() then
		state.first, state.last, state.is_running = 1, 0, false
		return false
	elseif state.n_full < n_due then
		return true
	end
	state.n_full = 0
	native.timer(LOOK_AGAIN_SECONDS, function () slices.add(answer_one) end)
	return false
end

--- Answers in a later turn. ours: the host they were sent from. queue: their texts, taken; their cost is counted
-- already. failure: { type =, condition =, text =, is_doubtful = they may have arrived }.
function M.later(ours, queue, failure)
	if queue:count() == 0 then return end
	local newest = state.due[state.last]
	if newest and newest.ours == ours and newest.failure == failure then
		newest.queue:move(queue)
		return
	end
	put_due { ours = ours, queue = queue, failure = failure }
	if not state.is_running then
		state.is_running = true
		slices.add(answer_one)
	end
end

--- Answers at once, unless others come first and there is room to wait behind them.
function M.give(ours, stanza, failure)
	local queue = is_any_due() and texts.new()
	if queue and M.put(queue, stanza, math.huge) then
		M.later(ours, queue, failure)
	else
		answer(ours, stanza, failure)
	end
end

--- Gives all answers that are due.
function M.give_all()
	while is_any_due() do answer_first() end
end

--- The state, for the next load of this module; it stays this one's too.
function M.save() return state end

function M.restore(of_old)
	assert(not is_any_due() and state.bytes == 0, "answers are due already")
	state = of_old
end

--- The library; the_slices: see slices.lib.
return function (the_slices)
	slices = the_slices
	return M
end
