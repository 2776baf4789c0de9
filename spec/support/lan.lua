--- Two laptops on a cable, played by network namespaces: no route to anywhere else, no name server. The spec's own
-- process has a network of its own, too, with a second cable to each laptop, over which its clients come.
--
--   local lan = lan.start()             nil and why, where namespaces cannot be made
--   lan.romeo, lan.juliet               laptops: { name, ipv4 =, ipv6 =, address = where clients find it }
--   lan.romeo:starts { host = , config = }   a server on it (spec.support.server)
--   lan.romeo:has_hosts "192.168.20.2 juliet.lan\n"    its /etc/hosts
--   lan.romeo:has_bus()   lan.romeo:has_avahi()   D-Bus and Avahi run on it from now on; they give the program
--   lan:stop()
--   lan.unshare()         the spec's process and all it starts have a network of their own; nil and why not
--   lan.void { "2001:db8:66::1/64" }    then: networks in which nobody is; what is sent there is lost without a word.
--                         Gives a function: how many packets have been
--
-- The namespaces are those of processes that wait for the end of their input: nothing is left when the spec ends.

local loop = require "spec.support.loop"
local process = require "process"
local Server = require "spec.support.server"

local lan = {}
lan.__index = lan
local laptop = {}
laptop.__index = laptop

local function run(format, ...)
	local command = format:format(...) .. " 2>&1"
	local pipe = assert(io.popen(command))
	local said = pipe:read "a"
	if not pipe:close() then error(("%s: %s"):format(command, said), 2) end
	return said
end

-- What runs a program on the laptop.
function laptop:prefix() return { "nsenter", "-t", tostring(self.holder:pid()), "-n", "-m", "--" } end

function laptop:runs(format, ...) return run("%s " .. format, table.concat(self:prefix(), " "), ...) end

-- Waits until a program says this. nil and what it said when it ended without.
local function await_said(program, text, what)
	local said, has_ended = "", false
	loop.watch(program, function()
		local bytes = program:read()
		if bytes == false then
			loop.forget(program)
			has_ended = true
		end
		said = said .. (bytes or "")
	end)
	local function is_said() return said:find(text, 1, true) ~= nil end
	loop.await(function() return is_said() or has_ended end, function() return what .. "; it said: " .. said end)
	if is_said() then return true end
	return nil, ("%s ended: %s"):format(what, said)
end

