--- Other servers prove their domain to us by DANE (RFC 7712): the certificate they come with is the one that TLSA
-- records name for the servers of their domain, or a trusted one that names such a server.
-- @hooks  s2s-stream-opened, stanza/jabber:server:dialback:result, s2s-check-certificate
-- @fires  none        @stores none
-- @spec   spec/e2e/s2s_dane_spec.lua
--
-- Always true: only validated answers count, from the SRV records on. The DNS is asked only about who shows a
-- certificate, unless that is believed anyhow and use_dane is off, and for few domains per stream. A certificate that
-- fits no record is judged as if there were none: a domain's servers need not connect with the certificate they are
-- reached by. But with use_dane nothing is sent to them on such a stream (XEP-0288).

local is_unanswered = require "prosody.net.dns".is_unanswered
local jid = require "prosody.util.jid"

local s2s = module:depends("s2s").s2s
local ask, policy, certificates, dane, targets = s2s.ask, s2s.policy, s2s.certificates, s2s.dane, s2s.targets

local DEFAULT_PORT = 5269
local MAX_TARGETS = 8
local MAX_DOMAINS = 20 -- of one stream

-- The answers that were validated, and whether there was one to every question. Waits.
local function look_up(names, qtype)
	local answers = ask(names, qtype)
	local is_complete = true
	for name in pairs(names) do
		local answer = answers[name]
		is_complete = is_complete and not is_unanswered(answer) and not answer.bogus
		if answer and (not answer.secure or answer.bogus) then answers[name] = nil end
	end
	return answers, is_complete
end

-- Where TLSA records of a domain's servers would be: their names -> the servers; and whether these are all.
local function places_of(domain)
	local starttls, direct = "_xmpp-server._tcp." .. domain, "_xmpps-server._tcp." .. domain
	local answers, is_complete = look_up({ [starttls] = true, [direct] = true }, "SRV")
	local places, n, has_srv = {}, 0, false
	for _, answer in pairs(answers) do
		for _, record in ipairs(answer) do
			local srv = record.srv
			has_srv = true
			if srv.target ~= "." and n == MAX_TARGETS then
				is_complete = false
			elseif srv.target ~= "." then
				places[("_%d._tcp.%s"):format(srv.port, srv.target)] = srv.target
				n = n + 1
			end
		end
	end
	if not has_srv and answers[starttls] and answers[direct] then -- it was validated that there are none: RFC 7673 3.3
		places[("_%d._tcp.%s"):format(DEFAULT_PORT, domain)] = domain
	end
	return places, is_complete
end

-- The same, of a domain that s2s_connect_overrides tells of; nil for any other.
local function configured_places(domain)
	local routes = targets.overrides_of(domain)
	if not routes then return nil end
	local places = {}
	for _, route in ipairs(routes) do
		local name = policy.dns_name(route.host)
		if name then places[("_%d._tcp.%s"):format(route.port, name)] = route.host end
	end
	return places
end

-- The TLSA records of a domain's servers: a list of { answer =, host = }; in hosts, which servers these are;
-- is_complete: there are no others. Waits.
local function find_records(domain)
	local name = policy.dns_name(domain)
	if not name then return { hosts = {}, is_complete = true } end
	local places, are_all = configured_places(domain), true
	local hosts = {} -- the configuration says where they are, not that their names stand for the domain
	if not places then
		places, are_all = places_of(name)
		hosts = places
	end
	local answers, is_complete = look_up(places, "TLSA")
	local list = { hosts = hosts, is_complete = are_all and is_complete }
	for place, answer in pairs(answers) do
		if answer[1] then table.insert(list, { answer = answer, host = places[place] }) end
	end
	return list
end

-- Is the certificate what the records say? As dane.judge, the best of all verdicts.
local function judge(session, domain, cert, records)
	local best, best_text
	for _, one in ipairs(records) do
		local is_valid, text = dane.judge(session, domain, cert, one.answer, one.host)
		if is_valid then return true, text end
		if is_valid == false then best, best_text = false, text end
	end
	return best, best_text
end

-- Before anybody decides whether to believe: gets the records, if they may matter. Waits, and only that stream does.
local function prepare(session, domain)
	if session.direction ~= "incoming" or not session.secure or not domain or prosody.hosts[domain]
		or not policy.may_talk(domain) or not session.conn:ssl_peerchain_pem() then
		return
	end
	local known = session.dane_in or {}
	session.dane_in, session.dane_in_n = known, session.dane_in_n or 0
	if known[domain] or session.dane_in_n >= MAX_DOMAINS then return end
	if not dane.is_used() and certificates.prove(session, domain) then return end
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
	local records = session.dane_in and session.dane_in[domain]
	if not records then return end
	local is_valid, text = judge(session, domain, event.cert, records)
	session.log("debug", "DANE for %s: %s", domain, text or "there is no record of a kind we know")
	records.may_send = is_valid or is_valid == nil and records.is_complete -- see dane.may_send
	if is_valid then
		session.cert_chain_status, session.cert_identity_status, session.cert_proof = "valid", "valid", text
		return true
	end
end, 10)

module:hook("s2s-check-certificate", function (event)
	local records = event.session.dane_in and event.session.dane_in[event.host]
	for _, host in pairs(records and records.hosts or {}) do dane.accept_delegate(event, host) end
end, -5)
