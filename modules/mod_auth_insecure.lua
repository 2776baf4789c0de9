--- For tests only: any name with any password is let in. Refuses to load unless the configuration says in so many words
-- that this is wanted.
-- @option insecure_open_access  boolean, false: yes, let everybody in as whoever they say they are
-- @hooks  none        @fires none        @stores none
-- @spec   spec/modules/mod_auth_insecure_spec.lua

local sasl = require "prosody.util.sasl"

local host = module.host

if module:get_option_boolean("insecure_open_access", false) ~= true then
	error("mod_auth_insecure lets everybody in with any password; it is for tests. If you want that, "
		.. "set insecure_open_access = true", 0)
end
module:log("warn", "%s lets everybody in with any password", host)

local provider = {}

function provider.test_password()
	return true
end

function provider.get_password()
	return nil, "There are no passwords"
end

function provider.set_password()
	return true
end

function provider.user_exists()
	return true
end

function provider.create_user()
	return true
end

function provider.delete_user()
	return true
end

function provider.users()
	return next, prosody.hosts[host].sessions, nil
end

function provider.get_sasl_handler()
	return sasl.new(host, {
		plain_test = function () return true, true end,
	})
end

module:provides("auth", provider)
