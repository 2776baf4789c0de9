--- A name server with a small DNS of its own: a root zone and zones below it, signed with keys that are thrown away.
--
--   local server = dns.start()                    nil, reason when nsd, ldns or libunbound is not installed. May be
--                                                 given more zones, signed ones and others: a table such as
--                                                 { example = "montague A 127.0.0.1\n" } each. In signed ones baddbadd
--                                                 is changed after the signing
--   server:settings { ... }                       what the option `unbound` says to use it, and more settings
--   server.relay                                  stands between resolver and server, run by spec.support.loop
--     .silent["pattern"] = true                   questions for such names are lost (at first: "silent")
--     :hold("pattern") :release()                 answers to such questions wait, in .waiting, until they are let go
--                                                 patterns are matched against "xmpp.secure./28", name and type
--     .strips = true                              there are no keys (DNSKEY), as of a server that knows no DNSSEC
--     .asked                                      names that were asked for, in order
--   server:stop()
--
-- secure.     signed                  plain.    not signed, and the root says so
-- broken.     signed, then changed    expired.  signed with signatures that ran out long ago
--
-- dns.suite(_ENV, about, library, body) is all of that for the spec of one library.
--
-- dns.world(options) is spec.support.fake_native's world for specs of modules/net: sockets are real, and run by
-- world.run(); the clock is turned by hand.

local fake = require "spec.support.fake_native"
local loop = require "spec.support.loop"
local ports = require "spec.support.ports"
local process = require "process"
local socket = require "socket"

local dns = {}

