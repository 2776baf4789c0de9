local roles = require "util.roles"

describe("util.roles", function ()
	local guest, user, admin
	before_each(function ()
		guest = roles.new { name = "guest", permissions = { [":read"] = true, [":write"] = false } }
		user = roles.new { name = "user", inherits = { guest }, permissions = { [":write"] = true } }
		admin = roles.new { name = "admin", inherits = { user } }
	end)

	it("may what it or a role it inherits may", function ()
		assert.is_true(guest:may ":read")
		assert.is_false(guest:may ":write")
		assert.is_true(user:may ":read")
		assert.is_true(user:may ":write")
		assert.is_true(admin:may ":write")
		assert.is_nil(admin:may ":unheard-of")
	end)

	it("puts its own word before what it inherits", function ()
		user:set_permission(":read", false)
		assert.is_false(user:may ":read")
		assert.is_true(guest:may ":read")
		user:clear_permission ":read"
		assert.is_true(user:may ":read")
	end)

	it("does not change a decision by accident", function ()
		assert.is_true(guest:set_permission(":read", true))
		assert.same({ false, "policy-already-exists" }, { guest:set_permission(":read", false) })
		assert.is_true(guest:may ":read")
		assert.is_true(guest:set_permission(":read", false, true))
		assert.is_false(guest:may ":read")
	end)

	it("keeps its tables to itself", function ()
		local config = { name = "x", permissions = { a = true } }
		local one, other = roles.new(config), roles.new(config, { name = "y" })
		one:set_permission("b", true)
		assert.is_nil(other:may "b")
		assert.same({ a = true }, config.permissions)
		assert.equal("y", other.name)
		assert.are_not.equal(one.id, other.id)
	end)

	it("knows its kind and its ancestors", function ()
		assert.is_true(roles.is_role(guest))
		assert.is_false(roles.is_role { name = "guest" })
		assert.is_true(admin:inherits_from(guest))
		assert.is_false(guest:inherits_from(admin))
		assert.has_error(function () roles.new {} end)
		assert.has_error(function () roles.new() end)
		for action, policy in user:policies() do
			assert.same({ ":write", true }, { action, policy })
		end
	end)
end)
