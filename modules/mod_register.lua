--- In-band registration (XEP-0077), all of it: an old name that many configurations use.
-- @option allow_registration  boolean, false: strangers may make accounts (mod_register_ibr, mod_register_limits)
-- @hooks  none        @fires none        @stores none
-- @spec   spec/modules/mod_register_spec.lua

module:depends("user_account_management")
if module:get_option_boolean("allow_registration", false) then
	module:depends("register_ibr")
	module:depends("register_limits")
end
