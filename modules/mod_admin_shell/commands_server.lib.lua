--- server, config and debug in the admin's shell.

local configmanager = require "prosody.core.configmanager"
local serialize = require "prosody.util.serialization".new({ multiline = true, fallback = true })

local function read_file(path)
	local file = io.open(path, "r")
	if not file then return nil end
	local text = file:read("a")
	file:close()
	return text
end

local function uptime()
	local seconds = math.floor(os.time() - (prosody.start_time or os.time()))
	local days, hours, minutes = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60
	return true, ("The server has run for %d days, %d hours and %d minutes (since %s)"):format(days, hours, minutes,
		os.date("%Y-%m-%d %H:%M:%S", math.floor(prosody.start_time or os.time())))
end

local function memory(self)
	local lua_kb = collectgarbage("count")
	self.session.print(("Lua:     %8.1f MiB"):format(lua_kb / 1024))
	local status = read_file("/proc/self/status") -- Linux only
	local resident_kb = status and tonumber(status:match("VmRSS:%s*(%d+)"))
	local peak_kb = status and tonumber(status:match("VmHWM:%s*(%d+)"))
	if resident_kb then self.session.print(("Process: %8.1f MiB"):format(resident_kb / 1024)) end
	if peak_kb then self.session.print(("Peak:    %8.1f MiB"):format(peak_kb / 1024)) end
	return true
end

local function shutdown(_, reason, code)
	prosody.shutdown(reason or "Shut down by the administrator", tonumber(code))
	return true, "The server is shutting down"
end

local function get(_, first, second)
	local host, name = first, second
	if not second then host, name = "*", first end
	if not name then return nil, "The name of an option is needed" end
	if host ~= "*" and not prosody.hosts[host] then return nil, ("There is no host %s"):format(host) end
	local value = configmanager.get(host, name)
	if value == nil then return nil, ("%s is not set"):format(name) end
	return true, type(value) == "table" and serialize(value) or tostring(value)
end

local function reload()
	local ok, err = prosody.reload_config()
	if not ok then return nil, "The configuration was not loaded, the old one is kept: " .. tostring(err) end
	return true, "The configuration was loaded; modules that read an option at their start need module:reload"
end

local function events(self, host, wanted)
	local source = host and host ~= "*" and prosody.hosts[host] or nil
	if host and host ~= "*" and not source then return nil, ("There is no host %s"):format(host) end
	local hooked = (source or prosody).events
	local names = {}
	for name, handlers in pairs(hooked.get_mappings()) do
		if handlers[1] and (not wanted or name == wanted) then table.insert(names, ("%s (%d)"):format(name, #handlers)) end
	end
	table.sort(names)
	for _, name in ipairs(names) do self.session.print(name) end
	return true, ("%d event%s"):format(#names, #names == 1 and "" or "s")
end

-- "name{label="value",...} 5" for each figure; of histograms only how many and their sum.
local function show_stats(self, pattern)
	local figures = require "prosody.core.figures"
	local statsmanager = require "prosody.core.statsmanager"
	local registry = statsmanager.get_metric_registry()
	figures.start(registry)
	figures.update()
	statsmanager.collect()
	local text = require "prosody.util.openmetrics".render(registry:get_metric_families(), "prometheus")
	local count = 0
	for line in text:gmatch "[^\n]+" do
		local name = line:match "^[%w_:]+"
		if name and not name:find "_bucket$" and line:find(pattern or "", 1, true) then
			count = count + 1
			self.session.print(line)
		end
	end
	return true, ("%d figure%s"):format(count, count == 1 and "" or "s")
end

local function add(section, section_desc, name, desc, args, handler)
	module:add_item("shell-command", { section = section, section_desc = section_desc, name = name, desc = desc,
		args = args, handler = handler })
end

add("server", "The server as a whole", "version", "Shows the version", {}, function ()
	return true, tostring(prosody.version)
end)
add("server", nil, "uptime", "Shows since when the server runs", {}, uptime)
add("server", nil, "memory", "Shows how much memory it uses", {}, memory)
add("server", nil, "shutdown", "Ends it",
	{ { name = "reason", type = "string" }, { name = "code", type = "integer" } }, shutdown)
add("config", "The configuration", "reload", "Loads it again", {}, reload)
add("config", nil, "get", "Shows an option: config get [HOST] OPTION",
	{ { name = "host", type = "string", required = true }, { name = "option", type = "string" } }, get)
add("stats", "Figures of the server", "show", "Shows those whose name has this text: stats show [TEXT]",
	{ { name = "text", type = "string" } }, show_stats)
add("debug", "For those who look inside", "events", "Lists the events that somebody hooks, with the number of hooks",
	{ { name = "host", type = "string" }, { name = "event", type = "string" } }, events)
