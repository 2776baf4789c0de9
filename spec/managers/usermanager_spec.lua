local fake = require "spec.support.fake_native"

describe("Accounts", function ()
	local world, usermanager
	local host = "capulet.example"

	local provider = [[
		local accounts = {}
		module:provides("auth", {
			test_password = function (user, password) return accounts[user] == password or nil, "wrong" end;
			set_password = function (user, password) accounts[user] = password return true end;
			user_exists = function (user) return accounts[user] ~= nil end;
			create_user = function (user, password) accounts[user] = password return true end;
			delete_user = function (user) accounts[user] = nil return true end;
			users = function () return pairs(accounts) end;
			get_sasl_handler = function (session) return { for_session = session } end;
		})
	]]

	before_each(function ()
		world = fake.start { config = [[
			storage = "memory" authentication = "things"
			admins = { "boss@capulet.example", "Friend@Elsewhere.example" }
			VirtualHost "capulet.example" admins = { "nurse@capulet.example" }
			VirtualHost "empty.example" authentication = "absent"
			Component "rooms.capulet.example" "rooms"
		]] }
		world.module("auth_things", provider)
		world.module("rooms", "")
		world.load("modulemanager")
		usermanager = world.load("usermanager")
		world.load("hostmanager").activate_all()
	end)
	after_each(function () world.stop() end)

	local function heard(name)
		local events = {}
		prosody.events.add_handler(name, function (event) events[#events + 1] = event end)
		return events
	end

	it("are kept by the provider the host names", function ()
		local created, deleted = heard("user-created"), heard("user-deleted")
		assert.is_true(usermanager.create_user("juliet", "secret", host))
		assert.is_true(usermanager.user_exists("juliet", host))
		assert.is_true(usermanager.test_password("juliet", host, "secret"))
		assert.same({ nil, "wrong" }, { usermanager.test_password("juliet", host, "guess") })
		local names = {}
		for name in usermanager.users(host) do names[#names + 1] = name end
		assert.same({ "juliet" }, names)
		assert.equal("s", usermanager.get_sasl_handler(host, "s").for_session)
		assert.is_true(usermanager.delete_user("juliet", host))
		assert.is_false(usermanager.user_exists("juliet", host))
		assert.same({ { username = "juliet", host = host } }, created)
		assert.same({ { username = "juliet", host = host } }, deleted)
	end)

	it("are nobody's where there is no provider", function ()
		assert.is_string(world.log_has("error", "Nobody can log in to empty.example: mod_auth_absent offers no accounts"))
		assert.is_nil((usermanager.create_user("x", "y", "empty.example")))
		assert.is_nil((usermanager.test_password("x", "empty.example", "")))
		assert.is_nil((usermanager.test_password("x", "unknown.example", "")))
		assert.is_false(usermanager.user_exists("x", "unknown.example"))
		for _ in usermanager.users("empty.example") do error("somebody") end
	end)

	it("lose their sessions with their password, except the one that changed it", function ()
		usermanager.create_user("juliet", "old", host)
		local here, there = world.online("juliet", host, "here"), world.online("juliet", host, "there")
		usermanager.set_password("juliet", "new", host, "here")
		assert.is_nil(here.closed)
		assert.equal("reset", there.closed.condition)
		usermanager.delete_user("juliet", host)
		assert.equal("not-authorized", here.closed.condition)
	end)

	it("are gone with the module that keeps them", function ()
		usermanager.create_user("juliet", "x", host)
		world.load("modulemanager").unload(host, "auth_things")
		assert.is_nil((usermanager.user_exists("juliet", host)))
	end)

	describe("have roles", function ()
		local function role_of(name) return (usermanager.get_user_role(name, host) or {}).name end

		it("of the configuration, else as stored, else registered", function ()
			assert.equal("prosody:operator", role_of("boss"))
			assert.equal("prosody:admin", role_of("nurse"))
			assert.equal("prosody:registered", role_of("juliet"))
			local changes = heard("user-role-changed")
			assert.equal("prosody:member", usermanager.set_user_role("juliet", host, "prosody:member").name)
			assert.equal("prosody:member", role_of("juliet"))
			assert.equal("prosody:member", changes[1].role.name)
			assert.is_nil((usermanager.set_user_role("juliet", host, "no:such")))
		end)

		it("that end what was begun with another", function ()
			local session = world.online("juliet", host)
			usermanager.set_user_role("juliet", host, "prosody:member")
			assert.equal("reset", session.closed.condition)
		end)

		it("as 0.12 stored them", function ()
			local old = world.load("storagemanager").open(host, "roles", "keyval")
			old:set("tybalt", { ["prosody:admin"] = true })
			assert.equal("prosody:admin", role_of("tybalt"))
		end)

		it("and further ones they may use", function ()
			assert.is_true(usermanager.add_user_secondary_role("juliet", host, "prosody:admin"))
			assert.is_true(usermanager.user_can_assume_role("juliet", host, "prosody:admin"))
			assert.is_true(usermanager.user_can_assume_role("juliet", host, "prosody:registered"))
			assert.is_false(usermanager.user_can_assume_role("juliet", host, "prosody:operator"))
			assert.equal("prosody:admin", usermanager.get_user_secondary_roles("juliet", host)["prosody:admin"].name)
			usermanager.remove_user_secondary_role("juliet", host, "prosody:admin")
			assert.is_false(usermanager.user_can_assume_role("juliet", host, "prosody:admin"))
		end)

		it("that pass permissions on to those above", function ()
			local authz = prosody.hosts[host].authz
			authz.add_default_permission("prosody:member", "x:edit")
			for name, may in pairs { guest = false, registered = false, member = true, admin = true, operator = true } do
				local role = usermanager.get_role_by_name("prosody:" .. name, host)
				assert.equal(may, role:may("x:edit") or false, name)
			end
		end)

		it("from the start, when created so", function ()
			assert.is_true(usermanager.create_user_with_role("p", "x", host, "prosody:admin"))
			assert.equal("prosody:admin", role_of("p"))
			assert.is_nil((usermanager.create_user_with_role("q", "x", host, "no:such")))
			assert.is_false(usermanager.user_exists("q", host))
		end)
	end)

	describe("of others", function ()
		it("have the roles the host grants them", function ()
			local function role(jid, on) return (usermanager.get_jid_role(jid, on) or {}).name end
			assert.equal("prosody:registered", role("juliet@capulet.example/balcony", host))
			assert.equal("prosody:operator", role("friend@elsewhere.example", host))
			assert.is_nil(role("stranger@elsewhere.example", host))
			assert.equal("prosody:registered", role("juliet@capulet.example", "rooms.capulet.example"))
			assert.is_nil(role("x@empty.example", "rooms.capulet.example"))
			assert.equal("prosody:operator", role("boss@capulet.example", "rooms.capulet.example"))
		end)

		it("are found by role", function ()
			usermanager.set_user_role("juliet", host, "prosody:admin")
			assert.same({ "juliet", "nurse" }, usermanager.get_users_with_role("prosody:admin", host))
			local operators = usermanager.get_jids_with_role("prosody:operator", host)
			table.sort(operators)
			assert.same({ "boss@capulet.example", "friend@elsewhere.example" }, operators)
		end)

		it("are admins in the eyes of older modules", function ()
			assert.is_true(usermanager.is_admin("nurse@capulet.example", host))
			assert.is_false(usermanager.is_admin("nurse@capulet.example"))
			assert.is_true(usermanager.is_admin("boss@capulet.example", "*"))
			assert.is_false(usermanager.is_admin("juliet@capulet.example", host))
			assert.is_true(usermanager.get_user_roles("nurse", host)["prosody:admin"])
		end)
	end)
end)
