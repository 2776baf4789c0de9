--- Where to connect for a domain: what the configuration says, else what a module finds (the item s2s-finder, see
-- mod_mdns), else the domain's own records (RFC 6120 3.2, XEP-0368).
--
-- Always true: an address that only the DNS has given us is tried only if it is one of the public network, or listed in
-- s2s_allow_private_targets, or private and of a domain that is_in_lan. What the admin wrote down is tried as it is.
-- Where this server listens itself is never tried, and of a domain no more than 8 addresses are (SECURITY C7).

local address = require "prosody.util.address"
local basic = require "prosody.net.resolvers.basic"
local jid = require "prosody.util.jid"
local local_addresses = require "prosody.util.net".local_addresses
local portmanager = require "prosody.core.portmanager"
local service = require "prosody.net.resolvers.service"
local unbound_settings = require "prosody.net.unbound_settings"

local DEFAULT_PORT, DEFAULT_DIRECT_PORT = 5269, 5270
local MAX_TARGETS = 8
local MAX_HOSTS_BYTES = 1024 * 1024

local targets = {}

local overrides, is_allowed, is_allowed_in_lan, use_dane

--- Is that a domain of the local network, as the admin says? mod_s2s answers.
function targets.is_in_lan() return false end

function targets.load()
	overrides = {}
	for domain, route in pairs(module:get_option("s2s_connect_overrides", {})) do
		local name = jid.prep(domain)
		if not name or type(route) ~= "table" then
			module:log("error", "s2s_connect_overrides: [\"%s\"] must be a domain, with a table like { host = \"192.0.2.1\" }",
				tostring(domain))
		else
			overrides[name] = route[1] and route or { route }
		end
	end
	local allowed, err = address.checker(module:get_option_array("s2s_allow_private_targets", {}))
	if not allowed then
		module:log("error", "s2s_allow_private_targets: %s", err)
		allowed = address.checker()
	end
	is_allowed = allowed
	local in_lan = address.checker { "private", "link-local" }
	is_allowed_in_lan = function (ip)
		if in_lan(ip) then return true end
		return allowed(ip)
	end
	use_dane = module:get_option_boolean("use_dane", false)
	module:get_option_number("dns_timeout", 10, 0.1, 60) -- for net.unbound; a bad one is told here
	local ok, why = unbound_settings.check(module:get_option("unbound"))
	if not ok then module:log("error", "No name can be looked up: %s", why) end
end

-- Our own listeners

local function is_on_this_machine(ip)
	if address.classify(ip) == "loopback" then return true end
	for _, own in ipairs(local_addresses("both", true)) do
		if own == ip then return true end
	end
	return false
end

-- Is it we who listen there? A connection to ourselves could only be refused, by both of us.
local function is_own_listener(ip, port)
	ip = ip:match("^::ffff:(%d+%.%d+%.%d+%.%d+)$") or ip -- the same to the one who connects
	if portmanager.get_service_at(port, ip) then return true end
	for _, interface in ipairs { "*", "0.0.0.0", "::" } do
		if portmanager.get_service_at(port, interface) then return is_on_this_machine(ip) end
	end
	return false
end

-- Has the admin given the name an address in the hosts file?
local function is_in_hosts_file(name)
	local settings = module:get_option("unbound")
	local path = "/etc/hosts"
	if type(settings) == "table" and settings.hoststxt ~= nil then path = settings.hoststxt end -- as for net.unbound
	local file <close> = path and io.open(path == true and "/etc/hosts" or path)
	local text = file and file:read(MAX_HOSTS_BYTES) or ""
	for line in text:gmatch("[^\n]+") do
		if line:lower():find(name, 1, true) then
			for word in line:gsub("#.*", ""):lower():gmatch("%s(%S+)") do
				if word == name then return true end
			end
		end
	end
	return false
end

-- What the records and the configuration say

local methods = {}
local mt = { __index = methods }

