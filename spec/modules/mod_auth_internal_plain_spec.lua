local fake_native = require "spec.support.fake_native"
local scram = require "spec.support.scram"

local host = "plain.test"

describe("mod_auth_internal_plain", function ()
	local world, usermanager, accounts

	before_each(function ()
		world = fake_native.serve { host = host, authentication = "internal_plain" }
		usermanager = world.usermanager
		accounts = world.load "storagemanager".open(host, "accounts")
		assert(accounts:set("pat", { password = "plainpw" })) -- as Prosody 0.12 writes it
	end)
	after_each(function () world.stop() end)

	local function log_in(mechanism, username, password)
		local handler = usermanager.get_sasl_handler(host, {})
		assert.is_true(handler:select(mechanism))
		if mechanism == "PLAIN" then return handler:process("\0" .. username .. "\0" .. password) end
		return scram.run(handler, mechanism:match("^SCRAM%-(.*)$"), username, password)
	end

	it("opens accounts with every mechanism and no wrong password", function ()
		for _, mechanism in ipairs { "PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256" } do
			assert.equal("success", (log_in(mechanism, "pat", "plainpw")))
			local _, condition = log_in(mechanism, "pat", "wrong")
			assert.equal("not-authorized", condition)
			_, condition = log_in(mechanism, "nobody", "plainpw")
			assert.equal("not-authorized", condition)
		end
	end)

	it("makes, changes, disables and deletes accounts", function ()
		assert.is_true(usermanager.create_user("romeo", "juliet", host))
		assert.equal("juliet", accounts:get("romeo").password)
		assert.is_nil((usermanager.create_user("romeo", "x", host)))
		assert.is_true(usermanager.set_password("romeo", "rosaline", host))
		assert.is_true(usermanager.test_password("romeo", host, "rosaline"))
		assert.is_nil((usermanager.test_password("romeo", host, "juliet")))
		assert.is_true(usermanager.disable_user("romeo", host))
		local _, condition = log_in("SCRAM-SHA-1", "romeo", "rosaline")
		assert.equal("account-disabled", condition)
		assert.is_nil((usermanager.test_password("romeo", host, "rosaline")))
		assert.is_true(usermanager.enable_user("romeo", host))
		assert.equal("success", (log_in("SCRAM-SHA-1", "romeo", "rosaline")))
		assert.is_true(usermanager.delete_user("romeo", host))
		assert.is_nil((usermanager.user_exists("romeo", host)))
	end)
end)
