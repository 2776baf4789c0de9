--- SCRAM-SHA-1 and SCRAM-SHA-256, with channel binding as -PLUS (RFC 5802, RFC 7677), and XEP-0474, which lets the
-- client notice that somebody changed the list of mechanisms on its way.
--
-- Always true: an unknown user sees the same exchange as a known one (a salt that stays the same, the same work, the
-- same failure at its end); whether an account is disabled is told only to who knows its password.

local encodings = require "prosody.util.encodings"
local hashes = require "prosody.util.hashes"
local random_bytes = require "prosody.util.random".bytes
local keys = require "prosody.util.sasl.keys"
local names = require "prosody.util.sasl.names"

local base64, saslprep = encodings.base64, encodings.stringprep.saslprep
local equals = hashes.equals
local digests = { ["SHA-1"] = hashes.sha1, ["SHA-256"] = hashes.sha256 }
local ipairs, pairs, table, tostring, type = ipairs, pairs, table, tostring, type

local _ENV = nil

local default_iterations = 10000

-- Strongest first is a matter for the client; this is what -PLUS can use when the connection has it.
local binding_types = { "tls-exporter", "tls-unique", "tls-server-end-point" }

local wrong_credentials = "The user name or the password is wrong"

local function malformed(text)
	return "failure", "malformed-request", text
end

-- saslname of RFC 5802 7: "," and "=" travel as =2C and =3D, no other "=" may occur. nil when it is not one.
local function decode_name(text)
	local rest = text:gsub("=2C", ""):gsub("=3D", "")
	if rest:find("=", 1, true) then return nil end
	return (text:gsub("=2C", ","):gsub("=3D", "="))
end

-- What the exchange needs to know of the user. Answers for unknown users too, with keys nobody has.
local function look_up(self, kind, username)
	local profile = self.profile
	local by_keys = profile["scram_" .. kind:lower():gsub("-", "_")]
	local iterations = profile.iterations or default_iterations
	if by_keys then
		local stored_key, server_key, account_iterations, salt, state = by_keys(self, username, self.realm)
		if stored_key and state ~= nil then
			return { stored_key = stored_key, server_key = server_key, iterations = account_iterations, salt = salt,
				state = state }
		elseif type(state) == "string" then
			return nil, state
		end
		stored_key, server_key = keys.decoy_keys(kind)
		return { stored_key = stored_key, server_key = server_key, iterations = iterations,
			salt = keys.decoy_salt(self.decoy_secret, kind, username, self.realm) }
	end
	-- Plain-text back ends: keys are made now. The salt depends on the name alone, for known and unknown names alike.
	local password, state = profile.plain(self, username, self.realm)
	if not password and type(state) == "string" then return nil, state end
	local is_known = password ~= nil and password ~= false and state ~= nil
	local salt = keys.decoy_salt(self.decoy_secret, kind, username, self.realm)
	local prepared = is_known and saslprep(password) or random_bytes(12)
	local stored_key, server_key = keys.derive(kind, prepared, salt, iterations)
	if not is_known then state = nil end
	return { stored_key = stored_key, server_key = server_key, iterations = iterations, salt = salt, state = state }
end

-- XEP-0474 5.1: the hash of what was announced, so that the proof covers it.
local function announcement(self, kind)
	if not self.is_announcement_signed or not self.offered then return "" end
	local mechanisms, bindings = {}, {}
	for name in pairs(self.offered) do table.insert(mechanisms, name) end
	for _, name in ipairs(self.announced_bindings or {}) do table.insert(bindings, name) end
	table.sort(mechanisms) -- names are ASCII: this is i;octet
	table.sort(bindings)
	local text = table.concat(mechanisms, "\30")
	if bindings[1] then text = text .. "\31" .. table.concat(bindings, "\30") end
	return ",h=" .. base64.encode(digests[kind](text))
end

local function was_plus_offered(self)
	if not self.offered then return self:can_bind() end
	for name in pairs(self.offered) do
		if name:sub(-5) == "-PLUS" then return true end
	end
	return false
end

-- gs2-cbind-flag of RFC 5802 7. Gives the binding's bytes ("" without), or nil and a failure.
local function check_binding(self, flag)
	local wants_plus = self.selected:sub(-5) == "-PLUS"
	local binding = flag:match("^p=([%a%d.-]+)$")
	if wants_plus then
		if not binding then return nil, "malformed-request", "This mechanism needs channel binding" end
		local get_bytes = self.profile.cb and self.profile.cb[binding]
		local bytes = get_bytes and get_bytes(self)
		if not bytes then return nil, "malformed-request", "This channel binding type is not supported" end
		return bytes
	elseif binding then
		return nil, "malformed-request", "Channel binding needs a -PLUS mechanism"
	elseif flag == "y" then
		-- The client could bind but saw no -PLUS. If we offered one, somebody removed it (RFC 5802 6).
		if was_plus_offered(self) then
			return nil, "not-authorized", "The list of mechanisms was changed on its way to you"
		end
		return ""
	elseif flag == "n" then
		return ""
	end
	return nil, "malformed-request", "The channel binding flag is not valid"
