--- Figures about the server: one registry of families of metrics (util.openmetrics) for the core and all modules.
--
-- Counting is an addition in a table, nothing more: who wants to see the figures walks the registry. Whatever costs
-- something to count is counted when "stats-update" is fired, just before somebody looks (collect).

local config = require "prosody.core.configmanager"
local logger = require "prosody.util.logger"
local openmetrics = require "prosody.util.openmetrics"
local time_now = require "prosody.util.time".now
local timer = require "prosody.util.timer"

local log = logger.init("statsmanager")

local prosody = _G.prosody
local error, tostring, type = error, tostring, type

local _M = {}
local _ENV = nil

local DEFAULT_INTERVAL_SECONDS = 60

local registry = openmetrics.new_metric_registry()

--- The registry: get_metric_families() gives name -> family.
function _M.get_metric_registry()
	return registry
end

--- The family of that name, made when new. metric_type: counter, gauge, summary or histogram (conf.buckets). Names of
-- modules' metrics, "mod_x/name", become prosody_mod_x__name.
function _M.metric(metric_type, name, unit, description, label_keys, conf)
	return registry:family(metric_type, "prosody_" .. name:gsub("/", "__"), unit, description, label_keys, conf)
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
	prosody.events.fire_event("stats-updated", { metrics = registry:get_metric_families() })
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
