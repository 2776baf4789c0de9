-- The module of docs/writing-modules.md, taken from the page as it stands: it must do what the page says.

local Server = require "spec.support.server"

local function read(path)
	local file <close> = assert(io.open(path))
	return file:read "a"
end

local page = read "docs/writing-modules.md"
local shout = assert(page:match "```lua\n(%-%-%- Shouting.-)```")
local dice = assert(page:match '```lua\n(local st = require "util.stanza"\nmodule:add_feature.-)```')

describe("The page on writing modules", function()
	local server, romeo, juliet

	setup(function()
		server = Server.start { plugins = { shout = shout, dice = dice } }
		romeo = server:person("romeo", { resource = "orchard" })
		juliet = server:person("juliet", { resource = "balcony" })
	end)
	teardown(function() server:stop() end)

	it("has a module of twenty lines that changes what the server does, loaded with clients connected", function()
		assert.is_true(select(2, shout:gsub("\n", "")) <= 25)
		local said, code = server:ctl("shell", "module", "load", "shout", "localhost")
		assert.equal(0, code, said)
		romeo:sends "<message type='chat' to='juliet@localhost'><body>!shout on</body></message>"
		romeo:receives "<message><body>You are shouting now</body></message>"
		romeo:sends "<message type='chat' to='juliet@localhost'><body>Juliet</body></message>"
		juliet:receives "<message from='romeo@localhost/orchard'><body>JULIET!!!</body></message>"
		juliet:sends "<message type='chat' to='romeo@localhost'><body>hush</body></message>"
		romeo:receives "<message><body>hush</body></message>"
	end)

	it("has a reload that takes an edit into effect, and keeps what is stored", function()
		server:plugin("shout", (shout:gsub('"!!!"', '"?!"')))
		local said, code = server:ctl("shell", "module", "reload", "shout", "localhost")
		assert.equal(0, code, said)
		romeo:sends "<message type='chat' to='juliet@localhost'><body>Juliet</body></message>"
		juliet:receives "<message><body>JULIET?!</body></message>"
	end)

	it("has an unload that leaves nothing behind", function()
		local said, code = server:ctl("shell", "module", "unload", "shout", "localhost")
		assert.equal(0, code, said)
		romeo:sends "<message type='chat' to='juliet@localhost'><body>Juliet</body></message>"
		juliet:receives "<message><body>Juliet</body></message>"
	end)

	it("has a request with its answer", function()
		local said, code = server:ctl("shell", "module", "load", "dice", "localhost")
		assert.equal(0, code, said)
		local reply = romeo:asks "<iq type='get' to='localhost'><roll xmlns='urn:example:dice'/></iq>"
		assert.equal("result", reply.attr.type, tostring(reply))
		local roll = tonumber(reply:at("roll"):text())
		assert.is_true(roll >= 1 and roll <= 6)
	end)

	it("points to an example that works", function()
		local said, code = server:ctl("shell", "module", "load", "example", "localhost")
		assert.equal(0, code, said)
		local nurse = server:person("nurse", { resource = "hall", appears = false })
		nurse:sends "<presence/>"
		nurse:awaits "<message from='localhost' type='headline'><body>Welcome back!</body></message>"
	end)
end)
