--- Services and the ports they are served on.
--
-- A module offers a service as the item net-provider (module:provides("net", {...})): name, listener (callbacks, or
-- "c2s" for streams of the core), default_port(s), default_interface, default_mode, encryption ("ssl": TLS from the
-- first byte), private (by default only this machine), ssl_config, multiplex. Where it listens is the admin's:
-- NAME_ports and NAME_interfaces, or config_prefix in the place of NAME; else interfaces, and local_interfaces for
-- private services.
--
-- What strangers may take of a port (SECURITY table 2): max_connections_per_ip (100),
-- max_accepts_per_second_per_ip (20), max_accepts_per_second (200), and for streams max_unauthenticated_per_ip (50) and
-- max_unauthenticated (2000); with a prefix as above for one service; 0 is no limit. But for max_unauthenticated they
-- do not hold for unlimited_ips (this machine, where it is proxies and gateways that connect) nor for trusted_proxies.
--
-- Always true: one service per interface and port. A port that cannot be had is an error in the log, and the server
-- goes on with the others.

local certmanager = require "prosody.core.certmanager"
local config = require "prosody.core.configmanager"
local logger = require "prosody.util.logger"
local multitable = require "prosody.util.multitable"
local native = require "couplet.native"
local parse_cidr = require "prosody.util.ip".parse_cidr
local sorted_keys = require "prosody.util.table".sorted_keys

local log = logger.init("portmanager")

local prosody = _G.prosody
local ipairs, pairs, pcall, tonumber, tostring, type = ipairs, pairs, pcall, tonumber, tostring, type
local io_open, table_concat, table_insert, table_remove = io.open, table.concat, table.insert, table.remove

local _M = {}
local _ENV = nil

-- A machine without IPv6 is no reason for errors about addresses nobody asked for.
local function has_ipv6()
	local file = io_open("/proc/net/if_inet6")
	local is_there = file and file:read(1) ~= nil
	if file then
		file:close()
	end
	return is_there and config.get("*", "use_ipv6") ~= false
end

local function default_interfaces()
	return has_ipv6() and { "*", "::" } or { "*" }
end

local function default_local_interfaces()
	return has_ipv6() and { "127.0.0.1", "::1" } or { "127.0.0.1" }
end

-- Names of options from earlier versions: service -> prefix that is read too.
local legacy_prefixes = { c2s_direct_tls = "legacy_ssl" }

local services = {} -- name -> list of registered services, the last one is in use
local active_services = multitable.new() -- name, interface, port -> { service, server, tls_cfg }
local is_ready = false -- services wait until every module is there, so that ports open only when all can answer

-- Options

local function prefix_of(service)
	local prefix = service.config_prefix or service.name
	return prefix ~= "" and prefix .. "_" or ""
end

-- The first of the options that is set, as a list, and its name.
local function first_option(...)
	for _, name in ipairs { ... } do
		local value = config.get("*", name)
		if value ~= nil then
			return config.as_list(value), name
		end
	end
end

-- The addresses of a service and the option that gave them.
local function interfaces_of(service)
	local prefix = prefix_of(service)
	local list, option = first_option(prefix .. "interfaces", prefix .. "interface")
	local defaults = config.as_list(service.default_interfaces or service.default_interface)
	if list then
		return list, option
	elseif service.private and defaults then
		return defaults
	elseif service.private then
		list, option = first_option("local_interfaces", "local_interface")
		return list or default_local_interfaces(), option
	end
	list, option = first_option("interfaces", "interface")
	return list or defaults or default_interfaces(), option
end

-- The ports of a service and the option that gave them.
local function ports_of(service)
	local prefix = prefix_of(service)
	local legacy = legacy_prefixes[service.name]
	local ports, option = first_option(prefix .. "ports", prefix .. "port", legacy and legacy .. "_ports")
	return ports or config.as_list(service.default_ports or service.default_port) or {}, option
end

local function valid_port(port)
	local number = tonumber(port)
	return number and number % 1 == 0 and number >= 0 and number <= 65535 and number // 1 | 0 or nil
end

--- Where the configuration puts a service (a table as in net-provider): lists of ports and of interfaces.
function _M.places(service)
	local ports = {}
	for _, port in ipairs((ports_of(service))) do
		table_insert(ports, valid_port(port))
	end
	return ports, (interfaces_of(service))
end

-- Limits

local default_limits = {
	max_connections_per_ip = 100, max_accepts_per_second_per_ip = 20, max_accepts_per_second = 200,
	max_unauthenticated_per_ip = 50, max_unauthenticated = 2000,
}

