--- A budget that refills: `max` units, all of them back after `period` seconds.
-- Always true: 0 <= balance <= max. Time is monotonic, so changing the clock gives nobody anything.
local setmetatable = setmetatable
local monotonic = require "prosody.util.time".monotonic

local _ENV = nil

local methods = {}
local throttle_mt = { __index = methods, __name = "throttle" }

--- Gives a full budget of `max` units that refills by max/period units per second.
local function create(max, period)
	return setmetatable({ rate = max / period, max = max, t = monotonic(), balance = max }, throttle_mt)
end

--- Credits the time since the last call; gives the balance.
function methods:update()
	local now = monotonic()
	local balance = self.balance + (now - self.t) * self.rate
	self.t = now
	self.balance = balance < self.max and balance or self.max
	return self.balance
end

--- Is there enough for cost (1)?
function methods:peek(cost)
	cost = cost or 1
	return self.balance >= cost or self:update() >= cost
end

--- Takes cost (1) and gives true. When there is not enough: false, the balance, and what is missing; with `split` the
-- balance is taken all the same.
function methods:poll(cost, split)
	cost = cost or 1
	if self:peek(cost) then
		self.balance = self.balance - cost
		return true
	end
	local balance = self.balance
	if split then
		self.balance = 0
	end
	return false, balance, cost - balance
end

return { create = create }
