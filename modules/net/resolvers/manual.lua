--- Targets that are known beforehand: a list of { conn_type, address, port, extra }, tried in that order
-- (net.resolvers.basic says what a resolver is).
local setmetatable = setmetatable

local _ENV = nil

local methods = {}
local resolver_mt = { __index = methods, __name = "resolver" }

--- Calls cb with the next target, or cb() when there are no more.
function methods:next(cb)
	local target = self._targets[self._at]
	if not target then
		return cb(nil)
	end
	self._at = self._at + 1
	return cb(target[1] or self._conn_type, target[2], target[3], target[4] or self._extra,
		self._targets[self._at] ~= nil)
end

--- From now on there are no more.
function methods:cancel()
	self._targets = {}
end

--- conn_type and extra are for targets that have none of their own.
local function new(targets, conn_type, extra)
	return setmetatable({ _targets = targets or {}, _at = 1, _conn_type = conn_type, _extra = extra }, resolver_mt)
end

return {
	new = new,
}
