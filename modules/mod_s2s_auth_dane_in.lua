--- Other servers prove their domain to us by DANE (RFC 7712): the certificate they come with is the one that TLSA
-- records name for the servers of their domain, or a trusted one that names such a server.
-- @hooks  s2s-stream-opened, stanza/jabber:server:dialback:result, s2s-check-certificate
-- @fires  none        @stores none
-- @spec   spec/e2e/s2s_dane_spec.lua
--
-- Always true: only validated answers count, from the SRV records on. The DNS is asked only about who is not believed
-- otherwise and shows a certificate, and for few domains per stream. A certificate that fits no record is judged as if
-- there were none: a domain's servers need not connect with the certificate they are reached by.

local jid = require "prosody.util.jid"

local s2s = module:depends("s2s").s2s
local ask, policy, certificates, dane = s2s.ask, s2s.policy, s2s.certificates, s2s.dane

local DEFAULT_PORT = 5269
local MAX_TARGETS = 8
local MAX_DOMAINS = 20 -- of one stream

-- The answers that were validated. Waits.
local function look_up(names, qtype)
	local answers = ask(names, qtype)
	for name, answer in pairs(answers) do
		if not answer.secure or answer.bogus then answers[name] = nil end
	end
	return answers
end

-- Where TLSA records of a domain's servers would be: their names -> the servers.
local function places_of(domain)
	local starttls, direct = "_xmpp-server._tcp." .. domain, "_xmpps-server._tcp." .. domain
	local answers = look_up({ [starttls] = true, [direct] = true }, "SRV")
	local places, n, has_srv = {}, 0, false
	for _, answer in pairs(answers) do
		for _, record in ipairs(answer) do
			local srv = record.srv
			has_srv = true
			if srv.target ~= "." and n < MAX_TARGETS then
				places[("_%d._tcp.%s"):format(srv.port, srv.target)] = srv.target
				n = n + 1
			end
		end
	end
	if not has_srv and answers[starttls] and answers[direct] then -- it was validated that there are none: RFC 7673 3.3
		places[("_%d._tcp.%s"):format(DEFAULT_PORT, domain)] = domain
	end
	return places
end

-- The TLSA records of a domain's servers: a list of { answer =, host = }; and in hosts, which servers these are. Waits.
local function find_records(domain)
	local name = policy.dns_name(domain)
	local places = name and places_of(name) or {}
	local list = { hosts = places }
	for place, answer in pairs(look_up(places, "TLSA")) do
		if answer[1] then table.insert(list, { answer = answer, host = places[place] }) end
	end
	return list
end

-- Before anybody decides whether to believe: gets the records, if they may matter. Waits, and only that stream does.
local function prepare(session, domain)
	if session.direction ~= "incoming" or not session.secure or not domain or prosody.hosts[domain]
		or not policy.may_talk(domain) or not session.conn:ssl_peerchain_pem() then
		return
	end
	local known = session.dane_in or {}
	session.dane_in, session.dane_in_n = known, session.dane_in_n or 0
	if known[domain] or session.dane_in_n >= MAX_DOMAINS or certificates.prove(session, domain) then return end
	session.dane_in_n = session.dane_in_n + 1
	known[domain] = { hosts = {} }
	known[domain] = find_records(domain)
	if session.destroyed then return end
	session.log("debug", "%d servers of %s have TLSA records", #known[domain], domain)
	certificates.reconsider(session, domain)
end

module:hook("s2s-stream-opened", function (event)
	local session = event.session
	if session.type == "s2sin_unauthed" then prepare(session, session.from_host) end
end, 10)

module:hook_tag("jabber:server:dialback", "result", function (session, stanza)
	if stanza.attr.type == nil then prepare(session, jid.prep(stanza.attr.from)) end
end, 10)

module:hook("s2s-check-certificate", function (event)
	local session, domain = event.session, event.host
	for _, one in ipairs(session.dane_in and session.dane_in[domain] or {}) do
		local is_valid, text = dane.judge(session, domain, event.cert, one.answer, one.host)
		session.log("debug", "DANE for %s: %s", domain, text or "no record is of a kind we know")
		if is_valid then
			session.cert_chain_status, session.cert_identity_status, session.cert_proof = "valid", "valid", text
			return true
		end
	end
end, 10)

module:hook("s2s-check-certificate", function (event)
	local records = event.session.dane_in and event.session.dane_in[event.host]
	for _, host in pairs(records and records.hosts or {}) do dane.accept_delegate(event, host) end
end, -5)
