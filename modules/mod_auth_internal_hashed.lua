--- Accounts in the server's own store, passwords kept as SCRAM keys (RFC 5802), readable and writable by Prosody.
-- @option password_hash            "SHA-1" or "SHA-256", "SHA-1": the hash of the keys that Prosody reads too
-- @option default_iteration_count  number, 10000: PBKDF2 rounds for new passwords, at least 4096
-- @option sasl_mechanisms          set, none: mechanisms to offer whatever the accounts hold (see mod_saslauth)
-- @hooks  none        @fires none        @stores accounts, auth_secret
-- @spec   spec/modules/mod_auth_internal_hashed_spec.lua
--
-- An account holds keys for both hashes. The outer record is Prosody's: stored_key, server_key (hex), salt (text),
-- iteration_count, for the hash of `password_hash`; which hash an old record was made with shows in the length of its
-- keys. The keys for the other hash are ours, in `scram`:
--
--     scram = { ["SHA-256"] = { stored_key, server_key, salt, iteration_count, beside = stored_key of the outer } }
--
-- Prosody keeps `scram` when it changes a password, without knowing what it means. So the inner keys count only while
-- `beside` equals the outer stored key: a password changed there is changed here.
--
-- Which mechanisms to offer. A client takes the strongest one before it names the user, and most take a failure for a
-- wrong password. So SCRAM-SHA-256 is offered when *every* account of the host can use it, and SCRAM-SHA-1 alone as
-- long as one account made by Prosody cannot. Such accounts get their second keys when their password passes by: with
-- PLAIN, a password change, or `user:password`. We do not offer by the stream's `from` instead: that would tell anybody
-- which accounts exist. Accounts are not counted but witnessed: one account without the keys is enough to know, and
-- only when it has got them we look for the next. All names are read at most once, when the module is ready.

local equals = require "prosody.util.hashes".equals
local hex = require "prosody.util.hex"
local internal_accounts = require "prosody.util.internal_accounts"
local keys = require "prosody.util.sasl.keys"
local sasl = require "prosody.util.sasl"
local saslprep = require "prosody.util.encodings".stringprep.saslprep

local host = module.host

local outer_hash = module:get_option_enum("password_hash", "SHA-1", "SHA-1", "SHA-256")
local iterations = module:get_option_integer("default_iteration_count", 10000, keys.min_iterations)
local forced_mechanisms = module:get_option_set("sasl_mechanisms")

local hash_by_hex_size = { [40] = "SHA-1", [64] = "SHA-256" }

