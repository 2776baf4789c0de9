local Server = require "spec.support.server"

describe("mod_welcome", function ()
	it("greets a new account by its name", function ()
		local server = Server.start {
			more_modules = { "welcome", "register_ibr", "offline" },
			config = "welcome_message = \"Hello $username of $host, that is $other & <more>\"; allow_registration = true",
		}
		finally(function () server:stop() end)
		local newcomer = server:client { user = "romeo" }
		newcomer:connect()
		newcomer:opens_stream_with_features()
		newcomer:starts_tls()
		newcomer:opens_stream_with_features()
		local reply = newcomer:asks [[
			<iq type='set'><query xmlns='jabber:iq:register'><username>romeo</username><password>secret</password></query></iq>]]
		assert.equal("result", reply.attr.type, tostring(reply))
		newcomer:vanishes()
		local romeo = server:client { user = "romeo" }:logs_in()
		romeo:sends "<presence/>"
		local message = romeo:awaits "<message from='localhost'/>"
		assert.equal("Hello romeo of localhost, that is $other & <more>", message:at "body":text())
	end)
end)
