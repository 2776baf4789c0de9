--- coupletctl check dns: what the DNS says about each host, against the ports and addresses of this server, with the
-- line for the zone where something is missing or wrong.

local check_tlsa = require "ctl.check.tlsa"
local dns = require "prosody.net.dns"
local new_names = require "ctl.check.names".new
local services = require "ctl.check.services"

local TTL_SECONDS = 3600

local function without_dot(name)
	return (name:gsub("%.$", ""))
end

-- The record that would lead to a service of ours.
local function zone_line(host, service, target)
	return ("%s%s. %d IN SRV 0 5 %d %s."):format(service.srv, dns.to_ascii(host) or host, TTL_SECONDS, service.ports[1],
		dns.to_ascii(target) or target)
end

-- The records that would lead a name to this machine.
local function address_lines(name, addresses)
	local lines = {}
	for address in pairs(addresses) do
		if not services.is_private(address) then
			local kind = address:find(":", 1, true) and "AAAA" or "A"
			table.insert(lines, ("%s. %d IN %s %s"):format(dns.to_ascii(name) or name, TTL_SECONDS, kind, address))
		end
	end
	table.sort(lines)
	return lines[1] and table.concat(lines, "   ") or "the address by which the world reaches this machine"
end

-- One check of one host.
local methods = {}
local check_mt = { __index = methods }

-- What a name leads to: how many addresses of this machine, which others, and the name it is an alias of. nil and a
-- sentence when that is not known.
function methods:look_at(name, service)
	local found, alias = self.names:addresses(name)
	if not found then return nil, alias end
	local own, others = 0, {}
	for _, address in ipairs(found) do
		if service.addresses[address] then
			own = own + 1
		else
			table.insert(others, address)
		end
	end
	return own, others, alias
end

-- As far as one can see from here. Behind a router one cannot.
function methods:seems_here(name, service)
	local own, others = self:look_at(name, service)
	return own ~= nil and (own > 0 or others[1] ~= nil and services.are_private(service.addresses))
end

-- Tells what is wrong with the target of a record.
function methods:check_target(name, service)
	local report = self.report
	local own, others, alias = self:look_at(name, service)
	if not own then return report:problem("%s", others) end
	if alias then -- RFC 2782: the target must not be an alias
		report:problem("%s is an alias of %s; SRV records must not lead to an alias, so let them name %s", name, alias, alias)
	end
	if own > 0 then
		if others[1] then
			report:hint("%s leads to %s too, which is not this machine", name, table.concat(others, ", "))
		end
	elseif not others[1] then
		report:problem("%s has no address; in the zone: %s", name, address_lines(name, service.addresses))
	else
		local text = ("%s leads to %s, but this machine has %s"):format(name, table.concat(others, ", "),
			services.describe(service.addresses))
		if services.are_private(service.addresses) then
			report:hint("%s. If a router forwards from there: external_addresses = { \"%s\" }", text, others[1])
		else
			report:problem("%s; in the zone: %s", text, address_lines(name, service.addresses))
		end
	end
end

-- Where a record to be made should lead: where another one of the host leads here already, else to the host itself.
function methods:best_target()
	for _, service in ipairs(self.services) do
		for _, record in ipairs(self.names:answer(service.srv .. self.host, "SRV") or {}) do
			local target = without_dot(record.srv.target)
			if target ~= "" and self:seems_here(target, service) then return target end
		end
	end
	return self.host
end

--- The line for the zone that says where the service is.
function methods:zone_line(service)
	return zone_line(self.host, service, self:best_target())
end

--- Looks at one SRV record (RFC 2782): does its target lead here, to a port that is served?
function methods:check_record(service, record, is_served)
	local name, srv = without_dot(record.name), record.srv
	local target = without_dot(srv.target)
	if target == "" then -- RFC 2782: decidedly not available
		if is_served then
			self.report:problem("%s says that there is no such service; in the zone: %s", name, self:zone_line(service))
		else
			self.report:print("%s: not offered", name)
		end
	elseif not is_served then
		self.report:problem("%s leads to %s port %d, but nothing is served there; set %s_ports = { %d }, or take the record "
			.. "out of the zone", name, target, srv.port, service.name, srv.port)
	elseif not service.ports[srv.port] then
		self.report:problem("%s leads to port %d, but %s is served on %s; in the zone: %s", name, srv.port, service.name,
			table.concat(service.ports, ", "), zone_line(self.host, service, target))
	else
		self.report:print("%s: %s port %d", name, target, srv.port)
		self:check_target(target, service)
		if service.kind == "server" then
			check_tlsa(self.report, self.names, self.config, self.host, target, srv.port)
		end
	end
end

-- Nobody finds direct TLS without a record; STARTTLS is sought on its usual port at the host's own address then.
function methods:check_without_record(service)
	local name = service.srv .. self.host
	if service.is_direct then
		self.report:hint("there is no %s, so nobody finds direct TLS; in the zone: %s", name, self:zone_line(service))
	elseif not service.ports[service.default_port] then
		self.report:problem("there is no %s, and %s is not served on its usual port %d; in the zone: %s", name, service.name,
			service.default_port, self:zone_line(service))
	elseif self:seems_here(self.host, service) then
		self.report:print("%s: none, and none is needed: %s leads here", name, self.host)
	else
		local own, err = self:look_at(self.host, service)
		self.report:problem("there is no %s, and %s; in the zone: %s", name,
			own and self.host .. " does not lead here" or err, self:zone_line(service))
	end
end

--- Compares what the DNS says about a service with what is served.
function methods:check_service(service)
	local answer, err = self.names:answer(service.srv .. self.host, "SRV")
	local is_served = services.is_served(self.config, self.host, service)
	if not answer then
		self.report:problem("%s", err)
	elseif answer[1] then
		for _, record in ipairs(answer) do self:check_record(service, record, is_served) end
	elseif is_served then
		self:check_without_record(service)
	end
end

return function (ctl, report)
	local config = ctl:load_config()
	local names, err = new_names()
	if not names then return report:hint("%s", err) end
	local all, hosts = services.all(config), {}
	for _, host in ipairs(config.hosts()) do
		local why = services.without_dns(host)
		if why then
			report:print("%s %s and needs nothing from the DNS", host, why)
		else
			table.insert(hosts, host)
			for _, service in ipairs(all) do names:ask(service.srv .. host, "SRV") end
		end
	end
	for _, host in ipairs(hosts) do
		local check = setmetatable({ host = host, services = all, names = names, config = config, report = report },
			check_mt)
		for _, service in ipairs(all) do
			if services.is_wanted(config, host, service) then check:check_service(service) end
		end
	end
end
