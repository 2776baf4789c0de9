--- Where a service of a domain is: its SRV records (RFC 2782), or the domain itself (net.resolvers.basic says what a
-- resolver is).
--
-- Several services may be given, such as { "xmpps-server", "xmpp-server" }: their records are mixed as if they were of
-- one (XEP-0368, requirement 1), and the targets of an "xmpps-" service have extra.direct_tls.
--
-- Always true: only when the DNS has no SRV records, or does not answer, is the domain itself tried (at default_port,
-- if there is one: RFC 6120 3.2.2). An answer that says "no such service", that failed validation or that has nothing
-- but unusable records is an answer. At most 8 records are tried, and of several no more than 4 addresses each.
--
-- extra may say what it says for net.resolvers.basic, and default_port. A target's extra has these too:
--	service, direct_tls   of the record; the default has the last of the services
--	priority              of the record; the default has none
--	secure, target        also of the SRV answer; target is the name the record gives
local adns = require "prosody.net.adns"
local basic = require "prosody.net.resolvers.basic"
local chain = require "prosody.net.resolvers.chain"
local dns = require "prosody.net.dns"
local random_bytes = require "prosody.util.random".bytes
local ipairs, next, setmetatable, tostring, type = ipairs, next, setmetatable, tostring, type
local s_format, s_match, s_unpack = string.format, string.match, string.unpack
local t_remove, t_sort = table.remove, table.sort

local _ENV = nil

local TARGETS_MAX = 8
-- Where a mail server listens; nothing good comes of talking XMPP to it. 0 is no port.
local UNUSABLE_PORTS = { [0] = true, [25] = true }

local methods = {}
local resolver_mt = { __index = methods, __name = "resolver" }

-- The order of RFC 2782

-- 0 <= number <= max
local function random_upto(max)
	return s_unpack("I7", random_bytes(7)) % (max + 1)
end

