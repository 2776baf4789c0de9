local fake_native = require "spec.support.fake_native"

local host = "test.example"

describe("mod_auth_insecure", function ()
	local world, usermanager

	local function start(more)
		world = fake_native.serve { host = "test.example", authentication = "insecure", host_config = more }
		usermanager = world.usermanager
	end
	after_each(function () world.stop() end)

	it("refuses to load, and lets nobody in, unless it is told in so many words", function ()
		start()
		assert.is_truthy(world.log_has("error", "insecure_open_access"))
		local handler = usermanager.get_sasl_handler(host, {})
		assert.is_true(handler:select("PLAIN"))
		assert.equal("failure", (handler:process("\0romeo\0x")))
	end)

	it("then lets everybody in, and says so in the log", function ()
		start "insecure_open_access = true"
		assert.is_truthy(world.log_has("warn", "lets everybody in"))
		local handler = usermanager.get_sasl_handler(host, {})
		assert.is_true(handler:select("PLAIN"))
		assert.equal("success", (handler:process("\0romeo\0whatever")))
		assert.equal("romeo", handler.username)
		assert.is_true(usermanager.user_exists("anybody", host))
	end)
end)
