local Server = require "spec.support.server"

describe("mod_ping", function ()
	local server, romeo

	setup(function ()
		server = Server.start { modules = { "roster", "saslauth", "tls", "disco", "ping", "admin_shell" } }
		romeo = server:person "romeo"
	end)
	teardown(function () server:stop() end)

	local function ping(to)
		return romeo:asks(("<iq type='get' %s><ping xmlns='urn:xmpp:ping'/></iq>"):format(to and "to='" .. to .. "'" or ""))
	end

	it("answers for the server, for accounts and without an address", function ()
		assert.equal("result", ping "localhost".attr.type)
		assert.equal("result", ping "romeo@localhost".attr.type)
		assert.equal("result", ping().attr.type)
	end)

	it("does not tell which accounts exist", function ()
		server:register "juliet"
		assert.equal(ping "juliet@localhost".attr.type, ping "nobody@localhost".attr.type)
	end)

	it("leaves a set alone", function ()
		assert.equal("error", romeo:asks "<iq type='set' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>".attr.type)
	end)
end)
