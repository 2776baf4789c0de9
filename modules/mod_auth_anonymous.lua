--- Anonymous logins (SASL ANONYMOUS, XEP-0175): everybody may come in, under a name that the server makes up.
-- @option allow_anonymous_s2s  boolean, false: let them talk to other servers
-- @option disallow_s2s         boolean: false is the older way to say so
-- @hooks  route/remote, resource-unbind        @fires none        @stores none
-- @spec   spec/modules/mod_auth_anonymous_spec.lua
--
-- What such a user stores is deleted when they leave: the name is never given out again.

local sasl = require "prosody.util.sasl"
local st = require "prosody.util.stanza"
local storagemanager = require "prosody.core.storagemanager"

local host = module.host
local allow_s2s = module:get_option_boolean("allow_anonymous_s2s", module:get_option_boolean("disallow_s2s") == false)

local function is_online(username)
	return prosody.hosts[host].sessions[username] ~= nil
end

local provider = {}

function provider.test_password()
	return nil, "Password based auth not supported."
end
provider.get_password = provider.test_password
provider.set_password = provider.test_password

function provider.user_exists(username)
	return is_online(username)
end

function provider.create_user()
	return nil, "Account creation/modification not supported."
end

function provider.delete_user()
	return nil, "Account creation/modification not supported."
end

function provider.users()
	return next, prosody.hosts[host].sessions, nil
end

function provider.get_sasl_handler()
	return sasl.new(host, {
		anonymous = function (_, username) return not is_online(username) end,
	})
end

-- XEP-0175 3: an unknown user SHOULD NOT be allowed to reach remote servers.
local function refuse_remote(event)
	local stanza = event.stanza
	if event.from_host ~= host then return end
	local kind = stanza.attr.type
	if kind ~= "error" and kind ~= "result" then
		module:send(st.error_reply(stanza, "cancel", "not-allowed", "Anonymous users cannot talk to other servers"))
	end
	return true
end

local function forget_user(event)
	local username = event.session.username
	if not username or is_online(username) then return end
	local ok, err = storagemanager.purge(username, host)
	if not ok then module:log("warn", "What %s has stored was not deleted: %s", username, err) end
end

if not allow_s2s then
	module:hook("route/remote", refuse_remote, 300)
end
module:hook("resource-unbind", forget_user, -100)

module:provides("auth", provider)
