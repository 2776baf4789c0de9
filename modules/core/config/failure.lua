--- Why a configuration cannot be loaded: where, what, and how to mend it.

local getmetatable, ipairs, setmetatable = getmetatable, ipairs, setmetatable

local _M = {}
local _ENV = nil

--- The lines of a text: a list.
function _M.lines_of(text)
	local lines = {}
	for line in (text .. "\n"):gmatch("([^\n]*)\n") do
		lines[#lines + 1] = line
	end
	return lines
end

-- A line of the list without its comment and the space around it; "" when there is no such line.
local function code_of_line(lines, number)
	return ((lines[number] or ""):gsub("%-%-.*$", ""):gsub("^%s+", ""):gsub("%s+$", ""))
end

-- The last line with something on it before the one the parser stumbled at: its number and what is on it.
local function line_before(lines, number)
	for at = number - 1, 1, -1 do
		local code = code_of_line(lines, at)
		if code ~= "" then
			return at, code
		end
	end
end

local function comma_mend(lines, number)
	local at, before = line_before(lines, number)
	local here = code_of_line(lines, number)
	local same_line = here:match("(\"[^\"]*\")%s+[\"%w_{]") or here:match("('[^']*')%s+['%w_{]")
	if same_line then
		return ("did you forget a comma after %s?"):format(same_line)
	elseif before and not before:match("[,;{(=]$") then
		return ("did you forget a comma after %s on line %d?"):format(before, at)
	end
end

-- What people most often did when Lua says this. Each rule: a pattern of Lua's message, and the advice.
-- It is called with what the pattern captured, the lines of the file and the number of the line.
local mends = {
	{ "unfinished string", function ()
		return "is a quote missing at the end of the text?"
	end },
	{ "'([})])' expected near <eof>", function (bracket)
		return ("a closing %s is missing"):format(bracket)
	end },
	{ "'([})])' expected %(to close '[{(]' at line (%d+)%) near (.*)", function (bracket, opened, near, lines, line)
		if near == "<eof>" then
			return ("the bracket opened on line %s is never closed: add a %s"):format(opened, bracket)
		elseif near == "'='" then
			return ("the bracket opened on line %s is not closed before the next option: add a %s"):format(opened, bracket)
		end
		return comma_mend(lines, line) or ("did you forget a comma, or the %s that closes line %s?"):format(bracket, opened)
	end },
	{ "'}' expected near", function (_, _, _, lines, line)
		return comma_mend(lines, line)
	end },
	{ "'<eof>' expected near 'end'", function ()
		return "there is an end too many"
	end },
	{ "'end' expected", function ()
		return "an if, for or function is not closed: add an end"
	end },
	{ "syntax error near '?([^']*)", function (_, _, _, lines, line)
		local here = code_of_line(lines, line)
		local name = here:match("^([%a_][%w_]*)%s+[^=%s]")
		return name and ("did you forget the = after %s?"):format(name)
	end },
	{ "unexpected symbol near <eof>", function ()
		return "the last option has no value"
	end },
	{ "malformed number", function ()
		return "text such as a host name or an IP address belongs in quotes"
	end },
	{ "call a nil value %(global '([^']+)'%)", function (name)
		return ("there is no command %s; to set the option write %s = { ... }"):format(name, name)
	end },
	{ "call a %a+ value %(global '([^']+)'%)", function (name)
		return ("to set the option write %s = ..."):format(name)
	end },
	{ "a nil value %(global '([^']+)'%)", function (name)
		return ("is %s the beginning of a text that lacks its quotes?"):format(name)
	end },
}

local function mend_for(message, lines, line)
	for _, rule in ipairs(mends) do
		local a, b, c = message:match(rule[1])
		if a then
			local mend = rule[2](a, b, c, lines, line)
			if mend then
				return mend
			end
		end
	end
end

local failure_mt = { __tostring = function (self)
	local at = self.line and ("%s:%d: "):format(self.file, self.line) or self.file and self.file .. ": " or ""
	return at .. self.message .. (self.mend and " (" .. self.mend .. ")" or "")
end }

--- A failure: a table { kind, file, line, message, mend } that tostring makes a sentence of.
-- kind: "file" (cannot be read) or "parser" (cannot be run). With lines (those of the file) it gets the mend
-- that Lua's message calls for, if we know one.
function _M.new(kind, file, line, message, lines)
	local mend = lines and line and mend_for(message, lines, line) or nil
	return setmetatable({ kind = kind, file = file, line = line, message = message, mend = mend }, failure_mt)
end

--- Is it a failure made here? (An error of the chunk can be anything.)
function _M.is_failure(value)
	return getmetatable(value) == failure_mt
end

return _M
