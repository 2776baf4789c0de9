local Server = require "spec.support.server"

describe("mod_uptime", function ()
	it("counts the seconds since the start", function ()
		local server = Server.start { modules = { "roster", "saslauth", "tls", "uptime", "admin_shell" } }
		finally(function () server:stop() end)
		local romeo = server:person "romeo"
		local query = romeo:asks "<iq type='get' to='localhost'><query xmlns='jabber:iq:last'/></iq>":child "query"
		assert.matches("^%d+$", query.attr.seconds)
		assert.is_true(tonumber(query.attr.seconds) < 60)
	end)
end)
