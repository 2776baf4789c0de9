--- Roles: what somebody with this role may do.
-- Always true: a role's own permissions come before those it inherits, the first inherited role that knows the action
-- decides; an action that nobody knows is not allowed.
local error, getmetatable, ipairs, next, pairs, setmetatable, tostring =
	error, getmetatable, ipairs, next, pairs, setmetatable, tostring
local id = require "prosody.util.id"
local t_concat, t_insert = table.concat, table.insert

local _ENV = nil

local methods = {}
local role_mt = { __index = methods, __name = "role" }

local function is_role(value)
	return getmetatable(value) == role_mt
end

--- Makes a role. config: name, id (made up), priority (higher roles know more), default (true: for everybody),
-- inherits (a list of roles), permissions (action -> true or false), metadata. overrides: a table that is laid over it.
local function new(config, overrides)
	if not config then
		error("a role needs a description", 2)
	end
	local role = {}
	for key, value in pairs(config) do
		role[key] = value
	end
	for key, value in pairs(overrides or {}) do
		role[key] = value
	end
	if not role.name then
		error("a role needs a name", 2)
	end
	role.id = role.id or id.short()
	-- Lists and tables that are changed later belong to this role alone.
	local permissions, inherits = {}, {}
	for action, policy in pairs(role.permissions or {}) do
		permissions[action] = policy
	end
	for _, other in ipairs(role.inherits or {}) do
		t_insert(inherits, other)
	end
	role.permissions, role.inherits = permissions, inherits
	return setmetatable(role, role_mt)
end

-- True, false, or nil when neither this role nor those it inherits know the action.
local function policy_for(role, action, context)
	local policy = role.permissions[action]
	if policy ~= nil then
		return policy
	end
	for _, inherited in ipairs(role.inherits) do
		policy = policy_for(inherited, action, context)
		if policy ~= nil then
			return policy
		end
	end
	return nil
end

--- May somebody with this role do that? Nil when nothing is said about it.
function methods:may(action, context)
	return policy_for(self, action, context)
end

--- Sets a permission; false and "policy-already-exists" when there is another and overwrite is not set.
function methods:set_permission(action, policy, overwrite)
	local existing = self.permissions[action]
	if existing ~= nil and existing ~= policy and not overwrite then
		return false, "policy-already-exists"
	end
	self.permissions[action] = policy
	return true
end

--- Forgets what this role itself says about the action.
function methods:clear_permission(action)
	self.permissions[action] = nil
	return true
end

--- for action, policy in role:policies(): its own.
function methods:policies()
	return next, self.permissions
end

--- Does it inherit from that role, directly or not?
function methods:inherits_from(other)
	for _, inherited in ipairs(self.inherits) do
		if inherited == other or inherited:inherits_from(other) then
			return true
		end
	end
	return false
end

function role_mt:__tostring()
	return "role<" .. self.id .. ": " .. self.name .. ">"
end

--- How util.serialization sees a role.
function role_mt:__freeze()
	local inherited = {}
	for i, role in ipairs(self.inherits) do
		inherited[i] = tostring(role)
	end
	return { id = self.id, name = self.name, inherits = t_concat(inherited, ", "), permissions = self.permissions }
end

return {
	new = new,
	is_role = is_role,
}
