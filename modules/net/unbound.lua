--- Looks names up through libunbound, which validates DNSSEC, without ever holding up the loop.
-- Always true: a lookup is answered once, by a call from the loop, or cancelled. It is never answered from inside the
-- call that asked, and an error of who is answered touches nobody else. After `dns_timeout` seconds at the latest there
-- is an answer, if only an error. The thread that resolves is started by the first turn that needs it: never before the
-- server has gone to the background, since threads do not survive fork.
--
-- Without trust anchors of the admin's own, and without DANE, answers are validated if they can be: behind name servers
-- that leave out what DNSSEC needs, as those of many home routers and containers do, lookups go on without validation,
-- said once, and no answer is `secure` then. Every ten minutes it is tried again. With use_dane = true or trust anchors
-- in the option, what cannot be validated is bogus.
--
-- @option dns_timeout  number, 10: seconds after which a lookup has failed (0.1 to 60)
-- @option unbound      table: how to resolve, see net.unbound_settings
-- @option use_dane     boolean, false: validation must not be left out
local config = require "prosody.core.configmanager"
local dns = require "prosody.net.dns"
local errors = require "prosody.util.error"
local log = require "prosody.util.logger".init("dns")
local native = require "couplet.native"
local promise = require "prosody.util.promise"
local settings_of = require "prosody.net.unbound_settings"
local ipairs, next, pcall, rawget, require, setmetatable, tostring, type =
	ipairs, next, pcall, rawget, require, setmetatable, tostring, type
local s_find, s_format = string.find, string.format
local prosody = rawget(_G, "prosody")

local _ENV = nil

local found, unbound = pcall(require, "couplet.unbound")

local TIMEOUT_SECONDS, TIMEOUT_SECONDS_MIN, TIMEOUT_SECONDS_MAX = 10, 0.1, 60
local UNVALIDATED_SECONDS = 600

-- What a promise of an answer is rejected with.
local rejections = {
	timeout = { type = "wait", condition = "remote-server-timeout" },
	failure = { type = "wait", condition = "remote-server-timeout" },
	invalid = { type = "modify", condition = "jid-malformed" },
}

local function timeout_of(seconds)
	if type(seconds) ~= "number" or seconds ~= seconds then
		return TIMEOUT_SECONDS
	elseif seconds < TIMEOUT_SECONDS_MIN then
		return TIMEOUT_SECONDS_MIN
	end
	return seconds < TIMEOUT_SECONDS_MAX and seconds or TIMEOUT_SECONDS_MAX
end

-- The end of a lookup

local methods = {}
local resolver_mt = { __index = methods, __name = "resolver" }

local function close_context(context)
	context.resolver._contexts[context] = nil
	context.watch:close()
	context.handle:close()
end

-- A context that was replaced stays until its last lookup has ended.
local function retire(context)
	context.is_retired = true
	if context.resolver._contexts[context] and not next(context.queries) then
		close_context(context)
	end
end

local function forget(query)
	query.is_ended = true
	query.timer:stop()
	local context = query.context
	if context then
		query.context = nil
		context.queries[query.id] = nil
		context.handle:cancel(query.id)
		if context.is_retired then
			retire(context)
		end
	end
end

-- Some name servers leave out what DNSSEC needs. We cannot tell them from an attacker.
local function is_without_dnssec(answer)
	return answer.bogus and s_find(answer.bogus, "for trust anchor", 1, true) ~= nil
end

-- Said once.
local function complain(self, bogus, level, consequence)
	if not self._has_complained then
		self._has_complained = true
		log(level, "The name servers leave out what DNSSEC needs, so their answers cannot be validated, and %s (%s). %s",
			consequence, bogus, settings_of.mend)
	end
end

-- In a turn of its own: who is answered may wait, raise, ask again or close the resolver.
local function finish(query, answer, err, kind)
	if query.is_ended then
		return
	end
	forget(query)
	if not answer then
		log("debug", "%s %s: %s", query.name, query.type, err)
	elseif answer.bogus then
		log("debug", "%s %s is bogus: %s", query.name, answer.type, answer.bogus)
		if is_without_dnssec(answer) then
			complain(query.resolver, answer.bogus, "error", "none is believed")
			answer.bogus, answer.mend = "our name servers leave out what DNSSEC needs", settings_of.mend
		end
	else
		log("debug", "%s %s: %s, %d records, %s", query.name, answer.type, answer.status, answer.n,
			answer.secure and "secure" or "insecure")
	end
	native.defer(function ()
		if not query.is_cancelled then
			query.callback(answer, err, kind)
		end
	end)
end

-- The life of a context

-- Its lookups fail, the next one makes another.
local function give_up(context, err)
	log("error", "Looking up names stopped and starts again: %s", err)
	if context.resolver._context == context then
		context.resolver._context = nil
	end
	local queries = context.queries
	context.queries = {}
	retire(context)
	for _, query in next, queries do
		query.context = nil
		finish(query, nil, err, "failure")
	end
end

-- From now on answers are not validated, for a while. The question is asked again.
local function go_without_validation(query, bogus)
	local self, context = query.resolver, query.context
	complain(self, bogus, "warn", "are taken as they are")
	if self._context == context then
		self._context, self._is_unvalidated = nil, true
		self._retry = native.timer(UNVALIDATED_SECONDS, function ()
			self._retry, self._is_unvalidated = nil, false
			self:_replace_context()
		end)
	end
	query.context, context.queries[query.id] = nil, nil
	retire(context)
	self:_ask(query)
end

