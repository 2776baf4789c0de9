--- How fast connections may send. What comes faster is not lost: the server reads it later, and TCP slows the peer
-- down.
-- @option limits          table: kind ("c2s", "s2sin") -> { rate = "10kb/s", burst = "2s" }. rate is in bytes, k and M
--                         are thousands and millions; burst is a time at that rate, or an amount ("256kb").
-- @option unlimited_jids  set of JIDs: accounts whose sessions are not limited once they are in
-- @hooks  stream-features, s2s-stream-features, resource-bind, smacks-hibernation-end, config-reloaded
-- @fires  none        @stores none
-- @spec   spec/modules/mod_limits_spec.lua

module:set_global()

local config = require "prosody.core.configmanager"
local jid_bare = require "prosody.util.jid".bare

local factors = { [""] = 1, k = 1000, m = 1000 * 1000, g = 1000 * 1000 * 1000 }

-- "10kb" -> 10000
local function parse_bytes(text)
	if type(text) == "number" then
		return text >= 0 and text or nil
	end
	local number, factor = tostring(text):lower():match "^%s*(%d+%.?%d*)%s*([kmg]?)i?b?%s*$"
	return number and tonumber(number) * factors[factor]
end

-- "10kb/s" -> 10000; 0 is without limit
local function parse_rate(text)
	return parse_bytes(type(text) == "string" and text:gsub("%s*/%s*s%s*$", "") or text)
end

-- "2s" at 10000 bytes per second -> 20000
local function parse_burst(text, rate)
	local seconds = type(text) == "string" and text:match "^%s*(%d+%.?%d*)%s*s%s*$"
	return seconds and tonumber(seconds) * rate or parse_bytes(text)
end

local defaults = {
	c2s = { rate = "10kb/s", burst = "256kb" },
	s2sin = { rate = "100kb/s", burst = "1mb" },
}

-- kind -> { rate = bytes per second, burst = bytes }
local limits = {}

local function read_options()
	local configured = module:get_option("limits", {})
	local place = config.place(module.host, "limits")
	if type(configured) ~= "table" then
		module:log("error", "%slimits should be a table; write limits = { c2s = { rate = \"10kb/s\" } }", place)
		configured = {}
	end
	for kind, default in pairs(defaults) do
		local wanted = configured[kind] or default
		local rate = parse_rate(wanted.rate)
		local burst = rate and parse_burst(wanted.burst or "2s", rate)
		if not burst then
			module:log("error", "%slimits: \"%s\" needs a rate like \"10kb/s\" and a burst like \"2s\"; using %s and %s", place,
				kind, default.rate, default.burst)
			rate = parse_rate(default.rate)
			burst = parse_burst(default.burst, rate)
		end
		limits[kind] = { rate = rate // 1 | 0, burst = burst // 1 | 0 }
	end
	for kind in pairs(configured) do
		if not defaults[kind] then
			module:log("warn", "%slimits: there are no limits for \"%s\"; known are c2s and s2sin", place, kind)
		end
	end
end

local function limit(session, kind)
	if session.rate_limited == nil and session.conn then
		session.rate_limited = true
		session.conn:set_rate(limits[kind].rate, limits[kind].burst)
	end
end

local function unlimit(session)
	if session.rate_limited and session.conn then
		session.rate_limited = false
		session.conn:set_rate(0)
	end
end

function module.add_host(module) -- luacheck: ignore 431
	local unlimited_jids = module:get_option_inherited_set("unlimited_jids", {})

	module:hook("stream-features", function (event)
		limit(event.origin, "c2s")
	end, 1000)

	module:hook("s2s-stream-features", function (event)
		if event.origin.direction == "incoming" then
			limit(event.origin, "s2sin")
		end
	end, 1000)

	module:hook("resource-bind", function (event)
		if unlimited_jids:contains(jid_bare(event.session.full_jid)) then
			unlimit(event.session)
		end
	end)

	-- The session goes on over a connection that was another's until now (XEP-0198).
	module:hook("smacks-hibernation-end", function (event)
		local session = event.resumed
		session.rate_limited = true
		if unlimited_jids:contains(jid_bare(session.full_jid)) then
			unlimit(session)
		end
	end)
end

read_options()
module:hook("config-reloaded", read_options)
