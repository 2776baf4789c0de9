--- The configuration: a Lua chunk run in an environment of its own, kept as plain tables.
--
-- A config file is real Lua. Assigning a name sets an option of the current section: "*" until a VirtualHost or
-- Component line. What the chunk assigns is copied, so nothing it keeps can change the configuration later, and its
-- globals are its own, so nothing it does can change the server's.
--
-- Always true: `load` either replaces the whole configuration or leaves the old one untouched. Every option remembers
-- the file and line that set it, so that whoever finds it wrong can name the place.

local files = require "prosody.util.files"
local jid = require "prosody.util.jid"
local paths = require "prosody.util.paths"

local resolve_relative_path, glob_to_pattern = paths.resolve_relative_path, paths.glob_to_pattern

local real_globals = _G
local error, getmetatable, ipairs, load, next, pairs, pcall = error, getmetatable, ipairs, load, next, pairs, pcall
local rawequal, rawget, setmetatable, tonumber, tostring = rawequal, rawget, setmetatable, tonumber, tostring
local type, xpcall = type, xpcall
local debug_getinfo, os_getenv, table_sort, table_unpack = debug.getinfo, os.getenv, table.sort, table.unpack

local _M = {}
local _ENV = nil

local MAX_INCLUDE_DEPTH = 32

-- The text of a file, or nil and why not.
local function read_file(path)
	local text, err = files.read(path)
	if not text then
		return nil, err or "there is no file " .. path
	end
	return text
end

_M.resolve_relative_path = resolve_relative_path

-- The configuration in force.

local options  -- section -> option -> value
local origins  -- section -> option -> { file, line }
local file_in_force -- what was loaded last

-- A host's section falls back to the global one, so that walking getconfig() shows what holds.
local function new_options()
	local global = {}
	return setmetatable({ ["*"] = global }, { fallback = { __index = global } })
end

local function section_of(config, host)
	local section = rawget(config, host)
	if not section then
		section = setmetatable({}, getmetatable(config).fallback)
		config[host] = section
	end
	return section
end

options, origins = new_options(), {}

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
	if not section or rawget(section, key) == nil then
		host = "*"
	end
	local origin = origins[host] and origins[host][key]
	if origin then
		return origin.file, origin.line
	end
end

--- The file that was loaded last, nil before.
function _M.filename()
	return file_in_force
end

-- Values: what is stored is a copy.

local proxy_values = setmetatable({}, { __mode = "k" }) -- proxy -> the value it stands for

-- Plain tables are copied deeply; objects with a metatable and functions are kept as they are.
local function copy_value(value, seen)
	if type(value) ~= "table" then
		return value
	end
	if proxy_values[value] then
		value = proxy_values[value].value
	elseif getmetatable(value) ~= nil then
		return value
	end
	seen = seen or {}
	if seen[value] then
		return seen[value]
	end
	local copy = {}
	seen[value] = copy
	for k, v in next, value do
		copy[copy_value(k, seen)] = copy_value(v, seen)
	end
	return copy
end