local function read_answers(context)
	local ok, err = context.handle:process()
	local id, raw, failure = context.handle:take()
	while id do
		local query = context.queries[id]
		local answer = raw and dns.read_answer(raw, query.name, query.type, query.class)
		if answer and context.may_go_without and is_without_dnssec(answer) then
			go_without_validation(query, answer.bogus)
		elseif answer then
			answer.is_unvalidated = context.is_unvalidated
			finish(query, answer)
		else
			finish(query, nil, failure, "failure")
		end
		if not context.resolver._contexts[context] then
			return -- it was the last one of a context that was replaced
		end
		id, raw, failure = context.handle:take()
	end
	if not ok then
		give_up(context, err)
	end
end

local function open_context(self)
	if self._is_closed then
		return nil, "the resolver is closed"
	elseif not found then
		return nil, "this server was built without libunbound"
	end
	local wanted = self._settings
	if wanted == nil then
		wanted = config.get("*", "unbound")
	end
	local may_go_without = settings_of.may_go_without_validation(wanted)
	local settings, err = settings_of.native(wanted, may_go_without and self._is_unvalidated)
	local handle
	if settings then
		handle, err = unbound.new(settings)
	end
	if not handle then
		return nil, err
	end
	local context = {
		resolver = self, handle = handle, queries = {},
		is_unvalidated = may_go_without and self._is_unvalidated,
		may_go_without = may_go_without and not self._is_unvalidated,
	}
	context.watch = native.watch(handle:fd(), function () read_answers(context) end)
	self._context, self._contexts[context] = context, true
	return context
end

local function submit(query, context)
	local id, err = context.handle:lookup(query.name, query.type, query.class)
	if not id then
		return finish(query, nil, err, "failure")
	end
	query.id, query.context = id, context
	context.queries[id] = query
end

-- Asks what was asked while there was no context.
local function start(self)
	local starting = self._starting
	self._starting = nil
	local context, err = self._context, nil
	if not context then
		context, err = open_context(self)
		if err and err ~= self._last_error then
			log("error", "Names cannot be looked up: %s", err)
		end
		self._last_error = err
	end
	for _, query in ipairs(starting) do
		if not context then
			finish(query, nil, err, "failure")
		elseif not query.is_ended then
			submit(query, context)
		end
	end
end

-- Asking

--- Asks for records of a name (IDNs are fine). qtype and qclass are words or numbers, by default "A" and "IN". Later
-- calls callback(answer) with an answer as net.dns describes it, or callback(nil, text). Gives what cancel takes.
function methods:lookup(callback, name, qtype, qclass)
	local query = { resolver = self, callback = callback, name = dns.to_ascii(name) }
	query.type, query.class = dns.type_number(qtype), dns.class_number(qclass)
	local timeout = timeout_of(self._timeout or config.get("*", "dns_timeout"))
	query.timer = native.timer(timeout, function ()
		finish(query, nil, s_format("no answer within %g seconds", timeout), "timeout")
	end)
	if not query.name or not query.type or not query.class then
		query.name = query.name or tostring(name)
		finish(query, nil, s_format("cannot be asked for: %s %s", query.name, tostring(qtype or "A")), "invalid")
	else
		self:_ask(query)
	end
	return query
end

function methods:_ask(query)
	if self._context and not self._starting then
		submit(query, self._context)
	elseif self._starting then
		self._starting[#self._starting + 1] = query
	else
		self._starting = { query }
		native.defer(function () start(self) end)
	end
end

--- The same as a promise of the answer; rejected with an error of util.error.
function methods:lookup_promise(name, qtype, qclass)
	return promise.new(function (resolve, reject)
		self:lookup(function (answer, err, kind)
			if answer then
				return resolve(answer)
			end
			local rejection = rejections[kind]
			reject(errors.new({ type = rejection.type, condition = rejection.condition, text = err }, nil, nil, "dns"))
		end, name, qtype, qclass)
	end)
end

--- The callback of that lookup is not called any more; or, with call_it, called with nil and the reason. Harmless when
-- it was called already.
function methods:cancel(query, call_it, reason)
	if call_it then
		return finish(query, nil, reason or "cancelled", "failure")
	end
	query.is_cancelled = true
	if not query.is_ended then
		forget(query)
	end
end

-- The next lookup makes a context anew. Lookups in progress go on.
function methods:_replace_context()
	local context = self._context
	self._context = nil
	if context then
		retire(context)
	end
end

local function stop_retry(self)
	if self._retry then
		self._retry:stop()
		self._retry = nil
	end
end

--- Forgets all that was learnt. Lookups in progress go on.
function methods:purge()
	stop_retry(self)
	self._has_complained, self._is_unvalidated = false, false
	self:_replace_context()
end

--- Ends the resolver. Nobody who waits is answered any more.
function methods:close()
	self._is_closed, self._context = true, nil
	stop_retry(self)
	for _, query in ipairs(self._starting or {}) do
		self:cancel(query)
	end
	for context in next, self._contexts do
		context.is_retired = true
		for _, query in next, context.queries do
			self:cancel(query)
		end
		if self._contexts[context] then -- nobody waited
			close_context(context)
		end
	end
end

--- A resolver of its own, apart from the server's. settings: as the option unbound, nil for what that says; timeout:
-- seconds, nil for dns_timeout.
local function new(settings, timeout)
	return setmetatable({ _settings = settings, _timeout = timeout, _contexts = {} }, resolver_mt)
end

-- The server's

local default = new()

if prosody then
	prosody.events.add_handler("config-reloaded", function () default:purge() end)
	prosody.events.add_handler("server-cleanup", function () default:close() end)
end

return {
	new = new,
	default = default,
	is_available = found,
}
