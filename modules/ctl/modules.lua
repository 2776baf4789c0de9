--- coupletctl mod_NAME ...: what a module offers for the command line, its function module.command(args).

local ui = require "ctl.ui"

--- Gives the command for a module.
local function command(full_name)
	local name = full_name:match("^mod_(.*)$")
	return {
		usage = full_name .. " ...",
		run = function (ctl, args)
			ctl:load_config()
			ctl:drop_root()
			local modulemanager = require "prosody.core.modulemanager"
			local environment, err = modulemanager.load("*", name)
			if not environment then ui.fail("%s: %s", full_name, tostring(err)) end
			if not modulemanager.module_has_method(environment, "command") then
				ui.fail("%s has no command.", full_name)
			end
			local ok, code = modulemanager.call_module_method(environment, "command", args)
			if not ok then ui.fail("%s: %s", full_name, tostring(code)) end
			if code == nil or code == true then return 0 end
			return math.tointeger(code) or 1
		end,
	}
end

return { command = command }
