--- The local network without a name server: announces the hosts of this server by DNS-SD (RFC 6763), and finds other
-- servers and machines by it. The system's Avahi does the work, over D-Bus.
-- @option mdns_announce  boolean, true: announce the host (per host, or for all)
-- @option mdns_domains   set, none: domains ("*.lan": all below it) that are looked for in the local network, too;
--                        names in .local and bare names always are
-- @hooks  host-activated, host-deactivated, service-added, service-removed, server-started, config-reloaded
-- @fires  none        @stores none
-- @spec   spec/interop/lan_spec.lua
--
-- A host is announced under its own name, as an instance of _xmpp-server._tcp and _xmpp-client._tcp, and of the
-- _xmpps- services where direct TLS listens (XEP-0368), with the ports in use. Not announced is what only listens on
-- loopback.
--
-- Always true: nobody waits for Avahi. Without it, or without D-Bus, the server goes on alone, says so once, and takes
-- it up when it is there. Whoever answers in the local network may lie: certificates decide whom we believe.

module:set_global()

local dbus = require "prosody.net.dbus"
local address = require "prosody.util.address"
local native = require "couplet.native"
local portmanager = require "prosody.core.portmanager"

local hosts = prosody.hosts

local AVAHI = "org.freedesktop.Avahi"
local RETRY_SECONDS = 30
local SERVER_RUNNING = 2                                  -- AvahiServerState
local GROUP_ESTABLISHED, GROUP_COLLISION, GROUP_FAILURE = 2, 3, 4 -- AvahiEntryGroupState
local MAX_NAME = 63 -- of an instance (RFC 6763 4.1.1), in bytes
local ANY_INTERFACE, ANY_PROTOCOL = -1, -1

local of_servers = { s2s = "_xmpp-server._tcp", s2s_direct_tls = "_xmpps-server._tcp" }
local of_clients = { c2s = "_xmpp-client._tcp", c2s_direct_tls = "_xmpps-client._tcp" }

local bus, is_running, is_unloaded
local groups = {}   -- host -> { path =, what = text of what is announced }
local by_path = {}  -- path -> host
local complained

local function complain(text)
	if text ~= complained then module:log("warn", "%s", text) end
	complained = text
end

local function call(path, interface, member, signature, arguments, callback)
	local what = arguments or {}
	what.destination, what.path, what.interface, what.member = AVAHI, path, AVAHI .. "." .. interface, member
	what.signature = signature
	bus:call(what, callback)
end

---- Announcing ----

local function port_of(name)
	local interfaces = portmanager.get_active_services().data[name]
	for interface, ports in pairs(interfaces or {}) do
		local port = next(ports)
		if port and address.classify(interface) ~= "loopback" then return port end
	end
end

-- What to say about a host: a list of { type =, port = }, and the same as text.
local function services_of(host)
	local list, texts = {}, {}
	local host_module = module:context(host)
	local function add(kinds)
		for name, kind in pairs(kinds) do
			local port = port_of(name)
			if port then table.insert(list, { type = kind, port = port }) end
		end
	end
	if not host_module:get_option_boolean("mdns_announce", true) then return list, "" end
	if not hosts[host].disallow_s2s then add(of_servers) end
	if hosts[host].type == "local" then add(of_clients) end
	table.sort(list, function (a, b) return a.type < b.type end)
	for i, one in ipairs(list) do texts[i] = ("%s %d"):format(one.type, one.port) end
	return list, table.concat(texts, ", ")
end

local function withdraw(host)
	local group = groups[host]
	groups[host] = nil
	if group and group.path and bus then
		by_path[group.path] = nil
		call(group.path, "EntryGroup", "Free", "", nil, function () end)
	end
end

local function fill(host, group, list)
	local function failed(err)
		if groups[host] == group then
			module:log("warn", "%s cannot be announced in the local network: %s", host, err)
		end
	end
	for _, one in ipairs(list) do
		call(group.path, "EntryGroup", "AddService", "iiussssqaay", { ANY_INTERFACE, ANY_PROTOCOL, 0, host, one.type, "", "",
			one.port, {} }, function (values, err) if not values then failed(err) end end)
	end
	call(group.path, "EntryGroup", "Commit", "", nil, function (values, err) if not values then failed(err) end end)
