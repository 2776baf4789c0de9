--- Who may register, and how often (SECURITY: registration abuse).
-- @option min_seconds_between_registrations  period, none: per address; the same as a throttle of 1
-- @option registration_throttle_max     number, 5 (1 with the minimum above): registrations per address...
-- @option registration_throttle_period  period, 1 hour (or the minimum above): ...in this time
-- @option registration_throttle_cache_size  number, 1000: addresses remembered
-- @option blocklist_on_registration_throttle_overload  boolean, false: refuse addresses that were seen and forgotten
-- @option registration_allowlist        set, {"127.0.0.1", "::1"}: addresses or networks that no throttle holds for
-- @option registration_blocklist        set, {}: addresses or networks that may not register
-- @option allowlist_registration_only   boolean, false: only those of the allow list may
-- @option registration_whitelist        set: older name of registration_allowlist
-- @option registration_blacklist        set: older name of registration_blocklist
-- @option whitelist_registration_only   boolean: older name of allowlist_registration_only
-- @option blacklist_on_registration_throttle_overload  boolean: older name of blocklist_...
-- @hooks  user-registering        @fires none        @stores none
-- @spec   spec/modules/mod_register_limits_spec.lua
--
-- An IPv6 address counts as its /64: whoever has one has them all. Invited users (session.validated_invite) are free.

local cache = require "prosody.util.cache"
local create_throttle = require "prosody.util.throttle".create
local ip_util = require "prosody.util.ip"
local source_of = require "prosody.util.sasl.throttle".source_of

local min_seconds = module:get_option_period("min_seconds_between_registrations")
local throttle_max = module:get_option_integer("registration_throttle_max", min_seconds and 1 or 5, 1)
local throttle_period = module:get_option_period("registration_throttle_period", min_seconds or "1 hour")
local cache_size = module:get_option_integer("registration_throttle_cache_size", 1000, 1)
local block_overloaders = module:get_option_boolean("blocklist_on_registration_throttle_overload",
	module:get_option_boolean("blacklist_on_registration_throttle_overload", false))
local only_allowed = module:get_option_boolean("allowlist_registration_only",
	module:get_option_boolean("whitelist_registration_only", false))

-- Gives a list of { address, bits } for an option that names addresses and networks.
local function read_networks(name, old_name, default)
	local networks = {}
	for _, text in ipairs(module:get_option_array(name) or module:get_option_array(old_name, default)) do
		local address, bits = ip_util.parse_cidr(text)
		if address then
			table.insert(networks, { address = address, bits = bits })
		else
			module:log("error", "%s: %q is neither an address nor a network", name, text)
		end
	end
	return networks
end

local function is_in(networks, address)
	for _, network in ipairs(networks) do
		if network.address.proto == address.proto and ip_util.match(address, network.address, network.bits) then
			return true
		end
	end
	return false
end

local allowed_networks = read_networks("registration_allowlist", "registration_whitelist", { "127.0.0.1", "::1" })
local blocked_networks = read_networks("registration_blocklist", "registration_blacklist", {})

-- Sources that were forgotten while they were over their limit.
local overloaders = cache.new(cache_size)

local throttles = cache.new(cache_size, block_overloaders and function (source, throttle)
	if not throttle:peek() then
		module:log("info", "Too many registrations from %s: it may not register any more", source)
		overloaders:set(source, true)
	end
end or nil)

local function is_within_limit(source)
	local throttle = throttles:get(source)
	if not throttle then
		throttle = create_throttle(throttle_max, throttle_period)
		throttles:set(source, throttle)
	end
	return throttle:poll(1)
end

local function refuse(event, condition, reason)
	event.allowed = false
	event.reason = reason
	event.error_type = condition == "policy-violation" and "wait" or "cancel"
	event.error_condition = condition
end

local function check(event)
	local session = event.session
	if session and session.validated_invite then return end
	local address = event.ip and event.ip ~= "" and ip_util.new_ip(event.ip)
	if not address then
		if only_allowed then refuse(event, "forbidden", "Your address may not register") end
		return
	end
	if is_in(blocked_networks, address) then
		return refuse(event, "forbidden", "Your address may not register")
	elseif is_in(allowed_networks, address) then
		return
	elseif only_allowed then
		return refuse(event, "forbidden", "Your address may not register")
	end
	local source = source_of(event.ip)
	if overloaders:get(source) or not is_within_limit(source) then
		return refuse(event, "policy-violation", "Too many registrations from your address; try again later")
	end
end

module:hook("user-registering", check, 100)
