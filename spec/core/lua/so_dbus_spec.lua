-- Calls over the D-Bus, to a bus of the spec's own.

local loop = require "spec.support.loop"
local pposix = require "util.pposix"
local process = require "process"

local found, dbus = pcall(require, "couplet.dbus")
if not found or not os.execute "command -v dbus-daemon >/dev/null 2>&1" then
	describe("Calls over the D-Bus", function() pending "need libsystemd and dbus-daemon" end)
	return
end

local CONFIGURATION = [[<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
	"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
	<type>system</type><listen>unix:path=%s/socket</listen><auth>EXTERNAL</auth>
	<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/>
		<allow send_destination="*"/><allow receive_sender="*"/></policy>
</busconfig>
]]

-- A bus that the loop looks after: taken are the results of take().
local Bus = {}
Bus.__index = Bus

local function open()
	local handle, err = dbus.open()
	if not handle then return nil, err end
	local self = setmetatable({ handle = handle, taken = {} }, Bus)
	loop.watch(self, function() self:process() end)
	return self
end

function Bus:getfd() return self.handle:fd() end
function Bus:dirty() return false end

function Bus:process()
	local more
	repeat
		more, self.err = self.handle:process()
		while true do
			local one = table.pack(self.handle:take())
			if one.n == 0 then break end
			table.insert(self.taken, one)
		end
	until not more
	if self.err then loop.forget(self) end
end

-- The next one with that id (0: signal): what take() gave after it.
function Bus:awaits(id)
	local result
	loop.await(function()
		for i, one in ipairs(self.taken) do
			if one[1] == id then
				result = table.remove(self.taken, i)
				return true
			end
		end
	end, "an answer")
	return table.unpack(result, 2, result.n)
end

function Bus:close()
	loop.forget(self)
	self.handle:close()
end

-- A call to the bus itself.
local function call(member, signature, ...)
	return { destination = "org.freedesktop.DBus", path = "/org/freedesktop/DBus", interface = "org.freedesktop.DBus",
		member = member, signature = signature, ... }
end