end

local function announce(host)
	local list, what = services_of(host)
	if groups[host] and groups[host].what == what then return end
	withdraw(host)
	if not list[1] then return end
	if #host > MAX_NAME then
		module:log("warn", "%s is too long a name to be announced in the local network", host)
		return
	end
	local group = { what = what }
	groups[host] = group
	call("/", "Server", "EntryGroupNew", "", nil, function (values, err)
		if not values then
			if groups[host] == group then groups[host] = nil end
			return complain(("%s cannot be announced in the local network: %s"):format(host, err))
		elseif groups[host] ~= group then -- withdrawn meanwhile
			return call(values[1], "EntryGroup", "Free", "", nil, function () end)
		end
		group.path = values[1]
		by_path[group.path] = host
		fill(host, group, list)
	end)
end

local function announce_all()
	if not bus or not is_running then return end
	for host in pairs(hosts) do announce(host) end
end

local function on_group_state(path, state)
	local host = by_path[path]
	if not host then return end
	if state == GROUP_ESTABLISHED then
		module:log("info", "%s is announced in the local network (%s)", host, groups[host].what)
	elseif state == GROUP_COLLISION then
		module:log("warn", "Another machine in the local network is announced as %s; give this host another name, or set "
			.. "mdns_announce = false", host)
	elseif state == GROUP_FAILURE then
		module:log("warn", "Avahi could not announce %s", host)
	end
end

---- Avahi and the bus ----

local function forget_groups()
	groups, by_path = {}, {}
end

local function on_server_state(state)
	is_running = state == SERVER_RUNNING
	if is_running then
		complained = nil
		announce_all()
	else -- it gets another name; what was announced with the old one has to go
		for host in pairs(groups) do withdraw(host) end
	end
end

local function ask_state()
	call("/", "Server", "GetState", "", nil, function (values, err)
		if values then return on_server_state(values[1]) end
		complain(("Avahi does not answer: %s. Is avahi-daemon installed and running?"):format(err))
	end)
end

local function on_signal(values, path, interface, member)
	if interface == "org.freedesktop.DBus" and member == "NameOwnerChanged" then
		is_running = false
		forget_groups()
		if values[3] ~= "" then ask_state() end
	elseif member ~= "StateChanged" then
		return
	elseif interface == AVAHI .. ".Server" then
		on_server_state(values[1])
	elseif interface == AVAHI .. ".EntryGroup" then
		on_group_state(path, values[1])
	end
end

local connect

local function retry(err)
	bus, is_running = nil, false
	forget_groups()
	complain(("The local network is not asked: %s"):format(err))
	module:add_timer(RETRY_SECONDS, connect)
end

function connect()
	if is_unloaded then return end
	local err
	bus, err = dbus.connect { on_signal = on_signal, on_lost = retry }
	if not bus then return retry(err) end
	bus:match("type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',member='NameOwnerChanged',"
		.. "arg0='" .. AVAHI .. "'")
	bus:match("type='signal',sender='" .. AVAHI .. "',member='StateChanged'")
	ask_state()
end

local finder = module:require "finder" (function (member, signature, arguments, callback)
	if bus and is_running then return call("/", "Server", member, signature, arguments, callback) end
	native.defer(function () callback(nil, "Avahi is not running", "not running") end)
end, function () return module:get_option_set("mdns_domains", {}) end)

module:add_item("s2s-finder", finder)

module:hook("host-activated", announce_all)
module:hook("service-added", function () native.defer(announce_all) end)
module:hook("service-removed", function () native.defer(announce_all) end)
module:hook("server-started", announce_all)
module:hook("config-reloaded", announce_all)
module:hook("host-deactivated", function (host) withdraw(host) end)

native.defer(connect) -- in the process that stays: the program may still go to the background

function module.unload()
	is_unloaded = true
	if bus then bus:close() end
end
