--- Families of metrics, and their text in the formats OpenMetrics 1.0 and Prometheus 0.0.4.
--
--     local registry = openmetrics.new_metric_registry()
--     local family = registry:family("counter", "meals", "", "Meals that were eaten.", { "kind" })
--     family:with_labels("lunch"):add(1)
--     openmetrics.render(registry:get_metric_families())   -- the text, and its type
--
-- Always true: a family has at most METRICS_MAX combinations of label values; what comes then counts under "other" in
-- the place of each (SECURITY E9: peers cannot make memory grow by being many).
local log = require "prosody.util.logger".init("openmetrics")
local sorted_keys = require "prosody.util.table".sorted_keys
local statistics = require "prosody.util.statistics"

local error, ipairs, math_huge, next, pairs, select = error, ipairs, math.huge, next, pairs, select
local setmetatable, tostring = setmetatable, tostring
local math_type = math.type
local s_format, s_gsub, s_sub = string.format, string.gsub, string.sub
local t_concat, t_pack, t_sort, t_unpack = table.concat, table.pack, table.sort, table.unpack

local _ENV = nil

local METRICS_MAX = 1000
local VALUE_BYTES_MAX = 128

-- Families: the metrics of one name, one for each combination of label values.

local family_mt = {}
family_mt.__index = family_mt

local function key_of(values)
	return t_concat(values, "\0")
end

local function add_metric(self, values)
	if self.n_metrics >= METRICS_MAX then
		if not self.is_full then
			self.is_full = true
			log("warn", "%s has %d combinations of labels; more are counted as \"other\"", self.name, METRICS_MAX)
		end
		for i = 1, #self.label_keys do
			values[i] = "other"
		end
		local other = self.metrics[key_of(values)]
		if other then
			return other
		end
	end
	local entry = { labels = values, metric = statistics.new(self.type_, self.conf) }
	self.metrics[key_of(values)] = entry
	self.n_metrics = self.n_metrics + 1
	return entry
end

--- The metric with these label values, in the order of label_keys.
function family_mt:with_labels(...)
	local n = select("#", ...)
	if n ~= #self.label_keys then
		error(("%s has %d labels (%s), not %d"):format(self.name, #self.label_keys,
			t_concat(self.label_keys, ", "), n), 2)
	end
	local values = t_pack(...)
	for i = 1, n do
		values[i] = s_sub(tostring(values[i]), 1, VALUE_BYTES_MAX)
	end
	local entry = self.metrics[key_of(values)] or add_metric(self, values)
	return entry.metric
end

--- Walks over (label name -> value, metric), in the order of the values.
function family_mt:iter_metrics()
	local keys, i = sorted_keys(self.metrics), 0
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
			self.n_metrics = self.n_metrics - 1
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
	local all = { t_unpack(first) }
	for i = 1, select("#", ...) do
		all[#all + 1] = (select(i, ...))
	end
	return all
end

function partial_mt:with_labels(...)
	return self.family:with_labels(t_unpack(joined(self.first, ...)))
end

function partial_mt:with_partial_label(value)
	return setmetatable({ family = self.family, first = joined(self.first, value) }, partial_mt)
end

function partial_mt:clear()
	self.family:clear(self.first[1])
end

-- Registry

local registry_mt = {}
registry_mt.__index = registry_mt

--- Name -> family.
function registry_mt:get_metric_families()
	return self.families
end

--- The family of that name, made when new. kind: counter, gauge, summary or histogram (conf.buckets). The unit ends the
-- name.
function registry_mt:family(kind, name, unit, description, label_keys, conf)
	statistics.check(kind, conf)
	unit, label_keys = unit or "", label_keys or {}
	name = s_gsub(name, "[^%w_:]", "_")
	if unit ~= "" and s_sub(name, -#unit - 1) ~= "_" .. unit then
		name = name .. "_" .. unit
	end
	local family = self.families[name]
	if not family then
		family = setmetatable({
			name = name, type_ = kind, unit = unit, description = description or "", label_keys = label_keys, conf = conf,
			metrics = {}, n_metrics = 0,
		}, family_mt)
		self.families[name] = family
	elseif family.type_ ~= kind or #family.label_keys ~= #label_keys then
		error(("%s is already a %s with %d labels"):format(name, family.type_, #family.label_keys), 2)
	end
	return family
end

local function new_metric_registry()
	return setmetatable({ families = {} }, registry_mt)
end

-- Text

local escapes = { ["\\"] = "\\\\", ["\n"] = "\\n", ["\""] = "\\\"" }

local function escape(text)
	return (s_gsub(text, "[\\\n\"]", escapes))
end

local function number_text(value)
	if value ~= value then
		return "NaN"
	elseif value == math_huge or value == -math_huge then
		return value > 0 and "+Inf" or "-Inf"
	end
	return s_format(math_type(value) == "integer" and "%d" or "%.15g", value)
end

local function labels_text(labels, extra)
	local list = {}
	for _, each in ipairs { labels, extra } do
		for name, value in pairs(each) do
			list[#list + 1] = s_format("%s=\"%s\"", name, escape(value))
		end
	end
	t_sort(list)
	return list[1] and "{" .. t_concat(list, ",") .. "}" or ""
end

local function add_family(out, family, is_openmetrics)
	local name = family.name
	-- Prometheus' own format calls a counter by the name of its sample.
	local head = (family.type_ == "counter" and not is_openmetrics) and name .. "_total" or name
	local help = family.description ~= "" and family.description or name
	out[#out + 1] = s_format("# HELP %s %s", head, escape(help))
	out[#out + 1] = s_format("# TYPE %s %s", head, family.type_)
	if is_openmetrics and family.unit ~= "" then
		out[#out + 1] = s_format("# UNIT %s %s", head, family.unit)
	end
	for labels, metric in family:iter_metrics() do
		for suffix, extra, value in metric:iter_samples() do
			out[#out + 1] = s_format("%s%s%s %s", name, suffix, labels_text(labels, extra), number_text(value))
		end
	end
end

--- The text of families (name -> family), and its type. format: "prometheus", or OpenMetrics when nil.
local function render(families, format)
	local is_openmetrics = format ~= "prometheus"
	local out = {}
	for _, name in ipairs(sorted_keys(families)) do
		if next(families[name].metrics) then
			add_family(out, families[name], is_openmetrics)
		end
	end
	out[#out + 1] = is_openmetrics and "# EOF\n" or ""
	return t_concat(out, "\n"), is_openmetrics and "application/openmetrics-text; version=1.0.0; charset=utf-8"
		or "text/plain; version=0.0.4; charset=utf-8"
end

return { new_metric_registry = new_metric_registry, render = render }