end

-- client-first-message = gs2-cbind-flag "," [ authzid ] "," [ reserved-mext "," ] username "," nonce [ "," extensions ]
local function process_first(self, kind, message)
	local flag, authzid, bare = message:match("^([^,]*),([^,]*),(.*)$")
	if not flag then return malformed("This is no SCRAM client-first-message") end
	local binding, condition, text = check_binding(self, flag)
	if not binding then return "failure", condition, text end
	if bare:sub(1, 2) == "m=" then return malformed("Mandatory extensions are not supported") end

	-- The nonce is printable ASCII without the comma.
	local name, nonce, extensions = bare:match("^n=([^,]*),r=([\33-\43\45-\126]+)(.*)$")
	if not name or (extensions ~= "" and not extensions:find("^,%a=")) then
		return malformed("This is no SCRAM client-first-message")
	end
	name = decode_name(name)
	local username = name and names.prepare_username(self, name)
	if not username then return malformed("The user name is not valid") end
	if authzid ~= "" then
		local identity = authzid:match("^a=(.+)$")
		identity = identity and decode_name(identity)
		if not identity then return malformed("The authorization identity is not valid") end
		if not names.is_own_authzid(self, identity, username) then
			return "failure", "invalid-authzid", "You can act as nobody but yourself"
		end
	end

	local refusal
	refusal, condition, text = names.closed_gate(self, username)
	if refusal then return refusal, condition, text end

	local account
	account, condition = look_up(self, kind, username)
	if not account then return "failure", condition == "expired" and "credentials-expired" or condition end
	nonce = nonce .. (self.server_nonce or base64.encode(random_bytes(18))) -- server_nonce: for vectors of the RFCs
	local server_first = ("r=%s,s=%s,i=%d%s"):format(nonce, base64.encode(account.salt), account.iterations,
		announcement(self, kind))
	self.state = {
		username = username,
		account = account,
		nonce = nonce,
		binding_input = flag .. "," .. authzid .. "," .. binding,
		so_far = bare .. "," .. server_first,
	}
	return "challenge", server_first
end

-- client-final-message = channel-binding "," nonce [ "," extensions ] "," proof
local function process_final(self, kind, message)
	local state = self.state
	local refusal, condition, text = names.closed_gate(self, state.username) -- others may have guessed meanwhile
	if refusal then return refusal, condition, text end
	local without_proof, binding, nonce, extensions, proof =
		message:match("^(c=([^,]+),r=([^,]+)(.*)),p=([^,]+)$")
	if not without_proof or (extensions ~= "" and not extensions:find("^,%a=")) then
		return malformed("This is no SCRAM client-final-message")
	end
	binding, proof = base64.decode(binding, true), base64.decode(proof, true)
	if not binding or not proof or #proof ~= keys.sizes[kind] then
		return malformed("Base64 in the SCRAM message is not valid")
	end
	if not equals(binding, state.binding_input) then
		return "failure", "not-authorized", "The channel binding does not match"
	end
	if not equals(nonce, state.nonce) then
		return malformed("The nonce does not match")
	end

	local account = state.account
	local auth_message = state.so_far .. "," .. without_proof
	if not hashes.scram_check_proof(kind, account.stored_key, auth_message, proof) or account.state == nil then
		return "failure", "not-authorized", wrong_credentials
	elseif account.state == false then
		return "failure", "account-disabled"
	elseif account.state ~= true then
		return "failure", account.state == "expired" and "credentials-expired" or tostring(account.state)
	end
	self.username = state.username
	return "success", "v=" .. base64.encode(hashes.scram_sign(kind, account.server_key, auth_message))
end

local function mechanism(kind)
	return function (self, message)
		if not self.state then return process_first(self, kind, message) end
		-- For failures too, so that the one who counts guesses knows whose password was guessed.
		self.claimed_username = self.state.username
		return process_final(self, kind, message)
	end
end

local function init(register_mechanism)
	for _, kind in ipairs(keys.order) do
		local backend = "scram_" .. kind:lower():gsub("-", "_")
		register_mechanism("SCRAM-" .. kind, { "plain", backend }, mechanism(kind), binding_types)
	end
end

return {
	init = init,
	hashers = keys.hashers,
	getAuthenticationDatabaseSHA1 = keys.hashers["SHA-1"], -- COMPAT with modules written before `hashers`
	binding_types = binding_types,
}
