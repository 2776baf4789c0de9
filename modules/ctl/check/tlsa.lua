--- What TLSA records (DANE) say of the certificate that a host shows to other servers. A record that does not fit keeps
-- out everybody who obeys it.

local certmanager = require "prosody.core.certmanager"
local dns = require "prosody.net.dns"
local hashes = require "prosody.util.hashes"
local x509 = require "prosody.util.x509"

local DANE_EE, SHA256 = 3, 1 -- RFC 6698 2.1.1, 2.1.3

-- SHA-256 of the certificate (selector 0) or its public key (1).
local function digest(certificate, selector, as_hex)
	local pem = selector == 1 and (certificate:pubkey()) or certificate:pem()
	return hashes.sha256((x509.pem2der(pem)), as_hex)
end

-- Is it this certificate? nil when that is for others to judge: records about authorities, other hashes.
local function fits(tlsa, certificate)
	if tlsa.use ~= DANE_EE or tlsa.match ~= SHA256 or tlsa.select > 1 then return nil end
	return digest(certificate, tlsa.select) == tlsa.data
end

local function certificate_of(config, host)
	local context, _, used = certmanager.create_context(host, "server", config.get(host, "s2s_ssl"),
		config.get(host, "ssl"))
	local path = context and used.certificate
	return path and x509.load(path), path
end

--- Looks at the records of a server and port where the host is served. names: of ctl.check.names.
return function (report, names, config, host, target, port)
	local name = ("_%d._tcp.%s"):format(port, target)
	local answer, err = names:answer(name, "TLSA")
	if not answer then
		return report:problem("%s; who obeys DANE does not come while that is so", err)
	elseif not answer[1] then
		return
	end
	local certificate, path = certificate_of(config, host)
	if not certificate then return end -- that is told by the check of certificates
	local has_verdict, is_named = false, false
	for _, record in ipairs(answer) do
		local verdict = fits(record.tlsa, certificate)
		has_verdict, is_named = has_verdict or verdict ~= nil, is_named or verdict == true
	end
	if has_verdict and not is_named then
		report:problem("the TLSA records of %s do not fit %s, so who obeys DANE does not come; in the zone: "
			.. "%s. IN TLSA 3 1 1 %s", target, path, name, digest(certificate, 1, true))
	elseif not answer.secure then
		report:hint("the TLSA records of %s are not validated, so nobody obeys them: is the zone signed?", target)
	else
		report:print("%s", dns.describe(name, "TLSA", answer))
	end
end
