--- Dates and times as XMPP writes them (XEP-0082), always in UTC.
-- Always true: times are seconds since 1970-01-01T00:00:00Z and may have a fraction; the zone and the locale of the
-- machine do not matter. Fractions are written with microseconds, and only when there is one.
local math_floor, math_modf, math_tointeger = math.floor, math.modf, math.tointeger
local os_date, os_time = os.date, os.time
local s_format, s_match, tonumber, type = string.format, string.match, tonumber, type

local _ENV = nil

-- Whole seconds and microseconds; now when t is nil.
local function split(t)
	if t == nil then
		return os_time(), 0
	end
	local seconds = math_floor(t)
	local micros = math_floor((t - seconds) * 1000000 + 0.5)
	if micros == 1000000 then
		seconds, micros = seconds + 1, 0
	end
	return math_tointeger(seconds), micros
end

local function fraction(micros)
	return micros > 0 and s_format(".%06d", micros) or ""
end

--- "2006-01-02"
local function date(t)
	return os_date("!%Y-%m-%d", (split(t)))
end

--- "2006-01-02T15:04:05Z", "2006-01-02T15:04:05.250000Z"
local function datetime(t)
	local seconds, micros = split(t)
	return os_date("!%Y-%m-%dT%H:%M:%S", seconds) .. fraction(micros) .. "Z"
end

--- "15:04:05"
local function time(t)
	local seconds, micros = split(t)
	return os_date("!%H:%M:%S", seconds) .. fraction(micros)
end

--- "20060102T15:04:05", the form of XEP-0091.
local function legacy(t)
	return os_date("!%Y%m%dT%H:%M:%S", (split(t)))
end

-- Days from 1970-01-01 to a date of the Gregorian calendar. Years begin in March here: the leap day comes last.
local function days_since_epoch(year, month, day)
	if month <= 2 then
		year, month = year - 1, month + 12
	end
	local era_days = 365 * year + year // 4 - year // 100 + year // 400
	return era_days + (153 * (month - 3) + 2) // 5 + day - 719469
end

local month_days = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 }

--- Seconds for a date and time ("2006-01-02T15:04:05.25Z", "...+02:00", the legacy form, or only a date: its first
-- second). A time without zone is taken as UTC. nil for anything else.
local function parse(text)
	if type(text) ~= "string" then
		return nil
	end
	local year, month, day, rest = s_match(text, "^(%d%d%d%d)%-?(%d%d)%-?(%d%d)(.*)$")
	if not year then
		return nil
	end
	year, month, day = tonumber(year), tonumber(month), tonumber(day)
	if month < 1 or month > 12 or day < 1 or day > month_days[month] then
		return nil
	end
	local days = days_since_epoch(year, month, day)
	if rest == "" then
		return days * 86400
	end

	local hour, minute, second, zone = s_match(rest, "^T(%d%d):?(%d%d):?(%d%d%.?%d*)(.*)$")
	if not hour then
		return nil
	end
	hour, minute, second = tonumber(hour), tonumber(minute), tonumber(second)
	-- A second of 60 is a leap second (XEP-0082 refers to XML Schema, which allows 24:00:00 as well).
	if hour > 24 or minute > 59 or second >= 61 then
		return nil
	end
	local offset = 0
	if zone ~= "" and zone ~= "Z" then
		local sign, zone_hour, zone_minute = s_match(zone, "^([+-])(%d%d):?(%d%d)$")
		if not sign then
			return nil
		end
		offset = tonumber(zone_hour) * 3600 + tonumber(zone_minute) * 60
		if sign == "-" then
			offset = -offset
		end
	end
	local whole, part = math_modf(second)
	return days * 86400 + hour * 3600 + minute * 60 + (part == 0 and math_tointeger(whole) or second) - offset
end

return {
	date = date,
	datetime = datetime,
	time = time,
	legacy = legacy,
	parse = parse,
}