local function addresses(name, n)
	local lines = {}
	for i = 1, n do lines[i] = ("%s IN A 203.0.%d.%d"):format(name, i // 250, i % 250 + 1) end
	return table.concat(lines, "\n")
end

local function big_text(name)
	local lines = {}
	for i = 1, 225 do lines[i] = ('%s IN TXT "%s"'):format(name, ("%03d"):format(i) .. ("x"):rep(250)) end
	return table.concat(lines, "\n")
end

-- What every zone has. %s is the zone.
local zone_head = [[
$TTL 3600
@ IN SOA ns.%s. hostmaster.%s. 1 3600 600 86400 60
@ IN NS ns.%s.
ns IN A 127.0.0.1
]]

local zones = {
	secure = [[
xmpp     IN A     192.0.2.10
xmpp     IN AAAA  2001:db8::10
four     IN A     192.0.2.4
six      IN AAAA  2001:db8::6
inside   IN A     10.1.2.3
inside   IN AAAA  ::ffff:127.0.0.1
mixed    IN A     192.0.2.77
mixed    IN A     127.0.0.1
turns    IN A     192.0.2.1
turns    IN A     192.0.2.2
turns    IN A     192.0.2.3
turns    IN A     192.0.2.4
turns    IN AAAA  2001:db8::1
turns    IN AAAA  2001:db8::2
a.de     IN A     192.0.2.44
nothing  IN TXT   "no address"
alias    IN CNAME xmpp
outside  IN CNAME host.plain.
loop1    IN CNAME loop2
loop2    IN CNAME loop1
xn--bcher-kva IN A 192.0.2.33
mail     IN MX    10 mail.secure.
txt      IN TXT   "one " "two" "quote\" and \200"
10.2.0.192 IN PTR xmpp
naptr    IN NAPTR 100 50 "s" "SIP+D2U" "!^.*$!sip:x@y!" _sip._udp.secure.
strange  IN TYPE65534 \# 4 01020304
odd      IN CNAME a\.b\000c.secure.

_5269._tcp.xmpp IN TLSA 3 1 1 d2abde240d7cd3ee6b4b28c54df034b97983a1d16e8a410e4561cb106618e971
_5270._tcp.xmpp IN TLSA 2 0 2 00ff

_xmpp-server._tcp.capulet  IN SRV 10 0 5269 xmpp.secure.
_xmpps-server._tcp.capulet IN SRV 5  0 5270 xmpp.secure.
_xmpps-server._tcp.capulet IN SRV 20 0 443  four.secure.
_xmpp-server._tcp.only     IN SRV 0 0 5269 four.secure.
_xmpp-server._tcp.closed   IN SRV 0 0 0 .
_xmpps-server._tcp.notls   IN SRV 0 0 0 .
_xmpp-server._tcp.notls    IN SRV 0 0 5269 four.secure.
_xmpps-server._tcp.halfclosed IN SRV 0 0 0 .
halfclosed                 IN A 192.0.2.9
bare                       IN A 192.0.2.5
bare                       IN AAAA 2001:db8::5
_xmpp-server._tcp.mail     IN SRV 0 0 25 xmpp.secure.
_xmpp-server._tcp.away     IN SRV 0 0 5269 host.plain.
_xmpp-server._tcp.fallen   IN SRV 0 0 5269 host.broken.
_xmpp-server._tcp.odd      IN SRV 0 0 5269 a\.b\000c.secure.
_xmpp-server._tcp.nowhere  IN SRV 0 0 5269 missing.secure.
_xmpp-server._tcp.inside   IN SRV 0 0 6379 inside.secure.
_xmpp-client._tcp.capulet  IN SRV 10 0 5222 xmpp.secure.
_xmpp-client._tcp.verona   IN SRV 0 0 5333 four.secure.
_xmpp-server._tcp.verona   IN SRV 0 0 5269 alias.secure.
_xmpps-client._tcp.verona  IN SRV 0 0 5223 four.secure.
_xmpp-server._tcp.twice    IN SRV 1 0 5269 missing.secure.
_xmpp-server._tcp.twice    IN SRV 2 0 5269 four.secure.
]] .. addresses("thousand", 1000) .. "\n" .. addresses("crowd", 1001) .. "\n" .. big_text("big") .. "\n"
	.. (function ()
		local lines = {}
		for i = 1, 20 do lines[i] = ("_xmpp-server._tcp.many IN SRV %d 0 %d four.secure."):format(i, 7000 + i) end
		for i = 1, 20 do lines[20 + i] = ("_xmpp-server._tcp.ports IN SRV 0 1 %d four.secure."):format(6000 + i) end
		return table.concat(lines, "\n")
	end)() .. "\n",
	plain = [[
host     IN A 192.0.2.200
_xmpp-server._tcp.verona IN SRV 0 0 5269 host.plain.
_5269._tcp.host IN TLSA 3 1 1 00
]],
	broken = [[
host     IN A 192.0.2.66
_xmpp-server._tcp.host IN SRV 0 0 5269 host.broken.
]],
	expired = [[
host     IN A 192.0.2.67
]],
}

-- Signs the zones of $1 and those in $2, each with keys of its own. The root comes last: it vouches for the others.
local script = [[
set -e
cd "$1"
sign() { # ZONE FILE [OPTIONS OF ldns-signzone]
	zone=$1; file=$2; shift 2
	ksk=$(ldns-keygen -r /dev/urandom -a ECDSAP256SHA256 -k "$zone")
	zsk=$(ldns-keygen -r /dev/urandom -a ECDSAP256SHA256 "$zone")
	ldns-signzone "$@" -o "$zone" "$file" "$ksk" "$zsk"
	cp "$ksk.ds" "$file.ds"
}
sign secure. secure
sign broken. broken
sign expired. expired -i 20200101000000 -e 20200201000000
sed -i "s/192\\.0\\.2\\.66/192.0.2.99/" broken.signed
for name in $2; do
	sign $name. $name
	sed -i "s/baddbadd/badddbad/" $name.signed # a record that is no longer what was signed
	cat $name.ds >> root
done
cat secure.ds broken.ds expired.ds >> root
sign . root
for name in plain $3; do
	mv $name $name.signed
done
]]

local function write_file(path, text)
	local file <close> = assert(io.open(path, "w"))
	assert(file:write(text))
end

local function read_file(path)
	local file <close> = assert(io.open(path))
	return file:read("a")
end

local function names_of(some)
	local names = {}
	for name in pairs(some or {}) do names[#names + 1] = name end
	return names
end

local function make_zones(folder, more, unsigned)
	local all = {}
	for _, some in ipairs { zones, more or {}, unsigned or {} } do
		for name, records in pairs(some) do all[name] = records end
	end
	local root = zone_head:gsub("%%s", "root")
	root = root .. "ns.root. IN A 127.0.0.1\n"
	for name, records in pairs(all) do
		write_file(folder .. "/" .. name, zone_head:gsub("%%s", name) .. records)
		root = root .. ("%s. IN NS ns.%s.\nns.%s. IN A 127.0.0.1\n"):format(name, name, name)
	end
	write_file(folder .. "/root", root)
	local pipe = assert(io.popen(("sh -c '%s' sh '%s' '%s' '%s' 2>&1"):format(script, folder,
		table.concat(names_of(more), " "), table.concat(names_of(unsigned), " "))))
	local said = pipe:read("a")
	assert(pipe:close(), said)
	return all
end

local function nsd_configuration(folder, port, all)
	local lines = { ([[
server:
	server-count: 1
	ip-address: 127.0.0.1@%d
	username: ""
	database: ""
	pidfile: ""
	zonesdir: %q
	xfrdir: %q
	xfrdfile: %q
	zonelistfile: %q
	rrl-ratelimit: 0
remote-control:
	control-enable: no
]]):format(port, folder, folder, folder .. "/xfrd.state", folder .. "/zone.list") }
	for name in pairs(all) do
		lines[#lines + 1] = ("zone:\n\tname: %q\n\tzonefile: %q\n"):format(name, name .. ".signed")
	end
	lines[#lines + 1] = 'zone:\n\tname: "."\n\tzonefile: "root.signed"\n'
	return table.concat(lines)
end

-- The relay

local relay = {}
relay.__index = relay

-- The name of the question in a message (RFC 1035 4.1.2), in lower case, its type, and where it ends.
local function question(message)
	local labels, pos = {}, 13
	while message:byte(pos) and message:byte(pos) > 0 do
		labels[#labels + 1], pos = string.unpack("s1", message, pos)
	end
	return table.concat(labels, "."):lower() .. ".", (string.unpack(">I2", message, pos + 1)), pos + 5
end

local function udp_socket()
	local udp = assert(socket.udp4())
	assert(udp:setsockname("127.0.0.1", 0))
	udp:settimeout(0)
	return udp, select(2, udp:getsockname())
end

local function is_any(patterns, name)
	for pattern in pairs(patterns) do
		if name:find(pattern) then return true end
	end
	return false
end

-- From the resolver to the name server. Message ids are replaced by our own: two questions may have the same.
local function on_question(self)
	while true do
		local message, address, port = self.front:receivefrom()
		if not message then return end
		local name, qtype, question_end = question(message)
		table.insert(self.asked, name)
		name = ("%s/%d"):format(name, qtype)
		if self.strips and qtype == 48 then -- the question again, marked as an answer (RFC 1035 4.1.1)
			local reply = message:sub(1, 2) .. "\x81\x80\0\1\0\0\0\0\0\0" .. message:sub(13, question_end - 1)
			self.front:sendto(reply, address, tonumber(port))
		elseif not is_any(self.silent, name) then
			self.last_id = self.last_id % 65535 + 1
			self.open[self.last_id] = { id = message:sub(1, 2), address = address, port = port, name = name }
			self.back:sendto(string.pack(">I2", self.last_id) .. message:sub(3), "127.0.0.1", self.server_port)
		end
	end
end

local function on_answer(self)
	while true do
		local message = self.back:receive()
		if not message then return end
		local id = string.unpack(">I2", message)
		local asked = self.open[id]
		self.open[id] = nil
		if asked then
			local function send() self.front:sendto(asked.id .. message:sub(3), asked.address, tonumber(asked.port)) end
			if is_any(self.held, asked.name) then
				table.insert(self.waiting, send)
			else
				send()
			end
		end
	end
end

local function new_relay(server_port)
	local self = setmetatable({
		silent = { silent = true }, held = {}, waiting = {}, asked = {}, open = {}, last_id = 0, server_port = server_port,
	}, relay)
	self.front, self.port = udp_socket()
	self.back = udp_socket()
	loop.watch(self.front, function () on_question(self) end)
	loop.watch(self.back, function () on_answer(self) end)
	return self
end

function relay:hold(pattern) self.held[pattern] = true end

function relay:release()
	local waiting = self.waiting
	self.held, self.waiting = {}, {}
	for _, send in ipairs(waiting) do send() end
end

function relay:close()
	for _, udp in ipairs { self.front, self.back } do
		loop.forget(udp)
		udp:close()
	end
end

-- The server

local server = {}
server.__index = server

local function is_installed(program)
	return (os.execute(("command -v %s >/dev/null 2>&1"):format(program)))
end

-- Runs it on a port that was free just now; false when somebody was faster.
local function run_nsd(self, nsd)
	self.port, self.output = ports.free(), {}
	write_file(self.folder .. "/nsd.conf", nsd_configuration(self.folder, self.port, self.zones))
	self.process = process.spawn { nsd, "-d", "-c", self.folder .. "/nsd.conf" }
	self.process:close_input()
	local has_ended
	loop.watch(self.process, function ()
		local bytes = self.process:read()
		if bytes then
			table.insert(self.output, bytes)
		elseif bytes == false then
			has_ended = true
			loop.forget(self.process)
		end
	end)
	loop.await(function ()
		self.is_running = self:said():find("nsd started", 1, true) ~= nil
		return self.is_running or has_ended
	end, function () return "nsd to start; it said:\n" .. self:said() end)
	return self.is_running
end

function dns.start(more_zones, unsigned_zones)
	if not pcall(require, "couplet.unbound") then
		return nil, "libunbound is not built in"
	end
	local path = "PATH=$PATH:/usr/sbin:/sbin "
	local pipe = io.popen(path .. "command -v nsd")
	local nsd = pipe:read("l")
	pipe:close()
	if not nsd or not is_installed("ldns-signzone") then
		return nil, "nsd and ldnsutils are not installed"
	end
	local self = setmetatable({ output = {} }, server)
	pipe = io.popen "mktemp -d /tmp/couplet-dns.XXXXXX"
	self.folder = pipe:read "l"
	pipe:close()
	self.zones = make_zones(self.folder, more_zones, unsigned_zones)
	for _ = 1, 20 do
		if run_nsd(self, nsd) then break end
	end
	assert(self.is_running, "nsd does not start; it said:\n" .. self:said())
	self.relay = new_relay(self.port)
	return self
end

function server:said() return table.concat(self.output) end

--- Settings for `unbound`: to ask the relay (or, with direct, the server itself, which also knows TCP) and to trust the
-- key of its root zone.
function server:settings(more, direct)
	local settings = {
		resolvconf = false, hoststxt = false, trusted = { (read_file(self.folder .. "/root.ds"):gsub("%s+$", "")) },
		forward = ("127.0.0.1@%d"):format(direct and self.port or self.relay.port), options = {},
	}
	for key, value in pairs(more or {}) do settings[key] = value end
	return settings
end

--- The same as a line of the configuration.
function server:configuration(direct)
	local settings = self:settings(nil, direct)
	return ("unbound = { resolvconf = false; hoststxt = false; trusted = { %q }; forward = %q }\n"):format(
		settings.trusted[1], settings.forward)
end

function server:stop()
	self.relay:close()
	loop.forget(self.process)
	self.process:kill(15)
	self.process:wait(loop.deadline_seconds)
	assert(self.folder:match("^/tmp/couplet%-dns%.%w+$"))
	os.execute(("rm -rf '%s'"):format(self.folder))
end

--- A suite of a library of modules/net, named by what it is about, which needs a name server. env: the spec file's
-- _ENV; is pending where there is none. body(here) is called with a table that has, in each test, a new world, the
-- library and the server's relay.
function dns.suite(env, about, library, body)
	local name_server, missing = dns.start()
	env.describe(about, function ()
		if not name_server then
			return env.pending("needs a name server: " .. missing)
		end
		local here = { name_server = name_server, relay = name_server.relay }
		env.before_each(function ()
			here.world = dns.world { config = name_server:configuration() }
			here.subject = require(library)
			here.relay.asked = {}
		end)
		env.after_each(function ()
			here.relay:release()
			here.world.stop()
		end)
		env.teardown(function () name_server:stop() end)
		body(here)
	end)
end

-- The world

local function forget_libraries()
	for name in pairs(package.loaded) do
		if name:match("^net%.") or name:match("^prosody%.net%.") then
			package.loaded[name] = nil
		end
	end
end

--- fake_native's world, with watches and deferred calls.
function dns.world(options)
	forget_libraries()
	local world = fake.start(options)
	local deferred = {}

	function world.native.defer(fn) table.insert(deferred, fn) end

	function world.native.watch(fd, on_readable)
		local object = { getfd = function () return fd end }
		loop.watch(object, on_readable)
		return { close = function () loop.forget(object) end }
	end

	--- What was put off to the next turn, and to those after it.
	function world.settle()
		while deferred[1] do
			local calls = deferred
			deferred = {}
			for _, fn in ipairs(calls) do fn() end
		end
	end

	--- Turns until is_done().
	function world.run(is_done, what)
		loop.await(function ()
			world.settle()
			return is_done()
		end, what or "an answer", nil, 2)
	end

	--- The next target of a resolver: a table, or nil and an error.
	function world.target(resolver)
		local called, target, err
		resolver:next(function (conn_type, address, port, extra, more)
			assert(not called, "called twice")
			called = true
			if conn_type then
				target = { conn_type = conn_type, address = address, port = port, extra = extra, more = more }
			else
				err = address
			end
		end)
		world.run(function () return called end, "a target")
		return target, err
	end

	--- All targets, as "address:port" one after the other, the error that ended them, and the targets themselves.
	function world.targets(resolver)
		local list, all = {}, {}
		local target, err = world.target(resolver)
		while target do
			all[#all + 1] = target
			list[#list + 1] = ("%s:%d"):format(target.address, target.port)
			target, err = world.target(resolver)
		end
		return table.concat(list, " "), err, all
	end

	local stop = world.stop
	function world.stop()
		world.prosody.events.fire_event("server-cleanup")
		stop()
		forget_libraries()
	end
	return world
end

return dns
