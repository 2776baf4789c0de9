--- EXTERNAL (RFC 4422 appendix A, XEP-0178): the layer below has authenticated the peer, by its certificate. The
-- profile knows which names that proves; the message only says which of them is meant.

local saslprep = require "prosody.util.encodings".stringprep.saslprep

local tostring, type = tostring, type

local _ENV = nil

local function external(self, message)
	local authzid = message == "" and "" or saslprep(message)
	if not authzid or authzid:find("\0", 1, true) then
		return "failure", "malformed-request", "The authorization identity is not valid"
	end
	local username, state = self.profile.external(authzid)
	if state == false then
		return "failure", "account-disabled"
	elseif type(state) == "string" then
		return "failure", state == "expired" and "credentials-expired" or tostring(state)
	elseif not username or state == nil then
		return "failure", "not-authorized", "The certificate does not prove that identity"
	end
	self.username = username
	return "success"
end

local function init(register_mechanism)
	register_mechanism("EXTERNAL", { "external" }, external)
end

return { init = init }