local function port_of(route)
	return route.port or route.direct_tls and DEFAULT_DIRECT_PORT or DEFAULT_PORT
end

--- Where the configuration says that a domain is: a list of { host = name or address, port = }; nil: it does not.
function targets.overrides_of(domain)
	local routes = overrides[domain]
	if not routes then return nil end
	local list = {}
	for _, route in ipairs(routes) do table.insert(list, { host = route.host or domain, port = port_of(route) }) end
	return list
end

-- A list of resolvers with what belongs to their targets.
local function resolvers_for(domain, note)
	local list = {}
	local routes = overrides[domain]
	for rank, route in ipairs(routes or {}) do
		table.insert(list, { direct_tls = route.direct_tls or false, from = "s2s_connect_overrides", priority = rank,
			resolver = basic.new(route.host or domain, port_of(route), "tcp", { note = note, use_dane = use_dane }) })
	end
	if routes then return list end
	if targets.is_in_lan(domain) and is_in_hosts_file(domain) then -- there may be nobody to ask for SRV records
		return { { resolver = basic.new(domain, DEFAULT_PORT, "tcp", { is_allowed = is_allowed_in_lan, note = note }),
			direct_tls = false, from = "the hosts file" } }
	end
	for _, finder in ipairs(module:get_host_items("s2s-finder")) do
		local resolver, is_only = finder.find(domain, is_allowed_in_lan, note)
		if resolver then table.insert(list, { resolver = resolver, from = finder.name }) end
		if is_only then return list end
	end
	local may_be = targets.is_in_lan(domain) and is_allowed_in_lan or is_allowed
	local ip = domain:match("^%[(.*)%]$") or domain
	if address.classify(ip) then
		return { { resolver = basic.new(ip, DEFAULT_PORT, "tcp", { is_allowed = may_be }), from = "the domain itself" } }
	end
	table.insert(list, { from = "DNS", resolver = service.new(domain, { "xmpps-server", "xmpp-server" }, "tcp",
		{ default_port = DEFAULT_PORT, is_allowed = may_be, use_dane = use_dane, note = note }) })
	return list
end

--- The targets of a domain, asked for one after the other. note: a function (text, ...) that is told what the DNS
-- answers, or nil.
function targets.new(domain, note)
	return setmetatable({ list = resolvers_for(domain, note), at = 1, left = MAX_TARGETS }, mt)
end

--- Later calls cb { address =, port =, direct_tls =, name =, from =, priority =, tlsa =, is_secure = } or cb(nil, why
-- there are no more, whether only because a name server did not answer). priority: two targets with the same are of
-- equal rank. With use_dane: is_secure, all that led here was validated, and it was the DNS alone; tlsa, an answer with
-- the TLSA records of name and port (RFC 6698), if there are some, validated too.
function methods:next(cb)
	local current = self.list[self.at]
	if not current or self.left == 0 or self.is_cancelled then
		return cb(nil, self.err or "there is no address to connect to", self.is_unanswered)
	end
	current.resolver:next(function (conn_type, ip, port, extra)
		if self.is_cancelled then return end
		if not conn_type then
			self.err = self.refused or ip or self.err
			self.is_unanswered = self.is_unanswered or port
			self.at = self.at + 1
			return self:next(cb)
		end
		if is_own_listener(ip, port) then
			self.refused = ("%s port %d is this server itself"):format(ip, port)
			return self:next(cb)
		end
		self.left = self.left - 1
		local direct_tls = current.direct_tls
		if direct_tls == nil then direct_tls = extra and extra.direct_tls or false end
		extra = extra or {}
		cb { address = ip, port = port, direct_tls = direct_tls, name = extra.target, from = current.from,
			priority = extra.priority or current.priority, tlsa = extra.tlsa,
			is_secure = use_dane and extra.secure and current.from == "DNS" }
	end)
end

function methods:cancel()
	self.is_cancelled = true
	for _, one in ipairs(self.list) do one.resolver:cancel() end
end

targets.load()
return targets
