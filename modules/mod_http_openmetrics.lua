--- Figures for Prometheus and its like: GET /metrics gives them as OpenMetrics text (or in Prometheus' own older format
-- to whoever does not ask for OpenMetrics): streams, stanzas, queues, memory, how long turns, Lua and stores take, and
-- whatever modules measure.
-- @option openmetrics_allow_ips   set, {"127.0.0.1", "::1"}: addresses and networks that may ask
-- @option openmetrics_allow_cidr  network: one more
-- @hooks  authentication-success, authentication-failure, store-opened, storage-write-failed, stats-update
-- @fires none        @stores none
-- @spec   spec/e2e/web_metrics_spec.lua, spec/interop/prometheus_spec.lua
--
-- How long each hook and each store takes is measured only while this module is loaded. No figure names a user, and
-- peers cannot make new ones appear (SECURITY E9, F6).

module:set_global()
module:depends("http")

local allow = require "prosody.net.http.allow"
local figures = require "prosody.core.figures"
local openmetrics = require "prosody.util.openmetrics"
local statsmanager = require "prosody.core.statsmanager"
local now = require "prosody.util.time".monotonic
local storagemanager = require "prosody.core.storagemanager"

local registry = statsmanager.get_metric_registry()
local may_ask = allow.new(module, "openmetrics_allow_ips",
	module:get_option_set("openmetrics_allow_ips", { "127.0.0.1", "::1" }),
	module:get_option_string("openmetrics_allow_cidr"))

figures.start(registry)
figures.time_calls(true)
module:hook("stats-update", figures.update)

-- Stores

local store_seconds = registry:family("histogram", "couplet_store", "seconds", "How long calls of stores took.",
	{ "store", "operation" }, { buckets = { 0.0001, 0.001, 0.01, 0.1, 1 } })
local failed_writes = registry:family("counter", "couplet_store_failed_writes", "", "Writes that were lost.",
	{ "store" })

-- Users choose the names of pubsub nodes, each of which is a store.
local function class_of(store) return store:match "^(pep)_" or store:match "^(pubsub)_" or store end

local function timed(fn, name, operation)
	local metric
	local function done(started, ...)
		metric = metric or store_seconds:with_labels(name, operation)
		metric:sample(now() - started)
		return ...
	end
	return function (...) return done(now(), fn(...)) end
end

local watched = setmetatable({}, { __mode = "k" }) -- store -> list of the functions that stand before its own

-- The methods that all stores of a kind share get a timed one before them, in the store itself.
local function watch(store, name)
	local shared = (getmetatable(store) or {}).__index
	if watched[store] or type(shared) ~= "table" then return end
	watched[store] = {}
	for key, value in pairs(shared) do
		if type(value) == "function" and rawget(store, key) == nil then
			watched[store][key] = true
			store[key] = timed(value, class_of(name), key)
		end
	end
end

local function unwatch_all()
	for store, keys in pairs(watched) do
		for key in pairs(keys) do store[key] = nil end
		watched[store] = nil
	end
end

for store, name in storagemanager.stores() do watch(store, name) end

local logins = registry:family("counter", "couplet_logins", "", "Attempts of clients to log in, by their end.",
	{ "result" })

function module.add_host(host_module)
	host_module:hook("authentication-success", function () logins:with_labels("success"):add(1) end, 1000)
	host_module:hook("authentication-failure", function () logins:with_labels("failure"):add(1) end, 1000)
	host_module:hook("store-opened", function (event)
		watch(event.store, event.store_name)
	end, -1000)
	host_module:hook("storage-write-failed", function (event)
		failed_writes:with_labels(class_of(event.store or "?")):add(1)
	end, 1000)
end

-- Answers

module:provides("http", {
	default_path = "/metrics",
	route = {
		GET = function (event)
			local request, headers = event.request, event.response.headers
			if not may_ask(request) then return 403 end
			statsmanager.collect()
			local wants = (request.headers.accept or ""):find("application/openmetrics-text", 1, true)
			local text, content_type = openmetrics.render(registry:get_metric_families(), not wants and "prometheus" or nil)
			headers.content_type, headers.cache_control, headers.vary = content_type, "no-store", "Accept"
			return text
		end,
	},
})

function module.unload()
	unwatch_all()
	figures.time_calls(false)
end
