--- Numbers with units, for people: 1536 bytes are "1.5 KiB".
local math_abs, math_floor = math.abs, math.floor
local s_format = string.format

local _ENV = nil

local large = { "k", "M", "G", "T", "P", "E", "Z", "Y" }
local small = { "m", "μ", "n", "p", "f", "a", "z", "y" }
local large_binary = { "Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi" }

--- The number to show and the prefix to show it with, as in adjust(1500) -> 1.5, "k".
-- base "b": powers of 1024. Numbers below 1 have no binary prefixes.
local function adjust(number, unit, base)
	unit = unit or ""
	local size = math_abs(number)
	if size == 0 or size ~= size or size == 1 / 0 then
		return number, unit
	end
	local step = base == "b" and 1024 or 1000
	local prefixes = base == "b" and large_binary or large
	local at = 0
	-- Three digits are shown: what would round up to the step belongs to the next prefix.
	while size >= step * 0.9995 and at < #prefixes do
		size, number, at = size / step, number / step, at + 1
	end
	if at > 0 then
		return number, prefixes[at] .. unit
	end
	if base ~= "b" then
		while size < 0.9995 and at < #small do
			size, number, at = size * 1000, number * 1000, at + 1
		end
		if at > 0 then
			return number, small[at] .. unit
		end
	end
	return number, unit
end

--- "1.5 KiB" = format(1536, "B", "b"). At most three digits, unless whole.
local function format(number, unit, base)
	local shown, with_prefix = adjust(number, unit, base)
	local text
	if math_abs(shown) >= 99.95 and shown == shown and math_abs(shown) < 1e15 then
		text = s_format("%d", math_floor(shown + 0.5))
	else
		text = s_format("%.3g", shown)
	end
	return with_prefix == "" and text or text .. " " .. with_prefix
end

return {
	adjust = adjust,
	format = format,
}
