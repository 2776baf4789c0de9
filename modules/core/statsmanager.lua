--- Figures about the server: families of metrics as OpenMetrics knows them, kept in plain tables.
--
-- Counting is an addition in a table, nothing more: who wants to see the figures walks the registry. Whatever costs
-- something to count is counted when "stats-update" is fired, just before somebody looks (collect).

local config = require "prosody.core.configmanager"
local logger = require "prosody.util.logger"
local time_now = require "prosody.util.time".now
local timer = require "prosody.util.timer"

local log = logger.init("statsmanager")

local prosody = _G.prosody
local error, ipairs, math_huge, pairs, select, setmetatable = error, ipairs, math.huge, pairs, select, setmetatable
local tostring, type = tostring, type
local table_concat, table_pack, table_sort, table_unpack = table.concat, table.pack, table.sort, table.unpack

local _M = {}
local _ENV = nil

local DEFAULT_INTERVAL_SECONDS = 60

-- Kinds of metric. Each has its own way to be counted; iter_samples gives (suffix, extra labels, value).

local function samples(list)
	local i = 0
	return function ()
		i = i + 1
		if list[i] then
			return list[i][1], list[i][2], list[i][3]
		end
	end
end

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

local gauge = {}
gauge.__index = gauge
gauge.add, gauge.set = counter.add, counter.set

function gauge:iter_samples()
	return samples { { "", {}, self.value } }
end

local summary = {}
summary.__index = summary

function summary:sample(value)
	self.sum = self.sum + value
	self.count = self.count + 1
end

function summary:iter_samples()
	return samples { { "_sum", {}, self.sum }, { "_count", {}, self.count } }
end

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

function histogram:iter_samples()
	local list, below = {}, 0
	for i, bound in ipairs(self.bounds) do
		below = below + self.buckets[i]
		list[i] = { "_bucket", { le = bound == math_huge and "+Inf" or ("%.17g"):format(bound) }, below }
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
	table_sort(bounds)
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

-- Families: the metrics of one name, one for each combination of label values.

local family_mt = {}
family_mt.__index = family_mt

--- The metric with these label values, in the order of label_keys.
function family_mt:with_labels(...)
	local n = select("#", ...)
	if n ~= #self.label_keys then
		error(("%s has %d labels (%s), not %d"):format(self.name, #self.label_keys,
			table_concat(self.label_keys, ", "), n), 2)
	end
	local label_values = table_pack(...)
	for i = 1, n do
		label_values[i] = tostring(label_values[i])
	end
	local key = table_concat(label_values, "\0")
	local entry = self.metrics[key]
	if not entry then
		entry = { labels = label_values, metric = constructors[self.type_](self.conf) }
		self.metrics[key] = entry
	end
	return entry.metric
end

