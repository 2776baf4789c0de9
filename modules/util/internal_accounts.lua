--- What the providers of accounts in the server's own store have in common: mod_auth_internal_hashed and _plain keep
-- passwords differently, in the same record, { created =, updated =, disabled =, disabled_meta =, ... }, which is
-- Prosody's.

local hex = require "prosody.util.hex"
local random_bytes = require "prosody.util.random".bytes
local saslprep = require "prosody.util.encodings".stringprep.saslprep
local time = require "prosody.util.time"

local floor, pairs, type = math.floor, pairs, type

local _ENV = nil

--- Opens the accounts of a module's host. module: the provider's module API. credentials_of: function (password) that
-- gives the fields a prepared password puts into the record; it may wait.
-- Gives provider (with all that needs no password), accounts (the store), get_decoy_secret (function giving the secret
-- behind the salts shown for unknown users).
local function open(module, credentials_of)
	local accounts = module:open_store("accounts")
	local secrets = module:open_store("auth_secret")
	local provider = {}

	-- It outlives restarts: salts that change would tell.
	local decoy_secret

	local function get_decoy_secret()
		if not decoy_secret then
			local kept = secrets:get()
			if not kept or type(kept.decoy) ~= "string" then
				kept = { decoy = hex.encode(random_bytes(32)) }
				local ok, err = secrets:set(nil, kept)
				if not ok then
					module:log("warn", "The secret behind the salts of unknown users was not saved: %s", err)
				end
			end
			decoy_secret = kept.decoy
		end
		return decoy_secret
	end

	local function get_credentials(password)
		local prepared = saslprep(password)
		if not prepared or prepared == "" then
			return nil, "The password is empty or holds characters that are not allowed"
		end
		return credentials_of(prepared)
	end

	local function read(username)
		local account, err = accounts:get(username)
		if not account then return nil, err or "Account not found" end
		return account
	end

	-- Puts fields into a record, which keeps what else it has (fields of others).
	local function put(account, fields)
		for name, value in pairs(fields) do account[name] = value end
		return account
	end

	function provider.user_exists(username)
		local account, err = read(username)
		return account and true, err
	end

	--- Makes an account; without a password it exists, disabled, until it is given one and enabled.
	function provider.create_user(username, password)
		local now = floor(time.now())
		local account = { created = now, updated = now }
		if password == nil then
			account.disabled = true
		else
			local credentials, err = get_credentials(password)
			if not credentials then return nil, err end
			put(account, credentials)
		end
		-- Making credentials waits: somebody else may have had the same name in mind.
		local existing, err = accounts:get(username)
		if existing then return nil, "Account already exists" end
		if err then return nil, err end
		return accounts:set(username, account)
	end

	function provider.set_password(username, password)
		local credentials, err = get_credentials(password)
		if not credentials then return nil, err end
		local account
		account, err = read(username)
		if not account then return nil, err end
		put(account, credentials).updated = floor(time.now())
		return accounts:set(username, account)
	end

	function provider.delete_user(username)
		return accounts:set(username, nil)
	end

	function provider.users()
		return accounts:users()
	end

	function provider.is_enabled(username)
		local account, err = read(username)
		if not account then return nil, err end
		return not account.disabled
	end

	local function set_disabled(username, disabled, meta)
		local account, err = read(username)
		if not account then return nil, err end
		account.disabled, account.disabled_meta = disabled, meta
		account.updated = floor(time.now())
		return accounts:set(username, account)
	end

	function provider.enable(username)
		return set_disabled(username, nil, nil)
	end

	function provider.disable(username, meta)
		return set_disabled(username, true, meta)
	end

	function provider.get_account_info(username)
		local account, err = read(username)
		if not account then return nil, err end
		return { created = account.created, password_updated = account.updated, enabled = not account.disabled }
	end

	return provider, accounts, get_decoy_secret
end

return { open = open }
