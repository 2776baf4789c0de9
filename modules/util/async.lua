--- Waiting without blocking: code that waits is put aside, the server goes on, and later the code does.
--
-- Two kinds of code can wait: handlers of the server's events, which the core runs on coroutines of its own (waiting
-- parks their session, see native.wait), and functions run by a runner made here, which need no server.
--
-- Always true: code goes on where it waited, once, and only after everything it waits for is done. A runner works on
-- one input at a time, in the order they came; an error ends that input, not the runner.
local error, pcall, require, setmetatable, tostring, type =
	error, pcall, require, setmetatable, tostring, type
local coroutine_create, coroutine_isyieldable, coroutine_resume, coroutine_running, coroutine_yield =
	coroutine.create, coroutine.isyieldable, coroutine.resume, coroutine.running, coroutine.yield
local is_promise = require "prosody.util.promise".is_promise
local t_pack, t_remove, t_unpack = table.pack, table.remove, table.unpack
local traceback = debug.traceback

local _ENV = nil

local native
do
	local found, library = pcall(require, "couplet.native")
	if found and type(library) == "table" and library.wait then
		native = library
	end
end

-- The coroutine of a runner -> the runner.
local runners = setmetatable({}, { __mode = "k" })
local INPUT_DONE = {}

local next_tick, schedule

--- fn(f) has to call f soon, from the loop: then code goes on in a later turn and not inside done().
local function set_nexttick(fn)
	next_tick = fn
end

--- fn(delay, f) has to call f in `delay` seconds; for sleep. The default is util.timer's add_task.
local function set_schedule_function(fn)
	schedule = fn
end

local runner_methods = {}
local runner_mt = { __index = runner_methods, __name = "runner" }

local function new_thread(self)
	local thread = coroutine_create(function (input)
		while true do
			self.func(input)
			input = coroutine_yield(INPUT_DONE)
		end
	end)
	runners[thread] = self
	self.thread = thread
end

local function tell(self, what, ...)
	local watcher = self.watchers[what]
	if watcher then
		watcher(self, ...)
	end
	return watcher ~= nil
end

-- Lets the coroutine run until it waits, is done with its input or dies.
local function step(self, input)
	self.state = "running"
	local thread = self.thread
	local ok, signal = coroutine_resume(thread, input)
	if not ok then
		local err = type(signal) == "string" and traceback(thread, signal) or signal
		new_thread(self)
		self.state = "ready"
		if not tell(self, "error", err) then
			error(err, 0)
		end
	else
		self.state = signal == INPUT_DONE and "ready" or "waiting"
	end
end

-- Works off the queue as far as it goes, then tells the watchers where it stopped.
local function work(self)
	local queue = self.queue
	while self.state == "ready" and queue[1] ~= nil do
		step(self, t_remove(queue, 1))
	end
	local state = self.state
	if state ~= "running" and state ~= self.notified_state then
		self.notified_state = state
		tell(self, state)
	end
end

local function go_on(self, thread)
	if self.thread == thread and self.state == "waiting" then
		step(self)
		work(self)
	end
end

--- Gives a runner for func(input). watchers: a table of error(runner, err), waiting(runner), ready(runner), each may be
-- missing; without `error` an error is thrown at whoever made the code run. data: for your own use, as runner.data.
local function runner(func, watchers, data)
	local self = setmetatable({
		func = func, data = data, watchers = watchers or {}, queue = {}, state = "ready", notified_state = "ready",
	}, runner_mt)
	new_thread(self)
	return self
end

