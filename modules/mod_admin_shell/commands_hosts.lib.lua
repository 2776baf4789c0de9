--- host and port in the admin's shell.

local hostmanager = require "prosody.core.hostmanager"
local portmanager = require "prosody.core.portmanager"
local sorted_keys = require "prosody.util.table".sorted_keys

local function list(self)
	local names = sorted_keys(prosody.hosts)
	for _, name in ipairs(names) do
		local kind = prosody.hosts[name].type
		self.session.print(kind == "component" and name .. " (component)" or name)
	end
	return true, ("%d host%s"):format(#names, #names == 1 and "" or "s")
end

local function activate(_, host)
	local ok, err = hostmanager.activate(host)
	if not ok then return nil, err end
	return true, host .. " is served now"
end

local function deactivate(_, host, text)
	local ok, err = hostmanager.deactivate(host, { condition = "host-gone", text = text })
	if not ok then return nil, err end
	return true, host .. " is not served any more"
end

local function list_ports(self)
	local lines = {}
	for name, interfaces in pairs(portmanager.get_active_services().data) do
		for interface, ports in pairs(interfaces) do
			for port in pairs(ports) do table.insert(lines, { name = name, interface = interface, port = port }) end
		end
	end
	table.sort(lines, function (a, b)
		if a.port ~= b.port then return a.port < b.port end
		return a.interface < b.interface
	end)
	for _, line in ipairs(lines) do
		local form = line.interface:find(":", 1, true) and "[%s]:%d  %s" or "%s:%d  %s"
		self.session.print(form:format(line.interface, line.port, line.name))
	end
	return true, ("%d port%s"):format(#lines, #lines == 1 and "" or "s")
end

local function add(section, section_desc, name, desc, args, handler)
	module:add_item("shell-command", { section = section, section_desc = section_desc, name = name, desc = desc,
		args = args, handler = handler })
end

local of_host = { name = "host", type = "string", required = true }
add("host", "Hosts: list, activate, deactivate", "list", "Lists the hosts that are served", {}, list)
add("host", nil, "activate", "Serves a host of the configuration", { of_host }, activate)
add("host", nil, "deactivate", "Stops serving a host and ends its sessions",
	{ of_host, { name = "text", type = "string" } }, deactivate)
add("port", "Ports the server listens on", "list", "Lists them", {}, list_ports)
