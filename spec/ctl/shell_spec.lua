local ctl = require "spec.support.ctl"
local Server = require "spec.support.server"

describe("coupletctl shell", function ()
	local server

	setup(function ()
		server = Server.start {}
		server:register("romeo", "secret")
	end)
	teardown(function () server:stop() end)

	it("runs one command, in either form, and tells by its exit code how it went", function ()
		for _, words in ipairs { { "user", "list", "localhost" }, { "user list localhost" }, { 'user:list("localhost")' } } do
			local output, code = server:ctl("shell", table.unpack(words))
			assert.same({ "romeo@localhost\nOK: 1 account\n", 0 }, { output, code })
		end
		local output, code = server:ctl("shell", "nonsense")
		assert.equal(1, code)
		assert.matches("^Error: There is no command", output)
		output, code = server:ctl("shell", "> 1 + 1")
		assert.same({ "Result: 2\n", 0 }, { output, code })
	end)

	it("keeps words together as the shell gave them", function ()
		local output, code = server:ctl("shell", "user", "create", "juliet@localhost", "two \"words\" \\ and more")
		assert.equal(0, code, output)
		local client = server:client { user = "juliet", tls = "direct" }:connect()
		client:opens_stream_with_features()
		assert.is_true(client:authenticates(nil, { password = 'two "words" \\ and more' }))
		server:forget_clients()
	end)

	it("shows who is connected", function ()
		local romeo = server:client { user = "romeo", password = "secret", resource = "orchard" }
		romeo:logs_in()
		local output = server:ctl("shell", "c2s", "show")
		assert.matches("romeo@localhost", output)
		assert.equal("OK: 1 client session\n", (server:ctl("shell", "c2s", "count")))
		server:ctl("shell", "c2s", "close", "romeo@localhost/orchard")
		romeo:sees_the_end()
		server:forget_clients()
	end)
end)

describe("coupletctl shell without a server", function ()
	it("says so", function ()
		local place = ctl.place 'VirtualHost "capulet.example"'
		local output, code = place:run("shell", "host list")
		place:remove()
		assert.equal(1, code)
		assert.matches("not running", output)
	end)
end)
