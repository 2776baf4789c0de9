--- coupletctl check: looks for mistakes in what surrounds the server. Exit code 2 when it found some.

local new_report = require "ctl.check.report".new
local ui = require "ctl.ui"

-- Each is ctl/check/NAME.lua, a function (ctl, report). `check` alone goes through those that are usual.
local areas = {
	{ name = "config", is_usual = true },
	{ name = "certs", is_usual = true },
	{ name = "dns", is_usual = true },
	{ name = "connectivity" },
}

local function chosen_areas(name)
	local names, chosen = {}, {}
	for _, area in ipairs(areas) do
		table.insert(names, area.name)
		if name == area.name or not name and area.is_usual then table.insert(chosen, area.name) end
	end
	return chosen, names
end

local commands = {}

commands.check = {
	usage = "check [config|certs|dns|connectivity]",
	about = "Look for mistakes",
	details = "    config         in the configuration\n"
		.. "    certs          in the certificates\n"
		.. "    dns            in what the DNS says about the hosts, with the lines for the zone\n"
		.. "    connectivity   connects as others do, to the addresses the DNS gives; not without being asked for",
	run = function (ctl, args)
		local chosen, names = chosen_areas(args[1])
		if not chosen[1] then
			ui.warn("%q cannot be checked. These can: %s.", args[1], table.concat(names, ", "))
			return 1
		end
		local problems = 0
		for _, name in ipairs(chosen) do
			ui.print(ui.bold(("Checking %s"):format(name)))
			local report = new_report()
			local ok, failure = pcall(require("ctl.check." .. name), ctl, report)
			if not ok then
				if getmetatable(failure) ~= ui.failure_mt then error(failure, 0) end
				report:problem("%s", tostring(failure))
			end
			if report.problems == 0 and report.hints == 0 then ui.print("  %s", ui.green("All is well.")) end
			problems = problems + report.problems
			if not ok then break end -- without a configuration there is nothing more to look at
		end
		ui.print("")
		if problems == 0 then
			ui.print(ui.green("No problems were found."))
			return 0
		end
		ui.print("%s", ui.red(("%d problem%s found."):format(problems, problems == 1 and " was" or "s were")))
		return 2
	end,
}

return commands
