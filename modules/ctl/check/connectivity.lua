--- coupletctl check connectivity: connects as clients and other servers do, to where the DNS leads them, and looks at
-- TLS and the certificate shown there.

local certmanager = require "prosody.core.certmanager"
local native = require "couplet.native"
local new_names = require "ctl.check.names".new
local probe = require "ctl.check.probe"
local services = require "ctl.check.services"
local x509 = require "prosody.util.x509"
local from_pem = require "prosody.util.x509core".from_pem

local MAX_ADDRESSES = 8

local function by_priority(a, b)
	if a.srv.priority ~= b.srv.priority then return a.srv.priority < b.srv.priority end
	return a.srv.port < b.srv.port
end

-- Where a client or server is led that wants to reach the host for a service: a list of { name, port }; nil and why.
local function targets_of(names, host, service)
	local answer, err = names:answer(service.srv .. host, "SRV")
	if not answer then return nil, err end
	if not answer[1] then return service.default_port and { { name = host, port = service.default_port } } or {} end
	local records, targets = table.move(answer, 1, #answer, 1, {}), {}
	table.sort(records, by_priority)
	for _, record in ipairs(records) do
		local name = record.srv.target:gsub("%.$", "")
		if name ~= "" then table.insert(targets, { name = name, port = record.srv.port }) end
	end
	return targets
end

-- Probes for all addresses of one service of one host are added to the list.
local function start_probes(list, ctl, names, host, service, report)
	local targets, err = targets_of(names, host, service)
	if not targets then return report:problem("%s", err) end
	local config, count = ctl.config, 0
	local context, why = certmanager.create_context(host, "client", config.rawget(host, "ssl"))
	if not context then return report:problem("%s: %s", host, why) end
	for _, target in ipairs(targets) do
		local addresses, problem = names:addresses(target.name)
		if not addresses then
			report:problem("%s", problem)
		elseif not addresses[1] then
			report:problem("%s has no address", target.name)
		end
		for _, address in ipairs(addresses or {}) do
			count = count + 1
			if count > MAX_ADDRESSES then return report:hint("%s%s leads to more addresses; they were not tried",
				service.srv, host) end
			table.insert(list, probe.start {
				address = address, port = target.port, host = host, kind = service.kind, is_direct = service.is_direct,
				context = context, target = target.name,
				done = function (self) self.is_done = true end,
			})
		end
	end
end

-- The certificate file that the configuration has for a host; nil when there is none.
local function configured_certificate(config, host)
	local _, _, used = certmanager.create_context(host, "server", config.rawget(host, "ssl"))
	return type(used) == "table" and used.certificate or nil
end

local function check_certificate(one, where, config, report)
	local certificate = one.chain and from_pem(one.chain)
	if not one.is_trusted then
		report:problem("%s: others do not trust the certificate: %s", where, one.why_not_trusted)
	end
	if certificate and not x509.verify_identity(one.host, "xmpp-" .. one.kind, certificate) then
		report:problem("%s: the certificate does not name %s", where, one.host)
	end
	local path = configured_certificate(config, one.host)
	local ours = path and x509.load(path)
	if certificate and ours and ours:pem() ~= certificate:pem() then
		report:hint("%s: shows another certificate than %s; was the server reloaded since, and is it this one?", where, path)
	end
end

local function tell(one, config, report)
	local where = ("%s for %ss: %s [%s] port %d%s"):format(one.host, one.kind, one.target, one.address, one.port,
		one.is_direct and ", direct TLS" or "")
	if one.failure then report:problem("%s: %s", where, one.failure) end
	if one.is_secure then
		local before = report.problems
		check_certificate(one, where, config, report)
		if report.problems == before and not one.failure then
			report:print("%s: %s, the certificate is good", where, one.tls.protocol)
		end
	end
end

return function (ctl, report)
	local config = ctl:load_config()
	local names, err = new_names()
	if not names then return report:hint("%s", err) end
	local all, probes = services.all(config), {}
	local function each(fn)
		for _, host in ipairs(config.hosts()) do
			for _, service in ipairs(all) do
				if not services.without_dns(host) and services.is_served(config, host, service) then fn(host, service) end
			end
		end
	end
	each(function (host, service) names:ask(service.srv .. host, "SRV") end)
	each(function (host, service) start_probes(probes, ctl, names, host, service, report) end)
	for _, one in ipairs(probes) do
		while not one.is_done do native.turn(true) end
		tell(one, config, report)
	end
	report:print("This was tried from this machine; a firewall between it and the world was not.")
end
