-- Run as a process by storage specs: writes in turns until it is killed, and prints the number of each turn after its
-- commit. Arguments: driver, data directory, number of the first turn.

dofile "spec/support/helper.lua"

local fake = require "spec.support.fake_module"
local st = require "prosody.util.stanza"

local driver, directory, first = arg[1], arg[2], tonumber(arg[3])
local server = fake.server {
	data = directory,
	options = { ["*"] = { storage = driver, storage_archive_item_limit = 1e9 } },
}
local storagemanager = server.storagemanager
storagemanager.gather(true)

local keyval = storagemanager.open("capulet.example", "things")
local archive = storagemanager.open("capulet.example", "archive", "archive")

io.stdout:setvbuf("line")
print(io.open("/proc/self/stat"):read("n"))
for turn = first, math.maxinteger do
	local text = ("x"):rep(turn % 300)
	assert(keyval:set("juliet", { turn = turn, text = text }))
	assert(keyval:set("nurse", { turn = turn }))
	for part = 1, 3 do
		assert(archive:append("juliet", ("%d.%d"):format(turn, part), st.message({ id = "m" .. turn }, text), turn, "w"))
	end
	assert(storagemanager.commit())
	print(turn)
end
