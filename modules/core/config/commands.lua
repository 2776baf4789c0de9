--- The commands of the configuration language: VirtualHost, Component, Include, FileContents and the rest. Each is
-- called with the loader of the load it belongs to and what the configuration gave.

local files = require "prosody.util.files"
local jid = require "prosody.util.jid"
local paths = require "prosody.util.paths"
local section_of = require "prosody.core.config.values".section_of

local resolve_relative_path, glob_to_pattern = paths.resolve_relative_path, paths.glob_to_pattern

local real_globals = _G
local ipairs, load, pairs, rawget, type = ipairs, load, pairs, rawget, type
local os_getenv, table_sort = os.getenv, table.sort

local _ENV = nil

-- Hosts

local function begin_host(loader, kind, name)
	if type(name) ~= "string" then
		loader:fail("%s needs a name in quotes", kind)
	end
	local node, host, resource = jid.prepped_split(name) -- the form in which addresses name it
	if not host or node or resource then
		loader:fail("%s \"%s\": this is not a host name", kind, name)
	end
	local other = loader.kinds[host]
	if other and other ~= kind then
		loader:fail("%s \"%s\" was already defined as a %s; a service needs a name of its own, for example \"service.%s\"",
			kind, host, other, host)
	end
	if other then
		local first = loader.origins[host].defined
		loader:warn("%s \"%s\" stands here for the second time (first at %s:%d); the options of both hold", kind, host,
			first.file, first.line)
	end
	loader.kinds[host] = kind
	loader:keep(host, "defined", true)
	loader.section = host
	return host
end

-- The table after a host's name: its options; then the global section goes on.
local function host_options(loader, host, given)
	if type(given) ~= "table" then
		loader:fail("after the host's name comes a table of options, not %s", type(given))
	end
	for key, value in pairs(given) do
		loader:set_option(host, key, value)
	end
	loader.section = "*"
end

local function command_virtual_host(loader, name)
	if name == "*" then
		loader.section = "*"
		return nil
	end
	local host = begin_host(loader, "VirtualHost", name)
	return function (given)
		host_options(loader, host, given)
	end
end

local function command_component(loader, name)
	local host = begin_host(loader, "Component", name)
	if rawget(section_of(loader.options, host), "component_module") == nil then
		loader:keep(host, "component_module", "component")
	end
	loader:keep(host, "load_global_modules", false)
	local function options_follow(given)
		host_options(loader, host, given)
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

local function resolve(loader, path, command)
	if type(path) ~= "string" or path == "" then
		loader:fail("%s needs a file name in quotes", command)
	end
	return resolve_relative_path(loader.directory, path)
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
	local text, err = loader.read_file(resolved)
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
		local resolved = resolve(loader, path, command)
		local text, err = loader.read_file(resolved)
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
	local text, err = loader.read_file(directory .. "/" .. name)
	if not text then
		loader:fail("Credential \"%s\": %s", name, err)
	end
	return text
end

return {
	VirtualHost = command_virtual_host, Host = command_virtual_host, host = command_virtual_host,
	Component = command_component, component = command_component,
	Include = command_include, include = command_include,
	RunScript = command_run_script,
	FileContents = file_reader("FileContents", whole),
	FileLine = file_reader("FileLine", first_line),
	FileLines = file_reader("FileLines", all_lines),
	Credential = command_credential,
}
