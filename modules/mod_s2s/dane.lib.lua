--- DANE (RFC 6698, RFC 7671): certificates proven by TLSA records in the DNS instead of, or besides, authorities. And
-- what validated SRV records are good for by themselves: the certificate may name the server instead of the domain.
--
-- Always true: records are used only if they, and all that led to them, were validated (RFC 7673 3.1); the resolvers
-- see to it. Where there are records of a kind we know, a certificate that they do not fit is refused, whoever signed
-- it (RFC 7673 4).

local verify_identity = require "prosody.util.x509".verify_identity

local dane = {}

local is_used

function dane.load() is_used = module:get_option_boolean("use_dane", false) end

--- Is use_dane on?
function dane.is_used() return is_used end

-- Is the certificate for that server?
local function names_host(cert, host)
	local name = host and host:gsub("%.$", "")
	return name and verify_identity(name, "xmpp-server", cert)
end

-- A chain whose root the DNS names may be anybody's: one of the names that were asked for must be in it (RFC 7673 4.1).
local function has_name(cert, domain, host)
	return verify_identity(domain, "xmpp-server", cert) or names_host(cert, host)
end

--- Is the peer's certificate what the records say? answer: of net.dns, with TLSA records; host: where they were found.
-- Gives true and a sentence, false and a sentence, or nil when no record is of a kind we know.
function dane.judge(session, domain, cert, answer, host)
	local records = {}
	for i, record in ipairs(answer) do records[i] = record.tlsa end
	local verdict, why = session.conn:ssl_dane(records)
	if verdict == "unusable" then
		return nil
	elseif not verdict then
		return false, ("the certificate is not the one that the TLSA records of %s name: %s"):format(host, why)
	elseif verdict == "chain" and not has_name(cert, domain, host) then
		return false, ("the certificate fits the TLSA records of %s, but is not for %s"):format(host, domain)
	end
	return true, ("the certificate is the one that the TLSA records of %s name (DANE)"):format(host)
end

--- For s2s-check-certificate, after those that look at authorities: a trusted certificate that names a server to which
-- validated SRV records send whoever looks for the domain is good for it (RFC 7673 4.1, "SRV is secure").
function dane.accept_delegate(event, host)
	local session = event.session
	if session.cert_chain_status ~= "valid" or session.cert_identity_status == "valid"
		or not names_host(event.cert, host) then
		return
	end
	session.cert_identity_status, session.cert_problem = "valid", nil
	session.cert_proof = ("the certificate is valid for %s, to which validated records send those who look for %s")
		:format(host, event.host)
end

--- The same, of a stream that we opened.
function dane.accept_outgoing_delegate(event)
	local target = event.session.target
	if target and target.is_secure and event.host == event.session.to_host then
		dane.accept_delegate(event, target.name)
	end
end

--- For s2s-check-certificate: of a stream that we opened.
function dane.check_outgoing(event)
	local session, target = event.session, event.session.target
	if not target or not target.tlsa or event.host ~= session.to_host then return end
	local is_valid, text = dane.judge(session, event.host, event.cert, target.tlsa, target.name)
	if is_valid == nil then return end
	session.log("debug", "DANE for %s: %s", event.host, text)
	if not is_valid then
		session.cert_chain_status, session.cert_problem = "invalid", text
		return false
	end
	session.cert_chain_status, session.cert_identity_status, session.cert_proof = "valid", "valid", text
	return true
end

--- May we send to the domain on a stream that it opened (XEP-0288)? With use_dane only if its certificate would do for
-- a stream of ours, which mod_s2s_auth_dane_in finds out: else who has a certificate by some authority would be sent
-- what TLSA records keep from him.
function dane.may_send(session, domain)
	local known = session.dane_in and session.dane_in[domain]
	return not is_used or known ~= nil and known.may_send == true
end

--- Must that stream of ours be under TLS because there are TLSA records, of whatever kind (RFC 7671 4.1)?
function dane.needs_encryption(session) return session.target ~= nil and session.target.tlsa ~= nil end

dane.load()
return dane
