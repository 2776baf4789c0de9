--- Runs tasks of other modules now and then: hourly, daily, weekly, or every so many seconds.
-- When a task ran last is remembered across restarts, so a daily task is not run again by a restart, and one that was
-- missed runs soon after. Tasks are the items "task" (see module:cron and module:daily).
-- @option cron_initial_delay   period, 1 second: after the start, before the first look at what is due
-- @option cron_check_delay     period, 1 hour: the longest time between two looks
-- @hooks  item-added/task, item-removed/task        @fires none
-- @stores cron (map, host level: "module/task" -> time of the last run)
-- @spec   spec/modules/mod_cron_spec.lua

module:set_global()

local async = require "prosody.util.async"
local time_now = require "prosody.util.time".now

local initial_delay = module:get_option_period("cron_initial_delay", 1, 0)
local check_delay = module:get_option_period("cron_check_delay", 3600, 1)

local periods = { hourly = 3600, daily = 86400, weekly = 7 * 86400 }
-- A task counts as due a little early: looking once an hour must not make an hourly task run every second hour.
local EARLY_SHARE = 0.01

local tasks = {} -- item -> { id, store, period, item, log }
local pending_check

local function period_of(item)
	return periods[item.when] or tonumber(item.when)
end

-- Everything but letters and digits becomes "_", so that names are stable keys.
local function task_id(module_name, item)
	local name = item.name or item.when
	return module_name .. "/" .. tostring(name):gsub("%W", "_"):lower()
end

local function last_run(task)
	if task.last == nil then
		task.last = task.store and task.store:get(nil, task.id) or false
	end
	return task.last or nil
end

local function is_due(task, now)
	local last = last_run(task)
	-- A clock that was set back must not silence a task for long.
	return not last or last > now or now - last >= task.period * (1 - EARLY_SHARE)
end

local function run_task(task, now)
	local started = time_now()
	task.last = now
	local ok, err = pcall(task.item.run, task.item, now)
	if not ok then
		task.log("error", "Task %s failed: %s", task.id, tostring(err))
	else
		task.log("debug", "Task %s took %.3f seconds", task.id, time_now() - started)
	end
	-- Also after a failure: a task that always fails must not run at every look.
	if task.store then
		local saved, save_err = task.store:set(nil, task.id, now)
		if not saved then
			task.log("error", "The time task %s ran could not be saved: %s", task.id, tostring(save_err))
		end
	end
end

-- Tasks may wait (storage, HTTP), so they run one after the other in a runner.
local runner = async.runner(function (now)
	local due = {}
	for _, task in pairs(tasks) do
		if is_due(task, now) then
			due[#due + 1] = task
		end
	end
	table.sort(due, function (a, b)
		return a.id < b.id
	end)
	for _, task in ipairs(due) do
		if tasks[task.item] == task then
			run_task(task, now)
		end
	end
end)

-- Until the next task can be due.
local function next_delay(now)
	local delay = check_delay
	for _, task in pairs(tasks) do
		local last = task.last
		local left = last and last <= now and task.period - (now - last) or 0
		delay = math.min(delay, math.max(left, 1))
	end
	return delay
end

local function check(now)
	runner:run(now)
	return next_delay(now)
end

local function check_soon()
	if pending_check then
		pending_check:reschedule(initial_delay)
	else
		pending_check = module:add_timer(initial_delay, check)
	end
end

local function add_task(store, log, event)
	local item = event.item
	local period = period_of(item)
	if not period or period <= 0 or type(item.run) ~= "function" then
		log("error", "mod_%s: a task needs run (a function) and when (\"hourly\", \"daily\", \"weekly\" or seconds)",
			event.source.name)
		return
	end
	tasks[item] = { id = task_id(event.source.name, item), store = store, period = period, item = item, log = log }
	check_soon()
end

local function remove_task(event)
	tasks[event.item] = nil
end

function module.add_host(host_module)
	local store = host_module:open_store("cron", "map")
	local function log(...)
		return host_module:log(...)
	end
	host_module:handle_items("task", function (event)
		add_task(store, log, event)
	end, remove_task)
end

-- Tasks of global modules have no store: they run after every start.
module:handle_items("task", function (event)
	add_task(nil, function (...)
		return module:log(...)
	end, event)
end, remove_task)

function module.unload()
	tasks = {}
end