local function limit_of(service, name)
	local value, option = first_option(prefix_of(service) .. name, name)
	local number = value and tonumber(value[1])
	if value and not (number and number >= 0 and number % 1 == 0) then
		log("error", "%s%s: %s is no limit; write a whole number, 0 for no limit", config.place("*", option), option,
			tostring(value[1]))
		number = nil
	end
	return (number or default_limits[name]) // 1 | 0
end

local function add_networks(networks, option, default)
	for _, text in ipairs(config.as_list(config.get("*", option)) or default) do
		local ip, bits = parse_cidr(tostring(text))
		if ip then
			table_insert(networks, { address = ip.addr, bits = bits or (ip.proto == "IPv4" and 32 or 128) })
		else
			log("error", "%s%s: \"%s\" is neither an address nor a network", config.place("*", option), option,
				tostring(text))
		end
	end
end

local function exempt_networks()
	local networks = {}
	add_networks(networks, "unlimited_ips", { "127.0.0.0/8", "::1" })
	add_networks(networks, "trusted_proxies", {})
	return networks
end

local function set_limits(service, server)
	local knows_peers = type(service.listener) == "string" -- streams say when somebody has logged in
	local ok, err = pcall(server.set_limits, server, {
		connections_per_ip = limit_of(service, "max_connections_per_ip"),
		accepts_per_second = limit_of(service, "max_accepts_per_second"),
		accepts_per_second_per_ip = limit_of(service, "max_accepts_per_second_per_ip"),
		strangers = knows_peers and limit_of(service, "max_unauthenticated") or 0,
		strangers_per_ip = knows_peers and limit_of(service, "max_unauthenticated_per_ip") or 0,
		exempt = exempt_networks(),
	})
	if not ok then
		log("error", "The limits of %s are not complete: %s", service.name, err)
	end
end

-- Listening

local function complain_bind(service, interface, port, option, err)
	local _, interface_option = interfaces_of(service)
	log("error", "%s%s is not served on %s port %d: %s. The options are %s and %s", config.place("*", option),
		service.name, interface, port, err, option or prefix_of(service) .. "ports", interface_option or "interfaces")
end

local function listen(service, interface, port, option)
	local taken_by = _M.get_service_at(port, interface)
	if taken_by then
		complain_bind(service, interface, port, option, "it is already used for " .. taken_by.name)
		return false
	end
	local context
	if service.encryption == "ssl" then
		local err
		context, err = certmanager.create_service_context(service, port)
		if not context then
			log("error", "%s is not served on %s port %d: %s", service.name, interface, port, err)
			return false
		end
	end
	local is_native = type(service.listener) == "string"
	local ok, server, err = pcall(native.listen, {
		interface = interface, port = port,
		kind = is_native and service.listener or nil, listener = not is_native and service.listener or nil,
		tls = context, direct_tls = context ~= nil,
	})
	if not ok then
		server, err = nil, tostring(server) -- what a module offered is no service
	end
	if not server then
		complain_bind(service, interface, port, option, err)
		return false
	end
	set_limits(service, server)
	active_services:set(service.name, interface, port, { service = service, server = server, tls_ctx = context })
	return true
end

