--- DANE (RFC 6698, RFC 7671): certificates proven by TLSA records in the DNS instead of, or besides, authorities.
--
-- Always true: records are used only if they, and all that led to them, were validated (RFC 7673 3.1); the resolvers
-- see to it. Where there are records of a kind we know, a certificate that they do not fit is refused, whoever signed
-- it (RFC 7673 4).

local verify_identity = require "prosody.util.x509".verify_identity

local dane = {}

-- A chain whose root the DNS names may be anybody's: one of the names that were asked for must be in it (RFC 7673 4.1).
local function has_name(cert, domain, host)
	if verify_identity(domain, "xmpp-server", cert) then return true end
	local name = host and host:gsub("%.$", "")
	return name and verify_identity(name, "xmpp-server", cert)
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

--- Must that stream of ours be under TLS because there are TLSA records, of whatever kind (RFC 7671 4.1)?
function dane.needs_encryption(session) return session.target ~= nil and session.target.tlsa ~= nil end

return dane
