--- What this server offers to clients and servers, by its configuration: services, the names of their SRV records
-- (RFC 6120 3.2.1, XEP-0368), their ports, and the addresses they are reached by.

local classify = require "prosody.util.address".classify
local local_addresses = require "prosody.util.net".local_addresses
local portmanager = require "prosody.core.portmanager"

-- module: what serves it. default_port: where it is sought when there is no SRV record.
local known = {
	{ name = "c2s", module = "c2s", srv = "_xmpp-client._tcp.", kind = "client", default_port = 5222 },
	{ name = "c2s_direct_tls", module = "c2s", srv = "_xmpps-client._tcp.", kind = "client", is_direct = true },
	{ name = "s2s", module = "s2s", srv = "_xmpp-server._tcp.", kind = "server", default_port = 5269 },
	{ name = "s2s_direct_tls", module = "s2s", srv = "_xmpps-server._tcp.", kind = "server", is_direct = true },
}

-- The addresses behind an interface of the configuration.
local function add_addresses(set, interface)
	if interface == "*" or interface == "0.0.0.0" then
		for _, address in ipairs(local_addresses("ipv4")) do set[address] = true end
	elseif interface == "::" then
		for _, address in ipairs(local_addresses("ipv6")) do set[address] = true end
	else
		set[interface] = true
	end
end

local function is_disabled(config, host, module)
	for _, name in ipairs(config.as_list(config.get(host, "modules_disabled")) or {}) do
		if name == module then return true end
	end
	return false
end

--- The services: list of { name, srv, kind, default_port, is_direct, ports = list and set, addresses = set }. The
-- option external_addresses names those from which a router forwards to this machine.
local function all(config)
	local list = {}
	for _, service in ipairs(known) do
		local ports, interfaces = portmanager.places(service)
		local addresses = {}
		for _, interface in ipairs(interfaces) do add_addresses(addresses, interface) end
		for _, address in ipairs(config.as_list(config.get("*", "external_addresses")) or {}) do addresses[address] = true end
		for _, port in ipairs(table.move(ports, 1, #ports, 1, {})) do ports[port] = true end
		table.insert(list, setmetatable({ ports = ports, addresses = addresses }, { __index = service }))
	end
	return list
end

--- Does the host want to be found for this service? Components have no clients.
local function is_wanted(config, host, service)
	if service.kind == "client" and config.rawget(host, "component_module") then return false end
	return not is_disabled(config, host, service.module)
end

--- Is it also served: has it a port?
local function is_served(config, host, service)
	return service.ports[1] ~= nil and is_wanted(config, host, service)
end

--- The addresses as a text, sorted.
local function describe(addresses)
	local list = {}
	for address in pairs(addresses) do table.insert(list, address) end
	table.sort(list)
	return list[1] and table.concat(list, ", ") or "none"
end

local not_reached = { private = true, loopback = true, ["link-local"] = true }

--- Can the rest of the world not reach this address?
local function is_private(address)
	return not_reached[classify(address)] or false
end

--- Has this machine only such addresses?
local function are_private(addresses)
	for address in pairs(addresses) do
		if not is_private(address) then return false end
	end
	return true
end

--- Why a host needs nothing from the DNS, or nil.
local function without_dns(host)
	if classify(host:match("^%[(.*)%]$") or host) then return "is an address" end
	if host == "localhost" or host:match("%.localhost$") then return "is this machine wherever it is (RFC 6761)" end
	if host:match("%.local$") then return "is a name of the local network (RFC 6762)" end
	if not host:find(".", 1, true) then return "is in no zone" end
	return nil
end

return {
	all = all,
	is_wanted = is_wanted,
	is_served = is_served,
	describe = describe,
	is_private = is_private,
	are_private = are_private,
	without_dns = without_dns,
}
