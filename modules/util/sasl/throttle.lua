--- Counts failed logins and says when somebody has guessed enough (SECURITY: brute force).
--
-- A *source* is an IPv4 address or an IPv6 /64. Within the window
--     a source may fail `max_failures` times;
--     an account may see `max_failures` of all sources together, of which one source can cause half at most. So
--     no single source can lock an account, and sources that have logged in to it before are never locked out of it.
-- From the sixth failure of a source on, its answers are delayed, each twice as long as the one before.
--
-- Always true: memory is bounded, whatever names and addresses are thrown at it; times are precise, not bucketed.

local cache = require "prosody.util.cache"

local ipairs, math, setmetatable, table, tonumber = ipairs, math, setmetatable, table, tonumber

local _ENV = nil

local max_sources, max_accounts, max_friends = 10000, 10000, 20000
local free_failures, first_delay_seconds, max_delay_seconds = 5, 0.25, 4

local methods = {}
local throttle_mt = { __index = methods }

--- now: function giving seconds that never go backwards.
local function new(now, max_failures, window_seconds)
	return setmetatable({
		now = now,
		max_failures = max_failures or 20,
		window_seconds = window_seconds or 15 * 60,
		sources = cache.new(max_sources),
		accounts = cache.new(max_accounts),
		friends = cache.new(max_friends), -- sources that have logged in to an account
		pending = {}, -- source or account -> passwords being looked at now
	}, throttle_mt)
end

--- Gives the source an address belongs to, nil when there is no address (a unix socket).
local function source_of(ip)
	if not ip or ip == "" then return nil end
	if not ip:find(":", 1, true) then return ip end
	local mapped = ip:match("^::[fF][fF][fF][fF]:(%d+%.%d+%.%d+%.%d+)$")
	if mapped then return mapped end
	-- The first four groups; "::" stands for as many zero groups as are missing.
	local head, tail = ip:gsub("%%.*$", ""):match("^(.-)::(.*)$")
	local groups, n_tail = {}, 0
	for group in (head or ip):gmatch("%x+") do table.insert(groups, group) end
	if head then
		local tail_groups = {}
		for group in tail:gmatch("[%x.]+") do
			table.insert(tail_groups, group)
			n_tail = n_tail + (group:find(".", 1, true) and 2 or 1)
		end
		while #groups + n_tail < 8 do table.insert(groups, "0") end
		for _, group in ipairs(tail_groups) do table.insert(groups, group) end
	end
	for i = 1, 4 do groups[i] = ("%x"):format(tonumber(groups[i] or "0", 16) or 0) end
	return table.concat(groups, ":", 1, 4)
end

-- A log is a list of failures, oldest first: { { when, source }, ... }.
local function prune(log, before)
	while log[1] and log[1].when <= before do table.remove(log, 1) end
	return log
end

local function log_of(self, logs, key)
	local log = logs:get(key) or {}
	logs:set(key, log) -- the ones that fail now are forgotten last
	return prune(log, self.now() - self.window_seconds)
end

local function friend_key(source, account)
	return (source or "") .. "\0" .. account
end

-- Has that source or account failed as often as it may? What is being looked at counts as failed, or else many
-- connections at once would get a guess each.
local function is_full(self, logs, key)
	local log = logs:get(key)
	local n_failed = log and #prune(log, self.now() - self.window_seconds) or 0
	return n_failed + (self.pending[key] or 0) >= self.max_failures
end

--- May this address try a password now? account may be nil while unknown.
function methods:allows(ip, account)
	local source = source_of(ip)
	if source and is_full(self, self.sources, source) then return false end
	if account and is_full(self, self.accounts, account) then
		return self.friends:get(friend_key(source, account)) ~= nil
	end
	return true
end

local function count_pending(self, key, change)
	if not key then return end
	local count = (self.pending[key] or 0) + change
	self.pending[key] = count > 0 and count or nil
end

--- A password is looked at from now on; `leave` says that this is over, whatever came of it.
function methods:enter(ip, account)
	count_pending(self, source_of(ip), 1)
	count_pending(self, account, 1)
end

--- The answer is there: takes `enter` back.
function methods:leave(ip, account)
	count_pending(self, source_of(ip), -1)
	count_pending(self, account, -1)
end

--- Counts a failure. Gives how many seconds its answer shall be delayed.
function methods:failed(ip, account)
	local source = source_of(ip)
	if account then
		local log, n_mine = log_of(self, self.accounts, account), 0
		for i = 1, #log do
			if log[i].source == source then n_mine = n_mine + 1 end
		end
		if n_mine < self.max_failures // 2 and #log < self.max_failures then
			table.insert(log, { when = self.now(), source = source })
		end
	end
	if not source then return 0 end
	local log = log_of(self, self.sources, source)
	if #log < self.max_failures then table.insert(log, { when = self.now() }) end
	if #log <= free_failures then return 0 end
	return math.min(max_delay_seconds, first_delay_seconds * 2 ^ (#log - free_failures - 1))
end

--- Remembers that this address has logged in to the account. Failures counted before stay: one's own account must not
-- buy guesses at others.
function methods:succeeded(ip, account)
	self.friends:set(friend_key(source_of(ip), account), true)
end

return { new = new, source_of = source_of }
