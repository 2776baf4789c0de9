--- One load of the configuration: runs the files in an environment of their own and gathers what they set.
--
-- Assigning a name sets an option of the current section: "*" until a VirtualHost or Component line. Globals of the
-- chunk are its own, so nothing it does can change the server's.

local commands = require "prosody.core.config.commands"
local failure = require "prosody.core.config.failure"
local files = require "prosody.util.files"
local sorted_keys = require "prosody.util.table".sorted_keys
local values = require "prosody.core.config.values"

local copy_value, section_of = values.copy, values.section_of

local real_globals = _G
local error, getmetatable, load, next, pairs, pcall = error, getmetatable, load, next, pairs, pcall
local rawequal, rawget, setmetatable, tonumber, tostring = rawequal, rawget, setmetatable, tonumber, tostring
local type, xpcall = type, xpcall
local debug_getinfo, os_getenv = debug.getinfo, os.getenv

local _M = {}
local _ENV = nil

local MAX_INCLUDE_DEPTH = 32

local command_names = sorted_keys(commands)

local BYTE_ORDER_MARK = "\u{feff}" -- some editors begin a file with it

-- What one load gathers.

local loader_mt = {}
loader_mt.__index = loader_mt

--- The line of a config file that is running now: the innermost frame that belongs to one.
function loader_mt:here()
	for level = 2, 200 do
		local info = debug_getinfo(level, "Sl")
		if not info then
			break
		end
		local file = info.source:match("^@(.*)$")
		if file and self.lines[file] then
			return file, info.currentline
		end
	end
	return self.filename, 0
end

