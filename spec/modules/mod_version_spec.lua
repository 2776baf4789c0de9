local Server = require "spec.support.server"

describe("mod_version", function ()
	local modules = { "roster", "saslauth", "tls", "version", "admin_shell" }

	local function ask(config)
		local server = Server.start { modules = modules, config = config }
		finally(function () server:stop() end)
		local romeo = server:person "romeo"
		return romeo:asks "<iq type='get' to='localhost'><query xmlns='jabber:iq:version'/></iq>":child "query"
	end

	it("names the software, its version and the system", function ()
		local query = ask()
		assert.equal("Couplet", query:at "name":text())
		assert.matches("^%d+%.%d+", query:at "version":text())
		assert.are_not.equal("", query:at "os":text())
	end)

	it("keeps quiet about the system when told to", function ()
		assert.is_nil(ask "hide_os_type = true":at "os")
	end)
end)
