--- Calls to services of this machine over the system's D-Bus, without waiting for them.
--
--	local bus, err = dbus.connect { on_signal = function (values, path, interface, member) ... end,
--		on_lost = function (err) ... end }
--	bus:call({ destination =, path =, interface =, member =, signature =, arguments ... },
--		function (values, err, name) ... end)
--	bus:match("type='signal',sender='...'")        bus:close()
--
-- Always true: who calls is answered once, in a turn of its own, or not at all after bus:close(). When the connection
-- is lost, those who wait get an error, then on_lost is called.

local native = require "couplet.native"
local pairs, pcall, require, setmetatable = pairs, pcall, require, setmetatable

local _ENV = nil

local is_available, core = pcall(require, "couplet.dbus")

local methods = {}
local bus_mt = { __index = methods, __name = "bus" }

local function answer(self, callback, ...)
	local values, err, name = ...
	native.defer(function ()
		if not self.is_closed then callback(values, err, name) end
	end)
end

local function lose(self, err)
	local callbacks = self.callbacks
	self.callbacks, self.is_lost = {}, err
	self.watch:close()
	for _, callback in pairs(callbacks) do answer(self, callback, nil, err, "lost") end
	native.defer(function ()
		if self.is_closed then return end
		self:close()
		self.on_lost(err)
	end)
end

local function take_all(self)
	while true do
		local id, values, err, name, member = self.handle:take()
		if not id then return end
		if id == 0 then
			local path, interface = err, name
			native.defer(function ()
				if not self.is_closed then self.on_signal(values, path, interface, member) end
			end)
		elseif self.callbacks[id] then
			local callback = self.callbacks[id]
			self.callbacks[id] = nil
			answer(self, callback, values, err, name)
		end
	end
end

local function read(self)
	local has_more, err
	repeat
		has_more, err = self.handle:process()
		take_all(self)
	until not has_more
	if err then lose(self, err) end
end

--- See above. Gives whether the call was sent; if not, the callback hears of it like of any failure.
function methods:call(what, callback)
	local id, err = nil, self.is_lost or self.is_closed and "the bus is closed"
	if not err then id, err = self.handle:call(what) end
	if id then
		self.callbacks[id] = callback
	else
		answer(self, callback, nil, err, "not sent")
	end
	return id ~= nil
end

--- From now on signals of that rule go to on_signal. true, or nil and why not.
function methods:match(rule) return self.handle:match(rule) end

--- Nobody who waits is answered any more.
function methods:close()
	if self.is_closed then return end
	self.is_closed, self.callbacks = true, {}
	self.watch:close()
	self.handle:close()
end

local function connect(handlers)
	if not is_available then return nil, "this server was built without libsystemd (Debian: libsystemd-dev)" end
	local handle, err = core.open()
	if not handle then return nil, err end
	local self = setmetatable({ handle = handle, callbacks = {}, on_signal = handlers.on_signal,
		on_lost = handlers.on_lost }, bus_mt)
	self.watch = native.watch(handle:fd(), function () read(self) end)
	return self
end

return {
	connect = connect,
	is_available = is_available,
}
