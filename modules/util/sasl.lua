--- SASL (RFC 4422): what a mechanism is, and the handler that runs one exchange. Prosody's interface, so that the
-- authentication modules written for it plug in unchanged.
--
-- A *profile* is a table of functions that answer questions about accounts; a mechanism is offered when the profile
-- has one of the functions it needs (its backends):
--
--     plain(self, username, realm)                  -> password, state
--     plain_test(self, username, password, realm)   -> is_correct, state
--     scram_sha_1, scram_sha_256(self, username, realm)
--                                                   -> stored_key, server_key, iterations, salt, state
--     anonymous(self, username, realm)              -> is_allowed
--     external(authzid)                             -> username, state
--     cb = { ["tls-exporter"] = function(self) -> bytes }     channel bindings of this connection
--     nodeprep       function or false: how user names are prepared (default: nodeprep)
--     decoy_secret   string: keeps the salts shown for unknown users the same across restarts
--     iterations     number: PBKDF2 rounds shown for unknown users and used with `plain`
--
-- `state`: true is a good account, false a disabled one, nil an unknown one; "expired" or the name of a SASL condition
-- fails with that.
--
-- handler.gate, when set, is asked gate(username) before a password or key is looked at: true, or nil and a text (too
-- many guesses). handler.claimed_username is whose password was tried, whatever came of it.
--
-- Always true: a handler runs one exchange at a time, only a mechanism it offers can be selected, and `username` is
-- set by nothing but a success.

local random_bytes = require "prosody.util.random".bytes
local pairs, ipairs, setmetatable, type, next = pairs, ipairs, setmetatable, type, next
local assert = assert
local require = require

local _ENV = nil

local registry = {} -- name -> { run = function(handler, message), backends = {...}, bindings = {...} or nil }

--- Makes a mechanism known. `bindings` lists the channel binding types that NAME-PLUS can use; then `run` serves
-- both names and looks at handler.selected.
local function register_mechanism(name, backends, run, bindings)
	assert(type(name) == "string", "a mechanism needs a name")
	assert(type(backends) == "table", "a mechanism needs a list of backends")
	assert(type(run) == "function", "a mechanism needs a function")
	registry[name] = { run = run, backends = backends }
	if bindings then
		registry[name .. "-PLUS"] = { run = run, backends = backends, bindings = bindings }
	end
end

local function is_served(mechanism, profile)
	if mechanism.bindings then
		local can_bind = false
		for _, binding in ipairs(mechanism.bindings) do
			can_bind = can_bind or (profile.cb and profile.cb[binding] ~= nil)
		end
		if not can_bind then return false end
	end
	for _, backend in ipairs(mechanism.backends) do
		if profile[backend] then return true end
	end
	return false
end

local handler_methods = {}
local handler_mt = { __index = handler_methods }

-- Unknown users are shown a salt made from this unless the profile brings its own secret.
local process_secret

--- Gives a handler for one session. realm is the host.
local function new(realm, profile)
	if not profile.decoy_secret then
		process_secret = process_secret or random_bytes(32)
	end
	return setmetatable({
		realm = realm,
		profile = profile,
		decoy_secret = profile.decoy_secret or process_secret,
	}, handler_mt)
end

--- Gives a handler as this one was before its exchange: same profile, bindings and announced mechanisms.
function handler_methods:clean_clone()
	local clone = new(self.realm, self.profile)
	clone.offered = self.offered
	clone.announced_bindings = self.announced_bindings
	clone.is_announcement_signed = self.is_announcement_signed
	clone.gate = self.gate
	clone.userdata = self.userdata
	return clone
end

--- Adds a channel binding of this connection; fn(handler) gives its bytes, or nil when it cannot be had.
function handler_methods:add_cb_handler(name, fn)
	-- The profile may be shared by all sessions of a host; the bindings belong to this one.
	local cb = {}
	for key, value in pairs(self.profile.cb or {}) do cb[key] = value end
	cb[name] = fn
	local profile = self.profile
	self.profile = setmetatable({ cb = cb }, { __index = profile })
	return self
end

--- Gives the set of mechanism names this handler can run, name -> true.
function handler_methods:mechanisms()
	local names = {}
	for name, mechanism in pairs(registry) do
		if is_served(mechanism, self.profile) then names[name] = true end
	end
	return names
end

--- Tells what was announced on this stream: names and bindings are arrays. From now on only these can be selected
-- (SECURITY: a mechanism not offered must not be accepted), a "y" flag is judged by them (RFC 5802 6), and with
-- `is_protected` SCRAM signs them (XEP-0474).
function handler_methods:announce(names, bindings, is_protected)
	local offered = {}
	for _, name in ipairs(names) do offered[name] = true end
	self.offered = offered
	self.announced_bindings = bindings
	self.is_announcement_signed = is_protected
	return self
end

--- Chooses the mechanism of the exchange. True, or nil when it is not offered or one is chosen already.
function handler_methods:select(name)
	local mechanism = registry[name]
	if self.selected or not mechanism or not is_served(mechanism, self.profile) then return nil end
	if self.offered and not self.offered[name] then return nil end
	self.selected = name
	return true
end

--- One message of the client, decoded. Gives
--     "success", data            the exchange is over, self.username has authenticated; data may be nil
--     "challenge", data          the client shall answer data
--     "failure", condition, text  over; condition is one of RFC 6120 6.5
function handler_methods:process(message)
	if not self.selected or self.is_over then
		return "failure", "malformed-request", "No exchange is going on"
	end
	local status, data, text = registry[self.selected].run(self, message or "")
	if status == "success" then
		assert(type(self.username) == "string" and self.username ~= "", "a mechanism succeeded without a user")
	end
	if status ~= "challenge" then
		self.is_over = true
		if status ~= "success" then self.username = nil end
	end
	return status, data, text
end

--- Does the connection have any channel binding?
function handler_methods:can_bind()
	local cb = self.profile.cb
	return cb ~= nil and next(cb) ~= nil
end

for _, part in ipairs { "scram", "plain", "external", "anonymous" } do
	require("prosody.util.sasl." .. part).init(register_mechanism)
end

return {
	new = new,
	registerMechanism = register_mechanism,
}
