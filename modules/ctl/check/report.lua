--- What a check has found: lines for the admin, and how many of them are problems. Hints are what may be meant so.

local ui = require "ctl.ui"

local methods = {}
local report_mt = { __index = methods }

--- Something that has to be mended.
function methods:problem(form, ...)
	self.problems = self.problems + 1
	ui.print("  %s %s", ui.red("problem:"), form:format(...))
end

--- Something that may be meant so.
function methods:hint(form, ...)
	self.hints = self.hints + 1
	ui.print("  %s    %s", ui.yellow("hint:"), form:format(...))
end

--- Something that was looked at and is well.
function methods:print(form, ...)
	ui.print("  %s", form:format(...))
end

local function new()
	return setmetatable({ problems = 0, hints = 0 }, report_mt)
end

return { new = new }
