--- Helpers for looking into a running server, from the shell or while writing a module.
-- Always true: what log_events starts, revert_log_events ends.
local debug = debug
local error, ipairs, pairs, tostring, type = error, ipairs, pairs, tostring, type
local init_logger = require "prosody.util.logger".init
local s_format = string.format
local t_concat, t_sort = table.concat, table.sort
local prosody = rawget(_G, "prosody")

local _ENV = nil

local log = init_logger "util.debug"

-- Events object -> the hook it had before.
local hooked = {}

--- Logs every event of an events object at debug level, with the handler that answers. name: how lines begin.
local function log_events(events, name, logger)
	if hooked[events] ~= nil then
		return
	end
	local write = logger or log
	local before
	local function hook(handler, event_name, event_data)
		write("debug", "%s: %s (%s) ...", name or tostring(events), event_name, handler)
		local result
		if before then
			result = before(handler, event_name, event_data)
		else
			result = handler(event_data)
		end
		if result ~= nil then
			write("debug", "%s: %s answered: %s", name or tostring(events), event_name, result)
		end
		return result
	end
	before = events.set_debug_hook(hook)
	hooked[events] = before or false
	return events
end

local function revert_log_events(events)
	local before = hooked[events]
	if before ~= nil then
		events.set_debug_hook(before or nil)
		hooked[events] = nil
	end
end

local function host_events(host)
	return prosody and prosody.hosts[host] and prosody.hosts[host].events or error("unknown host " .. tostring(host), 3)
end

local function log_host_events(host)
	return log_events(host_events(host), host)
end

local function revert_log_host_events(host)
	return revert_log_events(host_events(host))
end

--- A text with the handlers of an events object, or of one event of it.
local function show_events(events, only)
	local names, mappings = {}, events.get_mappings and events.get_mappings() or events._handlers
	for name in pairs(mappings) do
		if not only or name == only then
			names[#names + 1] = tostring(name)
		end
	end
	t_sort(names)
	local lines = {}
	for _, name in ipairs(names) do
		lines[#lines + 1] = name
		for i, handler in ipairs(mappings[name] or {}) do
			local where = ""
			if type(handler) == "function" then
				local info = debug.getinfo(handler, "S")
				where = s_format("%s:%d", info.short_src, info.linedefined)
			end
			lines[#lines + 1] = s_format("  %d: %s %s", i, tostring(handler), where)
		end
	end
	return t_concat(lines, "\n")
end

--- The value of a function's upvalue of that name.
local function get_upvalue(fn, wanted)
	for i = 1, 255 do
		local name, value = debug.getupvalue(fn, i)
		if name == nil then
			return nil
		elseif name == wanted then
			return value
		end
	end
end

return {
	log_events = log_events,
	revert_log_events = revert_log_events,
	log_host_events = log_host_events,
	revert_log_host_events = revert_log_host_events,
	show_events = show_events,
	get_upvalue = get_upvalue,
}
