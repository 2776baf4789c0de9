local Server = require "spec.support.server"

describe("mod_motd", function ()
	it("shows every client the message once, when it comes online", function ()
		local server = Server.start {
			more_modules = { "motd" },
			config = "motd_text = [[\n\t\tTwo households,\n\t\tboth alike in dignity\n\t]]; motd_jid = \"chorus@localhost\"",
		}
		finally(function () server:stop() end)
		server:register "romeo"
		local romeo = server:client { user = "romeo" }:logs_in()
		romeo:receives_nothing()
		romeo:sends "<presence/>"
		local message = romeo:awaits "<message from='chorus@localhost'/>"
		assert.equal("Two households,\nboth alike in dignity", message:at "body":text())
		romeo:settles()
		romeo:forgets()
		romeo:sends "<presence><show>away</show></presence>"
		romeo:settles()
		romeo:receives "<presence><show>away</show></presence>"
		romeo:receives_nothing()
	end)

	it("says nothing without a text", function ()
		local server = Server.start { more_modules = { "motd" } }
		finally(function () server:stop() end)
		server:person "romeo":receives_nothing()
	end)
end)
