--- Watchdogs: call a function when nothing was heard for a while.
-- Always true: the callback runs once per silence; reset after that starts a new one, cancel ends it.
local timer = require "prosody.util.timer"
local setmetatable = setmetatable

local _ENV = nil

local methods = {}
local watchdog_mt = { __index = methods, __name = "watchdog" }

local function arm(self)
	self.task = timer.add_task(self.timeout, function ()
		self.task = nil
		return self:callback()
	end)
end

--- callback(watchdog) is called after `timeout` seconds without reset. A number it returns starts it again.
local function new(timeout, callback)
	local self = setmetatable({ timeout = timeout, callback = callback }, watchdog_mt)
	arm(self)
	return self
end

--- Starts counting anew, with another timeout if given.
function methods:reset(timeout)
	self.timeout = timeout or self.timeout
	if self.task then
		self.task:reschedule(self.timeout)
	else
		arm(self)
	end
end

--- Never calls back, until it is reset.
function methods:cancel()
	if self.task then
		self.task:stop()
		self.task = nil
	end
end

return { new = new }
