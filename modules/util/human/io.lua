--- Talking to the person at the terminal: questions, passwords, tables.
-- Always true: widths are counted in characters, not bytes; the terminal is given back as it was found.
local error, ipairs, next, pairs, tonumber, tostring, type = error, ipairs, next, pairs, tonumber, tostring, type
local io, os = io, os
local math_floor, math_max = math.floor, math.max
local s_gsub, s_lower, s_match, s_rep, s_sub = string.gsub, string.lower, string.match, string.rep, string.sub
local t_concat = table.concat
local utf8_len, utf8_offset = utf8.len, utf8.offset

local _ENV = nil

local function stty(arguments)
	return os.execute ~= nil and os.execute("stty " .. arguments .. " 2>/dev/null")
end

--- One keypress (or n), without waiting for return.
local function getchar(n)
	local changed = stty("-icanon")
	local text = io.read(n or 1)
	if changed then
		stty("icanon")
	end
	return text
end

local function getline()
	return io.read("*l")
end

--- A line that is not shown; nil at the end of input, or when it could not be hidden (second value: why).
local function getpass()
	if not stty("-echo") then
		return nil, "cannot hide what is typed"
	end
	local line = io.read("*l")
	stty("echo")
	io.write("\n")
	return line
end

--- Asks; true, false, or nil for any other answer. The capital letter in "[Y/n]" is what return means.
local function show_yesno(prompt)
	io.write(prompt, " ")
	local choice = getchar()
	io.write("\n")
	choice = choice and s_lower(choice)
	if choice == "\n" or choice == nil or choice == "" then
		choice = s_match(prompt, "Y/n") and "y" or s_match(prompt, "y/N") and "n" or nil
	end
	if choice == "y" then
		return true
	elseif choice == "n" then
		return false
	end
	return nil
end

--- Asks for a line.
local function show_prompt(prompt)
	io.write(prompt, " ")
	local line = getline()
	line = line and s_gsub(line, "^%s*(.-)%s*$", "%1")
	return line ~= "" and line or nil
end

--- Asks for a new password twice, until both are equal; nil when the person gave up.
local function read_password()
	while true do
		io.write("Enter new password: ")
		local password, err = getpass()
		if not password then
			return nil, err
		end
		io.write("Retype new password: ")
		if getpass() == password then
			return password
		end
		if not show_yesno("Passwords did not match, try again? [Y/n]") then
			return nil
		end
	end
end

local function printf(pattern, ...)
	io.write(pattern:format(...), "\n")
end

-- Characters; bytes where it is no UTF-8.
local function ulen(text)
	return utf8_len(text) or #text
end

-- The first n characters.
local function uhead(text, n)
	if not utf8_len(text) then
		return s_sub(text, 1, n)
	end
	local after = utf8_offset(text, n + 1)
	return after and s_sub(text, 1, after - 1) or text
end

--- Spaces before it.
local function padleft(text, width)
	return s_rep(" ", width - ulen(text)) .. text
end

--- Spaces after it.
local function padright(text, width)
	return text .. s_rep(" ", width - ulen(text))
end

--- Cut to width, the last character being "…" where something was cut.
local function ellipsis(text, width)
	if ulen(text) <= width then
		return text
	elseif width < 1 then
		return ""
	end
	return uhead(text, width - 1) .. "…"
end

--- Columns of the terminal, or the given number.
local function term_width(default)
	return tonumber(os.getenv("COLUMNS") or nil) or default
end

local separator = " | "

-- Gives each column its width: numbers and percentages first, then "2p" shares of what is left.
local function column_widths(columns, max_width)
	local left = max_width - #separator * (#columns - 1)
	local widths, shares, total = {}, {}, 0
	local available = left
	for i, column in ipairs(columns) do
		local width = column.width or "1p"
		local share = type(width) == "string" and s_match(width, "^([%d.]+)p$")
		local percent = type(width) == "string" and s_match(width, "^([%d.]+)%%$")
		if share then
			shares[i] = tonumber(share)
			total = total + shares[i]
		else
			widths[i] = percent and math_floor(available * tonumber(percent) / 100)
				or tonumber(width) or error("bad width of column " .. i .. ": " .. tostring(width), 3)
			widths[i] = math_max(widths[i], 1)
			left = left - widths[i]
		end
	end
	local last = nil
	local unspent = math_max(left, 0)
	for i, share in pairs(shares) do
		widths[i] = math_max(math_floor(left * share / total), ulen(columns[i].title or ""), 1)
		unspent = unspent - widths[i]
		last = math_max(last or i, i)
	end
	if last and unspent > 0 then
		widths[last] = widths[last] + unspent -- what rounding left over
	end
	return widths
end

--- Gives a function row -> line; without a row it gives the line of titles. A column is
-- { title =, width = 20 | "30%" | "2p", key = field of the row (or its number), align = "right",
--   mapper = function (value, row) -> text }. Second result: the width of a line.
local function new_table(columns, max_width)
	max_width = max_width or term_width(80)
	local widths = column_widths(columns, max_width)
	local total = #separator * (#columns - 1)
	for _, width in pairs(widths) do
		total = total + width
	end

	return function (row)
		local cells = {}
		for i, column in ipairs(columns) do
			local text
			if row == nil then
				text = column.title or ""
			else
				text = row[column.key or i]
				if column.mapper then
					text = column.mapper(text, row)
				end
				text = text == nil and "" or tostring(text)
			end
			text = ellipsis((s_gsub(text, "[%c]", " ")), widths[i])
			if column.align == "right" then
				text = padleft(text, widths[i])
			elseif next(columns, i) then
				text = padright(text, widths[i])
			end
			cells[i] = text
		end
		return t_concat(cells, separator)
	end, total
end

local seconds_of = {
	s = 1, sec = 1, second = 1,
	m = 60, min = 60, minute = 60, mi = 60,
	h = 3600, hour = 3600,
	d = 86400, day = 86400,
	w = 604800, week = 604800,
	mo = 2629746, month = 2629746, mon = 2629746, -- a twelfth of the mean Gregorian year
	y = 31556952, year = 31556952,
}

--- Seconds in "90", "2 days", "1w", "1 hour 30 min"; nil for anything else. months and minutes: "m" is minutes.
local function parse_duration(text)
	if type(text) == "number" then
		return text
	end
	local plain = tonumber(text)
	if plain then
		return plain >= 0 and plain or nil
	end
	local total, at = nil, 1
	while true do
		local number, unit, after = s_match(text, "^[%s,]*(%d+%.?%d*)%s*(%a+)()", at)
		if not number then
			break
		end
		unit = s_lower(unit)
		local seconds = seconds_of[unit] or #unit > 2 and seconds_of[s_match(unit, "^(.-)s$")]
		if not seconds then
			return nil
		end
		total = (total or 0) + tonumber(number) * seconds
		at = after
	end
	return total and s_match(text, "^[%s,]*$", at) and total or nil
end

return {
	getchar = getchar,
	getline = getline,
	getpass = getpass,
	show_yesno = show_yesno,
	show_prompt = show_prompt,
	read_password = read_password,
	printf = printf,
	padleft = padleft,
	padright = padright,
	ellipsis = ellipsis,
	ulen = ulen,
	usub = uhead,
	term_width = term_width,
	table = new_table,
	parse_duration = parse_duration,
}