-- /run is its own, so that daemons do not meet; so are the files that name a name server and other machines.
local HOLDER = [[mount -t tmpfs none /run && mkdir -p /run/dbus /run/avahi-daemon && chmod 755 /run/* &&
	mount --bind /dev/null "$(readlink -f /etc/resolv.conf || echo /etc/resolv.conf)" &&
	echo ready && exec cat]]

local function new_laptop(name, number)
	local self = setmetatable({ name = name, programs = {} }, laptop)
	self.holder = process.spawn { "unshare", "-n", "-m", "sh", "-c", HOLDER }
	local ok, why = await_said(self.holder, "ready", "the namespaces of a laptop")
	if not ok then return nil, why end
	self.ipv4, self.ipv6 = ("192.168.20.%d"):format(number), ("fd00:20::%d"):format(number)
	self.address = ("10.20.%d.2"):format(number)
	local pid = self.holder:pid()
	run("ip link add to-%s type veth peer name spec netns %d", name, pid)
	run("ip address add 10.20.%d.1/30 dev to-%s && ip link set to-%s up", number, name, name)
	self:runs("sh -c 'ip link set lo up && ip address add %s/30 dev spec && ip link set spec multicast off up'",
		self.address)
	return self
end

--- What is needed to make namespaces; nil and why not.
local is_unshared
function lan.unshare()
	if is_unshared then return true end
	for _, name in ipairs { "unshare", "nsenter", "ip" } do
		if not os.execute(("command -v %s >/dev/null 2>&1"):format(name)) then return nil, "needs " .. name end
	end
	local ok, why = process.unshare_network()
	if not ok then return nil, "network namespaces are not possible here: " .. why end
	run "ip link set lo up"
	is_unshared = true
	return true
end

--- See above. addresses: this machine's in those networks.
function lan.void(addresses)
	-- Asks nobody for neighbours, and addresses its frames to nobody: the cable's other end drops them.
	run "ip link add void arp off type veth peer name abyss"
	run "ip link set abyss up"
	run "sysctl -q -w net.ipv6.conf.void.accept_dad=0"
	for _, address in ipairs(addresses) do run("ip address add %s dev void", address) end
	run "ip link set void up"
	return function()
		local file <close> = assert(io.open "/proc/self/net/dev")
		return tonumber(file:read "a":match("void:" .. ("%s+%d+"):rep(9) .. "%s+(%d+)"))
	end
end

function lan.start()
	local ok, why = lan.unshare()
	if not ok then return nil, why end
	local romeo, juliet
	romeo, why = new_laptop("romeo", 1)
	if not romeo then return nil, why end
	juliet, why = new_laptop("juliet", 2)
	if not juliet then return nil, why end
	local self = setmetatable({ romeo = romeo, juliet = juliet }, lan)
	run("ip link add lan netns %d type veth peer name lan netns %d", self.romeo.holder:pid(), self.juliet.holder:pid())
	for _, one in ipairs { self.romeo, self.juliet } do
		-- No detection of duplicate addresses, which takes a second.
		one:runs("sh -c 'sysctl -q -w net.ipv6.conf.lan.accept_dad=0 && ip address add %s/24 dev lan && "
			.. "ip address add %s/64 dev lan && ip link set lan up'", one.ipv4, one.ipv6)
	end
	return self
end

function lan:stop()
	for _, one in ipairs { self.romeo, self.juliet } do
		for i = #one.programs, 1, -1 do
			loop.forget(one.programs[i])
			one.programs[i]:kill(9)
		end
		loop.forget(one.holder)
		one.holder:kill(9)
		one.holder:wait(loop.deadline_seconds)
		pcall(run, "ip link delete to-%s", one.name)
	end
end

--- Its /etc/hosts is this.
function laptop:has_hosts(text)
	self:runs([[sh -c 'printf "%%s" "%s" >/run/hosts && mount --bind /run/hosts /etc/hosts']], text)
end

--- A server for `host` on the laptop, on the usual ports. options: host, config, more_modules.
function laptop:starts(options)
	return Server.start {
		with_s2s = true, hosts = { [options.host] = "" }, more_modules = options.more_modules, prefix = self:prefix(),
		address = self.address, interfaces = '"*"; "::"',
		config = "s2s_ports = { 5269 }\n" .. (options.config or ""),
	}
end

local BUS = [[<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
	"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
	<type>system</type>
	<listen>unix:path=/run/dbus/system_bus_socket</listen>
	<auth>EXTERNAL</auth>
	<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/>
		<allow send_destination="*"/><allow receive_sender="*"/></policy>
</busconfig>
]]

local AVAHI = [[[server]
host-name=%s
use-ipv4=yes
use-ipv6=yes
allow-interfaces=lan
enable-dbus=yes
ratelimit-interval-usec=1000000
ratelimit-burst=1000
[publish]
publish-workstation=no
publish-hinfo=no
[rlimits]
]]

local function write(path, text)
	local file <close> = assert(io.open(path, "w"))
	assert(file:write(text))
end

-- A daemon with a configuration file, until it says that it is ready.
local function daemon(self, argv, configuration, ready)
	local folder = run("mktemp -d /tmp/couplet-lan.XXXXXX"):match "%S+"
	write(folder .. "/conf", configuration)
	argv[#argv] = argv[#argv] .. folder .. "/conf"
	local program = process.spawn(table.move(argv, 1, #argv, 7, self:prefix()))
	table.insert(self.programs, program)
	assert(await_said(program, ready, argv[1]))
	run("rm -rf %s", folder)
	return program
end

--- The system's D-Bus runs.
function laptop:has_bus()
	return daemon(self, { "dbus-daemon", "--nofork", "--print-address", "--config-file=" }, BUS, "unix:")
end

--- Avahi runs, and the laptop is called NAME.local.
function laptop:has_avahi()
	return daemon(self, { "avahi-daemon", "--no-chroot", "--no-drop-root", "--file=" }, AVAHI:format(self.name),
		"Server startup complete")
end

return lan