-- Gives the keys an account has for a hash as it stores them, or nil.
local function keys_of(account, hash)
	local stored_key = account.stored_key
	if type(stored_key) ~= "string" or not account.server_key or not account.salt then return nil end
	if hash_by_hex_size[#stored_key] == hash then return account end
	local inner = type(account.scram) == "table" and account.scram[hash]
	if inner and inner.beside == stored_key then return inner end
	return nil
end

local function make_keys(hash, password)
	local salt = keys.new_salt()
	local stored_key, server_key = keys.derive(hash, password, salt, iterations)
	return {
		stored_key = hex.encode(stored_key),
		server_key = hex.encode(server_key),
		salt = salt,
		iteration_count = iterations,
	}
end

-- Gives all the keys for a password, in the form of the record. Waits (see util.sasl.keys).
local function make_credentials(password)
	local credentials = make_keys(outer_hash, password)
	credentials.scram = {}
	for _, hash in ipairs(keys.order) do
		if hash ~= outer_hash then
			local inner = make_keys(hash, password)
			inner.beside = credentials.stored_key
			credentials.scram[hash] = inner
		end
	end
	return credentials
end

local provider, accounts, get_decoy_secret = internal_accounts.open(module, make_credentials)

local function is_complete(account)
	for _, hash in ipairs(keys.order) do
		local found = keys_of(account, hash)
		if not found or found.iteration_count < iterations then return false end
	end
	return true
end

-- The survey: per hash, an account that lacks its keys.

local names         -- of all accounts, once they have been asked for
local cursors = {}  -- hash -> the first of them not looked at yet
local witnesses = {}

local function list_names()
	names = {}
	local iterate, state, first = accounts:users()
	if not iterate then
		module:log("warn", "Accounts cannot be listed (%s): SCRAM-SHA-256 is not offered", state)
		witnesses["SHA-256"] = "?"
		return
	end
	for name in iterate, state, first do table.insert(names, name) end
end

-- Gives the name of an account that cannot use a hash, nil when all can.
local function find_witness(hash)
	if not names then list_names() end
	local cursor = cursors[hash] or 1
	while not witnesses[hash] and cursor <= #names do
		local account = accounts:get(names[cursor])
		if account and account.stored_key and not keys_of(account, hash) then witnesses[hash] = names[cursor] end
		cursor = cursor + 1
	end
	cursors[hash] = cursor
	return witnesses[hash]
end

-- An account was changed or deleted: does what it bore witness to still stand?
local function look_again(username)
	for hash, name in pairs(witnesses) do
		if name == username then
			local account = accounts:get(name)
			if not account or not account.stored_key or keys_of(account, hash) then witnesses[hash] = nil end
		end
	end
end

-- May the mechanism of this hash be offered to somebody who has not said who they are?
local function is_for_everybody(hash)
	if forced_mechanisms then return forced_mechanisms:contains("SCRAM-" .. hash) end
	if hash == "SHA-1" then
		-- Keys for SHA-256 alone exist only where Prosody was told so with password_hash.
		return outer_hash == "SHA-1" or not find_witness("SHA-1")
	end
	-- Both kinds of lonely accounts on one host: password_hash says which ones Prosody served.
	return not find_witness("SHA-256") or (outer_hash == "SHA-256" and find_witness("SHA-1") ~= nil)
end

-- Reads an account; says why in the log when the store failed, which the one who logs in must not take for a wrong
-- password.
local function read_account(username)
	local account, err = accounts:get(username)
	if account == nil and err then
		module:log("error", "Account %s cannot be read: %s", username, err)
		return nil, "temporary-auth-failure"
	end
	return account
end

-- The password was right: writes the keys that are missing, or all when they are weaker than new ones would be.
local function complete(username, password, seen_key)
	local credentials = make_credentials(password)
	local account = accounts:get(username) -- again: making keys waits, and the password may have been changed meanwhile
	if not account or account.stored_key ~= seen_key then return end
	for name, value in pairs(credentials) do account[name] = value end
	local ok, err = accounts:set(username, account)
	if not ok then
		module:log("warn", "Account %s keeps its old keys: %s", username, err)
		return
	end
	module:log("debug", "Account %s has keys for all mechanisms now", username)
	look_again(username)
end

-- Gives is_correct, state; state as util.sasl wants it.
local function check_password(username, password)
	local account, failure = read_account(username)
	if failure then return nil, failure end
	password = saslprep(password)
	if not password or password == "" then return nil, nil end

	local found, hash
	for _, name in ipairs(account and keys.order or {}) do
		found, hash = keys_of(account, name), name
		if found then break end
	end
	if not found then
		-- Nobody: the same work, and the same answer.
		local salt = keys.decoy_salt(get_decoy_secret(), outer_hash, username, host)
		keys.derive(keys.order[1], password, salt, iterations)
		return nil, nil
	end
	local stored_key = keys.derive(hash, password, found.salt, found.iteration_count)
	if not equals(hex.encode(stored_key), found.stored_key:lower()) then return nil, true end
	if account.disabled then return true, false end
	if not is_complete(account) then complete(username, password, account.stored_key) end
	return true, true
end

local function get_scram_keys(hash)
	return function (_, username)
		local account, failure = read_account(username)
		if failure then return nil, nil, nil, nil, failure end
		local found = account and keys_of(account, hash)
		if not found then
			if account and account.stored_key then
				module:log("warn", "Account %s has no keys for SCRAM-%s; its password must be set again or sent with PLAIN",
					username, hash)
			end
			return nil
		end
		return hex.decode(found.stored_key), hex.decode(found.server_key), found.iteration_count, found.salt,
			not account.disabled
	end
end

function provider.test_password(username, password)
	local is_correct, state = check_password(username, password)
	if is_correct and state == true then return true end
	if is_correct and state == false then return nil, "Account disabled" end
	return nil, "Auth failed. Invalid username or password."
end

function provider.get_password() -- luacheck: ignore 212
	return nil, "Passwords are kept as keys only"
end

-- What changes an account may change what everybody can use.
for _, name in ipairs { "set_password", "delete_user" } do
	local change = provider[name]
	provider[name] = function (username, ...)
		local ok, err = change(username, ...)
		look_again(username)
		return ok, err
	end
end

function provider.get_sasl_handler()
	return sasl.new(host, {
		plain_test = function (_, username, password) return check_password(username, password) end,
		scram_sha_1 = is_for_everybody("SHA-1") and get_scram_keys("SHA-1") or nil,
		scram_sha_256 = is_for_everybody("SHA-256") and get_scram_keys("SHA-256") or nil,
		decoy_secret = get_decoy_secret(),
		iterations = iterations,
	})
end

function module.ready()
	if forced_mechanisms then return end
	local witness = find_witness("SHA-256")
	if witness then
		module:log("info", "SCRAM-SHA-256 is not offered yet: there are accounts with keys for SCRAM-SHA-1 only, "
			.. "made by another server (the first is %s)", witness)
	end
end

module:provides("auth", provider)
