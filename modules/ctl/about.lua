--- coupletctl about, version.

local ui = require "ctl.ui"

local commands = {}

local function show_version(ctl)
	ui.print("Couplet %s", ctl.prosody.version or "(unknown version)")
	return 0
end

local function show_about(ctl)
	show_version(ctl)
	local ok = pcall(ctl.load_config, ctl)
	ui.print("")
	ui.print("%-16s %s", "Configuration:", ok and ctl.config_path or "none that can be loaded")
	if ok then
		ui.print("%-16s %s", "Data:", ctl.prosody.paths.data)
		ui.print("%-16s %s", "Admin socket:", ctl:socket_path())
		for i, directory in ipairs(require "prosody.core.pluginloader".get_directories()) do
			ui.print("%-16s %s", i == 1 and "Modules:" or "", directory)
		end
	end
	ui.print("")
	ui.print("%-16s %s", "Lua:", _VERSION)
	for path in package.path:gmatch("[^;]+") do ui.print("%-16s %s", "", path) end
	return 0
end

commands.about = { usage = "about", about = "Show version and paths", run = show_about }
commands.version = {
	usage = "version [-v]",
	about = "Show the version",
	run = function (ctl, args)
		if args[1] == "-v" then return show_about(ctl) end
		return show_version(ctl)
	end,
}

return commands
