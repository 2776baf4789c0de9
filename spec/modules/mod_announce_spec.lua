local Server = require "spec.support.server"

describe("mod_announce", function ()
	local server, escalus, romeo

	setup(function ()
		server = Server.start {
			more_modules = { "announce", "offline" }, config = "admins = { \"escalus@localhost\" }",
		}
	end)
	teardown(function () server:stop() end)
	before_each(function ()
		escalus, romeo = server:person "escalus", server:person "romeo"
	end)
	after_each(function () server:forget_clients() end)

	local announcement = "<message to='localhost/announce/%s'><subject>Peace</subject><body>Never again</body></message>"

	it("reaches who is online", function ()
		escalus:sends(announcement:format "online")
		for _, who in ipairs { romeo, escalus } do
			local message = who:awaits "<message from='localhost' type='headline'><body>Never again</body></message>"
			assert.equal("Peace", message:at "subject":text())
		end
	end)

	it("reaches every account, later where somebody is away", function ()
		server:register "juliet"
		escalus:sends(announcement:format "all")
		romeo:awaits "<message from='localhost'><body>Never again</body></message>"
		escalus:settles()
		local juliet = server:client { user = "juliet" }:logs_in()
		juliet:sends "<presence/>"
		juliet:awaits "<message from='localhost'><body>Never again</body></message>"
	end)

	it("is for admins only", function ()
		romeo:sends(announcement:format "online")
		local refusal = romeo:awaits "<message type='error'/>"
		assert.is_truthy(refusal:at "error":child "forbidden")
		escalus:receives_nothing(romeo)
	end)
end)
