--- Sets up where the log goes, as the option `log` says.
--
-- Forms of the option: a file name; "*console", "*syslog"; a table of level = "target" (that level and those above);
-- and list entries { to = "console" | "file" | "syslog" | ..., levels = { min =, max = } or { "info", "error" },
-- filename =, timestamps =, ... }. Other kinds of `to` are registered by modules.

local config = require "prosody.core.configmanager"
local logger = require "prosody.util.logger"
local isatty = require "prosody.util.pposix".isatty
local native = require "couplet.native"

local log = logger.init("loggingmanager")

local prosody = _G.prosody
local ipairs, next, pairs, tostring, type = ipairs, next, pairs, tostring, type
local stdout, table_concat = io.stdout, table.concat

local _M = {}
local _ENV = nil

local levels = { "debug", "info", "warn", "error" }
local level_number = { debug = 1, info = 2, warn = 3, error = 4 }

local sinks = {} -- how to remove each sink in use
local kinds = {} -- kind of sink -> function (settings, levels) -> remove | nil, error
local verbose = false
local foreground = true
local has_console = false

-- Which levels: level -> true. Unknown names are reported by the caller.
local function level_set(wanted)
	local chosen = {}
	if wanted == nil then
		wanted = { min = "info" }
	elseif type(wanted) == "string" then
		wanted = { min = wanted }
	end
	if wanted.min or wanted.max then
		local from, to = level_number[wanted.min or "debug"], level_number[wanted.max or "error"]
		if not from or not to then
			return nil, tostring(wanted.min or wanted.max)
		end
		for number = from, to do
			chosen[levels[number]] = true
		end
	end
	for _, name in ipairs(wanted) do
		if not level_number[name] then
			return nil, tostring(name)
		end
		chosen[name] = true
	end
	return chosen
end

-- Kinds of sink

local function native_sink(settings)
	local id, err = native.log_sink(settings)
	if not id then
		return nil, err
	end
	return function ()
		native.log_sink_remove(id)
	end
end

function kinds.console(settings, wanted)
	local colours = settings.colours
	if colours == nil then
		colours = settings.colors
	end
	if colours == nil then
		colours = isatty(stdout)
	end
	return native_sink { to = "console", levels = wanted, colours = colours }
end

function kinds.file(settings, wanted)
	local path = settings.filename
	if type(path) ~= "string" or path == "" then
		return nil, "a file needs its name: filename = \"couplet.log\""
	end
	path = config.resolve_relative_path(prosody.paths.config or ".", path)
	return native_sink { to = "file", levels = wanted, path = path, timestamps = settings.timestamps ~= false }
end

function kinds.syslog(settings, wanted)
	return native_sink { to = "syslog", levels = wanted, ident = settings.syslog_name or settings.name or "couplet" }
end

--- Adds a kind of sink: factory(settings) gives function (name, level, format, ...), or nil.
function _M.register_sink_type(kind, factory)
	kinds[kind] = function (settings, wanted)
		local sink = factory(settings)
		if not sink then
			return nil, "nothing was made of it"
		end
		-- Through the core, so that it hears of what the core says too. The text is formatted already.
		return native_sink { levels = wanted, to = function (name, level, text)
			sink(name, level, "%s", text)
		end }
	end
	-- The kind may have been asked for before its module was there.
	if next(sinks) then
		_M.reload_logging()
	end
end

-- The option

-- "*syslog" or a file name.
local function from_target(target, wanted)
	local kind = target:match("^%*(.+)$")
	if kind then
		return { to = kind, levels = wanted }
	end
	return { to = "file", filename = target, levels = wanted }
end

-- All forms of the option as a list of { to, levels, ... }; complaints go into the second list.
local function rules_of(option)
	local rules, complaints = {}, {}
	if type(option) == "string" then
		return { from_target(option) }, complaints
	elseif type(option) ~= "table" then
		return {}, { ("log should be a file name or a table, not %s"):format(tostring(option)) }
	end
	if option.to then
		return { option }, complaints
	end
	for key, value in pairs(option) do
		if type(value) == "string" and (type(key) == "number" or level_number[key]) then
			rules[#rules + 1] = from_target(value, type(key) == "string" and { min = key } or nil)
		elseif type(key) == "number" and type(value) == "table" then
			rules[#rules + 1] = value.to and value or from_target(tostring(value.filename or "*console"), value.levels)
		else
			complaints[#complaints + 1] = ("log: %s = %s is not understood; write for example info = \"couplet.log\"")
				:format(tostring(key), tostring(value))
		end
	end
	return rules, complaints
end

local function default_option()
	if foreground then
		return { { to = "console", levels = { min = "info" } } }
	end
	return { { to = "syslog", levels = { min = "info" } } }
end

local function add_sink(rule)
	local make = kinds[rule.to]
	if not make then
		return nil, ("there is no kind of log \"%s\"; there are console, file and syslog"):format(tostring(rule.to))
	end
	local wanted, unknown = level_set(rule.levels)
	if not wanted then
		return nil, ("\"%s\" is no level; the levels are %s"):format(unknown, table_concat(levels, ", "))
	end
	return make(rule, wanted)
end

-- Adds the sinks of the configuration. Gives how to remove each, and complaints.
local function open_sinks()
	local opened = {}
	has_console = false
	local rules, complaints = rules_of(config.get("*", "log") or default_option())
	for _, rule in ipairs(rules) do
		local remove, err = add_sink(rule)
		if remove then
			opened[#opened + 1] = remove
			has_console = has_console or rule.to == "console"
		else
			complaints[#complaints + 1] = "log: " .. err
		end
	end
	if verbose then
		has_console = true
		opened[#opened + 1] = kinds.console({}, level_set { min = "debug" })
	end
	if #opened == 0 then
		-- Somebody must hear what is wrong.
		has_console = true
		opened[#opened + 1] = kinds.console({}, level_set { min = "info" })
	end
	return opened, complaints
end

--- Opens the logs as the configuration says. is_verbose: everything to the console as well; is_foreground: without the
-- option, info and above go there instead of to syslog.
function _M.start(is_verbose, is_foreground)
	verbose, foreground = is_verbose, is_foreground
	_M.reload_logging()
end

--- Does what is logged appear on the terminal?
function _M.is_on_console()
	return has_console
end

--- Opens files anew (they may have been rotated) and follows the configuration.
function _M.reload_logging()
	local old = sinks
	local complaints
	sinks, complaints = open_sinks() -- before the old ones go: nothing is lost between
	for _, remove in ipairs(old) do
		remove()
	end
	native.log_reopen()
	for _, complaint in ipairs(complaints) do
		log("error", "%s%s", config.place("*", "log"), complaint)
	end
	prosody.events.fire_event("logging-reloaded")
end

return _M
