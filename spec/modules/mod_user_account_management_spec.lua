local fake_native = require "spec.support.fake_native"
local st = require "prosody.util.stanza"

local host = "capulet.example"

describe("mod_user_account_management", function ()
	local world, usermanager, events

	local function start(more)
		world = fake_native.serve { modules = { "user_account_management" }, authentication = "internal_plain",
			config = more }
		usermanager, events = world.usermanager, world.events
		assert.is_true(usermanager.create_user("romeo", "juliet", host))
		assert.is_true(usermanager.create_user("paris", "rose", host))
	end
	after_each(function () world.stop() end)

	local function ask(session, kind, fields, target)
		local iq = st.iq({ type = kind, id = "r1" }):query("jabber:iq:register")
		for _, field in ipairs(fields or {}) do iq:text_tag(field[1], field[2]) end
		events.fire_event(("iq/%s/jabber:iq:register:query"):format(target or "host"), { origin = session, stanza = iq })
		return session.sent[#session.sent]
	end

	local function condition_of(reply)
		assert.equal("error", reply.attr.type)
		local _, condition = reply:get_error()
		return condition
	end

	it("tells who one is", function ()
		start()
		local form = ask(world.online("romeo", host), "get"):get_child("query", "jabber:iq:register")
		assert.is_truthy(form:get_child("registered"))
		assert.equal("romeo", form:get_child_text("username"))
		assert.is_falsy((form:get_child_text("password") or ""):find("juliet"))
	end)

	it("changes the password and ends the account's other sessions", function ()
		start()
		local romeo, other = world.online("romeo", host, "a"), world.online("romeo", host, "b")
		local reply = ask(romeo, "set", { { "username", "Romeo" }, { "password", "rosaline" } })
		assert.equal("result", reply.attr.type)
		assert.is_true(usermanager.test_password("romeo", host, "rosaline"))
		assert.is_nil(romeo.closed)
		assert.equal("reset", other.closed.condition)
	end)

	it("changes nobody else's password", function ()
		start()
		local romeo = world.online("romeo", host)
		local reply = ask(romeo, "set", { { "username", "paris" }, { "password", "stolen" } })
		assert.equal("forbidden", condition_of(reply))
		assert.is_nil(tostring(reply):find("stolen", 1, true))
		assert.is_true(usermanager.test_password("paris", host, "rose"))
	end)

	it("keeps the password when the new one is none", function ()
		start()
		local romeo = world.online("romeo", host)
		assert.equal("bad-request", condition_of(ask(romeo, "set", { { "username", "romeo" }, { "password", "" } })))
		assert.equal("bad-request", condition_of(ask(romeo, "set", { { "username", "romeo" } })))
		assert.equal("bad-request", condition_of(ask(romeo, "set", { { "password", "x" } })))
		assert.equal("not-allowed",
			condition_of(ask(romeo, "set", { { "username", "romeo" }, { "password", "a\194\128b" } })))
		assert.is_true(usermanager.test_password("romeo", host, "juliet"))
	end)

	it("deletes the account, answers, and ends its sessions", function ()
		start()
		local heard
		events.add_handler("user-deregistered", function (event) heard = event.username end)
		local romeo, other = world.online("romeo", host, "a"), world.online("romeo", host, "b")
		local closed_when_answered
		local send = romeo.send
		romeo.send = function (stanza) closed_when_answered = romeo.closed or false; return send(stanza) end
		local reply = ask(romeo, "set", { { "remove" } }, "self")
		assert.equal("result", reply.attr.type)
		assert.is_false(closed_when_answered)
		assert.equal("not-authorized", romeo.closed.condition)
		assert.equal("not-authorized", other.closed.condition)
		assert.is_nil((usermanager.user_exists("romeo", host)))
		assert.equal("romeo", heard)
	end)

	it("deletes nothing when more was said than that", function ()
		start()
		local romeo = world.online("romeo", host)
		assert.equal("bad-request", condition_of(ask(romeo, "set", { { "remove" }, { "username", "romeo" } })))
		assert.is_true(usermanager.user_exists("romeo", host))
	end)

	it("says so when the account could not be deleted", function ()
		start()
		usermanager.get_provider(host).delete_user = function () return nil, "the disk is gone" end
		local romeo = world.online("romeo", host)
		assert.equal("internal-server-error", condition_of(ask(romeo, "set", { { "remove" } })))
		assert.is_nil(romeo.closed)
	end)

	it("does neither where the admin does not want it", function ()
		start "allow_password_change = false; allow_account_removal = false"
		local romeo = world.online("romeo", host)
		assert.equal("not-allowed", condition_of(ask(romeo, "set", { { "remove" } })))
		assert.equal("not-allowed", condition_of(ask(romeo, "set", { { "username", "romeo" }, { "password", "x" } })))
	end)

	it("serves only users of its own host", function ()
		start()
		for _, session in ipairs {
			world.session { type = "s2sin", host = host, username = "romeo" },
			world.session { type = "c2s", host = "other.example", username = "romeo" },
		} do
			assert.is_nil(ask(session, "set", { { "remove" } }))
		end
		assert.is_true(usermanager.user_exists("romeo", host))
	end)
end)
