--- One connection out of the many that a domain's records allow (RFC 8305): the first address is tried, then, while it
-- keeps silent, the next beside it, and who answers first wins. When the winner turns out to be of no use, it goes on.
--
-- Always true: one connection wins at a time, and the others have ended by then; an address that failed is not tried
-- again, one that was only slower may be; a target of lesser priority is tried later than one of equal rank (RFC 2782).

local native = require "couplet.native"

local STAGGER_SECONDS = 0.25 -- RFC 8305 5: "recommended"
local BACKUP_SECONDS = 2     -- the longest it allows
local CONNECT_SECONDS = 10   -- for one address

local race = {}
local race_mt = { __index = race }

-- How patiently a target waits behind those that are being tried: it may start when that much time has passed.
local ranks = { equal = 1, lesser = 2 }

local function rank_of(self, target)
	return target.priority == self.priority and ranks.equal or ranks.lesser
end

local function stop_clock(self)
	if self.clock then
		self.clock:stop()
		self.clock = nil
	end
end

local function start_clock(self)
	stop_clock(self)
	self.passed = 0
	self.clock = native.timer(STAGGER_SECONDS, function ()
		self.passed = ranks.equal
		self.clock = native.timer(BACKUP_SECONDS - STAGGER_SECONDS, function ()
			self.clock, self.passed = nil, ranks.lesser
			self:go()
		end)
		self:go()
	end)
end

-- Takes a session out of those that are being tried. Gives its target, nil when it was none of them.
local function take_runner(self, session)
	for i, runner in ipairs(self.runners) do
		if runner.session == session then
			runner.timer:stop()
			return table.remove(self.runners, i).target
		end
	end
end

local function end_runners(self, reason)
	local runners = self.runners
	self.runners = {}
	for _, runner in ipairs(runners) do
		runner.timer:stop()
		native.end_session(runner.session, reason)
	end
	return runners
end

local function launch(self)
	local target = self.upcoming
	self.upcoming, self.n_tried = nil, self.n_tried + 1
	local session, err = self.connect(target)
	if not session then
		self.err = err
		self.note("%s", err)
		return
	end
	self.priority = target.priority
	table.insert(self.runners, {
		session = session, target = target,
		timer = native.timer(CONNECT_SECONDS, function ()
			native.end_session(session, ("%s port %d: nobody answered"):format(target.address, target.port))
		end),
	})
	start_clock(self)
end

-- Asks for the next target. It may come at once, or later, which calls go.
local function fetch(self)
	self.upcoming = table.remove(self.slower, 1)
	if self.upcoming or self.is_exhausted or self.is_fetching then return end
	self.is_fetching = true
	local is_inside = true
	self.targets:next(function (target, err, is_unanswered)
		self.is_fetching = false
		self.upcoming = target
		if not target then
			self.is_exhausted = true
			self.err = self.err or err
			self.may_be_there = is_unanswered or self.n_tried > 0
		end
		if not is_inside then self:go() end
	end)
	is_inside = false
end

--- Begins, and goes on.
function race:go()
	while not self.winner and not self.is_over do
		if not self.upcoming then fetch(self) end
		if self.upcoming then
			if self.runners[1] and self.passed < rank_of(self, self.upcoming) then return end
			launch(self)
		elseif self.is_fetching or self.runners[1] then
			return
		else
			self:stop()
			return self.failed(self.err or "there is no address to connect to", self.n_tried > 0, self.may_be_there)
		end
	end
end

--- A session's connection is up: has it won? If not, it has been ended.
function race:connected(session)
	local target = take_runner(self, session)
	if not target then return false end
	self.winner = session
	stop_clock(self)
	for _, runner in ipairs(end_runners(self, "another address was faster")) do
		table.insert(self.slower, runner.target)
	end
	return true
end

--- A session has ended, and why; refusal: a sentence that tells more. Gives whether it was one of ours; then the next
-- is tried.
function race:lost(session, reason, refusal)
	if session == self.winner then
		self.winner = nil
	elseif not take_runner(self, session) then
		return false
	end
	self.note("ended: %s", reason or "without a reason")
	self.err = refusal or reason
	self:go()
	return true
end

--- Ends what is being tried; a winner stays.
function race:stop()
	self.is_over = true
	stop_clock(self)
	end_runners(self, "no longer needed")
	self.targets:cancel()
end

--- parts: targets (see targets.lib), connect (a function: target -> session | nil, why), note (a function: text, ...),
-- failed (a function: why, whether any address was tried, whether the domain may have a server all the same), called
-- once when nothing is left to try.
local function new(parts)
	return setmetatable({
		targets = parts.targets, connect = parts.connect, note = parts.note, failed = parts.failed, runners = {},
		slower = {}, n_tried = 0, passed = 0,
	}, race_mt)
end

return { new = new }
