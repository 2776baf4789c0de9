--- A small disk, to be filled up.
--
--   local disk, why = disk.mount()     nil, what is missing     disk.folder
--   disk:fills()  disk:empties()       takes what room there is, and gives it back
--   disk:unmount()

local disk = {}
disk.__index = disk

local function run(format, ...)
	local pipe <close> = io.popen(format:format(...) .. " 2>&1")
	local said = pipe:read "a"
	return pipe:close(), said
end

--- A file system in memory of that size ("2m").
function disk.mount(size)
	local pipe <close> = io.popen "mktemp -d /tmp/couplet-disk.XXXXXX"
	local self = setmetatable({ folder = pipe:read "l" }, disk)
	local ok, said = run("mount -t tmpfs -o size=%s,mode=700 couplet-spec '%s'", size, self.folder)
	if ok then return self end
	run("rmdir '%s'", self.folder)
	return nil, "a small disk cannot be mounted: " .. said:match "[^\n]*"
end

function disk:fills() run("dd if=/dev/zero of='%s/filler' bs=4k", self.folder) end

function disk:empties() assert(os.remove(self.folder .. "/filler")) end

function disk:unmount()
	local ok, said = run("umount '%s' && rmdir '%s'", self.folder, self.folder)
	assert(ok, said)
end

return disk
