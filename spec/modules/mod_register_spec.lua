local fake_native = require "spec.support.fake_native"

describe("mod_register", function ()
	local world, modulemanager

	local function start(more)
		world = fake_native.serve { modules = { "register" }, authentication = "internal_hashed", config = more }
		modulemanager = world.load "modulemanager"
	end
	after_each(function () world.stop() end)

	it("lets users look after their accounts, and strangers make none", function ()
		start()
		assert.is_true(modulemanager.is_loaded("capulet.example", "user_account_management"))
		assert.is_false(modulemanager.is_loaded("capulet.example", "register_ibr"))
	end)

	it("lets strangers in when the admin says so, within limits", function ()
		start "allow_registration = true"
		assert.is_true(modulemanager.is_loaded("capulet.example", "register_ibr"))
		assert.is_true(modulemanager.is_loaded("capulet.example", "register_limits"))
	end)
end)
