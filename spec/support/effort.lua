--- Processor time that something costs, for what must not cost more than a little.
--
-- Whatever else the machine does, and a collection of garbage that happens to come, only ever adds to it: the least of
-- some runs is what it costs.

local effort = {}

local RUNS = 20

--- Runs fn() until it has taken less than that many seconds of this process's time, RUNS times at most. Gives whether
-- it has, and the least it took.
function effort.is_below(seconds, fn)
	local least = math.huge
	for _ = 1, RUNS do
		collectgarbage()
		local began = os.clock()
		fn()
		least = math.min(least, os.clock() - began)
		if least < seconds then break end
	end
	return least < seconds, least
end

return effort
