--- The options that somebody reads, and so those of a configuration that nobody reads: mostly a slip of the pen.
--
-- An option's name stands as a text in the module that reads it, ours or an admin's own, so the modules' files are
-- searched for it; what they announce in their headers (@option) is what may have been meant.

local files = require "prosody.util.files"
local nearest = require "prosody.util.spelling".nearest
local pluginloader = require "prosody.core.pluginloader"
local sorted_keys = require "prosody.util.table".sorted_keys

-- Calls fn(text) for every Lua file below a directory, two folders deep: mod_x.lua, mod_x/x.lib.lua, core/config/x.lua.
local function each_file(directory, fn, depth)
	local names, folders = files.list(directory)
	for _, name in ipairs(names or {}) do
		if name:match "%.lua$" then fn(files.read(directory .. "/" .. name) or "") end
	end
	for _, name in ipairs(depth > 0 and names and folders or {}) do
		each_file(directory .. "/" .. name, fn, depth - 1)
	end
end

-- The texts that stand in quotes and could be an option's name: a set; and the options by name: a sorted list.
local function read_sources()
	local quoted, options, seen = {}, {}, {}
	local function add(name)
		if not seen[name] then table.insert(options, name) end
		seen[name] = true
	end
	for _, directory in ipairs(pluginloader.get_directories()) do
		each_file(directory, function (text)
			for name in text:gmatch "[\"']([%a_][%w_]*)[\"']" do quoted[name] = true end
			for name in text:gmatch "\n%-%- @option%s+([%w_]+)" do add(name) end
			for name in text:gmatch "config%.r?a?w?get%([^()]-\"([%w_]+)\"%)" do add(name) end
		end, 2)
	end
	table.sort(options)
	return quoted, options
end

local is_kept_by_loader = { defined = true } -- by core.config.commands, so that a section without options is there

-- With the name of a service in front these are options too (see core.portmanager).
local endings = { "_ports", "_port", "_interfaces", "_interface", "_ssl" }

local function belongs_to_service(option)
	for _, ending in ipairs(endings) do
		if option:sub(-#ending) == ending then return true end
	end
	return option:match "_max_[%a_]+$" ~= nil
end

--- Reports the options that nobody reads. What is alike to one that is read is probably that.
local function check(report, config)
	local quoted, options = read_sources()
	for _, section in ipairs { "*", table.unpack(config.hosts()) } do
		local unknown = {}
		for _, name in ipairs(sorted_keys(config.getconfig()[section])) do
			if not quoted[name] and not is_kept_by_loader[name] and not belongs_to_service(name) then
				local meant = #name >= 5 and nearest(name, options)
				if meant then
					report:problem("%snobody reads the option %s; did you mean %s?", config.place(section, name), name, meant)
				else
					table.insert(unknown, config.place(section, name) .. name)
				end
			end
		end
		if unknown[1] then report:hint("no module here reads these options: %s", table.concat(unknown, ", ")) end
	end
end

return { check = check }
