--- Other servers prove their domain by certificate (RFC 6120 13.7, RFC 9525): the chain must lead to a trusted
-- authority, and the subjectAltName must name the domain.
-- @hooks  s2s-check-certificate        @fires none        @stores none
-- @spec   spec/e2e/s2s_certificates_spec.lua

local verify_identity = require "prosody.util.x509".verify_identity

module:hook("s2s-check-certificate", function (event)
	local session, domain, cert = event.session, event.host, event.cert
	if not cert or not session.conn then
		session.cert_chain_status, session.cert_problem = "invalid", "no certificate was shown"
		return
	end
	local is_trusted, why = session.conn:ssl_peerverify()
	session.cert_chain_status = is_trusted and "valid" or "invalid"
	session.cert_identity_status = verify_identity(domain, "xmpp-server", cert) and "valid" or "invalid"
	if not is_trusted then
		session.cert_problem = ("the certificate is not trusted: %s"):format(why or "no reason given")
	elseif session.cert_identity_status ~= "valid" then
		session.cert_problem = ("the certificate is trusted, but not for %s"):format(domain)
	end
	session.log("debug", "Certificate for %s: chain %s, identity %s%s", domain, session.cert_chain_status,
		session.cert_identity_status, session.cert_problem and " (" .. session.cert_problem .. ")" or "")
end)