--- Walks over (label name -> value, metric).
function family_mt:iter_metrics()
	local keys, i = {}, 0
	for key in pairs(self.metrics) do
		keys[#keys + 1] = key
	end
	table_sort(keys)
	return function ()
		i = i + 1
		local entry = self.metrics[keys[i]]
		if entry then
			local labels = {}
			for at, name in ipairs(self.label_keys) do
				labels[name] = entry.labels[at]
			end
			return labels, entry.metric
		end
	end
end

--- Forgets all metrics of the family, or those whose first label has that value.
function family_mt:clear(first_label)
	for key, entry in pairs(self.metrics) do
		if first_label == nil or entry.labels[1] == tostring(first_label) then
			self.metrics[key] = nil
		end
	end
end

local partial_mt = {}
partial_mt.__index = partial_mt

--- The family as seen by one who fills in its first label(s) only once.
function family_mt:with_partial_label(value)
	return setmetatable({ family = self, first = { value } }, partial_mt)
end

local function joined(first, ...)
	local all = { table_unpack(first) }
	for i = 1, select("#", ...) do
		all[#all + 1] = (select(i, ...))
	end
	return all
end

function partial_mt:with_labels(...)
	return self.family:with_labels(table_unpack(joined(self.first, ...)))
end

function partial_mt:with_partial_label(value)
	return setmetatable({ family = self.family, first = joined(self.first, value) }, partial_mt)
end

function partial_mt:clear()
	self.family:clear(self.first[1])
end

-- Registry

local families = {} -- name -> family
local registry = {}

function registry:get_metric_families()
	return families
end

--- The registry: get_metric_families() gives name -> family.
function _M.get_metric_registry()
	return registry
end

--- The family of that name, made when new. metric_type: counter, gauge, summary or histogram (conf.buckets).
function _M.metric(metric_type, name, unit, description, label_keys, conf)
	if not constructors[metric_type] then
		error(("\"%s\" is no type of metric: counter, gauge, summary or histogram"):format(tostring(metric_type)), 2)
	elseif metric_type == "histogram" and not (conf and type(conf.buckets) == "table") then
		error("a histogram needs its buckets: conf.buckets = { 1, 10, 100 }", 2)
	end
	unit, label_keys = unit or "", label_keys or {}
	name = "prosody_" .. name:gsub("[^%w_:]", "_")
	if unit ~= "" and name:sub(-#unit - 1) ~= "_" .. unit then
		name = name .. "_" .. unit
	end
	local family = families[name]
	if not family then
		family = setmetatable({
			name = name, type_ = metric_type, unit = unit, description = description or "",
			label_keys = label_keys, conf = conf, metrics = {},
		}, family_mt)
		families[name] = family
	elseif family.type_ ~= metric_type or #family.label_keys ~= #label_keys then
		error(("%s is already a %s with %d labels"):format(name, family.type_, #family.label_keys), 2)
	end
	return family
end

-- The older interface: one function per figure

local measures = {}

function measures.amount(metric_of)
	local metric = metric_of("gauge")
	return function (value)
		metric:set(value)
	end
end

-- Goes up and down.
function measures.counter(metric_of)
	local metric = metric_of("gauge")
	return function (delta)
		metric:add(delta)
	end
end

-- Only up; how fast is for the one who reads it.
function measures.rate(metric_of)
	local metric = metric_of("counter")
	return function (n)
		metric:add(n or 1)
	end
end

function measures.distribution(metric_of, conf)
	local metric = metric_of(conf.buckets and "histogram" or "summary")
	return function (value)
		metric:sample(value)
	end
end
measures.sizes = measures.distribution

-- Call it at the start; call what it gives at the end.
function measures.times(metric_of, conf)
	local metric = metric_of(conf.buckets and "histogram" or "summary")
	return function ()
		local started = time_now()
		return function ()
			metric:sample(time_now() - started)
		end
	end
end

local default_units = { times = "seconds", sizes = "bytes" }

--- A function that counts: amount(value), counter(delta), rate([n]), distribution(value), sizes(bytes); times() gives
-- the function that stops the clock.
function _M.measure(stat_type, name, conf, label_key, label_value)
	local new_measure = measures[stat_type]
	if not new_measure then
		error(("\"%s\" is no type of measure: amount, counter, rate, distribution, sizes or times")
			:format(tostring(stat_type)), 2)
	end
	conf = conf or {}
	local unit = conf.unit or conf.units or default_units[stat_type]
	return new_measure(function (metric_type)
		local family = _M.metric(metric_type, name, unit, conf.description, label_key and { label_key }, conf)
		if label_key then
			return family:with_labels(label_value)
		end
		return family:with_labels()
	end, conf)
end

-- Looking at the figures

--- Several figures change together between cork and uncork. Ours are only read between turns, so nothing is to be held.
function _M.cork() end
function _M.uncork() end

--- Brings the figures up to date and tells those who send them on.
function _M.collect()
	prosody.events.fire_event("stats-update")
	prosody.events.fire_event("stats-updated", { metrics = families })
end

local collecting -- the timer

local function restart_collecting()
	if collecting then
		collecting:stop()
		collecting = nil
	end
	local interval = config.get("*", "statistics_interval") or DEFAULT_INTERVAL_SECONDS
	if not config.get("*", "statistics") or interval == "manual" then
		return
	elseif type(interval) ~= "number" or interval <= 0 then
		log("error", "statistics_interval should be a number of seconds or \"manual\", not %s; going on with %d seconds",
			tostring(interval), DEFAULT_INTERVAL_SECONDS)
		interval = DEFAULT_INTERVAL_SECONDS
	end
	collecting = timer.add_task(interval, function ()
		_M.collect()
		return interval
	end)
end

prosody.events.add_handler("server-started", restart_collecting)
prosody.events.add_handler("config-reloaded", restart_collecting)

return _M
