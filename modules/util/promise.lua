--- Promises: a result that will be there later (the A+ rules, https://promisesaplus.com, but for when handlers run).
-- Always true: a promise settles once. Handlers never run inside one another: with set_nexttick (in the server) each
-- has a call of its own from the loop, in their order, and one that waits holds up no other; without it what settles
-- while a handler runs waits in line.
local getmetatable, ipairs, pairs, setmetatable, type = getmetatable, ipairs, pairs, setmetatable, type
local t_pack, t_unpack, traceback, xpcall = table.pack, table.unpack, debug.traceback, xpcall

local _ENV = nil

local methods = {}
local promise_mt = { __index = methods, __name = "promise" }

local function is_promise(value)
	return getmetatable(value) == promise_mt
end

-- Without a loop: what is to be done, first come, first served.
local line, line_first, line_last, working = {}, 1, 0, false

local function work()
	working = true
	while line_first <= line_last do
		local job = line[line_first]
		line[line_first] = nil
		line_first = line_first + 1
		job() -- jobs do not raise
	end
	line_first, line_last, working = 1, 0, false
end

local next_tick

local function later(job)
	if next_tick then
		return next_tick(job)
	end
	line_last = line_last + 1
	line[line_last] = job
	if not working then
		work()
	end
end

--- fn(f) has to call each f soon, from the loop, in the order they were given. nil: handlers run at once.
local function set_nexttick(fn)
	next_tick = fn
end

-- Errors that are text get a traceback; errors that are values stay what they are.
local function message_handler(err)
	if type(err) == "string" then
		return traceback(err, 2)
	end
	return err
end

local function settle(promise, state, value)
	if promise._state ~= "pending" then
		return
	end
	promise._state, promise._result = state, value
	promise[state == "fulfilled" and "value" or "reason"] = value
	local waiting = promise._waiting
	promise._waiting = nil
	for _, reaction in ipairs(waiting) do
		later(reaction)
	end
end

local function new_pending()
	return setmetatable({ _state = "pending", _waiting = {} }, promise_mt)
end

-- When the promise is settled: as soon as it is, or now.
local function when_settled(promise, reaction)
	if promise._state == "pending" then
		promise._waiting[#promise._waiting + 1] = reaction
	else
		later(reaction)
	end
end

-- A+ 2.3: a promise takes on the state of the promise it is resolved with.
local function resolve_with(promise, value)
	if value == promise then
		settle(promise, "rejected", "a promise cannot be resolved with itself")
	elseif is_promise(value) then
		when_settled(value, function ()
			settle(promise, value._state, value._result)
		end)
	else
		settle(promise, "fulfilled", value)
	end
end

-- The pair handed to whoever decides; only the first call counts, even when it waits for another promise.
local function deciders(promise)
	local decided = false
	local function resolve(value)
		if not decided then
			decided = true
			resolve_with(promise, value)
		end
	end
	local function reject(reason)
		if not decided then
			decided = true
			settle(promise, "rejected", reason)
		end
	end
	return resolve, reject
end

--- Gives a promise; fn(resolve, reject) is called at once and decides it, then or later. An error in fn rejects.
local function new(fn)
	local promise = new_pending()
	local fulfil, refuse = deciders(promise)
	local ok, err = xpcall(fn, message_handler, fulfil, refuse)
	if not ok then
		refuse(err)
	end
	return promise
end

--- A promise of that value (which may be a promise).
local function resolve(value)
	local promise = new_pending()
	resolve_with(promise, value)
	return promise
end

--- A promise that is rejected with that reason.
local function reject(reason)
	local promise = new_pending()
	settle(promise, "rejected", reason)
	return promise
end

--- Calls on_fulfilled(value) or on_rejected(reason) when it is settled; either may be nil. Gives a promise of what that
-- function returns; an error in it rejects that promise.
function methods:next(on_fulfilled, on_rejected)
	local promise = new_pending()
	local fulfil, refuse = deciders(promise)
	when_settled(self, function ()
		local fulfilled = self._state == "fulfilled"
		local handler = fulfilled and on_fulfilled or not fulfilled and on_rejected
		if handler then
			local ok, result = xpcall(handler, message_handler, self._result)
			if ok then
				fulfil(result)
			else
				refuse(result)
			end
		elseif fulfilled then
			fulfil(self._result)
		else
			refuse(self._result)
		end
	end)
	return promise
end

--- next without the first function.
function methods:catch(on_rejected)
	return self:next(nil, on_rejected)
end

--- Calls fn() however it ends, and gives a promise that ends the same way.
function methods:finally(fn)
	return self:next(function (value)
		return new(function (go_on) go_on(fn()) end):next(function () return value end)
	end, function (reason)
		return new(function (go_on) go_on(fn()) end):next(function () return reject(reason) end)
	end)
end

function promise_mt:__tostring()
	return "promise (" .. self._state .. ")"
end

-- Calls on_value(key, value) for each that is no promise or is fulfilled, on_rejected(key, reason) for the others, and
-- done() after all of them.
local function watch(promises, on_value, on_rejected, done)
	local missing = 1
	local function one_less()
		missing = missing - 1
		if missing == 0 then
			done()
		end
	end
	for key, item in pairs(promises) do
		if is_promise(item) then
			missing = missing + 1
			item:next(function (value)
				on_value(key, value)
				one_less()
			end, function (reason)
				on_rejected(key, reason)
				one_less()
			end)
		else
			on_value(key, item)
		end
	end
	one_less()
end

--- Of a table of promises: a promise of a table with the same keys and their values; rejected with the first rejection.
local function all(promises)
	return new(function (resolve_all, reject_all)
		local results = {}
		watch(promises,
			function (key, value) results[key] = value end,
			function (_, reason) reject_all(reason) end,
			function () resolve_all(results) end)
	end)
end

--- The same, but waits for all: the values are { status = "fulfilled", value = } or { status = "rejected", reason = }.
local function all_settled(promises)
	return new(function (resolve_all)
		local results = {}
		watch(promises,
			function (key, value) results[key] = { status = "fulfilled", value = value } end,
			function (key, reason) results[key] = { status = "rejected", reason = reason } end,
			function () resolve_all(results) end)
	end)
end

--- As the first of a list that settles.
local function race(promises)
	return new(function (resolve_race, reject_race)
		for _, item in ipairs(promises) do
			resolve(item):next(resolve_race, reject_race)
		end
	end)
end

--- The first of a table that is fulfilled; rejected with a table of all reasons when none is.
local function any(promises)
	return new(function (resolve_any, reject_any)
		local reasons = {}
		watch(promises,
			function (_, value) resolve_any(value) end,
			function (key, reason) reasons[key] = reason end,
			function () reject_any(reasons) end)
	end)
end

--- join(fn, p1, p2, ...): a promise of fn(value1, value2, ...).
local function join(handler, ...)
	local promises = t_pack(...)
	local n = promises.n
	promises.n = nil
	return all(promises):next(function (results)
		return handler(t_unpack(results, 1, n))
	end)
end

--- A promise of what fn(...) returns.
local function try(fn, ...)
	local arguments = t_pack(...)
	return new(function (resolve_try)
		resolve_try(fn(t_unpack(arguments, 1, arguments.n)))
	end)
end

return {
	new = new,
	resolve = resolve,
	reject = reject,
	all = all,
	all_settled = all_settled,
	race = race,
	any = any,
	join = join,
	try = try,
	is_promise = is_promise,
	set_nexttick = set_nexttick,
}
