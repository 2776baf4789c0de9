--- How coupletctl speaks: messages to standard output, complaints to standard error, colours only on a terminal.

local pposix = require "prosody.util.pposix"

local has_colours = pposix.isatty(io.stdout) and not os.getenv("NO_COLOR") and os.getenv("TERM") ~= "dumb"

local failure_mt = { __tostring = function (self) return self.text end }

local function coloured(code)
	return function (text)
		return has_colours and ("\27[%sm%s\27[0m"):format(code, text) or text
	end
end

local function text_of(form, ...)
	return select("#", ...) > 0 and form:format(...) or form
end

--- A line for the reader.
local function print_line(form, ...)
	io.stdout:write(text_of(form, ...), "\n")
end

--- A line about what is wrong.
local function warn(form, ...)
	io.stdout:flush()
	io.stderr:write(text_of(form, ...), "\n")
end

--- Ends the command with a message and exit code 1.
local function fail(form, ...)
	error(setmetatable({ text = text_of(form, ...) }, failure_mt), 0)
end

--- Ends it with the usage of a command.
local function fail_usage(command)
	fail("Usage: coupletctl %s", command.usage)
end

--- The text as one word for /bin/sh.
local function quote(text)
	return "'" .. text:gsub("'", "'\\''") .. "'"
end

return {
	print = print_line,
	warn = warn,
	fail = fail,
	fail_usage = fail_usage,
	failure_mt = failure_mt,
	quote = quote,
	bold = coloured("1"),
	green = coloured("32"),
	yellow = coloured("33"),
	red = coloured("31"),
	is_terminal = function () return pposix.isatty(io.stdin) and pposix.isatty(io.stdout) end,
}
