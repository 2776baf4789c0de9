-- Messages that wait (XEP-0160, RFC 6121 8.5.2.2).

local Server = require "spec.support.server"

describe("A message to somebody who is away", function()
	local server, romeo

	setup(function()
		server = Server.start { more_modules = { "offline" } }
		server:register("juliet", "secret")
		server.accounts = { ["juliet@localhost"] = true }
	end)
	teardown(function() server:stop() end)
	before_each(function() romeo = server:person("romeo", { resource = "orchard" }) end)
	after_each(function() server:forget_clients() end)

	it("waits for them, with the time it was sent (XEP-0203), once", function()
		romeo:sends "<message to='juliet@localhost' type='chat'><body>first</body></message>"
		romeo:sends "<message to='juliet@localhost' type='normal'><body>second</body></message>"
		romeo:settles()
		local juliet = server:person("juliet", { appears = false })
		juliet:sends "<presence/>"
		local message = juliet:awaits "<message from='romeo@localhost/orchard'><body>first</body></message>"
		local delay = message:child("delay", "urn:xmpp:delay")
		assert.is_truthy(delay and delay.attr.stamp:match "^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d")
		assert.equal("localhost", delay.attr.from)
		juliet:awaits "<message><body>second</body></message>"
		juliet:leaves()
		local again = server:person "juliet"
		again:receives_nothing()
	end)

	it("waits through a restart", function()
		romeo:sends "<message to='juliet@localhost' type='chat'><body>patience</body></message>"
		romeo:settles()
		server:restart()
		local juliet = server:person("juliet", { appears = false })
		juliet:sends "<presence/>"
		juliet:awaits "<message from='romeo@localhost/orchard'><body>patience</body><delay xmlns='urn:xmpp:delay'/></message>"
	end)

	it("waits through a crash once the sender had an answer from the server", function()
		romeo:sends "<message to='juliet@localhost' type='chat'><body>crash</body></message>"
		romeo:settles()
		server:kill9()
		server:run()
		local juliet = server:person("juliet", { appears = false })
		juliet:sends "<presence/>"
		juliet:awaits "<message><body>crash</body></message>"
	end)

	it("waits while they show only a negative priority", function()
		local juliet = server:person("juliet", { appears = false })
		juliet:appears "<priority>-5</priority>"
		romeo:sends "<message to='juliet@localhost' type='chat'><body>later</body></message>"
		juliet:receives_nothing(romeo)
		juliet:sends "<presence><priority>0</priority></presence>"
		juliet:awaits "<message><body>later</body></message>"
	end)

	it("does not wait when it is a headline or a groupchat (8.5.2.2)", function()
		romeo:sends "<message to='juliet@localhost' type='headline'><body>news</body></message>"
		romeo:sends "<message to='juliet@localhost' type='groupchat' id='g'><body>hi</body></message>"
		romeo:receives "<message type='error' id='g'/>"
		local juliet = server:person "juliet"
		juliet:receives_nothing()
	end)
end)
