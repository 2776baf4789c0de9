--- Looks names up through libunbound, which validates DNSSEC, without ever holding up the loop.
-- Always true: a lookup is answered once, by a call from the loop, or cancelled. It is never answered from inside the
-- call that asked, and an error of who is answered touches nobody else. After `dns_timeout` seconds at the latest there
-- is an answer, if only an error. The thread that resolves is started by the first turn that needs it: never before the
-- server has gone to the background, since threads do not survive fork.
--
-- @option dns_timeout  number, 10: seconds after which a lookup has failed (0.1 to 60)
-- @option unbound      table: how to resolve. resolvconf (true: ask the servers of /etc/resolv.conf; or its path),
--                      hoststxt (true: /etc/hosts; or its path), forward (addresses of the servers to ask), trusted
--                      (trust anchors) and trustfile (files of them; without either the keys of the root zone are
--                      trusted), options (name = value as in unbound.conf, a list for several values)
local config = require "prosody.core.configmanager"
local dns = require "prosody.net.dns"
local errors = require "prosody.util.error"
local log = require "prosody.util.logger".init("dns")
local native = require "couplet.native"
local promise = require "prosody.util.promise"
local ipairs, next, pairs, pcall, rawget, require, setmetatable, tostring, type =
	ipairs, next, pairs, pcall, rawget, require, setmetatable, tostring, type
local s_find, s_format = string.find, string.format
local io_open, t_sort = io.open, table.sort
local prosody = rawget(_G, "prosody")

local _ENV = nil

local found, unbound = pcall(require, "couplet.unbound")

local TIMEOUT_SECONDS, TIMEOUT_SECONDS_MIN, TIMEOUT_SECONDS_MAX = 10, 0.1, 60
-- Debian keeps the first up to date. The second are the two keys in use: https://data.iana.org/root-anchors/
local ROOT_KEY_FILE = "/usr/share/dns/root.key"
local ROOT_KEYS = {
	". IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D",
	". IN DS 38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16",
}

-- What a promise of an answer is rejected with.
local rejections = {
	timeout = { type = "wait", condition = "remote-server-timeout" };
	failure = { type = "wait", condition = "remote-server-timeout" };
	invalid = { type = "modify", condition = "jid-malformed" };
}

-- Settings

local function is_readable(path)
	local file = io_open(path)
	if file then
		file:close()
	end
	return file ~= nil
end

-- true means the usual path, if there is such a file; false none.
local function path_setting(value, usual)
	if value == nil or value == true then
		return is_readable(usual) and usual or nil
	end
	return value or nil
end

-- { name = value or { value, ... } } as a list of pairs, in order of name.
local function option_pairs(options)
	local names, list = {}, {}
	for name in pairs(options or {}) do
		names[#names + 1] = name
	end
	t_sort(names)
	for _, name in ipairs(names) do
		local value = options[name]
		for _, one in ipairs(type(value) == "table" and value or { value }) do
			if type(one) == "boolean" then
				one = one and "yes" or "no"
			end
			list[#list + 1] = { name, tostring(one) }
		end
	end
	return list
end

-- From the words of the configuration to those of couplet.unbound.
local function native_settings(settings)
	local trusted, trustfile = settings.trusted, settings.trustfile
	if trusted == nil and trustfile == nil then
		if is_readable(ROOT_KEY_FILE) then
			trustfile = ROOT_KEY_FILE
		else
			trusted = ROOT_KEYS
		end
	end
	return {
		resolvconf = not settings.forward and path_setting(settings.resolvconf, "/etc/resolv.conf") or nil;
		hosts = path_setting(settings.hoststxt, "/etc/hosts");
		forward = settings.forward or nil;
		trusted = trusted or nil;
		trustfile = trustfile or nil;
		options = option_pairs(settings.options);
	}
end

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

-- Some name servers, mostly of home routers and containers, leave out what DNSSEC needs. We cannot tell them from an
-- attacker, so it is the admin who decides. Said once.
local function complain(self, bogus)
	if self._has_complained or not s_find(bogus, "for trust anchor", 1, true) then
		return
	end
	self._has_complained = true
	log("error", "Answers of the name servers cannot be validated, so none is believed (%s). Ask other servers " ..
		"(unbound = { forward = \"ADDRESS\" }), the root servers (unbound = { resolvconf = false }), or go without " ..
		"validation (unbound = { trusted = {} })", bogus)
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
		complain(query.resolver, answer.bogus)
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

local function read_answers(context)
	local ok, err = context.handle:process()
	local id, raw, failure = context.handle:take()
	while id do
		local query = context.queries[id]
		if raw then
			finish(query, dns.read_answer(raw, query.name, query.type, query.class))
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
	local settings = self._settings or config.get("*", "unbound")
	local handle, err = unbound.new(native_settings(type(settings) == "table" and settings or {}))
	if not handle then
		return nil, err
	end
	local context = { resolver = self, handle = handle, queries = {} }
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
	elseif self._context and not self._starting then
		submit(query, self._context)
	elseif self._starting then
		self._starting[#self._starting + 1] = query
	else
		self._starting = { query }
		native.defer(function () start(self) end)
	end
	return query
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

--- Forgets all that was learnt. Lookups in progress go on.
function methods:purge()
	local context = self._context
	self._context, self._has_complained = nil, false
	if context then
		retire(context)
	end
end

--- Ends the resolver. Nobody who waits is answered any more.
function methods:close()
	self._is_closed, self._context = true, nil
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
	new = new;
	default = default;
	is_available = found;
}