describe("Calls over the D-Bus", function()
	local folder, daemon, bus

	local function start_daemon()
		daemon = process.spawn { "dbus-daemon", "--nofork", "--print-address", "--config-file=" .. folder .. "/conf" }
		local said = ""
		loop.watch(daemon, function() said = said .. (daemon:read() or "") end)
		loop.await(function() return said:find("unix:", 1, true) end, "dbus-daemon")
		loop.forget(daemon)
	end

	setup(function()
		local pipe <close> = io.popen "mktemp -d /tmp/couplet-dbus.XXXXXX"
		folder = pipe:read "l"
		local file <close> = io.open(folder .. "/conf", "w")
		file:write(CONFIGURATION:format(folder))
		file:close()
		pposix.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=" .. folder .. "/socket")
		start_daemon()
	end)
	teardown(function()
		daemon:kill(9)
		os.execute("rm -rf " .. folder)
	end)
	before_each(function() bus = assert(open()) end)
	after_each(function() bus:close() end)

	-- Another program on the bus, which never answers; its name there.
	local function silent()
		local other = assert(open())
		finally(function() other:close() end)
		local names = other:awaits(other.handle:call(call "ListNames"))
		loop.forget(other)
		local highest = 0
		for _, name in ipairs(names[1]) do
			highest = math.max(highest, tonumber(name:match "^:1%.(%d+)$") or 0)
		end
		return (":1.%d"):format(highest)
	end

	it("are answered with strings, numbers, booleans and lists", function()
		local first = bus.handle:call(call("GetNameOwner", "s", "org.freedesktop.DBus"))
		local second = bus.handle:call(call("NameHasOwner", "s", "no.such.name"))
		local third = bus.handle:call(call("GetConnectionUnixProcessID", "s", "org.freedesktop.DBus"))
		local fourth = bus.handle:call(call "ListNames")
		assert.same({ "org.freedesktop.DBus" }, bus:awaits(first))
		assert.same({ false }, bus:awaits(second))
		assert.same({ daemon:pid() }, bus:awaits(third))
		assert.equal("table", type(bus:awaits(fourth)[1]))
	end)

	it("are answered with nested values", function()
		local values = bus:awaits(bus.handle:call(call("GetConnectionCredentials", "s", "org.freedesktop.DBus")))
		local by_name = {}
		for _, pair in ipairs(values[1]) do by_name[pair[1]] = pair[2][1] end
		assert.equal(daemon:pid(), by_name.ProcessID)
	end)

	it("are answered with an error and its name", function()
		local values, text, name = bus:awaits(bus.handle:call(call("GetNameOwner", "s", "no.such.name")))
		assert.is_nil(values)
		assert.truthy(text:find("no.such.name", 1, true), text)
		assert.equal("org.freedesktop.DBus.Error.NameHasNoOwner", name)
	end)

	it("are answered with an error after their time", function()
		local what = call "Ping"
		what.destination, what.timeout = silent(), 0.05
		local values, _, name = bus:awaits(bus.handle:call(what))
		assert.is_nil(values)
		assert.equal("org.freedesktop.DBus.Error.NoReply", (name:gsub("Timeout$", "NoReply")))
	end)

	it("wait in a bounded number", function()
		local what = call "Ping"
		what.destination = silent()
		for _ = 1, 128 do assert(bus.handle:call(what)) end
		local id, err = bus.handle:call(what)
		assert.is_nil(id)
		assert.equal("too many calls wait for an answer", err)
	end)

	it("bring signals that were asked for, and no others", function()
		assert(bus.handle:match("type='signal',interface='org.freedesktop.DBus',member='NameOwnerChanged'"))
		bus:awaits(bus.handle:call(call "ListNames")) -- the rule is in place
		local other = assert(open())
		local values, path, interface, member = bus:awaits(0)
		assert.truthy(values[1]:find "^:1%.%d+$")
		assert.same({ "/org/freedesktop/DBus", "org.freedesktop.DBus", "NameOwnerChanged" }, { path, interface, member })
		other:awaits(other.handle:call(call "ListNames"))
		for _, one in ipairs(other.taken) do assert.not_equal(0, one[1]) end
		other:close()
	end)

	it("are refused when arguments do not fit", function()
		for _, wrong in ipairs {
			call("GetNameOwner", "s", 5), call("GetNameOwner", "s"), call("GetNameOwner", "i", "5"),
			call("GetNameOwner", "x", 5), call("GetNameOwner", "s", "a\0b"), call("GetNameOwner", "b", "true"),
		} do
			assert.has_error(function() bus.handle:call(wrong) end)
		end
		local id, err = bus.handle:call { destination = "not a name", path = "/", interface = "a.b", member = "C" }
		assert.is_nil(id)
		assert.equal("string", type(err))
	end)

	it("fail on a bus that is closed", function()
		local other = assert(open())
		other:close()
		assert.has_error(function() other.handle:call(call "ListNames") end, "bus is closed")
		assert.has_error(function() other.handle:take() end, "bus is closed")
		other.handle:close()
	end)

	it("fail when the bus is gone; who waits is told", function()
		local what = call "Ping"
		what.destination = silent()
		local id = bus.handle:call(what)
		bus:awaits(bus.handle:call(call "ListNames"))
		daemon:kill(9)
		daemon:wait(60)
		assert.is_nil((bus:awaits(id)))
		loop.await(function() return bus.err end, "the end of the bus")
		assert.truthy(bus.err:find("D-Bus: ", 1, true), bus.err)
		os.remove(folder .. "/socket")
		local none, err = dbus.open()
		assert.is_nil(none)
		assert.truthy(err:find("cannot be reached", 1, true), err)
		start_daemon()
	end)
end)
