--- Subscription states and how presence stanzas change them: RFC 6121 appendix A as tables.
--
-- A state is named as in the RFC: what the contact's and the user's servers know of who gets whose presence.
-- `outbound[type][state]` is what happens when the user sends a stanza of that type, `inbound` when one arrives:
--     state     the new state (the same when nothing changes)
--     deliver   outbound: route it to the contact; inbound: hand it to the user's clients
--     push      does the change show in the roster (subscription or ask), so that it must be pushed?
--     reply     inbound: answer with presence of this type in the user's name instead

local pairs = pairs

local _ENV = nil

local NONE, OUT, IN, OUT_IN = "None", "None + Pending Out", "None + Pending In", "None + Pending Out+In"
local TO, TO_IN, FROM, FROM_OUT, BOTH = "To", "To + Pending In", "From", "From + Pending Out", "Both"

-- What of a state is kept in a roster item (subscription, ask) and beside it (pending: the contact asked).
local kept = {
	[NONE] = { subscription = "none" },
	[OUT] = { subscription = "none", ask = true },
	[IN] = { subscription = "none", pending = true },
	[OUT_IN] = { subscription = "none", ask = true, pending = true },
	[TO] = { subscription = "to" },
	[TO_IN] = { subscription = "to", pending = true },
	[FROM] = { subscription = "from" },
	[FROM_OUT] = { subscription = "from", ask = true },
	[BOTH] = { subscription = "both" },
}

local names = {} -- subscription -> ask -> pending -> state
for name, parts in pairs(kept) do
	names[parts.subscription] = names[parts.subscription] or { [true] = {}, [false] = {} }
	names[parts.subscription][parts.ask or false][parts.pending or false] = name
end

--- The state of what is kept. Combinations that cannot be (asked for what one has) lose the superfluous part.
local function state_of(subscription, ask, pending)
	local by_ask = names[subscription] or names["none"]
	local by_pending = by_ask[not not ask]
	return by_pending[not not pending] or by_pending[false] or by_ask[false][not not pending] or by_ask[false][false]
end

-- A row: { new state, deliver, reply }. States without a row do not change; `rest` is what is done in them.

local function row(state, deliver, reply)
	return { state = state, deliver = deliver or false, reply = reply }
end

local function complete(rows, rest)
	local filled = {}
	for name, parts in pairs(kept) do
		local r = rows[name] or row(name, rest)
		local new = kept[r.state]
		r.push = new.subscription ~= parts.subscription or new.ask ~= parts.ask
		filled[name] = r
	end
	return filled
end

local outbound, inbound = {}, {}

-- RFC 6121 A.2.1
outbound.subscribe = complete({
	[NONE] = row(OUT, true),
	[IN] = row(OUT_IN, true),
	[FROM] = row(FROM_OUT, true),
}, true)

-- RFC 6121 A.2.2
outbound.unsubscribe = complete({
	[OUT] = row(NONE, true),
	[OUT_IN] = row(IN, true),
	[TO] = row(NONE, true),
	[TO_IN] = row(IN, true),
	[FROM_OUT] = row(FROM, true),
	[BOTH] = row(FROM, true),
}, true)

-- RFC 6121 A.2.3. In the other states nobody asked: the server must not route it, but keeps it as a pre-approval (3.4).
outbound.subscribed = complete({
	[IN] = row(FROM, true),
	[OUT_IN] = row(FROM_OUT, true),
	[TO_IN] = row(BOTH, true),
}, false)

-- RFC 6121 A.2.4. In the other states it takes a pre-approval back.
outbound.unsubscribed = complete({
	[IN] = row(NONE, true),
	[OUT_IN] = row(OUT, true),
	[TO_IN] = row(TO, true),
	[FROM] = row(NONE, true),
	[FROM_OUT] = row(OUT, true),
	[BOTH] = row(TO, true),
}, false)

-- RFC 6121 A.3.1. Who has a subscription already is told so without asking the user.
inbound.subscribe = complete({
	[NONE] = row(IN, true),
	[OUT] = row(OUT_IN, true),
	[TO] = row(TO_IN, true),
	[FROM] = row(FROM, false, "subscribed"),
	[FROM_OUT] = row(FROM_OUT, false, "subscribed"),
	[BOTH] = row(BOTH, false, "subscribed"),
}, false)

-- RFC 6121 3.4.2: the same for a contact whose request was approved in advance.
local inbound_preapproved = complete({
	[NONE] = row(FROM, false, "subscribed"),
	[OUT] = row(FROM_OUT, false, "subscribed"),
	[TO] = row(BOTH, false, "subscribed"),
	[FROM] = row(FROM, false, "subscribed"),
	[FROM_OUT] = row(FROM_OUT, false, "subscribed"),
	[BOTH] = row(BOTH, false, "subscribed"),
}, false)

-- RFC 6121 A.3.2
inbound.unsubscribe = complete({
	[IN] = row(NONE, true),
	[OUT_IN] = row(OUT, true),
	[TO_IN] = row(TO, true),
	[FROM] = row(NONE, true),
	[FROM_OUT] = row(OUT, true),
	[BOTH] = row(TO, true),
}, false)

-- RFC 6121 A.3.3
inbound.subscribed = complete({
	[OUT] = row(TO, true),
	[OUT_IN] = row(TO_IN, true),
	[FROM_OUT] = row(BOTH, true),
}, false)

-- RFC 6121 A.3.4
inbound.unsubscribed = complete({
	[OUT] = row(NONE, true),
	[OUT_IN] = row(IN, true),
	[TO] = row(NONE, true),
	[TO_IN] = row(IN, true),
	[FROM_OUT] = row(FROM, true),
	[BOTH] = row(FROM, true),
}, false)

return {
	outbound = outbound,
	inbound = inbound,
	inbound_preapproved = inbound_preapproved,
	kept = kept,
	state_of = state_of,
}
