--- Where Lua says what happened. init("mod_x") gives log("info", "%s came", who).
-- Always true: a message is formatted only when someone wants its level. Sinks are kept per level and called in the
-- order they were added; a sink may add and remove sinks. In the server, the core's log (native.log) is one of those
-- who want it; elsewhere nothing is written until a sink is added.
local format = require "prosody.util.format".format
local ipairs, pairs, pcall, require, setmetatable, type = ipairs, pairs, pcall, require, setmetatable, type

local _ENV = nil

local levels = { "debug", "info", "warn", "error" }
-- Level -> list of sinks function (name, level, pattern, ...). Lists are replaced, never changed: a running loop is
-- safe.
local sinks = { debug = {}, info = {}, warn = {}, error = {} }

-- The core's log. write(level, name, text); wants(level) may be nil.
local native_write, native_wants

--- Sets where the core's log is; nil for none. core.loggingmanager may also pass a function of its own.
local function set_native(write, wants)
	native_write, native_wants = write, wants
end

do
	local found, native = pcall(require, "couplet.native")
	if found and type(native) == "table" and native.log then
		set_native(native.log, native.log_wants)
	end
end

local function log_at(name, level, pattern, ...)
	local list = sinks[level]
	if native_write and (not native_wants or native_wants(level)) then
		native_write(level, name, format(pattern, ...))
	end
	for i = 1, #list do
		list[i](name, level, pattern, ...)
	end
end

--- Gives a function (pattern, ...) that logs under that name and level.
local function make_logger(name, level)
	return function (pattern, ...)
		local list = sinks[level]
		if native_write or list[1] then
			log_at(name, level, pattern, ...)
		end
	end
end

--- Gives a function (level, pattern, ...) that logs under that name.
local function init(name)
	return function (level, pattern, ...)
		local list = sinks[level]
		if not list then
			level, list = "error", sinks.error
		end
		if native_write or list[1] then
			log_at(name, level, pattern, ...)
		end
	end
end

--- Adds a function (name, level, pattern, ...) for one level. Keeps it until remove_sink.
local function add_level_sink(level, sink)
	local list = { sink }
	for i, other in ipairs(sinks[level]) do
		list[i], list[i + 1] = other, sink
	end
	sinks[level] = list
end

-- What remove_sink is called with -> what is in the lists.
local wrapped = setmetatable({}, { __mode = "k" })

--- Adds a function (name, level, text) for the given levels, or all. Gives the sink; keeps it until remove_sink.
local function add_simple_sink(simple_sink, wanted_levels)
	local function sink(name, level, pattern, ...)
		return simple_sink(name, level, format(pattern, ...))
	end
	wrapped[simple_sink] = sink
	for _, level in ipairs(wanted_levels or levels) do
		add_level_sink(level, sink)
	end
	return sink
end

--- Removes what add_level_sink or add_simple_sink was given (or gave).
local function remove_sink(sink)
	local other = wrapped[sink]
	for level, list in pairs(sinks) do
		local left = {}
		for _, member in ipairs(list) do
			if member ~= sink and member ~= other then
				left[#left + 1] = member
			end
		end
		sinks[level] = left
	end
end

--- Removes all sinks.
local function reset()
	for level in pairs(sinks) do
		sinks[level] = {}
	end
end

return {
	init = init,
	new = make_logger,
	make_logger = make_logger,
	add_level_sink = add_level_sink,
	add_simple_sink = add_simple_sink,
	remove_sink = remove_sink,
	reset = reset,
	set_native = set_native,
}
