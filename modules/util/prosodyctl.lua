--- What commands at the command line share: how they speak and ask.
-- Always true: messages go to standard output, warnings to standard error, one line each.
local human_io = require "prosody.util.human.io"
local io = io
local ipairs = ipairs
local s_format, s_gmatch = string.format, string.gmatch
local select = select

local _ENV = nil

local function text_of(pattern, ...)
	return select("#", ...) > 0 and s_format(pattern, ...) or pattern
end

local function show_message(pattern, ...)
	io.write(text_of(pattern, ...), "\n")
end

local function show_warning(pattern, ...)
	io.stderr:write(text_of(pattern, ...), "\n")
end

--- "Usage: couplet ctl adduser JID" and what it does.
local function show_usage(usage, description)
	show_message("Usage: %s", usage)
	if description then
		io.write("\n")
		for line in s_gmatch(description, "[^\n]+") do
			show_message("  %s", line)
		end
	end
end

--- Was help asked for? Then the usage is shown.
local function wants_help(arg, usage, description)
	for _, word in ipairs(arg) do
		if word == "--help" or word == "-h" or word == "help" then
			show_usage(usage, description)
			return true
		end
	end
	return false
end

return {
	show_message = show_message,
	show_warning = show_warning,
	show_usage = show_usage,
	wants_help = wants_help,
	getchar = human_io.getchar,
	getline = human_io.getline,
	getpass = human_io.getpass,
	show_yesno = human_io.show_yesno,
	show_prompt = human_io.show_prompt,
	read_password = human_io.read_password,
}
