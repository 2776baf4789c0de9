--- The keys behind passwords: PBKDF2 and the SCRAM keys made from it (RFC 5802 3).
--
-- PBKDF2 is slow on purpose. Inside a hook it runs on a worker thread and the caller waits; elsewhere (the command
-- line) it runs at once.

local hashes = require "prosody.util.hashes"
local random_bytes = require "prosody.util.random".bytes
local uuid = require "prosody.util.uuid"
local has_native, native = pcall(require, "couplet.native")

local assert, type = assert, type

local _ENV = nil

local pbkdf2 = { ["SHA-1"] = hashes.pbkdf2_hmac_sha1, ["SHA-256"] = hashes.pbkdf2_hmac_sha256 }
local native_names = { ["SHA-1"] = "sha1", ["SHA-256"] = "sha256" }
local sizes = { ["SHA-1"] = 20, ["SHA-256"] = 32 } -- bytes of a key
local order = { "SHA-256", "SHA-1" } -- strongest first

local min_iterations = 4096 -- RFC 5802 5.1

--- Gives the stored key and the server key of a password, raw. kind is "SHA-1" or "SHA-256"; password is prepared
-- (saslprep), salt raw bytes. Waits where waiting is possible.
local function derive(kind, password, salt, iterations)
	local make_key = assert(pbkdf2[kind], "unknown hash")
	local salted_password
	if has_native and native.pbkdf2 then
		salted_password = assert(native.pbkdf2(native_names[kind], password, salt, iterations))
	else
		salted_password = make_key(password, salt, iterations)
	end
	return hashes.scram_keys_of(kind, salted_password)
end

--- Gives the salt shown for a name that has no keys: always the same one, and of the same form as a real one, so that
-- nobody learns from it which accounts exist.
local function decoy_salt(secret, kind, username, realm)
	return hashes.scram_fake_salt(secret, kind .. "\0" .. username .. "\0" .. realm)
end

--- Gives keys that belong to no password.
local function decoy_keys(kind)
	return random_bytes(sizes[kind]), random_bytes(sizes[kind])
end

--- Prosody's form: true, stored_key, server_key, or false and why.
local function hasher(kind)
	return function (password, salt, iterations)
		if type(password) ~= "string" or type(salt) ~= "string" or type(iterations) ~= "number" then
			return false, "inappropriate argument types"
		end
		if iterations < min_iterations then return false, "at least 4096 iterations are needed" end
		return true, derive(kind, password, salt, iterations)
	end
end

return {
	order = order,
	sizes = sizes,
	min_iterations = min_iterations,
	derive = derive,
	new_salt = uuid.generate, -- the form Prosody stores; its ASCII bytes are the salt
	decoy_salt = decoy_salt,
	decoy_keys = decoy_keys,
	hashers = { ["SHA-1"] = hasher("SHA-1"), ["SHA-256"] = hasher("SHA-256") },
}
