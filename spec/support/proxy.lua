--- A TCP proxy on loopback, between a client and a server, that breaks connections when told to.
--
--	local between = proxy.start(server.port)      connect to between.port
--	between:cut()        both sides lose all connections there are, by a reset
--	between:go_down()    the same, and nobody is let in until between:come_up()
--	between.n_accepted   connections that came so far

local loop = require "spec.support.loop"
local socket = require "socket"

local proxy = {}
proxy.__index = proxy

local READ_BYTES = 65536

local function reset(sock)
	loop.forget(sock)
	sock:setoption("linger", { on = true, timeout = 0 })
	sock:close()
end

local function drop(self, pair)
	self.pairs[pair] = nil
	reset(pair.near)
	reset(pair.far)
end

local function flush(self, pair, sock)
	local text = pair.waiting[sock]
	local sent, why, partial = sock:send(text)
	sent = sent or partial or 0
	pair.waiting[sock] = text:sub(sent + 1)
	loop.wants_write(sock, pair.waiting[sock] ~= "")
	if why and why ~= "timeout" then drop(self, pair) end
end

local function pass_on(self, pair, from, to)
	local bytes, why, partial = from:receive(READ_BYTES)
	bytes = bytes or partial
	if bytes and #bytes > 0 then
		pair.waiting[to] = pair.waiting[to] .. bytes
		flush(self, pair, to)
	end
	if why and why ~= "timeout" and self.pairs[pair] then
		-- One side has ended: what it said has been passed on, the other one is closed in order.
		self.pairs[pair] = nil
		loop.forget(from)
		loop.forget(to)
		to:settimeout(1)
		to:send(pair.waiting[to])
		from:close()
		to:close()
	end
end

local function accept(self)
	local near = self.listener:accept()
	if not near then return end
	if self.is_down then return reset(near) end
	local far = assert(socket.connect("127.0.0.1", self.target))
	self.n_accepted = self.n_accepted + 1
	local pair = { near = near, far = far, waiting = { [near] = "", [far] = "" } }
	self.pairs[pair] = true
	for one, other in pairs { [near] = far, [far] = near } do
		one:settimeout(0)
		one:setoption("tcp-nodelay", true)
		loop.watch(one, function() pass_on(self, pair, one, other) end, function() flush(self, pair, one) end)
	end
end

--- Begins to pass on what comes to self.port.
function proxy.start(target)
	local listener = assert(socket.bind("127.0.0.1", 0))
	listener:settimeout(0)
	local self = setmetatable({ target = target, listener = listener, pairs = {}, n_accepted = 0 }, proxy)
	self.port = select(2, listener:getsockname())
	loop.watch(listener, function() accept(self) end)
	return self
end

function proxy:cut()
	for pair in pairs(self.pairs) do drop(self, pair) end
end

function proxy:go_down()
	self.is_down = true
	self:cut()
end

function proxy:come_up() self.is_down = false end

function proxy:stop()
	self:cut()
	loop.forget(self.listener)
	self.listener:close()
end

return proxy
