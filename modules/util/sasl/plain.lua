--- PLAIN (RFC 4616): the password itself, so only ever offered inside TLS.

local equals = require "prosody.util.hashes".equals
local saslprep = require "prosody.util.encodings".stringprep.saslprep
local names = require "prosody.util.sasl.names"

local type, tostring = type, tostring

local _ENV = nil

-- message = [authzid] NUL authcid NUL passwd
local function plain(self, message)
	local authzid, name, password = message:match("^([^%z]*)%z([^%z]+)%z([^%z]+)$")
	if not authzid then return "failure", "malformed-request", "This is no PLAIN message" end
	local username = names.prepare_username(self, name)
	password = saslprep(password)
	if not username or not password or password == "" then
		return "failure", "malformed-request", "The user name or the password is not valid"
	end
	if not names.is_own_authzid(self, authzid, username) then
		return "failure", "invalid-authzid", "You can act as nobody but yourself"
	end

	local refusal, condition, text = names.closed_gate(self, username)
	if refusal then return refusal, condition, text end

	self.claimed_username = username -- for failures too: the one who counts guesses needs to know
	local profile, is_correct, state = self.profile, false
	if profile.plain_test then
		is_correct, state = profile.plain_test(self, username, password, self.realm)
	else
		local stored
		stored, state = profile.plain(self, username, self.realm)
		if type(stored) == "string" then
			is_correct = equals(saslprep(stored) or "", password)
		end
	end
	if is_correct and state == true then
		self.username = username
		return "success"
	elseif is_correct and state == false then
		return "failure", "account-disabled"
	elseif type(state) == "string" then
		return "failure", state == "expired" and "credentials-expired" or tostring(state)
	end
	return "failure", "not-authorized", "The user name or the password is wrong"
end

local function init(register_mechanism)
	register_mechanism("PLAIN", { "plain", "plain_test" }, plain)
end

return { init = init }
