--- Servers of the local network, looked up by the name of the domain: what announces itself under that name (DNS-SD,
-- RFC 6763), else for a name in .local the machine that is called so (RFC 6762).
--
-- find(domain, is_allowed, note) gives a resolver as net.resolvers.basic describes it, and whether it is the only one
-- to ask (RFC 6762 3: names in .local are none of the DNS's business); nil for domains that are not looked up here.

local jid = require "prosody.util.jid"
local address = require "prosody.util.address"
local native = require "couplet.native"

local ANY_INTERFACE, ANY_PROTOCOL = -1, -1
local FAMILIES = { 0, 1 } -- IPv4, IPv6
local KINDS = { { type = "_xmpps-server._tcp", direct_tls = true }, { type = "_xmpp-server._tcp", direct_tls = false } }
local DEFAULT_PORT = 5269
local UNUSABLE_PORTS = { [0] = true, [25] = true }
local MAX_FOUND = 8
local PATIENCE_SECONDS = 1 -- for a service; then the machine of that name will do, if it has answered

local ask -- (member, signature, arguments, callback): asks Avahi's server

local methods = {}
local resolver_mt = { __index = methods, __name = "resolver" }

-- Gives out what was found; the rest when nothing more will be.
local function deliver(self)
	while self.waiting[1] do
		local target = table.remove(self.found, 1)
		if not target and (self.n_open == 0 or self.is_impatient) and not self.has_service then
			target = table.remove(self.machines, 1)
		end
		if not target and self.n_open > 0 then return end
		local cb = table.remove(self.waiting, 1)
		if target then
			self.has_given = true
			cb("tcp", target.address, target.port, { direct_tls = target.direct_tls, target = target.name, secure = false })
		else
			local err = self.has_given and self.domain .. " has no more addresses" or self.err
			cb(nil, err or ("nobody in the local network announces %s"):format(self.domain))
		end
	end
end

local function add(self, list, interface, ip, port, direct_tls, name)
	if ip:find("^[fF][eE][89aAbB]") then ip = ("%s%%%d"):format(ip, interface) end
	local key = ("%s %d"):format(ip, port)
	if self.seen[key] or #list >= MAX_FOUND or UNUSABLE_PORTS[port] then return end
	self.seen[key] = true
	if not self.is_allowed(ip) then
		self.err = ("%s is at %s (%s), where we do not connect"):format(self.domain, ip, address.classify(ip) or "no address")
		return
	end
	table.insert(list, { address = ip, port = port, direct_tls = direct_tls, name = name })
	if self.note then
		self.note("mDNS: %s is at %s port %d%s", name, ip, port, direct_tls and " (direct TLS)" or "")
	end
end

-- on_found(values) is called when there is an answer.
local function look_up(self, member, signature, arguments, on_found)
	self.n_open = self.n_open + 1
	ask(member, signature, arguments, function (values, err, name)
		if self.is_cancelled then return end
		self.n_open = self.n_open - 1
		if values then
			on_found(values)
		elseif name ~= "org.freedesktop.Avahi.TimeoutError" then -- which only means that there is nobody
			self.err = ("the local network could not be asked: %s"):format(err)
		end
		deliver(self)
	end)
end

local function start(self)
	self.is_started = true
	self.timer = native.timer(PATIENCE_SECONDS, function ()
		self.is_impatient = true
		deliver(self)
	end)
	for _, family in ipairs(FAMILIES) do
		for _, kind in ipairs(KINDS) do
			look_up(self, "ResolveService", "iisssiu",
				{ ANY_INTERFACE, ANY_PROTOCOL, self.domain, kind.type, "local", family, 0 }, function (values)
					self.has_service = true
					add(self, self.found, values[1], values[8], values[9], kind.direct_tls, values[6])
				end)
		end
		if self.is_machine then
			look_up(self, "ResolveHostName", "iisiu", { ANY_INTERFACE, ANY_PROTOCOL, self.domain, family, 0 },
				function (values) add(self, self.machines, values[1], values[5], DEFAULT_PORT, false, self.domain) end)
		end
	end
end

function methods:next(cb)
	table.insert(self.waiting, cb)
	if not self.is_started then start(self) end
	deliver(self)
end

function methods:cancel()
	self.is_cancelled, self.waiting = true, {}
	if self.timer then self.timer:stop() end
end

local function is_below(domain, listed)
	for pattern in listed:items() do
		local rest = pattern:match("^%*%.(.+)$")
		if pattern == domain or rest and domain:sub(-#rest - 1) == "." .. rest then return true end
	end
	return false
end

--- ask_avahi: see above. listed: a set of further domains.
return function (ask_avahi, listed)
	ask = ask_avahi
	local function find(domain, is_allowed, note)
		local is_machine = domain:find("%.local$") ~= nil
		local is_bare = not domain:find("[.%[:]")
		if not is_machine and not is_bare and not is_below(domain, listed()) or not jid.prep(domain) then return nil end
		return setmetatable({ domain = domain, is_allowed = is_allowed, note = note, is_machine = is_machine, waiting = {},
			found = {}, machines = {}, seen = {}, n_open = 0 }, resolver_mt), is_machine
	end
	return { name = "mDNS", find = find }
end
