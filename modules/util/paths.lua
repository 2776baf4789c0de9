--- File paths and patterns of them.
-- Always true: nothing here looks at the disk.
local package = package
local ipairs, select = ipairs, select
local s_find, s_gmatch, s_gsub, s_match, s_sub = string.find, string.gmatch, string.gsub, string.match, string.sub
local t_concat = table.concat

local _ENV = nil

local separator = s_sub(package.config, 1, 1)

--- Joins parts with one separator; empty ones are left out.
local function join(...)
	local parts = {}
	for i = 1, select("#", ...) do
		local part = select(i, ...)
		if part and part ~= "" then
			if #parts > 0 then
				parts[#parts] = s_match(parts[#parts], "^(.-)/*$")
			end
			parts[#parts + 1] = part
		end
	end
	return t_concat(parts, separator)
end

--- path as seen from the directory parent; an absolute one is what it is. nil gives nil.
local function resolve_relative_path(parent, path)
	if not path then
		return nil
	elseif not parent or s_sub(path, 1, 1) == "/" then
		return path
	end
	parent = s_match(parent, "^(.-)/*$")
	path = s_gsub(path, "^%./+", "")
	return parent .. separator .. path
end

--- The Lua pattern for a file name with * and ?.
local function glob_to_pattern(glob)
	return "^" .. s_gsub(glob, "[%p]", function (char)
		if char == "*" then
			return ".*"
		elseif char == "?" then
			return "."
		end
		return "%" .. char
	end) .. "$"
end

--- Puts the places where LuaRocks installs under `prefix` first in package.path and package.cpath, once.
local function complement_lua_path(prefix)
	local version = s_match(package.path, "(%d%.%d)") or "5.4"
	local function prepend(path, templates)
		for i = #templates, 1, -1 do
			local template = prefix .. templates[i]
			if not s_find(";" .. path .. ";", ";" .. template .. ";", 1, true) then
				path = template .. ";" .. path
			end
		end
		return path
	end
	package.path = prepend(package.path, {
		"/share/lua/" .. version .. "/?.lua", "/share/lua/" .. version .. "/?/init.lua",
	})
	package.cpath = prepend(package.cpath, { "/lib/lua/" .. version .. "/?.so" })
end

--- The list without the paths that are in it twice, and a list of those.
local function without_duplicates(paths)
	local seen, once, twice = {}, {}, {}
	for _, path in ipairs(paths) do
		local plain = s_match(path, "^(.+)/+$") or path
		if seen[plain] then
			twice[#twice + 1] = path
		else
			seen[plain] = true
			once[#once + 1] = path
		end
	end
	return once, twice
end

--- The members of a path list like package.path.
local function split(list)
	return s_gmatch(list, "[^;]+")
end

return {
	join = join,
	resolve_relative_path = resolve_relative_path,
	glob_to_pattern = glob_to_pattern,
	complement_lua_path = complement_lua_path,
	without_duplicates = without_duplicates,
	split = split,
}
