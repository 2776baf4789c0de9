--- The targets of several resolvers, one resolver after the other (net.resolvers.basic says what a resolver is).
-- Always true: a resolver is not asked before all targets of those before it were given.
local setmetatable = setmetatable
local t_remove = table.remove

local _ENV = nil

local methods = {}
local resolver_mt = { __index = methods, __name = "resolver" }

local function serve(self)
	while self._waiting[1] and not self._is_busy do
		local resolver = self._resolvers[self._at]
		if not resolver then
			t_remove(self._waiting, 1)(nil, self._error or "there are no more targets", self._is_unanswered)
		else
			self._is_busy = true
			resolver:next(function (conn_type, address, port, extra, more)
				if self._is_cancelled then
					return
				end
				self._is_busy = false
				if conn_type then
					more = more or self._resolvers[self._at + 1] ~= nil
					t_remove(self._waiting, 1)(conn_type, address, port, extra, more)
				else
					self._error = address or self._error -- the last one counts
					self._is_unanswered = self._is_unanswered or port
					self._at = self._at + 1
				end
				serve(self)
			end)
		end
	end
end

--- Calls cb(kind, address, port, options) with the next target, or cb() when there are no more.
function methods:next(cb)
	self._waiting[#self._waiting + 1] = cb
	serve(self)
end

--- Forgets who waits, and cancels the resolver it is at.
function methods:cancel()
	self._is_cancelled = true
	local resolver = self._resolvers[self._at]
	if resolver and resolver.cancel then
		resolver:cancel()
	end
	self._waiting, self._resolvers, self._is_busy = {}, {}, false
end

local function new(resolvers)
	return setmetatable({ _resolvers = resolvers, _at = 1, _waiting = {} }, resolver_mt)
end

return {
	new = new,
}
