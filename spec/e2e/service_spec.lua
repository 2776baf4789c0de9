-- As a systemd service of Type=notify (sd_notify(3)): the server says when it serves, and that it lives.

local Server = require "spec.support.server"

describe("Under systemd", function()
	it("the server says that it is ready, goes on saying that it lives, and that it stops", function()
		local server = Server.start { env = { WATCHDOG_USEC = "300000" } }
		server:awaits(function() return #server.notices >= 3 end, "signs of life")
		server:stop()
		local said = server.notices
		assert.same({ "READY=1", "WATCHDOG=1", "WATCHDOG=1" }, table.move(said, 1, 3, 1, {}))
		for i = 4, #said - 1 do assert.equal("WATCHDOG=1", said[i]) end
		assert.equal("STOPPING=1", said[#said])
	end)
end)
