--- Accounts in the server's own store, passwords kept as they are. For hosts that come from Prosody with it; new ones
-- are better served by internal_hashed.
-- @hooks  none        @fires none        @stores accounts, auth_secret
-- @spec   spec/modules/mod_auth_internal_plain_spec.lua

local equals = require "prosody.util.hashes".equals
local internal_accounts = require "prosody.util.internal_accounts"
local sasl = require "prosody.util.sasl"
local saslprep = require "prosody.util.encodings".stringprep.saslprep

local host = module.host
local provider, accounts, get_decoy_secret = internal_accounts.open(module, function (password)
	return { password = password }
end)

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
		end,
		decoy_secret = get_decoy_secret(),
	})
end

module:provides("auth", provider)
