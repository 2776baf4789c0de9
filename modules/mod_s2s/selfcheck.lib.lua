--- How others find a host of ours: what the DNS tells them, and whether that is so. For the admin whom nobody reaches.
--
-- Always true: nothing is connected to; that a port is open to the world only the world can tell.

local certmanager = require "prosody.core.certmanager"
local dns = require "prosody.net.dns"
local hashes = require "prosody.util.hashes"
local local_addresses = require "prosody.util.net".local_addresses
local portmanager = require "prosody.core.portmanager"
local x509 = require "prosody.util.x509"

local DEFAULT_PORT = 5269

local ask, policy

local kinds = { -- by the names of their SRV records
	["_xmpp-server._tcp."] = { what = "STARTTLS", service = "s2s" },
	["_xmpps-server._tcp."] = { what = "direct TLS", service = "s2s_direct_tls" },
}

local function listens(service, port)
	for _, ports in pairs(portmanager.get_active_services():get(service) or {}) do
		if ports[port] then return true end
	end
	return false
end

local function is_here(address)
	for _, own in ipairs(local_addresses("both", true)) do
		if own == address then return true end
	end
	return false
end

local function report_bogus(report, name, answer)
	if answer and answer.bogus then
		report.problem("%s fails validation, so careful servers do not come: mend the signatures of the zone", name)
	end
end

-- Says where a target is, and whether we are there.
local function check_addresses(report, target, port)
	local found, here, is_told = 0, false, false
	for _, qtype in ipairs { "A", "AAAA" } do
		local answers, errors = ask({ [target] = true }, qtype)
		local answer = answers[target]
		for _, record in ipairs(answer or {}) do
			found, here = found + 1, here or is_here(record.a or record.aaaa)
		end
		if not answer or answer[1] or answer.bogus then
			is_told = true
			report.say("%s", dns.describe(target, qtype, answer, errors[target]))
		end
		report_bogus(report, target, answer)
	end
	if found == 0 and not is_told then
		report.problem("%s has no address: add an A or AAAA record", target)
	elseif found > 0 and not here then
		report.say("This machine has none of these addresses: right if a router forwards port %d of them to it", port)
	end
end

-- The certificate that we show for a host, as others see it.
local function certificate_of(host)
	local files = certmanager.find_host_cert(host)
	local option = module:context(host):get_option("s2s_ssl") or module:context(host):get_option("ssl")
	local path = type(option) == "table" and option.certificate or files and files.certificate
	return path and x509.load(path), path
end

-- What a TLSA record of usage 3 says of that certificate: true, false, or nil for another kind.
local function fits(tlsa, cert)
	if tlsa.use ~= 3 or tlsa.match ~= 1 or tlsa.select > 1 then return nil end
	local der = x509.pem2der(tlsa.select == 1 and (cert:pubkey()) or cert:pem())
	return hashes.sha256(der) == tlsa.data
end

local function check_tlsa(report, host, target, port)
	local name = ("_%d._tcp.%s"):format(port, target)
	local answer = ask({ [name] = true }, "TLSA")[name]
	if not answer or not answer[1] then return end
	report.say("%s", dns.describe(name, "TLSA", answer))
	local cert, path = certificate_of(host)
	if not cert then return end
	local is_named, is_judged = false, false
	for _, record in ipairs(answer) do
		local verdict = fits(record.tlsa, cert)
		is_judged, is_named = is_judged or verdict ~= nil, is_named or verdict == true
	end
	if is_judged and not is_named then
		report.problem("no TLSA record of %s fits %s: who obeys DANE refuses us. Publish 3 1 1 %s", name, path,
			hashes.sha256(x509.pem2der((cert:pubkey())), true))
	elseif not answer.secure then
		report.say("These are not validated, so nobody obeys them")
	end
end

local function check_target(report, host, target, port, kind)
	if not listens(kind.service, port) then
		report.problem("nothing here listens for %s on port %d: see %s_ports, or where a router forwards it to", kind.what,
			port, kind.service)
	end
	check_addresses(report, target, port)
	check_tlsa(report, host, target, port)
end

local function check_host(report, host)
	local name = policy.dns_name(host)
	if not name or not name:find(".", 1, true) then
		return report.say("The DNS knows no such names; others need s2s_connect_overrides")
	end
	local names, has_srv = {}, false
	for prefix in pairs(kinds) do names[prefix .. name] = kinds[prefix] end
	local answers, errors = ask(names, "SRV")
	for place, kind in pairs(names) do
		local answer = answers[place]
		report.say("%s", dns.describe(place, "SRV", answer, errors[place]))
		report_bogus(report, place, answer)
		for _, record in ipairs(answer or {}) do
			has_srv = true
			if record.srv.target ~= "." then check_target(report, host, record.srv.target, record.srv.port, kind) end
		end
	end
	if not has_srv then
		report.say("Without SRV records others look for %s itself, port %d", name, DEFAULT_PORT)
		check_target(report, host, name, DEFAULT_PORT, kinds["_xmpp-server._tcp."])
	end
end

--- The library. parts: ask, policy. Gives check(host, print), which waits; it gives the number of problems.
return function (parts)
	ask, policy = parts.ask, parts.policy
	return function (host, print)
		local problems = 0
		local report = {}
		function report.say(text, ...) print("  " .. text:format(...)) end
		function report.problem(text, ...)
			problems = problems + 1
			print("  problem: " .. text:format(...))
		end
		print(host)
		check_host(report, host)
		return problems
	end
end
