--- Small files that are asked for again and again, kept in memory: new(root) gives an open(path) for files below root.
--
-- Always true: what is given is what the file holds. Before each use the core looks at its name, device, times and size
-- (at most once a millisecond), and a file that has changed in the last two seconds is not kept, since another change
-- might leave no mark. All together keep at most KEPT_BYTES; what nobody asks for is forgotten within two minutes.
local wire = require "net.http.wire"

local pairs, require, setmetatable = pairs, require, setmetatable

local _ENV = nil

local FILE_BYTES = 32 * 1024   -- a larger one costs more to send than to open
local KEPT_BYTES = 1024 * 1024
local FORGET_SECONDS = 60

local folders = setmetatable({}, { __mode = "k" }) -- { path -> facts } of each new() in use -> true
local kept_bytes = 0
local timer          -- runs while something is kept

local function drop(files, path)
	kept_bytes = kept_bytes - files[path].size
	files[path] = nil
end

-- Counts anew, since folders go unheard with the modules that had them.
local function drop_unused(all)
	kept_bytes = 0
	for files in pairs(folders) do
		for path, facts in pairs(files) do
			if all or not facts.is_used then
				files[path] = nil
			else
				facts.is_used = false
				kept_bytes = kept_bytes + facts.size
			end
		end
	end
end

local function forget()
	drop_unused(false)
	if kept_bytes > 0 then
		timer:restart(FORGET_SECONDS)
	end
end

local function keep(files, path, facts)
	if kept_bytes + facts.size > KEPT_BYTES then
		drop_unused(true)
	end
	if not timer then
		timer = require "couplet.native".timer(FORGET_SECONDS, forget) -- a tool that reads files has no loop
	elseif kept_bytes == 0 then
		timer:restart(FORGET_SECONDS)
	end
	files[path] = facts
	kept_bytes = kept_bytes + facts.size
end

local function read(root, files, path)
	local file, facts = wire.open(root, path)
	if not file or facts.kind ~= "file" or facts.size > FILE_BYTES then
		return file, facts
	end
	local stamp = file:stamp(root .. "/" .. path)
	local text = stamp and file:read(0, facts.size)
	if text and #text == facts.size then
		file:close()
		facts.text, facts.stamp = text, stamp
		keep(files, path, facts)
		return nil, facts
	end
	return file, facts
end

--- Gives open(path) -> file, facts, as wire.open(root, path); or nil, facts with facts.text, all that is in the file,
-- where facts are the same table as long as the file is the same; or nil, a text that says why not.
local function new(root)
	local files = {}
	folders[files] = true
	return function (path)
		local facts = files[path]
		if facts then
			if facts.stamp:is_current() then
				facts.is_used = true
				return nil, facts
			end
			drop(files, path)
		end
		return read(root, files, path)
	end
end

return { new = new }
