--- Why a configuration cannot be loaded: where, what, and how to mend it.

local nearest = require "prosody.util.spelling".nearest

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
local function line_before(at)
	for number = at.line - 1, 1, -1 do
		local code = code_of_line(at.lines, number)
		if code ~= "" then
			return number, code
		end
	end
end

-- Does an item that ends here lack the comma before the next one?
local function lacks_comma(code)
	return code ~= "" and not code:match("[,;{(=]$")
end

-- What stands before the piece the parser stumbled at, on the same line: what lacks a comma there, or nil.
local function item_before(at)
	local from = 1
	repeat
		local start, last = at.code:find(at.near, from, true)
		local before = start and at.code:sub(1, start - 1):gsub("%s+$", "")
		if before and lacks_comma(before) then
			return before:match("%b\"\"$") or before:match("%b''$") or before:match("[^%s,;{}()]+$")
		end
		from = last and last + 1
	until not start
end

local function comma_mend(at)
	local item = at.near and item_before(at)
	if item then
		return ("did you forget a comma after %s?"):format(item)
	end
	local number, before = line_before(at)
	if before and lacks_comma(before) then
		return ("did you forget a comma after %s on line %d?"):format(before, number)
	end
end

local function quotes_mend(_, name)
	return ("is %s the beginning of a text that lacks its quotes?"):format(name)
end

-- What people most often did when Lua says this. Each rule: a pattern of Lua's message, and the advice: a function of
-- where it happened (see mend_for) and what the pattern captured; it gives nil when it is not that.
local mends = {
	-- What is seen on the line rather than in the message.
	{ "near '<\\226>'", function (at)
		return at.code:match("\u{201c}") and "a text stands in straight quotes: \"text\"" -- the others come from writing aids
			or at.code:match("\u{2018}") and "a text stands in straight quotes: 'text'"
	end },
	{ " near ", function (at)
		local _, before = line_before(at)
		for _, code in ipairs { at.code, before } do
			if code:match("^#") or code:match("^/[/*]") then
				return "a comment begins with --"
			end
		end
	end },
	{ " near ", function (at)
		local name = at.code:match("^([%a_][%w_]*%-[%w_%-]+)%s*=")
		return name and ("an option's name has no - in it: write %s"):format((name:gsub("%-", "_")))
	end },
	{ " near ", function (at)
		local name = at.code:match("^([%a_][%w_]*)%s*:%s") or at.code:match("^([%a_][%w_]*)%s*:[^%a_]")
		return name and ("write = instead of : after %s"):format(name)
	end },
	{ " near ", function (at)
		local command, name = at.code:match("^(%a+)%s+([%w%-%.]+)$")
		return at.is_word[command] and ("a name stands in quotes: %s \"%s\""):format(command, name)
	end },
	-- Brackets and commas.
	{ "unfinished string", function ()
		return "is a quote missing at the end of the text?"
	end },
	{ "'([})])' expected near <eof>", function (_, bracket)
		return ("a closing %s is missing"):format(bracket)
	end },
	{ "'([})])' expected %(to close '[{(]' at line (%d+)%) near ", function (at, bracket, opened)
		if at.near == "<eof>" then
			return ("the bracket opened on line %s is never closed: add a %s"):format(opened, bracket)
		elseif at.near == "=" or at.is_word[at.near] then
			return ("the bracket opened on line %s is not closed before line %d: add a %s"):format(opened, at.line, bracket)
		end
		return comma_mend(at) or ("did you forget a comma, or the %s that closes line %s?"):format(bracket, opened)
	end },
	{ "'}' expected near", comma_mend },
	{ "unexpected symbol near '([})%]])'", function (_, bracket)
		return ("there is a %s too many"):format(bracket)
	end },
	{ "<eof> expected near 'end'", function ()
		return "there is an end too many"
	end },
	{ "'end' expected", function ()
		return "an if, for or function is not closed: add an end"
	end },
	-- Options and their values.
	{ "syntax error near", function (at)
		local name = at.code:match("^([%a_][%w_]*)%s+[^=%s]")
		return name and ("did you forget the = after %s?"):format(name)
	end },
	{ "unexpected symbol near <eof>", function ()
		return "the last option has no value"
	end },
	{ "malformed number", function ()
		return "text such as a host name or an IP address belongs in quotes"
	end },
	{ "call a nil value %(global '([^']+)'%)", function (at, name)
		local meant = nearest(name, at.words)
		return meant and ("did you mean %s?"):format(meant)
			or ("there is no command %s; to set the option write %s = { ... }"):format(name, name)
	end },
	{ "call a %a+ value %(global '([^']+)'%)", function (_, name)
		return ("to set the option write %s = ..."):format(name)
	end },
	{ "a nil value %(global '([^']+)'%)", quotes_mend },
}

-- How to mend what Lua complains about. lines: of the file; line: the number of that it names; words: the commands.
local function mend_for(message, lines, line, words)
	local at = {
		lines = lines, line = line, words = words, is_word = {},
		code = code_of_line(lines, line),       -- that line without comment
		near = message:match("near '?(.-)'?$"), -- the piece of it that was not expected
	}
	for _, word in ipairs(words) do
		at.is_word[word] = true
	end
	for _, rule in ipairs(mends) do
		local a, b = message:match(rule[1])
		local mend = a and rule[2](at, a, b)
		if mend then
			return mend
		end
	end
end

local failure_mt = { __tostring = function (self)
	local at = self.line and ("%s:%d: "):format(self.file, self.line) or self.file and self.file .. ": " or ""
	return at .. self.message .. (self.mend and " (" .. self.mend .. ")" or "")
end }

--- A failure: a table { kind, file, line, message, mend } that tostring makes a sentence of.
-- kind: "file" (cannot be read) or "parser" (cannot be run).
function _M.new(kind, file, line, message)
	return setmetatable({ kind = kind, file = file, line = line, message = message }, failure_mt)
end

--- A failure of which Lua told: with the mend that its message calls for, if we know one. lines: those of the file;
-- words: a list of the commands of the language.
function _M.of_lua(file, line, message, lines, words)
	local failure = _M.new("parser", file, line, message)
	failure.mend = mend_for(message, lines, line, words)
	return failure
end

--- Is it a failure made here? (An error of the chunk can be anything.)
function _M.is_failure(value)
	return getmetatable(value) == failure_mt
end

return _M