--- Opens the ports of a registered service. Gives how many could be opened.
function _M.activate(name)
	local list = services[name]
	local service = list and list[#list]
	if not service then
		return nil, "there is no service " .. tostring(name)
	end
	local opened, where = 0, {}
	local ports, option = ports_of(service)
	for _, interface in ipairs((interfaces_of(service))) do
		for _, given in ipairs(ports) do
			local port = valid_port(given)
			if not port then
				log("error", "%s%s: %s is no port; write a number from 1 to 65535", config.place("*", option), option or name,
					tostring(given))
			elseif listen(service, interface, port, option) then
				opened = opened + 1
				where[#where + 1] = ("[%s]:%d"):format(interface, port)
			end
		end
	end
	if opened > 0 then
		log("info", "Activated service '%s' on %s", name, table_concat(where, ", "))
	elseif #ports == 0 then
		log("debug", "Service '%s' has no port: set %sports to serve it", name, prefix_of(service))
	else
		log("error", "Service '%s' could not be opened on any port", name)
	end
	return opened
end

--- Closes one port: true, or nil and an error.
function _M.close(interface, port)
	local service = _M.get_service_at(port, interface)
	if not service then
		return nil, ("no service listens on %s port %s"):format(tostring(interface), tostring(port))
	end
	local active = active_services:get(service.name, interface, port)
	active.server:close()
	active_services:set(service.name, interface, port, nil)
	log("info", "Closed %s port %d of service '%s'", interface, port, service.name)
	return true
end

--- Closes all ports of a service by its name (or the service itself). Connections that are there stay.
function _M.deactivate(name, service)
	if type(name) == "table" then
		name, service = name.name, name
	end
	local closing = {}
	for interface, ports in pairs(active_services:get(name) or {}) do
		for port, active in pairs(ports) do
			if not service or active.service == service then
				closing[#closing + 1] = { interface, port }
			end
		end
	end
	for _, at in ipairs(closing) do
		_M.close(at[1], at[2])
	end
	return #closing > 0
end

-- Services

--- Makes a service known; its ports are opened once the server has all its modules.
function _M.register_service(name, service)
	services[name] = services[name] or {}
	table_insert(services[name], service)
	if is_ready then
		_M.deactivate(name) -- the one it takes the place of
		_M.activate(name)
	end
	prosody.events.fire_event("service-added", { name = name, service = service })
	return true
end

--- Forgets a service and closes its ports; an earlier one of the same name takes them again.
function _M.unregister_service(name, service)
	local list = services[name]
	for i = #(list or {}), 1, -1 do
		if list[i] == service then
			table_remove(list, i)
			_M.deactivate(name, service)
			if #list == 0 then
				services[name] = nil
			elseif is_ready then
				_M.activate(name)
			end
			prosody.events.fire_event("service-removed", { name = name, service = service })
			return true
		end
	end
	return false
end

--- Opens the ports of all services: when the modules are loaded, before privileges are dropped.
function _M.activate_all()
	is_ready = true
	local total = 0
	for _, name in ipairs(sorted_keys(services)) do
		total = total + (_M.activate(name) or 0)
	end
	return total
end

--- Closes every port.
function _M.close_all()
	for name in pairs(services) do
		_M.deactivate(name)
	end
	is_ready = false
end

--- The service of that name that is in use.
function _M.get_service(name)
	local list = services[name]
	return list and list[#list]
end

--- Who listens there: the service and the listener.
function _M.get_service_at(port, interface)
	for _, interfaces in pairs(active_services.data) do
		local active = interfaces[interface] and interfaces[interface][port]
		if active then
			return active.service, active.server
		end
	end
end

--- A multitable: name, interface, port -> { service, server }.
function _M.get_active_services()
	return active_services
end

--- name -> list of services.
function _M.get_registered_services()
	return services
end

-- Changes while running

local function renew_contexts()
	for name, interfaces in pairs(active_services.data) do
		for interface, ports in pairs(interfaces) do
			for port, active in pairs(ports) do
				local context, err
				if active.tls_ctx then
					context, err = certmanager.create_service_context(active.service, port)
				end
				if context then
					active.tls_ctx = context
					active.server:set_tls(context)
				elseif err then
					log("error", "%s on %s port %d keeps the certificate it had: %s", name, interface, port, err)
				end
			end
		end
	end
end

-- Opens and closes what the new configuration asks for; ports that stay are not touched.
local function follow_config()
	for name in pairs(services) do
		local service = _M.get_service(name)
		local wanted = {}
		local ports, option = ports_of(service)
		for _, interface in ipairs((interfaces_of(service))) do
			wanted[interface] = {}
			for _, port in ipairs(ports) do
				wanted[interface][valid_port(port) or false] = true
			end
		end
		local gone = {}
		for interface, active_ports in pairs(active_services:get(name) or {}) do
			for port in pairs(active_ports) do
				if not (wanted[interface] and wanted[interface][port]) then
					gone[#gone + 1] = { interface, port }
				end
			end
		end
		for _, at in ipairs(gone) do
			_M.close(at[1], at[2])
		end
		for interface, wanted_ports in pairs(wanted) do
			for port in pairs(wanted_ports) do
				local active = port and active_services:get(name, interface, port)
				if active then
					set_limits(active.service, active.server)
				elseif port then
					listen(service, interface, port, option)
				end
			end
		end
	end
	renew_contexts()
end

prosody.events.add_handler("item-added/net-provider", function (event)
	_M.register_service(event.item.name, event.item)
end)

prosody.events.add_handler("item-removed/net-provider", function (event)
	_M.unregister_service(event.item.name, event.item)
end)

prosody.events.add_handler("config-reloaded", follow_config)
prosody.events.add_handler("certificates-reloaded", renew_contexts)

return _M
