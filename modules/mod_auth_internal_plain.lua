--- Accounts in the server's own store, passwords kept as they are. For hosts that come from Prosody with it; new ones
-- are better served by internal_hashed.
-- @hooks  none        @fires none        @stores accounts, auth_secret
-- @spec   spec/modules/mod_auth_internal_plain_spec.lua

local equals = require "prosody.util.hashes".equals
local hex = require "prosody.util.hex"
local random_bytes = require "prosody.util.random".bytes
local sasl = require "prosody.util.sasl"
local saslprep = require "prosody.util.encodings".stringprep.saslprep
local time = require "prosody.util.time"

local host = module.host
local accounts = module:open_store("accounts")
local secrets = module:open_store("auth_secret")

local decoy_secret

local function get_decoy_secret()
	if not decoy_secret then
		local kept = secrets:get()
		if not kept or type(kept.decoy) ~= "string" then
			kept = { decoy = hex.encode(random_bytes(32)) }
			local ok, err = secrets:set(nil, kept)
			if not ok then module:log("warn", "The secret behind the salts of unknown users was not saved: %s", err) end
		end
		decoy_secret = kept.decoy
	end
	return decoy_secret
end

local bad_password = "The password is empty or holds characters that are not allowed"

local function prepare_new_password(password)
	local prepared = saslprep(password)
	if not prepared or prepared == "" then return nil, bad_password end
	return prepared
end

-- Changes an existing account with fn(account).
local function change(username, fn)
	local account, err = accounts:get(username)
	if not account then return nil, err or "Account not available." end
	fn(account)
	account.updated = math.floor(time.now())
	return accounts:set(username, account)
end

local provider = {}

function provider.test_password(username, password)
	local account = accounts:get(username)
	password = saslprep(password)
	if not account or type(account.password) ~= "string" or not password
	or not equals(saslprep(account.password) or "", password) then
		return nil, "Auth failed. Invalid username or password."
	end
	if account.disabled then return nil, "Account disabled" end
	return true
end

function provider.get_password(username)
	local account, err = accounts:get(username)
	if not account then return nil, err or "Account not available." end
	return account.password
end

function provider.set_password(username, password)
	local prepared, err = prepare_new_password(password)
	if not prepared then return nil, err end
	return change(username, function (account) account.password = prepared end)
end

function provider.user_exists(username)
	local account, err = accounts:get(username)
	if not account then return nil, err or "Account not found/created." end
	return true
end

--- Makes an account; without a password it exists, disabled, until it is given one and enabled.
function provider.create_user(username, password)
	local now = math.floor(time.now())
	local account = { created = now, updated = now }
	if password == nil then
		account.disabled = true
	else
		local err
		account.password, err = prepare_new_password(password)
		if not account.password then return nil, err end
	end
	if accounts:get(username) then return nil, "Account already exists" end
	return accounts:set(username, account)
end

function provider.delete_user(username)
	return accounts:set(username, nil)
end

function provider.users()
	return accounts:users()
end

function provider.is_enabled(username)
	local account, err = accounts:get(username)
	if not account then return nil, err or "Account not found" end
	return not account.disabled
end

function provider.enable(username)
	return change(username, function (account) account.disabled, account.disabled_meta = nil, nil end)
end

function provider.disable(username, meta)
	return change(username, function (account) account.disabled, account.disabled_meta = true, meta end)
end

function provider.get_account_info(username)
	local account, err = accounts:get(username)
	if not account then return nil, err or "Account not found" end
	return { created = account.created, password_updated = account.updated, enabled = not account.disabled }
end

function provider.get_sasl_handler()
	return sasl.new(host, {
		plain = function (_, username)
			local account, err = accounts:get(username)
			if account == nil and err then
				module:log("error", "Account %s cannot be read: %s", username, err)
				return nil, "temporary-auth-failure"
			end
			if not account or type(account.password) ~= "string" then return nil end
			return account.password, not account.disabled
		end;
		decoy_secret = get_decoy_secret();
	})
end

module:provides("auth", provider)
