local fake_native = require "spec.support.fake_native"
local st = require "prosody.util.stanza"

local host = "capulet.example"

describe("mod_register_ibr", function ()
	local world, usermanager, events

	local function start(more)
		world = fake_native.serve { modules = { "register_ibr" }, authentication = "internal_plain", config = more }
		usermanager, events = world.usermanager, world.events
		assert.is_true(usermanager.create_user("romeo", "juliet", host))
	end
	after_each(function () world.stop() end)

	local function stranger(fields)
		local session = world.session { host = host, secure = true, ip = "192.0.2.1" }
		for name, value in pairs(fields or {}) do session[name] = value end
		return session
	end

	local function ask(session, kind, fields)
		local iq = st.iq({ type = kind, id = "r1" }):query("jabber:iq:register")
		for name, value in pairs(fields or {}) do iq:text_tag(name, value) end
		events.fire_event("stanza/iq/jabber:iq:register:query", { origin = session, stanza = iq })
		return session.sent[#session.sent]
	end

	local function condition_of(reply)
		assert.equal("error", reply.attr.type)
		local _, condition = reply:get_error()
		return condition
	end

	local function is_advertised(session)
		local features = st.stanza("features")
		events.fire_event("stream-features", { origin = session, features = features })
		return features:get_child("register", "http://jabber.org/features/iq-register") ~= nil
	end

	it("neither offers nor does anything unless the admin allows it", function ()
		start()
		local session = stranger()
		assert.is_false(is_advertised(session))
		assert.equal("service-unavailable", condition_of(ask(session, "get")))
		assert.equal("service-unavailable", condition_of(ask(session, "set", { username = "new", password = "pw" })))
		assert.is_nil((usermanager.user_exists("new", host)))
	end)

	it("does nothing outside TLS", function ()
		start "allow_registration = true"
		local session = stranger { secure = false }
		assert.is_false(is_advertised(session))
		assert.equal("policy-violation", condition_of(ask(session, "set", { username = "new", password = "pw" })))
		assert.is_nil((usermanager.user_exists("new", host)))
	end)

	it("tells what it wants to know", function ()
		start 'allow_registration = true; additional_registration_fields = { "email"; "shoe-size" }'
		assert.is_truthy(world.log_has("warn", "shoe-size"))
		local session = stranger()
		assert.is_true(is_advertised(session))
		local form = ask(session, "get"):get_child("query", "jabber:iq:register")
		for _, name in ipairs { "instructions", "username", "password", "email" } do
			assert.is_truthy(form:get_child(name), name)
		end
		assert.is_nil(form:get_child("registered"))
	end)

	it("makes accounts, once per stream, and tells modules", function ()
		start 'allow_registration = true; additional_registration_fields = { "email" }'
		local registering, registered
		events.add_handler("user-registering", function (event) registering = event end)
		events.add_handler("user-registered", function (event) registered = event end)
		local session = stranger()
		local reply = ask(session, "set", { username = "Benvolio", password = "peace", email = "b@x.example" })
		assert.equal("result", reply.attr.type)
		assert.is_true(usermanager.test_password("benvolio", host, "peace"))
		assert.equal("192.0.2.1", registering.ip)
		assert.equal("benvolio", registered.username)
		assert.equal(session, registered.session)
		local details = world.load "storagemanager".open(host, "account_details"):get("benvolio")
		assert.equal("b@x.example", details.email)
		assert.equal("integer", math.type(details.registered))
		assert.equal("not-acceptable", condition_of(ask(session, "set",
			{ username = "second", password = "x", email = "c@x.example" })))
	end)

	it("refuses what cannot be an account, and never sends the password back", function ()
		start 'allow_registration = true; additional_registration_fields = { "email" }'
		for _, wish in ipairs {
			{ "not-acceptable", { username = "a@b", password = "pw", email = "e" } },
			{ "not-acceptable", { username = "", password = "pw", email = "e" } },
			{ "not-acceptable", { password = "pw", email = "e" } },
			{ "not-acceptable", { username = "new", email = "e" } },
			{ "not-acceptable", { username = "new", password = "", email = "e" } },
			{ "not-acceptable", { username = "new", password = "pw" } },
			{ "conflict", { username = "romeo", password = "pw", email = "e" } },
			{ "conflict", { username = "ROMEO", password = "pw", email = "e" } },
			{ "unexpected-request", { remove = "" } },
		} do
			local reply = ask(stranger(), "set", wish[2])
			assert.equal(wish[1], condition_of(reply))
			assert.is_nil(tostring(reply):find("pw", 1, true))
		end
		assert.is_true(usermanager.test_password("romeo", host, "juliet"))
	end)

	it("leaves the last word to modules", function ()
		start "allow_registration = true"
		events.add_handler("user-registering", function (event)
			event.allowed = false
			event.reason = "Not today"
		end)
		local reply = ask(stranger(), "set", { username = "new", password = "pw" })
		assert.equal("not-acceptable", condition_of(reply))
		assert.matches("Not today", tostring(reply))
		assert.is_nil((usermanager.user_exists("new", host)))
	end)

	it("makes no half accounts", function ()
		start "allow_registration = true"
		local memory = getmetatable(world.load "storagemanager".open(host, "account_details")).__index
		local set = memory.set
		memory.set = function (self, ...)
			if self.store == "account_details" then return nil, "the disk is full" end
			return set(self, ...)
		end
		assert.equal("internal-server-error", condition_of(ask(stranger(), "set", { username = "new", password = "pw" })))
		memory.set = set
		assert.is_nil((usermanager.user_exists("new", host)))
	end)

	it("is not for those who have logged in", function ()
		start "allow_registration = true"
		local session = world.online("romeo", host)
		ask(session, "set", { username = "other", password = "pw" })
		assert.same({}, session.sent)
	end)
end)
