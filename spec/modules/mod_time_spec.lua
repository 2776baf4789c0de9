local Server = require "spec.support.server"

describe("mod_time", function ()
	it("tells the time in UTC, for server and account", function ()
		local server = Server.start { modules = { "roster", "saslauth", "tls", "time", "admin_shell" } }
		finally(function () server:stop() end)
		local romeo = server:person "romeo"
		for _, to in ipairs { "localhost", "romeo@localhost" } do
			local before = os.date "!%Y-%m-%dT%H:%M:%SZ"
			local time = romeo:asks(("<iq type='get' to='%s'><time xmlns='urn:xmpp:time'/></iq>"):format(to)):child "time"
			local after = os.date "!%Y-%m-%dT%H:%M:%SZ"
			assert.equal("+00:00", time:at "tzo":text())
			local utc = time:at "utc":text()
			assert.is_true(before <= utc and utc <= after, utc)
		end
	end)
end)
