--- Bitwise functions for code written before Lua had operators for them: the interface of Lua 5.2's bit32.
-- Always true: arguments are taken modulo 2^32, results are between 0 and 2^32 - 1.
local math_floor, math_type = math.floor, math.type
local select = select

local _ENV = nil

local mask = 0xffffffff

local function normalize(number)
	if math_type(number) == "float" then
		number = math_floor(number % 0x100000000)
	end
	return (number | 0) & mask
end

local function fold(operation, start)
	return function (...)
		local result = start
		for i = 1, select("#", ...) do
			result = operation(result, normalize((select(i, ...))))
		end
		return result
	end
end

local band = fold(function (a, b) return a & b end, mask)
local bor = fold(function (a, b) return a | b end, 0)
local bxor = fold(function (a, b) return a ~ b end, 0)

local function bnot(number)
	return ~normalize(number) & mask
end

local function lshift(number, by)
	if by < 0 then
		return normalize(number) >> -by
	end
	return by >= 32 and 0 or (normalize(number) << by) & mask
end

local function rshift(number, by)
	return lshift(number, -by)
end

local function arshift(number, by)
	number = normalize(number)
	if by < 0 then
		return lshift(number, -by)
	end
	if number & 0x80000000 ~= 0 then
		number = number | ~mask -- the sign goes on to the left
	end
	return by >= 63 and (number < 0 and mask or 0) or (number // (1 << by)) & mask
end

local function lrotate(number, by)
	number, by = normalize(number), by % 32
	return ((number << by) | (number >> (32 - by))) & mask
end

local function rrotate(number, by)
	return lrotate(number, -by)
end

local function btest(...)
	return band(...) ~= 0
end

--- `width` (1) bits from bit `field` on.
local function extract(number, field, width)
	return (normalize(number) >> field) & ((1 << (width or 1)) - 1)
end

--- The number with those bits replaced by value's lowest.
local function replace(number, value, field, width)
	local bits = ((1 << (width or 1)) - 1)
	return (normalize(number) & ~(bits << field)) | ((normalize(value) & bits) << field)
end

return {
	band = band, bor = bor, bxor = bxor, bnot = bnot, btest = btest,
	lshift = lshift, rshift = rshift, arshift = arshift, lrotate = lrotate, rrotate = rrotate,
	extract = extract, replace = replace,
}
