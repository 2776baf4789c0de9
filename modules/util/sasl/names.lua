--- Names inside SASL messages: how user names, passwords and authorization identities are prepared and compared.

local encodings = require "prosody.util.encodings"
local jid_prep = require "prosody.util.jid".prep

local saslprep, nodeprep = encodings.stringprep.saslprep, encodings.stringprep.nodeprep

local _ENV = nil

--- Gives the account name for what a client sent, or nil when it cannot be one.
local function prepare_username(handler, name)
	name = saslprep(name)
	if not name or name == "" then return nil end
	local prepare = handler.profile.nodeprep
	if prepare ~= false then name = (prepare or nodeprep)(name) end
	if not name or name == "" then return nil end
	return name
end

--- May username act as authzid? Only as itself: the authorization identity is the bare JID of the one who
-- authenticated, or nothing (RFC 6120 6.3.8). Anything else would open another user's session.
local function is_own_authzid(handler, authzid, username)
	if authzid == nil or authzid == "" then return true end
	return authzid == username or jid_prep(authzid) == username .. "@" .. handler.realm
end

--- Asks the handler's gate whether a guess at this account may be made now. nil, or a failure.
local function closed_gate(handler, username)
	if not handler.gate then return nil end
	local is_open, text = handler.gate(username)
	if is_open then return nil end
	return "failure", "temporary-auth-failure", text
end

return {
	closed_gate = closed_gate,
	prepare_username = prepare_username,
	is_own_authzid = is_own_authzid,
}
