--- Certificates between servers: the one we show, and what the other side's proves.
--
-- Always true: what a certificate proves is asked of s2s-check-certificate for each domain anew; one proof is never
-- taken for another domain's.

local certmanager = require "prosody.core.certmanager"
local x509core = require "prosody.util.x509core"

local hosts = prosody.hosts

local policy

local certificates = {}
local contexts = {} -- host -> { context =, has_certificate = }

function certificates.forget() contexts = {} end

--- The client's side of TLS for a host of ours: the context, or nil and a sentence; and whether it shows a
-- certificate.
function certificates.context(host)
	local known = contexts[host]
	if not known then
		local found = certmanager.find_host_cert(host)
		local own = found and { certificate = found.certificate, key = found.key } or nil
		local host_module = module:context(host)
		local context, err, settings = certmanager.create_context(host, "client", host_module:get_option("s2s_ssl"),
			host_module:get_option("ssl"), own)
		if not context then return nil, err end
		known = { context = context, has_certificate = settings.certificate ~= nil }
		contexts[host] = known
	end
	return known.context, known.has_certificate
end

local function fire_check(session, domain, cert)
	local host = hosts[session.host]
	local kept_chain, kept_identity = session.cert_chain_status, session.cert_identity_status
	session.cert_chain_status, session.cert_identity_status, session.cert_problem = nil, nil, nil
	session.cert_proof = nil -- a sentence, when it is something else than names and a chain
	local result = host.events.fire_event("s2s-check-certificate", { host = domain, session = session, cert = cert })
	local chain, identity, why = session.cert_chain_status, session.cert_identity_status, session.cert_problem
	local remote = session.direction == "outgoing" and session.to_host or session.from_host
	if remote and domain ~= remote then -- these fields tell of the domain in the stream's header
		session.cert_chain_status, session.cert_identity_status = kept_chain, kept_identity
	end
	if result == false then return false, why or "a module refused the certificate", true end
	if chain ~= "valid" then return false, why or "the certificate is not trusted" end
	if identity ~= "valid" then return false, why or "the certificate is not for " .. domain end
	return true, session.cert_proof or "the certificate is valid for " .. domain
end

--- Does the session's certificate prove the domain? true or false, a sentence, and, after false, whether the session
-- must not be used at all, whatever policy says.
function certificates.prove(session, domain)
	local results = session.cert_results
	if not results then
		results = {}
		session.cert_results = results
	end
	local known = results[domain]
	if known then return known.is_valid, known.text, known.is_refused end
	local is_valid, text, is_refused
	local pem = session.secure and session.conn and session.conn:ssl_peerchain_pem()
	local cert = pem and x509core.from_pem(pem)
	local pin = policy.pin(domain)
	if not session.secure then
		return false, "the connection is not encrypted" -- it may still become so
	elseif not cert then
		is_valid, text = false, "no certificate was shown"
	elseif pin then
		is_valid = cert:digest("sha256") == pin
		text = is_valid and "the certificate is the pinned one"
			or "the certificate is not the one whose fingerprint is in s2s_connect_overrides"
		session.cert_chain_status = is_valid and "valid" or "invalid"
		session.cert_identity_status = session.cert_chain_status
	else
		is_valid, text, is_refused = fire_check(session, domain, cert)
	end
	results[domain] = { is_valid = is_valid, text = text, is_refused = is_refused }
	return is_valid, text, is_refused
end

--- More is known now: the certificate is judged anew for that domain.
function certificates.reconsider(session, domain)
	if session.cert_results then session.cert_results[domain] = nil end
end

--- The library, for the policy that mod_s2s has loaded.
return function (the_policy)
	policy = the_policy
	return certificates
end
