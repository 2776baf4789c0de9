--- Where a host name is: its addresses, in the order in which to try them (RFC 8305).
--
-- All modules in net.resolvers give objects that are asked for one target after the other:
--	resolver:next(function (conn_type, address, port, extra, more) ... end)
-- The function is called once, at once or later: with a numeric address, or with nil and why (or nil) when there are no
-- (more) targets, and then whether that is so only because somebody did not answer. more says that there may be another
-- one. resolver:cancel() ends it; who waits is not called any more.
--
-- Always true: both families are asked at the same time; when the one that does not come first has answered, the other
-- has 50 ms more; families take turns; a name has at most 8 targets, however many its owner lists.
--
-- extra, a table or nil, may say
--	use_ipv4, use_ipv6   false: leave that family out (else what the options of these names say: true)
--	prefer_ipv6          which family comes first (else IPv6 when this machine has such an address)
--	is_allowed           function (address) -> may we connect there? (of util.address)
--	secure               false: the name came from an answer that was not validated
--	use_dane             look for TLSA records, too
--	targets_max          no more than that many addresses, up to 8
--	note                 function (text, ...) that is told what came of each question
-- A target's extra is a copy of it with
--	secure               everything that led to this address was validated
--	target               the name, with its last dot; nil for an address
--	tlsa                 an answer with the TLSA records of the port. If they are there but cannot be trusted there is no
--	                     target at all (RFC 7673 3.3, RFC 7671 9.1)
local adns = require "prosody.net.adns"
local config = require "prosody.core.configmanager"
local dns = require "prosody.net.dns"
local local_addresses = require "prosody.util.net".local_addresses
local native = require "couplet.native"
local new_ip = require "prosody.util.ip".new_ip
local ipairs, next, setmetatable = ipairs, next, setmetatable
local s_format, s_gsub, s_match = string.format, string.gsub, string.match
local t_remove = table.remove

local _ENV = nil

local TARGETS_MAX = 8
local RESOLUTION_DELAY_SECONDS = 0.05 -- RFC 8305 3

local methods = {}
local resolver_mt = { __index = methods, __name = "resolver" }

local function copy(extra)
	local new = {}
	for key, value in next, extra or {} do
		new[key] = value
	end
	return new
end

-- Handing out

-- The next address: the preferred family first, then in turns, as far as there are.
local function take_address(self)
	local family = self._turn
	if not self._addresses[family][1] then
		family = family == 4 and 6 or 4
	end
	local address = t_remove(self._addresses[family], 1)
	if address then
		self._turn = family == 4 and 6 or 4
		self._left = self._left - 1
	end
	return family, address
end

local function may_start(self)
	if next(self._lookups) == nil or self._started then
		return true
	elseif self._lookups.TLSA then
		return false
	end
	return self._addresses[self._turn][1] ~= nil or self._delay_is_over
end

local function is_exhausted(self)
	return self._left == 0 or not self._addresses[4][1] and not self._addresses[6][1]
end

local function why_nothing(self)
	return self._error or self._refused
		or s_format(self._started and "%s has no more addresses" or "%s has no address", self._name)
end

-- Serves those who wait, as far as there are addresses.
local function deliver(self)
	while self._waiting[1] do
		local is_over = next(self._lookups) == nil
		if is_exhausted(self) and (is_over or self._left == 0) then
			t_remove(self._waiting, 1)(nil, why_nothing(self), self._is_unanswered)
		elseif is_exhausted(self) or not may_start(self) then
			return
		else
			self._started = true
			local family, address = take_address(self)
			local extra = copy(self._extra)
			extra.target = self._target
			extra.secure = self._secure[family] or false
			extra.tlsa = extra.secure and self._tlsa or nil
			local more = self._left > 0 and not (is_over and is_exhausted(self))
			t_remove(self._waiting, 1)(self._conn_type .. family, address, self._port, extra, more)
		end
	end
end

-- Looking up

