local fake = require "spec.support.fake_native"

describe("Sessions of clients", function ()
	local world, sessionmanager
	local host = "capulet.example"

	before_each(function ()
		world = fake.start { config = 'storage = "memory" authentication = "null" VirtualHost "capulet.example"' }
		world.load("modulemanager")
		world.load("usermanager")
		world.load("hostmanager").activate_all()
		sessionmanager = world.load("sessionmanager")
	end)
	after_each(function () world.stop() end)

	local function authenticated(role)
		local session = world.session { host = host }
		assert(sessionmanager.make_authenticated(session, "juliet", role))
		return session
	end

	it("begin with the account's role, or one the account may use", function ()
		assert.equal("prosody:registered", authenticated().role.name)
		local role = world.load("usermanager").get_role_by_name("prosody:guest", host)
		assert.equal(role, authenticated(role).role)
		local session = world.session { host = host }
		assert.is_nil((sessionmanager.make_authenticated(session, "juliet", "prosody:admin")))
		assert.equal("c2s_unauthed", session.type)
		world.load("usermanager").add_user_secondary_role("juliet", host, "prosody:admin")
		assert.equal("prosody:admin", authenticated("prosody:admin").role.name)
	end)

	it("are not made for a user without a name", function ()
		assert.same({ nil, "Invalid username" }, { sessionmanager.make_authenticated(world.session { host = host }, "") })
	end)

	it("get a resource and the roster all sessions of the user share", function ()
		local bound
		prosody.hosts[host].events.add_handler("resource-bind", function (event) bound = event.session end)
		local one, two = authenticated(), authenticated()
		assert.is_true(sessionmanager.bind_resource(one, "balcony"))
		assert.is_true(sessionmanager.bind_resource(two, "garden"))
		assert.equal(two, bound)
		assert.equal("juliet@capulet.example/garden", two.full_jid)
		assert.equal(one.roster, two.roster)
		assert.equal(one.roster, prosody.hosts[host].sessions.juliet.roster)
	end)

	it("cannot bind before login", function ()
		local ok, kind, condition = sessionmanager.bind_resource(world.session { host = host }, "x")
		assert.same({ nil, "auth", "not-authorized" }, { ok, kind, condition })
	end)

	it("bind what modules make of the wish", function ()
		local events = prosody.hosts[host].events
		local function rename(event) event.resource = event.resource .. "!" end
		events.add_handler("pre-resource-bind", rename)
		local session = authenticated()
		sessionmanager.bind_resource(session, "x")
		assert.equal("x!", session.resource)
		events.add_handler("pre-resource-bind", function (event)
			event.error = { type = "wait", condition = "resource-constraint", text = "full" }
			return false
		end, 1)
		assert.same({ nil, "wait", "resource-constraint", "full" }, { sessionmanager.bind_resource(authenticated(), "y") })
	end)

	it("are reached by user", function ()
		local available, interested = world.online("juliet", host, "a"), world.online("juliet", host, "b")
		available.presence, interested.interested = "presence", true
		assert.equal(1, sessionmanager.send_to_available_resources("juliet", host, "stanza"))
		assert.equal(1, sessionmanager.send_to_interested_resources("juliet", host, "stanza"))
		assert.equal(0, sessionmanager.send_to_available_resources("romeo", host, "stanza"))
		assert.same({ "stanza" }, available.sent)
		assert.same({ "stanza" }, interested.sent)
	end)

	it("end once", function ()
		local session = world.online("juliet", host, "a")
		sessionmanager.destroy_session(session, "gone")
		session.closed = nil
		sessionmanager.destroy_session(session, "gone")
		assert.is_nil(session.closed)
	end)

	it("come over other transports too", function ()
		local session = sessionmanager.new_session({ ip = function () return "10.0.0.1" end }, host)
		assert.equal("10.0.0.1", session.ip)
		assert.equal("c2s_unauthed", session.type)
	end)
end)

describe("Sessions of servers", function ()
	local world, s2smanager

	before_each(function ()
		world = fake.start()
		prosody.hosts["capulet.example"] = { host = "capulet.example", s2sout = {}, events = world.native.events() }
		s2smanager = world.load("s2smanager")
	end)
	after_each(function () world.stop() end)

	it("are known while they last", function ()
		local out = s2smanager.new_outgoing("capulet.example", "montague.example")
		local incoming = s2smanager.new_incoming {}
		assert.equal(out, prosody.hosts["capulet.example"].s2sout["montague.example"])
		assert.is_true(prosody.incoming_s2s[incoming])
		local heard
		prosody.hosts["capulet.example"].events.add_handler("s2sout-destroyed", function (event) heard = event.reason end)
		assert.is_true(s2smanager.destroy_session(out, "refused"))
		s2smanager.destroy_session(incoming)
		assert.equal("refused", heard)
		assert.is_nil(prosody.hosts["capulet.example"].s2sout["montague.example"])
		assert.is_nil(prosody.incoming_s2s[incoming])
	end)

	it("do no harm after their end", function ()
		local out = s2smanager.new_outgoing("capulet.example", "montague.example")
		s2smanager.destroy_session(out, "gone")
		assert.is_true(out.destroyed)
		assert.is_false(out.sends2s("x"))
		assert.is_false(out:close())
		assert.equal("montague.example", out.to_host)
		assert.is_false(s2smanager.destroy_session(out))
	end)

	it("do not end their successor", function ()
		local old = s2smanager.new_outgoing("capulet.example", "montague.example")
		local new = s2smanager.new_outgoing("capulet.example", "montague.example")
		s2smanager.destroy_session(old)
		assert.equal(new, prosody.hosts["capulet.example"].s2sout["montague.example"])
	end)
end)