-- One of the candidates, with a chance that grows with its weight. Those without a weight come first, so that they have
-- a small one; when none has, all have the same.
local function choose(candidates, sum, random)
	if sum == 0 then
		return random(#candidates - 1) + 1
	end
	local wanted, running = random(sum), 0
	for i, candidate in ipairs(candidates) do
		running = running + candidate.weight
		if running >= wanted then
			return i
		end
	end
end

--- The first `max` of the records (tables with priority and weight) in an order to try them. random(n) gives a number
-- from 0 to n.
local function order(records, max, random)
	random = random or random_upto
	local groups, priorities = {}, {}
	for _, record in ipairs(records) do
		local group = groups[record.priority]
		if not group then
			group = { sum = 0 }
			groups[record.priority] = group
			priorities[#priorities + 1] = record.priority
		end
		group[#group + 1] = record
		group.sum = group.sum + record.weight
	end
	t_sort(priorities)
	local ordered = {}
	for _, priority in ipairs(priorities) do
		local group = groups[priority]
		t_sort(group, function (a, b) return a.weight < b.weight end)
		while group[1] and #ordered < max do
			local record = t_remove(group, choose(group, group.sum, random))
			group.sum = group.sum - record.weight
			ordered[#ordered + 1] = record
		end
	end
	return ordered
end

-- From answers to targets

local function extra_of(self, service, secure, priority, n_records)
	local extra = {}
	for key, value in next, self._extra or {} do
		extra[key] = value
	end
	extra.priority = priority
	if n_records and n_records > 1 then -- so that a name with many addresses does not keep the others from their turn
		extra.targets_max = n_records > 2 and 2 or 4
	end
	extra.service, extra.direct_tls = service, s_match(service, "^xmpps%-") ~= nil
	extra.secure = secure and (not self._extra or self._extra.secure ~= false)
	return extra
end

local function is_usable(srv)
	return not UNUSABLE_PORTS[srv.port] and dns.is_name(srv.target)
end

-- The usable records of all answers, each once.
local function collect(self)
	local records, seen = {}, {}
	for i, service in ipairs(self._services) do
		local answer = self._answers[i]
		for _, record in ipairs(answer or {}) do
			local srv = record.srv
			local key = s_format("%s %s %d", service, srv.target, srv.port)
			if srv.target == "." then
				self._is_refused = true
			elseif not is_usable(srv) then
				self._is_unusable = true
			elseif not seen[key] then
				seen[key] = true
				records[#records + 1] = { priority = srv.priority, weight = srv.weight, port = srv.port,
					target = srv.target, service = service, secure = answer.secure }
			end
		end
	end
	return records
end

-- Was the absence of all records validated?
local function is_absence_secure(self)
	for i in ipairs(self._services) do
		if not self._answers[i] or not self._answers[i].secure then
			return false
		end
	end
	return true
end

-- The resolver of what the answers say; nil and a sentence when they say no.
local function resolver_of_answers(self)
	local records = collect(self)
	if records[1] then
		local resolvers = {}
		for i, record in ipairs(order(records, TARGETS_MAX)) do
			resolvers[i] = basic.new(record.target, record.port, self._conn_type,
				extra_of(self, record.service, record.secure, record.priority, #records))
		end
		return chain.new(resolvers)
	elseif self._is_refused then
		return nil, s_format("%s says that it has no such service", self._name)
	elseif self._is_unusable then
		return nil, s_format("%s has no SRV record that can be used", self._name)
	elseif self._bogus then
		return nil, s_format("SRV records of %s failed validation: %s", self._name, self._bogus)
	end
	local port = self._extra and self._extra.default_port
	if not port then
		return nil, self._error or s_format("%s has no SRV record", self._name)
	end
	return basic.new(self._name, port, self._conn_type,
		extra_of(self, self._services[#self._services], is_absence_secure(self)))
end

local function serve(self)
	while self._waiting[1] do
		local cb = t_remove(self._waiting, 1)
		if self._targets then
			self._targets:next(cb)
		else
			cb(nil, self._failure, self._is_unanswered)
		end
	end
end

-- Tells who wants to know what has come of a question.
local function note(self, name, answer, err)
	local tell = self._extra and self._extra.note
	if tell then
		tell("%s", dns.describe(name, "SRV", answer, err))
	end
end

local function look_up(self, i, name)
	self._lookups[i] = adns.lookup(function (answer, err)
		self._lookups[i] = nil
		self._answers[i] = answer or false
		self._is_unanswered = self._is_unanswered or dns.is_unanswered(answer)
		note(self, name, answer, err)
		if answer and answer.bogus then
			self._bogus = answer.bogus
		elseif not answer then
			self._error = s_format("SRV records of %s: %s", self._name, err)
		end
		if next(self._lookups) == nil then
			self._is_ready = true
			self._targets, self._failure = resolver_of_answers(self)
			serve(self)
		end
	end, name, "SRV")
end

local function start(self)
	self._is_asked = true
	local ascii = dns.to_ascii(self._name)
	if not ascii then
		self._is_ready, self._failure = true, s_format("%s is not a domain name", tostring(self._name))
		return
	end
	for i, service in ipairs(self._services) do
		look_up(self, i, s_format("_%s._%s.%s", service, self._conn_type, ascii))
	end
end

--- Calls cb with the next target, or cb(nil, why) when there are no more.
function methods:next(cb)
	self._waiting[#self._waiting + 1] = cb
	if not self._is_asked then
		start(self)
	end
	if self._is_ready then
		serve(self)
	end
end

--- Ends the look-ups that are under way.
function methods:cancel()
	for i, query in next, self._lookups do
		adns.cancel(query)
		self._lookups[i] = nil
	end
	if self._targets then
		self._targets:cancel()
	end
	self._is_ready, self._targets, self._failure, self._waiting = true, nil, "cancelled", {}
end

--- service: one, or a list of them. conn_type: "tcp".
local function new(hostname, service, conn_type, extra)
	return setmetatable({
		_name = hostname, _services = type(service) == "table" and service or { service }, _conn_type = conn_type or "tcp",
		_extra = extra, _waiting = {}, _lookups = {}, _answers = {},
	}, resolver_mt)
end

return {
	new = new,
	order = order,
}