local function add_address(self, family, address)
	local is_allowed = self._extra and self._extra.is_allowed
	if is_allowed then
		local ok, kind = is_allowed(address)
		if not ok then
			self._refused = s_format("%s is at %s (%s), where we do not connect", self._name, address, kind or "forbidden")
			return
		end
	end
	local list = self._addresses[family]
	list[#list + 1] = address
end

local function on_addresses(self, family, answer)
	self._secure[family] = answer.secure and self._is_trusted
	for _, record in ipairs(answer) do
		add_address(self, family, record.a or record.aaaa)
	end
end

-- RFC 7673 3.4: TLSA records count only if they, and what led to them, were validated. If that cannot be found out, an
-- attacker may have seen to it: then we connect nowhere.
local function on_tlsa(self, answer, err)
	if answer and answer.secure and answer.n > 0 then
		self._tlsa = answer
	elseif not answer or answer.bogus or answer.rcode ~= 0 and not answer.nxdomain then
		self._tlsa_error = s_format("TLSA records of %s: %s", self._name, err or answer.bogus or answer.status)
	end
end

local function check_tlsa(self)
	if not self._tlsa_error then
		return
	end
	for family in next, self._secure do
		if self._secure[family] then
			self._addresses[family] = {}
			self._error = self._tlsa_error
		end
	end
end

local function look_up(self, qtype, name, on_answer)
	self._lookups[qtype] = adns.lookup(function (answer, err)
		self._lookups[qtype] = nil
		self._is_unanswered = self._is_unanswered or dns.is_unanswered(answer)
		if self._extra and self._extra.note then
			self._extra.note("%s", dns.describe(name, qtype, answer, err))
		end
		on_answer(answer, err)
		check_tlsa(self)
		deliver(self)
	end, name, qtype)
end

local function look_up_addresses(self, qtype, family)
	look_up(self, qtype, self._name, function (answer, err)
		if answer and not answer.bogus then
			on_addresses(self, family, answer)
		else
			self._error = s_format("%s: %s", self._name, err or answer.bogus)
		end
		if answer and next(self._lookups) and self._addresses[family][1] and not self._delay then
			self._delay = native.timer(RESOLUTION_DELAY_SECONDS, function ()
				self._delay_is_over = true
				deliver(self)
			end)
		end
	end)
end

local function is_wanted(self, option)
	local wanted = self._extra and self._extra[option]
	if wanted == nil then
		wanted = config.get("*", option)
	end
	return wanted ~= false
end

local function prefers_ipv6(self)
	if self._extra and self._extra.prefer_ipv6 ~= nil then
		return self._extra.prefer_ipv6
	end
	return local_addresses("ipv6")[1] ~= nil
end

local function start(self)
	self._is_asked = true
	self._turn = prefers_ipv6(self) and 6 or 4
	local text = s_match(self._name, "^%[(.*)%]$") or self._name
	local ip = new_ip(text, "IPv4") or new_ip(text, "IPv6")
	if ip then
		local family = ip.proto == "IPv4" and 4 or 6
		self._secure[family] = self._is_trusted
		add_address(self, family, ip.zone and ip.addr .. "%" .. ip.zone or ip.addr)
		return
	end
	local ascii = dns.to_ascii(self._name)
	if not ascii then
		self._error = s_format("%s is not a host name", self._name)
		return
	end
	ascii = s_gsub(ascii, "%.$", "")
	self._target = ascii .. "."
	if is_wanted(self, "use_ipv6") then
		look_up_addresses(self, "AAAA", 6)
	end
	if is_wanted(self, "use_ipv4") then
		look_up_addresses(self, "A", 4)
	end
	if self._extra and self._extra.use_dane and self._is_trusted then
		look_up(self, "TLSA", s_format("_%d._%s.%s", self._port, self._conn_type, ascii), function (answer, err)
			on_tlsa(self, answer, err)
		end)
	end
end

--- Calls cb as described above.
function methods:next(cb)
	self._waiting[#self._waiting + 1] = cb
	if not self._is_asked then
		start(self)
	end
	deliver(self)
end

--- Ends it.
function methods:cancel()
	for qtype, query in next, self._lookups do
		adns.cancel(query)
		self._lookups[qtype] = nil
	end
	if self._delay then
		self._delay:stop()
	end
	self._is_asked, self._waiting, self._left = true, {}, 0
	self._turn = self._turn or 4
end

--- A resolver of a host name (an IDN is fine) or a numeric address. conn_type is "tcp"; targets have "tcp4" or "tcp6".
local function new(hostname, port, conn_type, extra)
	return setmetatable({
		_name = hostname, _port = port, _conn_type = conn_type or "tcp", _extra = extra, _waiting = {}, _lookups = {},
		_addresses = { [4] = {}, [6] = {} }, _secure = {},
		_left = extra and extra.targets_max and extra.targets_max < TARGETS_MAX and extra.targets_max or TARGETS_MAX,
		_is_trusted = not extra or extra.secure ~= false,
	}, resolver_mt)
end

return {
	new = new,
}
