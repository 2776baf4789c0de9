local Server = require "spec.support.server"
local datetime = require "prosody.util.datetime"
local now = require "prosody.util.time".now

describe("mod_time", function ()
	it("tells the time in UTC, for server and account", function ()
		local server = Server.start { modules = { "roster", "saslauth", "tls", "time", "admin_shell" } }
		finally(function () server:stop() end)
		local romeo = server:person "romeo"
		for _, to in ipairs { "localhost", "romeo@localhost" } do
			local before = now()
			local time = romeo:asks(("<iq type='get' to='%s'><time xmlns='urn:xmpp:time'/></iq>"):format(to)):child "time"
			local after = now()
			assert.equal("+00:00", time:at "tzo":text())
			local utc = time:at "utc":text()
			assert.matches("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%dZ$", utc)
			local told = datetime.parse(utc)
			assert.is_true(before - 1 <= told and told <= after, utc) -- whole seconds, cut off
		end
	end)
end)