--- Adds a warning that names the current line.
function loader_mt:warn(format, ...)
	local file, line = self:here()
	self.warnings[#self.warnings + 1] = ("%s:%d: "):format(file, line) .. format:format(...)
end

--- Stops the load with a message at the current line.
function loader_mt:fail(format, ...)
	local file, line = self:here()
	error(failure.new("parser", file, line, format:format(...)), 0)
end

-- Lua names the line where a table ends; people look where it begins.
function loader_mt:line_of_option(file, line, key)
	local lines = self.lines[file]
	if not lines then
		return line
	end
	local pattern = "%f[%w_]" .. key:gsub("%p", "%%%0") .. "%f[^%w_]"
	for at = line, 1, -1 do
		local text = lines[at]
		local _, last = (text or ""):find(pattern)
		if last and text:match("^%s*[=:{]", last + 1) then
			return at
		end
	end
	return line
end

--- Keeps a value as it is (already copied), with the place that set it.
function loader_mt:keep(section, key, value)
	local file, line = self:here()
	line = self:line_of_option(file, line, key)
	section_of(self.options, section)[key] = value
	local known = self.origins[section]
	if not known then
		known = {}
		self.origins[section] = known
	end
	known[key] = { file = file, line = line }
end

--- Sets an option to a copy of what the configuration gave.
function loader_mt:set_option(section, key, value)
	if type(key) ~= "string" then
		self:fail("an option's name must be text, not %s", type(key))
	elseif self.commands[key] then
		self:fail("%s is a word of the configuration language and cannot be an option", key)
	end
	local earlier = self.origins[section] and self.origins[section][key]
	if earlier then
		self:warn("Duplicate option '%s': it was already set at %s:%d, and this line replaces it",
			key, earlier.file, earlier.line)
	end
	self:keep(section, key, copy_value(value))
end

-- The environment

-- Lua's globals as the configuration sees them: it may change its own copy, never the server's.
local function new_globals()
	local globals = {}
	for name, value in next, real_globals do
		if type(value) == "table" and not rawequal(value, real_globals) and getmetatable(value) == nil then
			local copy = {}
			for k, v in next, value do
				copy[k] = v
			end
			globals[name] = copy
		elseif type(value) ~= "table" then
			globals[name] = value
		end
	end
	globals._G = globals
	globals.package = rawget(real_globals, "package")
	globals.prosody = setmetatable({}, { __index = rawget(real_globals, "prosody") or {} })
	return globals
end

-- Names used like `modules_enabled { ... }` or `admins:append { ... }` at the start of a line: an option that may be
-- grown before it is set.
local function names_grown(text)
	local names = {}
	for line in text:gmatch("[^\n]+") do
		local name = line:match("^%s*([%a_][%w_]*)%s*{") or line:match("^%s*([%a_][%w_]*)%s*:%s*append%f[%W]")
		if name then
			names[name] = true
		end
	end
	return names
end

-- How other languages write what is true or false in ours.
local booleans = { yes = true, on = true, ["true"] = true, no = false, off = false, ["false"] = false }

function loader_mt:read_name(name, grown)
	if commands[name] then
		return self.commands[name]
	end
	local variable = name:match("^ENV_(.+)$")
	if variable then
		return os_getenv(variable)
	end
	local value = section_of(self.options, self.section)[name]
	if value ~= nil then
		local is_plain_table = type(value) == "table" and getmetatable(value) == nil
		return is_plain_table and values.new_proxy(self, self.section, name, value) or value
	elseif name == "Lua" then
		return self.globals
	elseif self.globals[name] ~= nil then
		return self.globals[name]
	elseif grown[name] then
		return values.new_proxy(self, self.section, name, {})
	end
	local boolean = booleans[name:lower()]
	if boolean ~= nil then
		self:warn("'%s' means nothing here; write %s", name, tostring(boolean))
	else
		self:warn("'%s' is not set, so it means nothing here; if it was meant as text, you may be missing quotes: \"%s\"",
			name, name)
	end
	return nil
end

function loader_mt:new_environment(text)
	local grown = names_grown(text)
	return setmetatable({}, {
		__index = function (_, name)
			return self:read_name(name, grown)
		end,
		__newindex = function (_, name, value)
			self:set_option(self.section, name, value)
		end,
	})
end

local function is_end_of(ending, text)
	return text:sub(-#ending) == ending
end

-- Turns whatever ended a chunk into a failure that names the line. To be called where the error was raised.
function loader_mt:failure_of(err)
	if failure.is_failure(err) then
		return err
	end
	local text = tostring(err)
	local file, line = self:here()
	if line == 0 then
		return failure.new("parser", file, nil, text)
	end
	-- Lua begins its message with the place, of a long path the end ("...rest.cfg.lua:3: text").
	local place, place_line, message = text:match("^(.-):(%d+): (.*)$")
	local is_here = place and tonumber(place_line) == line and is_end_of(place:gsub("^%.%.%.", ""), file)
	return failure.of_lua(file, line, is_here and message or text, self.lines[file], command_names)
end

--- The text of a file; or nil and why not.
function loader_mt.read_file(path)
	local text, err = files.read(path)
	if not text then
		return nil, err or "there is no file " .. path
	end
	return text
end

--- Runs one file in the global section; the including file's section is restored after it.
function loader_mt:run_file(path)
	if self.depth >= MAX_INCLUDE_DEPTH then
		self:fail("files include each other without end (%d deep)", self.depth)
	end
	local text, err = loader_mt.read_file(path)
	if not text then
		if self.depth > 0 then
			self:fail("Include: %s", err)
		end
		error(failure.new("file", path, nil, err), 0)
	end
	if text:sub(1, #BYTE_ORDER_MARK) == BYTE_ORDER_MARK then
		text = text:sub(#BYTE_ORDER_MARK + 1)
	end
	self.lines[path] = failure.lines_of(text)
	local chunk, syntax_err = load(text, "@" .. path, "t", self:new_environment(text))
	if not chunk then
		-- Lua shortens long paths in its messages ("...rest.cfg.lua:3: text").
		local line, message = syntax_err:match(":(%d+): (.*)$")
		error(line and failure.of_lua(path, tonumber(line), message, self.lines[path], command_names)
			or failure.new("parser", path, nil, syntax_err), 0)
	end
	local section = self.section
	self.section, self.depth = "*", self.depth + 1
	local ok, failed = xpcall(chunk, function (e)
		return self:failure_of(e)
	end)
	if not ok then
		error(failed, 0)
	end
	self.section, self.depth = section, self.depth - 1
end

local function new_loader(filename)
	local loader = setmetatable({
		filename = filename,
		directory = filename:match("^(.*)/[^/]*$") or ".",
		options = values.new_options(),
		origins = {}, -- section -> option -> { file, line }
		warnings = {},
		kinds = {}, -- host -> "VirtualHost" | "Component"
		lines = {}, -- file -> the list of its lines
		globals = new_globals(),
		commands = {},
		section = "*",
		depth = 0,
	}, loader_mt)
	for name, command in pairs(commands) do
		loader.commands[name] = function (...)
			return command(loader, ...)
		end
	end
	return loader
end

--- Runs a configuration file with all it includes. Gives a table { options = section -> option -> value,
-- origins = the same -> { file, line }, warnings = list of "file:line: text" }; or nil and a failure.
function _M.load(filename)
	local loader = new_loader(filename)
	local ok, failed = pcall(loader.run_file, loader, filename)
	if ok then
		return loader
	elseif failure.is_failure(failed) then
		return nil, failed
	end
	return nil, failure.new("parser", filename, nil, tostring(failed))
end

return _M
