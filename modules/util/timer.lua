--- Timers: call a function after some seconds.
-- Always true: a task's function is called from the loop, never from inside add_task; once stopped it is not called
-- again. The function gets (now, task, param); a number it returns is the delay until it is called again.
local native = require "couplet.native"
local now = require "prosody.util.time".now
local setmetatable, type = setmetatable, type

local _ENV = nil

local methods = {}
local task_mt = { __index = methods, __name = "timer" }

--- Calls fn(now, task, param) in `delay` seconds. Gives the task.
local function add_task(delay, fn, param)
	local task = setmetatable({ _fn = fn, _param = param }, task_mt)
	local function fire()
		task._armed = false
		local again = fn(now(), task, task._param)
		if type(again) == "number" and not task._stopped and not task._armed then
			task:reschedule(again)
		end
	end
	task._fire = fire
	task._armed = true
	task._timer = native.timer(delay, fire)
	return task
end

--- The task is not called any more; harmless when it already was.
local function stop(task)
	if task._stopped then
		return false
	end
	task._stopped = true
	task._timer:stop()
	return task._armed
end

--- The task is called in `delay` seconds from now, and not when it was to be; a stopped one lives again.
local function reschedule(task, delay)
	task._timer:stop()
	task._stopped, task._armed = false, true
	task._timer = native.timer(delay, task._fire)
	return task
end

methods.stop = stop
methods.disarm = stop
methods.reschedule = reschedule

return {
	add_task = add_task,
	stop = stop,
	reschedule = reschedule,
}
