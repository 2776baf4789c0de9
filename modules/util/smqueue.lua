--- The queue of stream management (XEP-0198): what was sent and not yet acknowledged.
-- Always true: items are numbered from 1; those after `_tail` up to `_head` are unacknowledged. Only the newest `size`
-- of them are kept: when more are needed, resuming is not possible any more. Counters on the wire are modulo 2^32.
local queue = require "prosody.util.queue"
local assert, setmetatable = assert, setmetatable

local _ENV = nil

local methods = {}
local smqueue_mt = { __index = methods, __name = "smqueue" }

--- Gives an empty queue that keeps `size` items.
local function new(size)
	assert(size > 0, "the size of an smqueue must be greater than zero")
	return setmetatable({ _head = 0, _tail = 0, _queue = queue.new(size, true) }, smqueue_mt)
end

--- Adds an item.
function methods:push(item)
	self._head = self._head + 1
	assert(self._queue:push(item))
	return self
end

--- The peer has all up to number h. Gives a list of what that acknowledged and is still known; nil and "tail" when h
-- goes back, nil and "head" when it is more than was sent.
function methods:ack(h)
	-- The peer counts modulo 2^32: how far is it ahead of what was acknowledged so far?
	local delta = (h - self._tail) % 0x100000000
	if delta > self._head - self._tail then
		return nil, delta >= 0x80000000 and "tail" or "head"
	end
	local forgotten = self:count_unacked() - self._queue:count()
	self._tail = self._tail + delta
	local acked = {}
	for _ = 1, delta - forgotten do
		acked[#acked + 1] = self._queue:pop()
	end
	return acked
end

function methods:count_acked()
	return self._tail
end

function methods:count_unacked()
	return self._head - self._tail
end

--- Is all that is unacknowledged still here?
function methods:resumable()
	return self._queue:count() == self:count_unacked()
end

--- for i, item in q:resume(): all that has to be sent again. Not when resumable() is false.
function methods:resume()
	assert(self:resumable(), "this queue has forgotten items that are unacknowledged")
	return self._queue:items()
end

--- for item in q:consume(): takes out what is kept, as undeliverable.
function methods:consume()
	return function ()
		local item = self._queue:pop()
		if item == nil then
			self._tail = self._head
		end
		return item
	end
end

--- A list of what is kept.
function methods:table()
	local list = {}
	for i, item in self._queue:items() do
		list[i] = item
	end
	return list
end

return {
	new = new,
	smqueue = smqueue_mt,
}
