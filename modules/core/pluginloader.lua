--- Finds the files of modules and reads them as Lua, in the admin's directories first and ours last.
--
-- A module x is mod_x.lua, mod_x/mod_x.lua or x/mod_x.lua below one of the directories; a library of it, x.lib.lua,
-- lies beside it or is looked for below the same directories. Only text is loaded, never bytecode: bytecode can crash
-- the interpreter, text cannot.

local files = require "prosody.util.files"
local nearest = require "prosody.util.spelling".nearest

local ipairs, load = ipairs, load
local table_concat, table_sort = table.concat, table.sort

local _M = {}
local _ENV = nil

local directories = {} -- in order of search

--- Sets where to look: a list of directories, in order.
function _M.set_directories(list)
	directories = {}
	local seen = {}
	for _, directory in ipairs(list) do
		directory = directory:gsub("(.)/+$", "%1")
		if not seen[directory] then
			seen[directory] = true
			directories[#directories + 1] = directory
		end
	end
end

--- The directories in order of search (a list not to be changed).
function _M.get_directories()
	return directories
end

local module_patterns = {
	"mod_%s.lua", "mod_%s/mod_%s.lua", "%s/mod_%s.lua",
	-- where LuaRocks puts them below installer_plugin_path
	"share/lua/5.4/mod_%s.lua", "share/lua/5.4/mod_%s/mod_%s.lua",
}

local library_patterns = {
	"%s.lib.lua", "mod_%s/%s.lib.lua", "%s/%s.lib.lua",
	"share/lua/5.4/%s.lib.lua", "share/lua/5.4/mod_%s/%s.lib.lua",
}

local function first_readable(patterns, name)
	for _, directory in ipairs(directories) do
		for _, pattern in ipairs(patterns) do
			local path = directory .. "/" .. pattern:gsub("%%s", { ["%s"] = name })
			local text = files.read(path)
			if text then
				return text, path
			end
		end
	end
end

--- The names of the modules that lie in the directories themselves: a sorted list, without those that LuaRocks keeps.
function _M.names()
	local names, seen = {}, {}
	local function add(name)
		if name and not seen[name] then
			seen[name] = true
			names[#names + 1] = name
		end
	end
	for _, directory in ipairs(directories) do
		local found, folders = files.list(directory)
		for _, entry in ipairs(found or {}) do
			add(entry:match("^mod_(.+)%.lua$"))
		end
		for _, entry in ipairs(found and folders or {}) do
			add(entry:match("^mod_(.+)$"))
		end
	end
	table_sort(names)
	return names
end

local function is_module_name(name)
	return name:match("^[%w_%-%.]+$") and not name:match("^%.") or false
end

--- The file of a module: its text and path; or nil and a sentence.
function _M.find_module(name)
	if not is_module_name(name) then
		return nil, ("\"%s\" cannot be the name of a module"):format(name)
	end
	local text, path = first_readable(module_patterns, name)
	if text then
		return text, path
	end
	local meant = nearest(name, _M.names())
	return nil, ("no mod_%s.lua in %s: %s"):format(name, table_concat(directories, ", "), meant
		and ("did you mean %q?"):format(meant) or "is the name spelt right, and its directory in plugin_paths?")
end

--- Is there a file for this module?
function _M.exists(name)
	return is_module_name(name) and first_readable(module_patterns, name) ~= nil
end

local function compile(text, path, environment)
	local chunk, err = load(text, "@" .. path, "t", environment)
	if not chunk then
		return nil, err
	end
	return chunk, path
end

--- A module's code as a function that was not run yet, and its path; or nil and an error with file and line. The third
-- result is "missing" when there is no such file.
function _M.load_module(name, environment)
	local text, path = _M.find_module(name)
	if not text then
		return nil, path, "missing"
	end
	return compile(text, path, environment)
end

local function find_library(own_directory, name)
	if name:match("%.%.") or name:match("^/") then
		return nil, ("\"%s\" cannot be the name of a library"):format(name)
	end
	if own_directory then
		local path = own_directory .. "/" .. name .. ".lib.lua"
		local text = files.read(path)
		if text then
			return text, path
		end
	end
	local text, path = first_readable(library_patterns, name)
	if text then
		return text, path
	end
	return nil, ("no %s.lib.lua in %s"):format(name, table_concat(directories, ", "))
end

--- Code of a library "x", "muc/util" or "mod_mam/x"; own_directory (may be nil) is searched first.
function _M.load_library(own_directory, name, environment)
	local text, path = find_library(own_directory, name)
	if not text then
		return nil, path
	end
	return compile(text, path, environment)
end

return _M
