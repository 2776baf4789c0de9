--- coupletctl without a server: a folder with a configuration, and commands run there.
--
--	local place = ctl.place 'VirtualHost "capulet.example"'
--	local output, code = place:run("register", "romeo", "capulet.example", "juliet")
--	place:remove()

local loop = require "spec.support.loop"
local process = require "process"

local build = os.getenv "COUPLET_BUILD" or "build/test"
-- The program itself is the normal one, except where the build is about the program.
local program_folder = (build:find "asan" or build:find "cover") and build or "build"

local ctl = {}
local place_mt = {}
place_mt.__index = place_mt

local function current_directory()
	local pipe <close> = io.popen "pwd"
	return pipe:read "l"
end

--- Writes a file below the folder; gives its path.
function place_mt:file(name, text)
	local path = self.folder .. "/" .. name
	local directory = path:match "^(.*)/"
	assert(os.execute(("mkdir -p '%s'"):format(directory)))
	local file <close> = assert(io.open(path, "w"))
	file:write(text)
	return path
end

--- The contents of a file below the folder, nil when there is none.
function place_mt:read(name)
	local file <close> = io.open(self.folder .. "/" .. name)
	return file and file:read "a"
end

--- Runs coupletctl with arguments (the last may be a table: input = text for standard input, config = false for none).
-- Gives what it said on both outputs, and its exit code.
function place_mt:run(...)
	local words = { ... }
	local options = type(words[#words]) == "table" and table.remove(words) or {}
	local argv = { ("%s/%s/coupletctl"):format(current_directory(), program_folder) }
	if options.config ~= false then
		table.insert(argv, "--config")
		table.insert(argv, self.folder .. "/prosody.cfg.lua")
	end
	table.move(words, 1, #words, #argv + 1, argv)
	local running = process.spawn(argv, { cwd = self.folder,
		env = { ASAN_OPTIONS = "detect_leaks=0:exitcode=99", TERM = "xterm" } })
	if options.input then running:write(options.input) end
	running:close_input()
	local said, has_ended = {}, false
	loop.watch(running, function ()
		local bytes = running:read()
		if bytes then
			table.insert(said, bytes)
		elseif bytes == false then
			has_ended = true
			loop.forget(running)
		end
	end)
	loop.await(function () return has_ended end, "coupletctl " .. table.concat(words, " "), nil, 2)
	local how, code = running:wait(loop.deadline_seconds)
	assert(how == "exit", "coupletctl was killed")
	return table.concat(said), code
end

function place_mt:remove()
	assert(self.folder:match "^/tmp/[%w_.-]+$")
	os.execute(("rm -rf '%s'"):format(self.folder))
end

--- A new folder with this configuration; its data directory is data.
function ctl.place(config)
	local pipe <close> = io.popen "mktemp -d /tmp/couplet-ctl.XXXXXX"
	local self = setmetatable({ folder = pipe:read "l" }, place_mt)
	self:file("prosody.cfg.lua", 'data_path = "data"\n' .. config)
	os.execute(("mkdir '%s/data'"):format(self.folder))
	return self
end

return ctl
