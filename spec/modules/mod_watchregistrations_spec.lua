local Server = require "spec.support.server"

describe("mod_watchregistrations", function ()
	it("tells the admins who has come, and from where", function ()
		local server = Server.start {
			more_modules = { "watchregistrations", "register_ibr" },
			config = "admins = { \"escalus@localhost\" }; allow_registration = true",
		}
		finally(function () server:stop() end)
		local escalus = server:person "escalus"
		escalus:settles()
		escalus:forgets()
		local newcomer = server:client { user = "romeo" }
		newcomer:connect()
		newcomer:opens_stream_with_features()
		newcomer:starts_tls()
		newcomer:opens_stream_with_features()
		newcomer:asks [[
			<iq type='set'><query xmlns='jabber:iq:register'><username>romeo</username><password>secret</password></query></iq>]]
		local message = escalus:awaits "<message from='localhost' type='chat'/>"
		assert.equal("User romeo just registered on localhost from 127.0.0.1", message:at "body":text())
	end)
end)
