--- A disk that waits and fails when it is told to (spec/support/slow_disk.c), for a server as a process.
--
--	local disk = slow_disk.new()          Server.start { env = disk.env }
--	disk:stops()  disk:goes_on()          nothing is synced in between
--	disk:breaks()  disk:is_mended()       every sync fails in between
--	disk:log()                            { { who = "main" | "thread", file =, what = "begins" | "is done" | "fails" } }

local lfs = require "lfs"
local loop = require "spec.support.loop"

local build = os.getenv "COUPLET_BUILD" or "build/test"

local disk = {}
disk.__index = disk

local function compile()
	local source, library = "spec/support/slow_disk.c", build .. "/slow_disk.so"
	local made, written = lfs.attributes(library, "modification"), lfs.attributes(source, "modification")
	if not made or made < written then
		-- Straight and trickled scenarios may run side by side.
		local scratch = ("%s.%s"):format(library, io.open("/proc/self/stat"):read "n")
		assert(os.execute(("cc -std=gnu11 -D_GNU_SOURCE -O1 -fPIC -shared -o %s %s -ldl && mv %s %s"):format(scratch, source,
			scratch, library)), "slow_disk.c does not compile")
	end
	return lfs.currentdir() .. "/" .. library
end

local function new()
	local pipe <close> = io.popen "mktemp -d /tmp/couplet-disk.XXXXXX"
	local folder = pipe:read "l"
	return setmetatable({ folder = folder, env = {
		LD_PRELOAD = compile(), SLOW_DISK = folder,
		ASAN_OPTIONS = "exitcode=99:abort_on_error=0:detect_leaks=1:verify_asan_link_order=0",
	} }, disk)
end

local function make(path) assert(io.open(path, "w")):close() end

function disk:stops() make(self.folder .. "/waits") end
function disk:goes_on() assert(os.remove(self.folder .. "/waits")) end
function disk:breaks() make(self.folder .. "/fails") end
function disk:is_mended() assert(os.remove(self.folder .. "/fails")) end

--- As at the start.
function disk:recovers()
	os.remove(self.folder .. "/waits")
	os.remove(self.folder .. "/fails")
end

--- What was synced since the last forgets().
function disk:log()
	local file, calls = io.open(self.folder .. "/log"), {}
	if not file then return calls end
	for who, path, what in file:read "a":gmatch "(%S+) (%S*) ([^\n]+)\n" do
		calls[#calls + 1] = { who = who, file = path, what = what }
	end
	file:close()
	return calls
end

function disk:forgets() os.remove(self.folder .. "/log") end

--- Waits until a call came so far.
function disk:awaits(what)
	local deadline = loop.now() + loop.deadline_seconds
	while true do
		for _, call in ipairs(self:log()) do
			if call.what == what then return end
		end
		assert(loop.now() < deadline, ("waited for a sync that %s"):format(what))
		loop.turn(0.005) -- and another look
	end
end

function disk:ends() os.execute(("rm -rf '%s'"):format(self.folder)) end

return { new = new }
