local fake_native = require "spec.support.fake_native"
local scram = require "spec.support.scram"

local host = "example.test"

local config = [[
storage = "memory"
modules_disabled = { "presence", "message", "iq", "offline", "c2s", "s2s", "s2s_auth_certs" }
%s
VirtualHost "example.test"
	authentication = "internal_hashed"
]]

-- Accounts as Prosody 0.12.3 and 13 wrote them.
local alice = {
	stored_key = "88ce9afba4124a4f43c0e9730eecef90c439ae2a", server_key = "54e1f47f03a588f11a564131c33399865648e484",
	iteration_count = 10000, salt = "aaa2264e-b715-42e9-9e26-c44a03cf63d9",
}
local bob = {
	stored_key = "3d85dd9ff09eadf9a26a283ccac614058d8f335b", server_key = "c2b6a05b28c768bdf11d7c9ad9eaa3effca6b750",
	iteration_count = 10000, salt = "70041874-b916-4318-81cf-3cc7f24c98d2", created = 1795371451, updated = 1795371554,
	disabled = true,
}

describe("mod_auth_internal_hashed", function ()
	local world, usermanager, accounts

	-- given: accounts that are there before the server starts.
	local function start(given, more)
		world = fake_native.start { config = config:format(more or "") }
		local storagemanager = world.load "storagemanager"
		world.load "modulemanager"
		usermanager = world.load "usermanager"
		-- The store is opened by the module; what it finds there is put in before it looks.
		world.prosody.events.add_handler("host-activated", function ()
			accounts = storagemanager.open(host, "accounts")
			for name, account in pairs(given or {}) do assert(accounts:set(name, account)) end
		end, 200)
		world.load "hostmanager".activate_all()
		assert.is_truthy(usermanager.get_sasl_handler(host, {})) -- it has looked at the accounts now
		assert.is_false(world.log_has("error", ""))
	end

	after_each(function () world.stop() end)

	local function handler() return (usermanager.get_sasl_handler(host, {})) end

	local function offers(mechanism) return handler():mechanisms()[mechanism] or false end

	local function log_in(mechanism, username, password)
		local exchange = handler()
		if not exchange:select(mechanism) then return "not offered" end
		if mechanism == "PLAIN" then return exchange:process("\0" .. username .. "\0" .. password) end
		return scram.run(exchange, mechanism:match("^SCRAM%-(.*)$"), username, password)
	end

	it("makes accounts that every mechanism opens, in a record Prosody can read", function ()
		start()
		assert.is_true(usermanager.create_user("romeo", "juliet", host))
		for _, mechanism in ipairs { "PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256" } do
			assert.equal("success", (log_in(mechanism, "romeo", "juliet")))
			local status, condition = log_in(mechanism, "romeo", "rosaline")
			assert.same({ "failure", "not-authorized" }, { status, condition })
		end
		local account = accounts:get("romeo")
		assert.matches("^%x+$", account.stored_key)
		assert.equal(40, #account.stored_key)
		assert.equal(40, #account.server_key)
		assert.equal(10000, account.iteration_count)
		assert.matches("^%x+%-%x+%-%x+%-%x+%-%x+$", account.salt)
		assert.equal("integer", math.type(account.created))
		assert.is_nil(account.password)
		assert.not_equal(account.salt, account.scram["SHA-256"].salt)
	end)

	it("opens accounts that Prosody made, with what it has keys for", function ()
		start { alice = alice }
		assert.equal("success", (log_in("SCRAM-SHA-1", "alice", "pw_ali")))
		assert.equal("failure", (log_in("SCRAM-SHA-1", "alice", "pw_bob")))
		assert.equal("success", (log_in("PLAIN", "alice", "pw_ali")))
	end)

	it("offers SCRAM-SHA-256 only when every account can use it", function ()
		start()
		assert.is_true(offers("SCRAM-SHA-256"))
		world.stop()
		start { alice = alice }
		assert.is_true(usermanager.create_user("romeo", "juliet", host))
		assert.is_false(offers("SCRAM-SHA-256"))
		assert.is_true(offers("SCRAM-SHA-1"))
		assert.equal("success", (log_in("SCRAM-SHA-1", "romeo", "juliet")))
	end)

	it("completes an account when its password passes by, and then offers more", function ()
		start { alice = alice }
		assert.equal("success", (log_in("SCRAM-SHA-1", "alice", "pw_ali")))
		assert.is_false(offers("SCRAM-SHA-256"))
		assert.equal("failure", (log_in("PLAIN", "alice", "wrong")))
		assert.is_false(offers("SCRAM-SHA-256"))
		assert.equal("success", (log_in("PLAIN", "alice", "pw_ali")))
		assert.is_true(offers("SCRAM-SHA-256"))
		assert.equal("success", (log_in("SCRAM-SHA-256", "alice", "pw_ali")))
		assert.equal("success", (log_in("SCRAM-SHA-1", "alice", "pw_ali")))
		assert.equal(40, #accounts:get("alice").stored_key)
	end)

	it("finds the next account that lacks keys when one got them or is gone", function ()
		start { alice = alice, carol = alice, dave = alice }
		for _, name in ipairs { "alice", "carol" } do
			assert.is_true(usermanager.set_password(name, "new", host))
			assert.is_false(offers("SCRAM-SHA-256"))
		end
		assert.is_true(usermanager.delete_user("dave", host))
		assert.is_true(offers("SCRAM-SHA-256"))
	end)

	it("offers what the admin asks for all the same", function ()
		start({ alice = alice }, 'sasl_mechanisms = { "SCRAM-SHA-256" }')
		assert.is_true(offers("SCRAM-SHA-256"))
		local status, condition = log_in("SCRAM-SHA-256", "alice", "pw_ali")
		assert.same({ "failure", "not-authorized" }, { status, condition })
		assert.is_truthy(world.log_has("warn", "no keys for SCRAM-SHA-256"))
	end)

	it("follows a password that Prosody changed, though it kept our keys", function ()
		start()
		assert.is_true(usermanager.create_user("romeo", "old", host))
		local account = accounts:get("romeo")
		for name, value in pairs(alice) do account[name] = value end -- the password is pw_ali now
		assert(accounts:set("romeo", account))
		assert.equal("failure", (log_in("SCRAM-SHA-256", "romeo", "old")))
		assert.equal("failure", (log_in("PLAIN", "romeo", "old")))
		assert.equal("success", (log_in("PLAIN", "romeo", "pw_ali")))
		assert.equal("success", (log_in("SCRAM-SHA-256", "romeo", "pw_ali")))
	end)

	it("serves hosts whose keys Prosody made with SHA-256", function ()
		start(nil, 'password_hash = "SHA-256"')
		assert.is_true(usermanager.create_user("romeo", "juliet", host))
		local account = accounts:get("romeo")
		assert.equal(64, #account.stored_key)
		account.scram = nil
		assert(accounts:set("prosodys", account))
		assert.equal("success", (log_in("SCRAM-SHA-256", "prosodys", "juliet")))
		assert.equal("success", (log_in("SCRAM-SHA-1", "romeo", "juliet")))
	end)

	it("does not offer SCRAM-SHA-1 to accounts that have no keys for it", function ()
		start(nil, 'password_hash = "SHA-256"')
		assert.is_true(usermanager.create_user("romeo", "juliet", host))
		local account = accounts:get("romeo")
		account.scram = nil
		world.stop()
		start({ romeo = account }, 'password_hash = "SHA-256"')
		assert.is_true(offers("SCRAM-SHA-256"))
		assert.is_false(offers("SCRAM-SHA-1"))
		assert.equal("success", (log_in("PLAIN", "romeo", "juliet")))
		assert.is_true(offers("SCRAM-SHA-1"))
	end)

	it("changes passwords", function ()
		start()
		assert.is_true(usermanager.create_user("romeo", "juliet", host))
		local created = accounts:get("romeo").created
		assert.is_true(usermanager.set_password("romeo", "rosaline", host))
		for _, mechanism in ipairs { "PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256" } do
			assert.equal("success", (log_in(mechanism, "romeo", "rosaline")))
			assert.equal("failure", (log_in(mechanism, "romeo", "juliet")))
		end
		assert.equal(created, accounts:get("romeo").created)
		assert.is_nil((usermanager.set_password("nobody", "x", host)))
		assert.is_nil((usermanager.set_password("romeo", "", host)))
		assert.is_nil((usermanager.set_password("romeo", "a\0b", host)))
		assert.equal("success", (log_in("PLAIN", "romeo", "rosaline")))
	end)

	it("makes no account over another one", function ()
		start { alice = alice }
		assert.is_nil((usermanager.create_user("alice", "mine", host)))
		assert.equal("success", (log_in("PLAIN", "alice", "pw_ali")))
	end)

	it("keeps disabled accounts out", function ()
		start { bob = bob }
		local _, condition = log_in("SCRAM-SHA-1", "bob", "pw_bob")
		assert.equal("account-disabled", condition)
		_, condition = log_in("PLAIN", "bob", "pw_bob")
		assert.equal("account-disabled", condition)
		_, condition = log_in("PLAIN", "bob", "wrong")
		assert.equal("not-authorized", condition)
		assert.is_nil((usermanager.test_password("bob", host, "pw_bob")))
		assert.is_false(usermanager.get_account_info("bob", host).enabled)
		assert.is_true(usermanager.enable_user("bob", host))
		assert.equal("success", (log_in("SCRAM-SHA-1", "bob", "pw_bob")))
		assert.is_true(usermanager.disable_user("bob", host, { reason = "spam" }))
		_, condition = log_in("SCRAM-SHA-1", "bob", "pw_bob")
		assert.equal("account-disabled", condition)
		assert.equal("spam", accounts:get("bob").disabled_meta.reason)
	end)

	it("makes accounts that cannot be used until they get a password", function ()
		start()
		assert.is_true(usermanager.create_user("later", nil, host))
		local status, condition = log_in("PLAIN", "later", "x")
		assert.same({ "failure", "not-authorized" }, { status, condition })
		assert.is_true(usermanager.set_password("later", "x", host))
		assert.is_true(usermanager.enable_user("later", host))
		assert.equal("success", (log_in("SCRAM-SHA-256", "later", "x")))
	end)

	it("shows unknown names a salt that stays the same over a restart", function ()
		start()
		local function salt()
			local exchange = handler()
			exchange:select("SCRAM-SHA-1")
			local _, first = exchange:process("n,,n=nobody,r=abc")
			return first:match("s=[^,]+,i=%d+")
		end
		local before = salt()
		assert.matches("i=10000$", before)
		local secret = world.load "storagemanager".open(host, "auth_secret"):get()
		world.stop()
		start()
		assert.not_equal(before, salt())
		world.load "storagemanager".open(host, "auth_secret"):set(nil, secret)
		world.load "modulemanager".reload(host, "auth_internal_hashed")
		assert.equal(before, salt())
	end)

	it("keeps an old count of iterations valid and brings it up at the next PLAIN login", function ()
		start(nil, "default_iteration_count = 4096")
		assert.is_true(usermanager.create_user("romeo", "juliet", host))
		local account = accounts:get("romeo")
		assert.equal(4096, account.iteration_count)
		world.stop()
		start({ romeo = account })
		assert.equal("success", (log_in("SCRAM-SHA-256", "romeo", "juliet")))
		assert.equal("success", (log_in("PLAIN", "romeo", "juliet")))
		assert.equal(10000, accounts:get("romeo").iteration_count)
		assert.equal("success", (log_in("SCRAM-SHA-256", "romeo", "juliet")))
	end)

	it("does not mistake a broken store for a wrong password", function ()
		start { alice = alice }
		local provider = usermanager.get_provider(host)
		assert.is_true(provider.user_exists("alice"))
		local storagemanager = world.load "storagemanager"
		local memory = getmetatable(storagemanager.open(host, "accounts")).__index
		local get = memory.get
		memory.get = function () return nil, "the disk is gone" end
		local status, condition = log_in("PLAIN", "alice", "pw_ali")
		assert.same({ "failure", "temporary-auth-failure" }, { status, condition })
		status, condition = log_in("SCRAM-SHA-1", "alice", "pw_ali")
		assert.same({ "failure", "temporary-auth-failure" }, { status, condition })
		memory.get = get
		assert.equal("success", (log_in("SCRAM-SHA-1", "alice", "pw_ali")))
	end)
end)
