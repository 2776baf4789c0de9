--- coupletctl: the admin's tool at the command line. The program couplet runs this when it is called coupletctl.
-- Exit codes: 0 it worked, 1 it did not (or makes no sense), 2 `check` found problems.

local argparse = require "prosody.util.argparse"
local nearest = require "prosody.util.spelling".nearest
local setup = require "ctl.setup"
local ui = require "ctl.ui"

-- In the order --help shows them. A file gives { name -> { usage, about, run = function(ctl, args) -> exit code } }.
local groups = {
	{ title = "Accounts", file = "ctl.accounts", names = { "adduser", "passwd", "deluser", "register", "unregister" } },
	{ title = "The server", file = "ctl.process", names = { "start", "stop", "restart", "reload", "status" } },
	{ title = "Looking after it", file = "ctl.check", names = { "check" } },
	{ file = "ctl.cert", names = { "cert" } },
	{ file = "ctl.shell", names = { "shell" } },
	{ file = "ctl.s2s", names = { "s2s" } },
	{ file = "ctl.about", names = { "about", "version" } },
}

local function find_command(name)
	for _, group in ipairs(groups) do
		for _, known in ipairs(group.names) do
			if known == name then return require(group.file)[name] end
		end
	end
	if name:match("^mod_[%w_]+$") then return require "ctl.modules".command(name) end
	return nil
end

local function advice_for(name)
	local names = {}
	for _, group in ipairs(groups) do table.move(group.names, 1, #group.names, #names + 1, names) end
	local meant = nearest(name, names)
	return meant and ("Did you mean %s?"):format(meant) or "coupletctl --help lists them."
end

local function show_help()
	ui.print("Usage: coupletctl [--config FILE] [--root] COMMAND ...")
	for _, group in ipairs(groups) do
		if group.title then ui.print("\n" .. ui.bold(group.title .. ":")) end
		for _, name in ipairs(group.names) do
			local command = require(group.file)[name]
			ui.print(("  %-34s %s"):format(command.usage, command.about))
		end
	end
	ui.print("\n  " .. ("%-34s %s"):format("mod_NAME ...", "Run the command a module brings along"))
	ui.print("\ncoupletctl COMMAND --help tells more about a command.")
end

local function show_command_help(command)
	ui.print("Usage: coupletctl " .. command.usage)
	ui.print("\n" .. command.about .. ".")
	if command.details then ui.print("\n" .. command.details) end
end

--- Runs a command line; args[0] is the program. Gives the exit code.
local function run(args)
	local program = args[0]
	local options, err, where = argparse.parse(args, {
		short_params = { c = "config", h = "help", v = "version" },
		value_params = { config = true },
		params = { help = true, root = true, version = true },
		strict = true,
	})
	if not options then
		ui.warn("%s: %s", where or "?", err == "missing-value" and "a value is missing" or "there is no such option")
		return 1
	end
	local words = table.move(options, 1, #options, 1, {})
	local name = table.remove(words, 1)
	if options.version then name = "version" end
	if options.help or name == "help" then
		show_help()
		return 0
	elseif not name then
		show_help()
		return 1
	end

	local command = find_command(name)
	if not command then
		ui.warn("There is no command %q. %s", name, advice_for(name))
		return 1
	end
	for _, word in ipairs(words) do
		if word == "--" then break end
		if (word == "--help" or word == "-h") and command.about then
			show_command_help(command)
			return 0
		end
	end
	local ctl = setup.new { program = program, config = options.config, stay_root = options.root }
	local ok, code = xpcall(command.run, function (failure)
		if getmetatable(failure) == ui.failure_mt then return failure end
		return debug.traceback(tostring(failure), 2)
	end, ctl, words)
	if ok then return code or 0 end
	ui.warn("%s", tostring(code))
	return 1
end

return { run = run }
