-- As a systemd service of Type=notify (sd_notify(3)): the server says when it serves, and that it lives.

local Server = require "spec.support.server"
local unix = require "socket.unix"

describe("Under systemd", function()
	it("the server says that it is ready, goes on saying that it lives, and that it stops", function()
		local path = os.tmpname()
		os.remove(path)
		local listener = assert(unix.dgram())
		assert(listener:bind(path))
		listener:settimeout(20)
		local server = Server.start { env = { NOTIFY_SOCKET = path, WATCHDOG_USEC = "300000" } }
		assert.equal("READY=1", listener:receive())
		assert.equal("WATCHDOG=1", listener:receive())
		assert.equal("WATCHDOG=1", listener:receive())
		server:stop()
		local said
		repeat said = listener:receive() until said ~= "WATCHDOG=1"
		assert.equal("STOPPING=1", said)
		listener:close()
		os.remove(path)
	end)
end)
