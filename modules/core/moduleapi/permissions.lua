--- The module API's permissions: what roles may do, and whether whoever asks has one that may.

local hosts = _G.prosody.hosts
local ipairs, pairs, require, tostring, type = ipairs, pairs, require, tostring, type

local api = {}
local _ENV = nil

local function full_action(self, action)
	return action:sub(1, 1) == ":" and self.name .. action or action
end

--- Gives a role a permission unless the configuration says otherwise; ":x" is this module's own x.
function api:default_permission(role_name, permission)
	permission = full_action(self, permission)
	if self.host ~= "*" then
		hosts[self.host].authz.add_default_permission(role_name, permission)
		return
	end
	for _, host in pairs(hosts) do
		if host.authz then
			host.authz.add_default_permission(role_name, permission)
		end
	end
end

--- The same for a list of them.
function api:default_permissions(role_name, permissions)
	for _, permission in ipairs(permissions) do
		self:default_permission(role_name, permission)
	end
end

-- The role a request is made with: of the session when it is one of this host, else of the JID that asks. Second
-- result: who asks.
local function actor_role(self, context)
	local actor_jid = context
	if type(context) == "table" then
		local session = context.origin or context.session
		if session and session.type == "c2s" and session.host == self.host then
			return session.role, session.full_jid
		end
		actor_jid = context.actor_jid or context.stanza and context.stanza.attr.from
	end
	if not actor_jid then
		return nil, "somebody without a name"
	end
	return require "prosody.core.usermanager".get_jid_role(actor_jid, self.host), actor_jid
end

--- May whoever asks do this? context: a JID, { actor_jid = }, or an event with origin and stanza. Without a role: no.
function api:may(action, context)
	action = full_action(self, action)
	local role, who = actor_role(self, context)
	if not role then
		self:log("debug", "%s is refused to %s, who has no role", action, tostring(who))
		return false
	end
	local permitted = role:may(action, type(context) == "table" and context or nil) and true or false
	if not permitted then
		self:log("debug", "%s is refused to %s with the role %s", action, tostring(who), role.name)
	end
	return permitted
end

--- As may, but asked without doing: nothing is logged.
function api:could(action, context)
	local role = actor_role(self, context)
	return role and role:may(full_action(self, action), type(context) == "table" and context or nil) and true or false
end

return api
