--- Kinds of figures: new(kind, conf) gives a counter, gauge, summary or histogram to count with. Each knows its
-- samples: metric:iter_samples() gives suffix, extra labels, value.
-- Always true: counting is an addition in a table, nothing more.
local error, ipairs, math_huge, setmetatable, tostring = error, ipairs, math.huge, setmetatable, tostring
local s_find, s_format, t_sort = string.find, string.format, table.sort

local _ENV = nil

local function samples(list)
	local i = 0
	return function ()
		i = i + 1
		if list[i] then
			return list[i][1], list[i][2], list[i][3]
		end
	end
end

-- Only up. set is for those who take over what somebody else has counted.
local counter = {}
counter.__index = counter

function counter:add(n)
	self.value = self.value + n
end

function counter:set(n)
	self.value = n
end

function counter:iter_samples()
	return samples { { "_total", {}, self.value } }
end

-- Up and down.
local gauge = {}
gauge.__index = gauge
gauge.add, gauge.set = counter.add, counter.set

function gauge:iter_samples()
	return samples { { "", {}, self.value } }
end

-- How many, and their sum.
local summary = {}
summary.__index = summary

function summary:sample(value)
	self.sum = self.sum + value
	self.count = self.count + 1
end

function summary:iter_samples()
	return samples { { "_sum", {}, self.sum }, { "_count", {}, self.count } }
end

-- How many up to each of some bounds, all of them, and their sum.
local histogram = {}
histogram.__index = histogram

function histogram:sample(value)
	self.sum = self.sum + value
	self.count = self.count + 1
	local bounds = self.bounds
	for i = 1, #bounds do
		if value <= bounds[i] then
			self.buckets[i] = self.buckets[i] + 1
			return
		end
	end
end

--- Takes over what somebody else has counted: below[i] values up to bound i (the last of them: all), and their sum.
function histogram:set(below, sum)
	local before = 0
	for i, n in ipairs(below) do
		self.buckets[i] = n - before
		before = n
	end
	self.sum, self.count = sum, before
end

-- A number that reads as one with a fraction (OpenMetrics wants le="1.0").
local function bound_text(bound)
	if bound == math_huge then
		return "+Inf"
	end
	local text = s_format("%.12g", bound)
	return s_find(text, "[.e]") and text or text .. ".0"
end

function histogram:iter_samples()
	local list, below = {}, 0
	for i, bound in ipairs(self.bounds) do
		below = below + self.buckets[i]
		list[i] = { "_bucket", { le = bound_text(bound) }, below }
	end
	list[#list + 1] = { "_sum", {}, self.sum }
	list[#list + 1] = { "_count", {}, self.count }
	return samples(list)
end

local function new_histogram(conf)
	local bounds, buckets = {}, {}
	for i, bound in ipairs(conf.buckets) do
		bounds[i] = bound
	end
	t_sort(bounds)
	if bounds[#bounds] ~= math_huge then
		bounds[#bounds + 1] = math_huge
	end
	for i = 1, #bounds do
		buckets[i] = 0
	end
	return setmetatable({ sum = 0, count = 0, bounds = bounds, buckets = buckets }, histogram)
end

local constructors = {
	counter = function () return setmetatable({ value = 0 }, counter) end,
	gauge = function () return setmetatable({ value = 0 }, gauge) end,
	summary = function () return setmetatable({ sum = 0, count = 0 }, summary) end,
	histogram = new_histogram,
}

--- Raises what is wrong with a kind and its conf (a histogram's is { buckets = list of bounds }).
local function check(kind, conf)
	if not constructors[kind] then
		error(("\"%s\" is no type of metric: counter, gauge, summary or histogram"):format(tostring(kind)), 3)
	elseif kind == "histogram" and not (conf and conf.buckets) then
		error("a histogram needs its buckets: conf.buckets = { 1, 10, 100 }", 3)
	end
end

local function new(kind, conf)
	return constructors[kind](conf)
end

return { new = new, check = check }
