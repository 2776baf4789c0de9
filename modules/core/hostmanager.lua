--- Hosts: the names we serve. `prosody.hosts[name]` is a host's table, to which others add what they keep per host.
--
-- A host: { host, type = "local" | "component", events, modules, sessions (live: user name -> { sessions }), s2sout,
-- users (its accounts, set by usermanager), authz (set by usermanager), send, disallow_s2s, dialback_secret }. A
-- host that is not here is not served: look-ups give nil.

local config = require "prosody.core.configmanager"
local logger = require "prosody.util.logger"
local native = require "couplet.native"

local log = logger.init("hostmanager")

local prosody = _G.prosody
local hosts = prosody.hosts
local ipairs, pairs, table_sort, tostring = ipairs, pairs, table.sort, tostring

local _M = {}
local _ENV = nil

-- A host can be the origin of a stanza: what is sent to it, such as the answer to its own iq, is routed as any other.
local function send_to_host(stanza)
	return prosody.core_route_stanza(nil, stanza)
end

local function new_host(name, host_config)
	return {
		host = name,
		type = host_config.component_module and "component" or "local",
		events = native.events(),
		modules = {},
		s2sout = {},
		dialback_secret = host_config.dialback_secret,
		disallow_s2s = host_config.disallow_s2s
			or host_config.anonymous_login and host_config.disallow_s2s ~= false
			or nil,
		send = send_to_host,
		log = logger.init(name),
	}
end

--- Serves a host from now on: true, or nil and an error. host_config: its section, by default the configuration's.
function _M.activate(name, host_config)
	if hosts[name] then
		return nil, ("the host %s is already there"):format(name)
	end
	host_config = host_config or config.getconfig()[name]
	if not host_config then
		return nil, ("there is no VirtualHost \"%s\" in the configuration"):format(name)
	end
	local host = new_host(name, host_config)
	hosts[name] = host
	native.host_add(host)
	log("info", "Activated %s %s", host.type == "local" and "host" or "component", name)
	prosody.events.fire_event("host-activated", name)
	return true
end

-- Ends the host's streams while its modules are there to see it.
local function close_sessions(host, reason)
	local of_users, of_servers = {}, {}
	for _, user in pairs(host.sessions or {}) do
		for _, session in pairs(user.sessions) do
			of_users[#of_users + 1] = session
		end
	end
	for _, session in pairs(host.s2sout) do
		of_servers[#of_servers + 1] = session
	end
	for _, session in ipairs(of_users) do
		session:close(reason)
		native.end_session(session, "host deactivated") -- now, so that contacts are told
	end
	for _, session in ipairs(of_servers) do
		session:close(reason)
	end
end

--- Stops serving a host: its streams are closed with the reason (a stream error, by default host-gone).
function _M.deactivate(name, reason)
	local host = hosts[name]
	if not host then
		return nil, ("there is no host %s"):format(tostring(name))
	end
	log("info", "Deactivating host: %s", name)
	reason = reason or { condition = "host-gone", text = "This server no longer serves " .. name }
	prosody.events.fire_event("host-deactivating", { host = name, host_session = host, reason = reason })
	close_sessions(host, reason)
	prosody.events.fire_event("host-deactivated", name)
	native.host_remove(name)
	hosts[name] = nil
	return true
end

--- Hosts of ours below a host, as a list: rooms.example.com is a child of example.com.
function _M.get_children(name)
	local children = {}
	for other in pairs(hosts) do
		if other ~= name and other:sub(-#name - 1) == "." .. name then
			children[#children + 1] = other
		end
	end
	table_sort(children)
	return children
end

-- VirtualHosts before components, which may ask for the accounts of their parent.
local function hosts_in_order()
	local names = config.hosts()
	local sections = config.getconfig()
	table_sort(names, function (a, b)
		local a_is_component, b_is_component = not not sections[a].component_module, not not sections[b].component_module
		if a_is_component ~= b_is_component then
			return b_is_component
		end
		return a < b
	end)
	return names
end

local configured = {} -- hosts that came from the configuration, not from activate calls of others

--- Activates every host of the configuration that is not there, except those with enabled = false. Gives how many there
-- are now.
function _M.activate_all()
	local n = 0
	for _, name in ipairs(hosts_in_order()) do
		if config.rawget(name, "enabled") ~= false then
			if not hosts[name] then
				_M.activate(name)
			end
			configured[name] = true
			n = n + 1
		end
	end
	if n == 0 then
		log("error", "No host is defined: add a line such as VirtualHost \"example.com\" to %s",
			config.filename() or "the configuration")
	end
	return n
end

-- After a reload of the configuration: what is new is activated, what has gone is deactivated.
prosody.events.add_handler("config-reloaded", function ()
	local sections = config.getconfig()
	local gone = {}
	for name in pairs(configured) do
		if not sections[name] or config.rawget(name, "enabled") == false then
			gone[#gone + 1] = name
		end
	end
	table_sort(gone)
	for _, name in ipairs(gone) do
		configured[name] = nil
		if hosts[name] then
			_M.deactivate(name)
		end
	end
	_M.activate_all()
end)

return _M
