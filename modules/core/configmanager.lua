--- The configuration: a Lua chunk run in an environment of its own, kept as plain tables.
--
-- A config file is real Lua. Assigning a name sets an option of the current section: "*" until a VirtualHost or
-- Component line. What the chunk assigns is copied, so nothing it keeps can change the configuration later, and its
-- globals are its own, so nothing it does can change the server's.
--
-- Always true: `load` either replaces the whole configuration or leaves the old one untouched. Every option remembers
-- the file and line that set it, so that whoever finds it wrong can name the place.
-- Here is the one in force; config/loader.lua makes one out of files.

local loader = require "prosody.core.config.loader"
local paths = require "prosody.util.paths"
local values = require "prosody.core.config.values"

local new_options, section_of = values.new_options, values.section_of

local pairs, rawget, table_sort, tostring, type = pairs, rawget, table.sort, tostring, type

local _M = {}
local _ENV = nil

_M.resolve_relative_path = paths.resolve_relative_path

local options, origins = new_options(), {} -- section -> option -> value; the same -> { file, line }
local file_in_force -- what was loaded last

--- The whole configuration: section -> option -> value. To be read only.
function _M.getconfig()
	return options
end

--- The value that holds for a host: its own, else the global one.
function _M.get(host, key)
	local section = options[host] or options["*"]
	return section[key]
end

--- The value set in that very section; nil when it would be inherited.
function _M.rawget(host, key)
	local section = rawget(options, host)
	return section and rawget(section, key)
end

--- An option that may be one value or a list of them, as a list. nil stays nil.
function _M.as_list(value)
	if value == nil or type(value) == "table" then
		return value
	end
	return { value }
end

--- Sets an option at run time. It is not written anywhere: the next load forgets it.
function _M.set(host, key, value)
	if not host or not key then
		return false
	end
	section_of(options, host)[key] = value
	if origins[host] then
		origins[host][key] = nil
	end
	return true
end

--- Where the value that `get` returns was set: file, line. Nothing when unset or set at run time.
function _M.where(host, key)
	local section = rawget(options, host)
	if not section or key and rawget(section, key) == nil then
		host = "*"
	end
	local origin = key and origins[host] and origins[host][key]
	if origin then
		return origin.file, origin.line
	end
end

--- The same as the beginning of a complaint: "prosody.cfg.lua:12: "; "" when it was not set there. key may be nil.
function _M.place(host, key)
	local file, line = _M.where(host, key)
	return file and ("%s:%d: "):format(file, line) or ""
end

--- The file that was loaded last, nil before.
function _M.filename()
	return file_in_force
end

--- Loads a configuration file and puts it in force.
-- Gives true and a list of warnings ("file:line: text"); or nil, "file" or "parser", a sentence with file, line and
-- mend, and the same as a table { file, line, message, mend }. After a failure the old configuration is still in force.
function _M.load(filename)
	local loaded, failure = loader.load(filename)
	if not loaded then
		return nil, failure.kind, tostring(failure), failure
	end
	options, origins, file_in_force = loaded.options, loaded.origins, filename
	return true, loaded.warnings
end

--- The names of the hosts that are defined: a sorted list, so that start-up is the same every time.
function _M.hosts()
	local names = {}
	for name in pairs(options) do
		if name ~= "*" then
			names[#names + 1] = name
		end
	end
	table_sort(names)
	return names
end

return _M
