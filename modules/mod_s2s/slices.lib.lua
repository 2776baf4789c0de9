--- Work that need not be done at once, a little in each turn, so that nobody else waits for it: a hundred domains may
-- fail at the same moment, with a thousand stanzas each that are to be answered.
--
-- Always true: work that was added is begun in that order, and done in a later turn; of what takes many steps, each in
-- its turn does one; work that dies takes no other along.

local native = require "couplet.native"
local time = require "prosody.util.time"

local SLICE_SECONDS = 0.0005 -- of a turn, for all of it together
local STEPS = 32             -- in a turn, however quick they are

local waiting, first, last = {}, 1, 0
local is_due = false

local run

local function continue()
	if is_due or first > last then return end
	is_due = true
	native.defer(run)
end

local function add(step)
	last = last + 1
	waiting[last] = step
	continue()
end

local function take()
	local step = waiting[first]
	waiting[first] = nil
	first = first + 1
	if first > last then first, last = 1, 0 end
	return step
end

function run()
	is_due = false
	local ends, n = time.monotonic() + SLICE_SECONDS, 0
	while first <= last and n < STEPS and (n == 0 or time.monotonic() < ends) do
		local step = take()
		continue() -- before the step, which may die
		n = n + 1
		if step() then add(step) end
	end
end

--- Calls step() in a later turn, and again in others as long as it gives true.
return { add = add }