--- Queues an input without running anything.
function runner_methods:enqueue(input)
	self.queue[#self.queue + 1] = input
	return self
end

--- Runs func(input), now or when it is its turn; without input goes on with the queue.
-- Gives true, the state ("ready", "waiting", "running"), and how many inputs are queued.
function runner_methods:run(input)
	if input ~= nil then
		self:enqueue(input)
	end
	if self.state == "ready" then
		work(self)
	end
	return true, self.state, #self.queue
end

--- Forgets what is running; the queue stays.
function runner_methods:reset()
	new_thread(self)
	self.state, self.notified_state = "ready", "ready"
end

--- What is called when the runner has become ready, waits, or code has failed. Each gives the runner.
function runner_methods:onready(fn)
	self.watchers.ready = fn
	return self
end

function runner_methods:onwaiting(fn)
	self.watchers.waiting = fn
	return self
end

function runner_methods:onerror(fn)
	self.watchers.error = fn
	return self
end

-- How the running code stops, and what makes it go on.
local function pause()
	local thread, is_main = coroutine_running()
	local self = runners[thread]
	if self then
		local function wake()
			go_on(self, thread)
		end
		return coroutine_yield, function ()
			if next_tick then
				next_tick(wake)
			else
				wake()
			end
		end
	elseif native and not is_main and coroutine_isyieldable() then
		return native.wait, function ()
			native.resume(thread)
		end
	end
	error("Not running in an async context", 3)
end

--- Can the running code wait? True, or false and why not.
local function ready()
	local thread, is_main = coroutine_running()
	if runners[thread] or native and not is_main and coroutine_isyieldable() then
		return true
	end
	return false, "Not running in an async context"
end

--- Gives wait and done: wait() returns once done() was called `count` (1) times, before or after.
-- Calling done more often is an error unless allow_many.
local function waiter(count, allow_many)
	local stop, wake = pause()
	local missing, waiting = count or 1, false
	local function wait()
		if missing > 0 then
			waiting = true
			stop()
		end
	end
	local function done()
		missing = missing - 1
		if missing == 0 and waiting then
			waiting = false
			wake()
		elseif missing < 0 and not allow_many then
			error("done() was called more often than wait() waits for", 2)
		end
	end
	return wait, done
end

--- Gives guard(id, func): code that is one at a time per id (any value; none is an id, too). guard(id) waits until it
-- is free, then gives the function that frees it; with func, func is run and then it is freed, even after an error.
local function guarder()
	local lines = {}
	local default_id = {}
	return function (id, func)
		id = id == nil and default_id or id
		local line = lines[id]
		if line then
			local wait, done = waiter()
			line[#line + 1] = done
			wait()
		else
			line = {}
			lines[id] = line
		end

		local freed = false
		local function exit()
			if freed then
				return
			end
			freed = true
			local following = t_remove(line, 1)
			if following then
				following()
			else
				lines[id] = nil
			end
		end
		if not func then
			return exit
		end
		local ok, err = pcall(func)
		exit()
		if not ok then
			error(err, 0)
		end
	end
end

--- The value of a promise, or nil and the reason; waits until it is settled. Anything else is given back.
local function wait_for(promise)
	if not is_promise(promise) then
		return promise
	end
	local fulfilled, result
	local wait, done = waiter()
	promise:next(function (value)
		fulfilled, result = true, value
		done()
	end, function (reason)
		fulfilled, result = false, reason
		done()
	end)
	wait()
	if fulfilled then
		return result
	end
	return nil, result
end

--- Waits that many seconds.
local function sleep(seconds)
	local wait, done = waiter()
	local add_task = schedule or require "prosody.util.timer".add_task
	add_task(seconds, function () done() end)
	wait()
end

--- Runs func(...) once on a runner of its own, so that it may wait. Gives the runner.
local function once(func, ...)
	local arguments = t_pack(...)
	local self = runner(function ()
		func(t_unpack(arguments, 1, arguments.n))
	end)
	self:run(true)
	return self
end

function runner_mt:__tostring()
	return "runner (" .. tostring(self.state) .. ")"
end

return {
	ready = ready,
	waiter = waiter,
	guarder = guarder,
	runner = runner,
	once = once,
	wait_for = wait_for,
	wait = wait_for, -- COMPAT Prosody 0.12
	sleep = sleep,
	set_nexttick = set_nexttick,
	set_schedule_function = set_schedule_function,
}