-- Lists grow at the end, named entries replace those of the same name.
local function append_to(list, addition)
	if type(addition) ~= "table" then
		list[#list + 1] = addition
		return
	end
	addition = copy_value(addition)
	local n = #addition
	for i = 1, n do
		list[#list + 1] = addition[i]
	end
	for k, v in next, addition do
		local is_item = type(k) == "number" and k >= 1 and k <= n and k % 1 == 0
		if not is_item then
			list[k] = v
		end
	end
end

-- Errors: where, what, and how to mend it.

local function lines_of(text)
	local lines = {}
	for line in (text .. "\n"):gmatch("([^\n]*)\n") do
		lines[#lines + 1] = line
	end
	return lines
end

local function line_of_text(text, number)
	return lines_of(text)[number]
end

local function strip_comment(line)
	return (line:gsub("%-%-.*$", ""):gsub("^%s+", ""):gsub("%s+$", ""))
end

-- The last line with something on it before the one the parser stumbled at.
local function line_before(text, number)
	for at = number - 1, 1, -1 do
		local line = strip_comment(line_of_text(text, at) or "")
		if line ~= "" then
			return at, line
		end
	end
end

local function comma_mend(text, number)
	local at, before = line_before(text, number)
	local here = strip_comment(line_of_text(text, number) or "")
	local same_line = here:match("(\"[^\"]*\")%s+[\"%w_{]") or here:match("('[^']*')%s+['%w_{]")
	if same_line then
		return ("did you forget a comma after %s?"):format(same_line)
	elseif before and not before:match("[,;{(=]$") then
		return ("did you forget a comma after %s on line %d?"):format(before, at)
	end
end

-- What people most often did when Lua says this. Each rule: a pattern of Lua's message, and the advice.
local mends = {
	{ "unfinished string", function ()
		return "is a quote missing at the end of the text?"
	end },
	{ "'([})])' expected near <eof>", function (bracket)
		return ("a closing %s is missing"):format(bracket)
	end },
	{ "'([})])' expected %(to close '[{(]' at line (%d+)%) near (.*)", function (bracket, opened, near, text, line)
		if near == "<eof>" then
			return ("the bracket opened on line %s is never closed: add a %s"):format(opened, bracket)
		elseif near == "'='" then
			return ("the bracket opened on line %s is not closed before the next option: add a %s"):format(opened, bracket)
		end
		return comma_mend(text, line) or ("did you forget a comma, or the %s that closes line %s?"):format(bracket, opened)
	end },
	{ "'}' expected near", function (_, _, _, text, line)
		return comma_mend(text, line)
	end },
	{ "'<eof>' expected near 'end'", function ()
		return "there is an end too many"
	end },
	{ "'end' expected", function ()
		return "an if, for or function is not closed: add an end"
	end },
	{ "syntax error near '?([^']*)", function (_, _, _, text, line)
		local here = strip_comment(line_of_text(text, line) or "")
		local name = here:match("^([%a_][%w_]*)%s+[^=%s]")
		return name and ("did you forget the = after %s?"):format(name)
	end },
	{ "unexpected symbol near <eof>", function ()
		return "the last option has no value"
	end },
	{ "malformed number", function ()
		return "text such as a host name or an IP address belongs in quotes"
	end },
	{ "call a nil value %(global '([^']+)'%)", function (name)
		return ("there is no command %s; to set the option write %s = { ... }"):format(name, name)
	end },
	{ "call a %a+ value %(global '([^']+)'%)", function (name)
		return ("to set the option write %s = ..."):format(name)
	end },
	{ "on a nil value %(global '([^']+)'%)", function (name)
		return ("is %s the beginning of a text that lacks its quotes?"):format(name)
	end },
	{ "a nil value %(global '([^']+)'%)", function (name)
		return ("is %s the beginning of a text that lacks its quotes?"):format(name)
	end },
}

local function mend_for(message, text, line)
	for _, rule in ipairs(mends) do
		local a, b, c = message:match(rule[1])
		if a then
			local mend = rule[2](a, b, c, text, line)
			if mend then
				return mend
			end
		end
	end
end

local failure_mt = { __tostring = function (self)
	local at = self.line and ("%s:%d: "):format(self.file, self.line) or self.file and self.file .. ": " or ""
	return at .. self.message .. (self.mend and " (" .. self.mend .. ")" or "")
end }

-- kind: "file" (cannot be read) or "parser" (cannot be run).
local function new_failure(kind, file, line, message, mend)
	return setmetatable({ kind = kind, file = file, line = line, message = message, mend = mend }, failure_mt)
end

-- Loading. A loader holds what one load gathers.

local loader_mt = {}
loader_mt.__index = loader_mt

local function new_loader(filename)
	return setmetatable({
		filename = filename,
		directory = filename:match("^(.*)/[^/]*$") or ".",
		options = new_options(),
		origins = {},
		warnings = {},
		kinds = {}, -- host -> "VirtualHost" | "Component"
		texts = {}, lines = {}, -- file -> its text, and that as a list of lines
		section = "*",
		depth = 0,
	}, loader_mt)
end

-- The line of a config file that is running now: the innermost frame that belongs to one.
function loader_mt:here()
	for level = 2, 200 do
		local info = debug_getinfo(level, "Sl")
		if not info then
			break
		end
		local file = info.source:match("^@(.*)$")
		if file and self.texts[file] then
			return file, info.currentline
		end
	end
	return self.filename, 0
end

function loader_mt:warn(format, ...)
	local file, line = self:here()
	self.warnings[#self.warnings + 1] = ("%s:%d: "):format(file, line) .. format:format(...)
end

-- Stops the load with a message at the current line.
function loader_mt:fail(format, ...)
	local file, line = self:here()
	error(new_failure("parser", file, line, format:format(...)), 0)
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

-- Keeps a value as it is (already copied).
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

-- Option proxies: reading back an option that is a table.

local proxy_methods = {}

--- The option's value as a plain table (a copy).
function proxy_methods:value()
	return copy_value(proxy_values[self].value)
end

--- The list's items, one by one.
function proxy_methods:values()
	return table_unpack(copy_value(proxy_values[self].value))
end

--- Adds the items of a list, or one item, or merges named entries. In a host's section the global value is the start.
function proxy_methods:append(addition)
	local option = proxy_values[self]
	local loader = option.loader
	local own = rawget(section_of(loader.options, option.section), option.key)
	if type(own) ~= "table" then
		own = copy_value(option.value)
		option.value = own
	end
	append_to(own, addition)
	loader:keep(option.section, option.key, own)
	return self
end

local proxy_mt = {
	__index = function (self, key)
		return proxy_methods[key] or proxy_values[self].value[key]
	end,
	__newindex = function (self, key, value)
		self:append({ [key] = value })
	end,
	__len = function (self)
		return #proxy_values[self].value
	end,
	__pairs = function (self)
		return next, copy_value(proxy_values[self].value)
	end,
	__call = function (self, addition)
		return self:append(addition)
	end,
}

local function new_proxy(loader, section, key, value)
	local proxy = setmetatable({}, proxy_mt)
	proxy_values[proxy] = { loader = loader, section = section, key = key, value = value }
	return proxy
end

-- Hosts

function loader_mt:begin_host(kind, name)
	if type(name) ~= "string" then
		self:fail("%s needs a name in quotes", kind)
	end
	local node, host, resource = jid.prepped_split(name) -- the form in which addresses name it
	if not host or node or resource then
		self:fail("%s \"%s\": this is not a host name", kind, name)
	end
	local other = self.kinds[host]
	if other and other ~= kind then
		self:fail("%s \"%s\" was already defined as a %s; a service needs a name of its own, for example \"service.%s\"",
			kind, host, other, host)
	end
	self.kinds[host] = kind
	self:keep(host, "defined", true)
	self.section = host
	return host
end

-- The table after a host's name: its options; then the global section goes on.
function loader_mt:host_options(host, given)
	if type(given) ~= "table" then
		self:fail("after the host's name comes a table of options, not %s", type(given))
	end
	for key, value in pairs(given) do
		self:set_option(host, key, value)
	end
	self.section = "*"
end

local function command_virtual_host(loader, name)
	if name == "*" then
		loader.section = "*"
		return nil
	end
	local host = loader:begin_host("VirtualHost", name)
	return function (given)
		loader:host_options(host, given)
	end
end

local function command_component(loader, name)
	local host = loader:begin_host("Component", name)
	if rawget(section_of(loader.options, host), "component_module") == nil then
		loader:keep(host, "component_module", "component")
	end
	loader:keep(host, "load_global_modules", false)
	local function options_follow(given)
		loader:host_options(host, given)
	end
	return function (given)
		if type(given) == "string" then
			loader:keep(host, "component_module", given)
			return options_follow
		end
		return options_follow(given)
	end
end

-- Files

function loader_mt:resolve(path, command)
	if type(path) ~= "string" or path == "" then
		self:fail("%s needs a file name in quotes", command)
	end
	return resolve_relative_path(self.directory, path)
end

local function command_include(loader, pattern)
	if type(pattern) ~= "string" or pattern == "" then
		loader:fail("Include needs a file name in quotes")
	end
	local from = loader:here()
	local path = resolve_relative_path(from:match("^(.*)/[^/]*$") or ".", pattern)
	local directory, name = path:match("^(.*)/([^/]*)$")
	if not directory then
		directory, name = ".", path
	end
	if directory:match("[*?]") then
		loader:fail("Include \"%s\": * and ? are only understood in the last part of the path", pattern)
	elseif not name:match("[*?]") then
		loader:run_file(path)
		return
	end
	local names, err = files.list(directory)
	if not names then
		loader:fail("Include \"%s\": %s", pattern, type(err) == "string" and err or "there is no directory " .. directory)
	end
	local wanted, found = glob_to_pattern(name), {}
	for _, entry in ipairs(names) do
		if entry:sub(1, 1) ~= "." and entry:match(wanted) then
			found[#found + 1] = entry
		end
	end
	table_sort(found)
	for _, entry in ipairs(found) do
		loader:run_file(directory .. "/" .. entry)
	end
end

local function command_run_script(loader, path)
	local from = loader:here()
	local resolved = resolve_relative_path(from:match("^(.*)/[^/]*$") or ".", path)
	local text, err = read_file(resolved)
	if not text then
		loader:fail("RunScript \"%s\": %s", path, err)
	end
	local chunk, syntax_err = load(text, "@" .. resolved, "t", loader.globals)
	if not chunk then
		loader:fail("RunScript: %s", syntax_err)
	end
	return chunk()
end

local function file_reader(command, convert)
	return function (loader, path)
		local resolved = loader:resolve(path, command)
		local text, err = read_file(resolved)
		if not text then
			loader:fail("%s \"%s\": %s", command, path, err)
		end
		return convert(text)
	end
end

local function whole(text)
	return text
end

local function first_line(text)
	return text:match("^[^\r\n]*")
end

local function all_lines(text)
	local lines = {}
	for line in text:gmatch("([^\n]*)\n?") do
		lines[#lines + 1] = line:gsub("\r$", "")
	end
	if lines[#lines] == "" then
		lines[#lines] = nil -- what is left after the last newline
	end
	return lines
end

-- Contents of $CREDENTIALS_DIRECTORY/name (systemd's LoadCredential). Only the server itself gets credentials, so a
-- tool that reads the same configuration goes on without.
local function command_credential(loader, name)
	local directory = os_getenv("CREDENTIALS_DIRECTORY")
	if not directory then
		local prosody = rawget(real_globals, "prosody")
		if prosody and prosody.process_type == "prosody" then
			loader:fail("Credential \"%s\": the environment variable CREDENTIALS_DIRECTORY is not set", name)
		end
		loader:warn("Credential \"%s\" can only be read by the server", name)
		return nil
	end
	if type(name) ~= "string" or name:match("/") or name == "" then
		loader:fail("Credential needs a file name without slashes in quotes")
	end
	local text, err = read_file(directory .. "/" .. name)
	if not text then
		loader:fail("Credential \"%s\": %s", name, err)
	end
	return text
end

local commands = {
	VirtualHost = command_virtual_host, Host = command_virtual_host, host = command_virtual_host,
	Component = command_component, component = command_component,
	Include = command_include, include = command_include,
	RunScript = command_run_script,
	FileContents = file_reader("FileContents", whole),
	FileLine = file_reader("FileLine", first_line),
	FileLines = file_reader("FileLines", all_lines),
	Credential = command_credential,
}

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
		return is_plain_table and new_proxy(self, self.section, name, value) or value
	elseif name == "Lua" then
		return self.globals
	elseif self.globals[name] ~= nil then
		return self.globals[name]
	elseif grown[name] then
		return new_proxy(self, self.section, name, {})
	end
	self:warn("'%s' is not set, so it means nothing here; if it was meant as text, you may be missing quotes: \"%s\"",
		name, name)
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

-- Turns whatever ended a chunk into a failure that names the line.
function loader_mt:failure_of(err)
	if getmetatable(err) == failure_mt then
		return err
	end
	local text = tostring(err)
	local file, line, message = text:match("^(.-):(%d+): (.*)$")
	if not file or not self.texts[file] then
		local at_file, at_line = self:here()
		return new_failure("parser", at_file, at_line > 0 and at_line or nil, text)
	end
	line = tonumber(line)
	return new_failure("parser", file, line, message, mend_for(message, self.texts[file], line))
end

-- Runs one file in the global section; the including file's section is restored after it.
function loader_mt:run_file(path)
	if self.depth >= MAX_INCLUDE_DEPTH then
		self:fail("files include each other without end (%d deep)", self.depth)
	end
	local text, err = read_file(path)
	if not text then
		if self.depth > 0 then
			self:fail("Include: %s", err)
		end
		error(new_failure("file", path, nil, err), 0)
	end
	self.texts[path], self.lines[path] = text, lines_of(text)
	local chunk, syntax_err = load(text, "@" .. path, "t", self:new_environment(text))
	if not chunk then
		-- Lua shortens long paths in its messages ("...rest.cfg.lua:3: text").
		local line, message = syntax_err:match(":(%d+): (.*)$")
		line = tonumber(line)
		error(new_failure("parser", path, line, message or syntax_err, mend_for(message or "", text, line)), 0)
	end
	local section = self.section
	self.section, self.depth = "*", self.depth + 1
	local function on_error(e)
		return self:failure_of(e)
	end
	local ok, failure = xpcall(chunk, on_error)
	if not ok then
		error(failure, 0)
	end
	self.section, self.depth = section, self.depth - 1
end

--- Loads a configuration file and puts it in force.
-- Gives true and a list of warnings ("file:line: text"); or nil, "file" or "parser", a sentence with file, line and
-- mend, and the same as a table { file, line, message, mend }. After a failure the old configuration is still in force.
function _M.load(filename)
	local loader = new_loader(filename)
	loader.globals = new_globals()
	loader.commands = {}
	for name, command in pairs(commands) do
		loader.commands[name] = function (...)
			return command(loader, ...)
		end
	end
	local ok, failure = pcall(loader.run_file, loader, filename)
	if not ok then
		if getmetatable(failure) ~= failure_mt then
			failure = new_failure("parser", filename, nil, tostring(failure))
		end
		return nil, failure.kind, tostring(failure), failure
	end
	options, origins, file_in_force = loader.options, loader.origins, filename
	return true, loader.warnings
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
