--- module in the admin's shell: what is loaded where.

local modulemanager = require "prosody.core.modulemanager"
local sorted_keys = require "prosody.util.table".sorted_keys

-- Gives the hosts a command is for: the one named, or all that fn(host) wants; "*" stands for the server itself.
local function hosts_for(host, fn)
	if host and host ~= "" then
		if host ~= "*" and not prosody.hosts[host] then return nil, ("There is no host %s"):format(host) end
		return { host }
	end
	local found = {}
	for _, name in ipairs(sorted_keys(prosody.hosts)) do
		if fn(name) then table.insert(found, name) end
	end
	if fn("*") then table.insert(found, 1, "*") end
	return found
end

local function is_loaded_on(name)
	return function (host) return modulemanager.is_loaded(host, name) end
end

-- Does fn(host) for each host and tells how it went; fails when one failed.
local function on_each(self, hosts, name, done, fn)
	local n_done, n_failed = 0, 0
	for _, host in ipairs(hosts) do
		local ok, err = fn(host)
		if ok then
			n_done = n_done + 1
			self.session.print(("%s: %s %s"):format(host, name, done))
		else
			n_failed = n_failed + 1
			self.session.print(("%s: %s was not %s: %s"):format(host, name, done, tostring(err)))
		end
	end
	if n_failed > 0 then return nil, ("%s was not %s everywhere"):format(name, done) end
	if n_done == 0 then return nil, ("%s is loaded nowhere"):format(name) end
	return true, ("%s %s on %d host%s"):format(name, done, n_done, n_done == 1 and "" or "s")
end

local function load_module(self, name, host)
	local hosts, err = hosts_for(host, function (name_of_host) return name_of_host ~= "*" end)
	if not hosts then return nil, err end
	local ok, text = on_each(self, hosts, name, "loaded", function (where)
		if modulemanager.is_loaded(where, name) then return nil, "it is there already" end
		return modulemanager.load(where, name)
	end)
	if ok then text = text .. "; to have it after a restart, add it to modules_enabled" end
	return ok, text
end

local function reload(self, name, host)
	local hosts, err = hosts_for(host, is_loaded_on(name))
	if not hosts then return nil, err end
	return on_each(self, hosts, name, "reloaded", function (where) return modulemanager.reload(where, name) end)
end

local function unload(self, name, host)
	local hosts, err = hosts_for(host, is_loaded_on(name))
	if not hosts then return nil, err end
	return on_each(self, hosts, name, "unloaded", function (where) return modulemanager.unload(where, name) end)
end

local function list(self, host)
	local hosts, err = hosts_for(host, function () return true end)
	if not hosts then return nil, err end
	for _, where in ipairs(hosts) do
		self.session.print(where .. ":")
		for _, name in ipairs(sorted_keys(modulemanager.get_modules(where) or {})) do
			self.session.print("    " .. name)
		end
	end
	return true
end

local function info(self, name, host)
	local hosts, err = hosts_for(host, is_loaded_on(name))
	if not hosts then return nil, err end
	if not hosts[1] then return nil, ("%s is loaded nowhere"):format(name) end
	for _, where in ipairs(hosts) do
		local environment = modulemanager.get_module(where, name)
		local object = environment and environment.module
		if not object then return nil, ("%s is not loaded on %s"):format(name, where) end
		self.session.print(("%s on %s"):format(name, where))
		self.session.print("    file: " .. tostring(object.path or "?"))
		local kind, text = object:get_status()
		if text and text ~= "" then self.session.print(("    status: %s (%s)"):format(text, kind)) end
		local dependencies = sorted_keys(object.dependencies or {})
		if dependencies[1] then self.session.print("    needs: " .. table.concat(dependencies, ", ")) end
		local dependants = sorted_keys(object.reverse_dependencies or {})
		if dependants[1] then self.session.print("    needed by: " .. table.concat(dependants, ", ")) end
	end
	return true
end

local function add(name, desc, args, handler)
	module:add_item("shell-command", { section = "module", section_desc = "Modules: load, reload, unload",
		name = name, desc = desc, args = args, handler = handler })
end

local of_module = { { name = "module", type = "string", required = true }, { name = "host", type = "string" } }
add("info", "Tells about a loaded module", of_module, info)
add("load", "Loads a module, on one host or on all", of_module, load_module)
add("reload", "Reloads a module where it is loaded", of_module, reload)
add("unload", "Unloads a module where it is loaded", of_module, unload)
add("list", "Lists the loaded modules", { { name = "host", type = "string" } }, list)
