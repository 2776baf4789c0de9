local fake_native = require "spec.support.fake_native"
local st = require "prosody.util.stanza"

local host = "capulet.example"
local xmlns = "urn:xmpp:blocking"
local far = "villain@far.example"

describe("mod_blocklist", function ()
	local world, events, store, juliet

	local function start(given, more)
		world = fake_native.serve { modules = { "blocklist" }, config = more, managers = { "rostermanager" },
			before = function (new)
				new.prosody.events.add_handler("host-activated", function ()
					store = new.load "storagemanager".open(host, "blocklist")
					for name, list in pairs(given or {}) do assert(store:set(name, list)) end
				end, 200)
			end }
		events = world.events
		assert.is_true(world.load "modulemanager".is_loaded(host, "blocklist"))
		juliet = world.online("juliet", host, "balcony")
	end
	after_each(function () world.stop() end)

	local function command(session, name, addresses)
		local iq = st.iq({ type = name == "blocklist" and "get" or "set", id = "x" }):tag(name, { xmlns = xmlns })
		for _, address in ipairs(addresses or {}) do iq:tag("item", { jid = address }):up() end
		local kind = name == "blocklist" and "get" or "set"
		local before = #session.sent
		events.fire_event(("iq-%s/self/%s:%s"):format(kind, xmlns, name), { origin = session, stanza = iq })
		return session.sent[before + 1]
	end

	local function block(...) assert.equal("result", command(juliet, "block", { ... }).attr.type) end
	local function unblock(...) assert.equal("result", command(juliet, "unblock", { ... }).attr.type) end

	local function condition_of(reply)
		assert.equal("error", reply.attr.type)
		local _, condition = reply:get_error()
		return condition
	end

	local function list_of(session)
		local list = command(session, "blocklist"):get_child("blocklist", xmlns)
		local addresses = {}
		for item in list:childtags("item") do table.insert(addresses, item.attr.jid) end
		return addresses
	end

	-- A stanza from elsewhere; gives whether it was stopped, and what its sender got.
	local function receive(stanza)
		local sender = world.session { type = "s2sin" }
		local target = stanza.attr.to:find("/", 1, true) and "full" or "bare"
		local handled = events.fire_event(("%s/%s"):format(stanza.name, target), { origin = sender, stanza = stanza })
		return handled == true, sender.sent[1]
	end

	local function send(stanza, target)
		local before = #juliet.sent
		local handled = events.fire_event(("pre-%s/%s"):format(stanza.name, target or "bare"),
			{ origin = juliet, stanza = stanza })
		return handled == true, juliet.sent[before + 1]
	end

	local function message(kind, from) return st.message({ type = kind, id = "m", from = from or far,
		to = "juliet@capulet.example" }, "hi") end

	it("keeps a list, in Prosody's record", function ()
		start()
		assert.same({}, list_of(juliet))
		block(far, "Spam.example")
		assert.same({ "spam.example", far }, list_of(juliet))
		local record = store:get("juliet")
		assert.equal("integer", math.type(record[far]))
		assert.equal("integer", math.type(record[false].created))
		unblock("spam.example")
		assert.same({ far }, list_of(juliet))
	end)

	it("reads what Prosody wrote", function ()
		start { juliet = { [far] = 1795371325, ["old@far.example"] = true, [false] = { created = 1, modified = 2 } } }
		assert.same({ "old@far.example", far }, list_of(juliet))
		assert.is_true((receive(message("chat", "old@far.example/r"))))
		block("new@far.example")
		assert.equal(1795371325, store:get("juliet")[far])
		assert.equal(1, store:get("juliet")[false].created)
	end)

	it("hooks no stanza while nobody blocks anybody", function ()
		start()
		local handlers = world.load "modulemanager".get_module(host, "blocklist").module.event_handlers[events]
		local function is_hooked() return handlers["message/bare"] ~= nil and next(handlers["message/bare"]) ~= nil end
		assert.is_false(is_hooked())
		block(far)
		assert.is_true(is_hooked())
		assert.is_true((receive(message("chat"))))
		unblock()
		assert.is_false(is_hooked())
		assert.is_false((receive(message("chat"))))
	end)

	it("matches all four forms of an address (XEP-0191 5)", function ()
		start()
		local function stopped(address) return (receive(message("chat", address))) end
		block "villain@far.example/street"
		assert.is_true(stopped "villain@far.example/street")
		assert.is_false(stopped "villain@far.example/home")
		assert.is_false(stopped "villain@far.example")
		unblock()
		block "villain@far.example"
		assert.is_true(stopped "villain@far.example/home")
		assert.is_true(stopped "villain@far.example")
		assert.is_false(stopped "other@far.example")
		unblock()
		block "far.example/service"
		assert.is_true(stopped "far.example/service")
		assert.is_false(stopped "far.example")
		unblock()
		block "far.example"
		for _, address in ipairs { "far.example", "far.example/service", "villain@far.example", "villain@far.example/x" } do
			assert.is_true(stopped(address), address)
		end
		assert.is_false(stopped "villain@sub.far.example")
	end)

	it("answers what comes in as if nobody were there (XEP-0191 3.3)", function ()
		start()
		block(far)
		for _, kind in ipairs { "chat", "normal", false } do
			local is_stopped, answer = receive(message(kind or nil))
			assert.is_true(is_stopped)
			assert.equal("service-unavailable", condition_of(answer))
		end
		for _, kind in ipairs { "groupchat", "headline", "error" } do
			assert.same({ true }, { receive(message(kind)) })
		end
		for _, kind in ipairs { false, "unavailable", "subscribe", "subscribed", "unsubscribe", "probe", "error" } do
			local presence = st.presence({ type = kind or nil, from = far, to = "juliet@capulet.example" })
			assert.same({ true }, { receive(presence) })
		end
		for _, kind in ipairs { "get", "set" } do
			local _, answer = receive(st.iq({ type = kind, id = "i", from = far, to = "juliet@capulet.example/balcony" })
				:query("x"))
			assert.equal("service-unavailable", condition_of(answer))
		end
		for _, kind in ipairs { "result", "error" } do
			assert.same({ true }, { receive(st.stanza("iq",
				{ type = kind, id = "i", from = far, to = "juliet@capulet.example/balcony" })) })
		end
	end)

	it("stops what the user sends, with the reason", function ()
		start()
		block(far)
		for _, stanza in ipairs {
			st.message({ to = far, id = "m" }, "hi"), st.iq({ to = far, type = "get", id = "i" }):query("x"),
			st.presence({ to = far, type = "subscribe" }),
		} do
			local is_stopped, answer = send(stanza)
			assert.is_true(is_stopped)
			assert.equal("not-acceptable", condition_of(answer))
			assert.is_truthy(answer:get_child("error"):get_child("blocked", "urn:xmpp:blocking:errors"))
		end
		for _, stanza in ipairs {
			st.presence({ to = far }), st.presence({ to = far, type = "unavailable" }),
			st.stanza("iq", { to = far, type = "result", id = "i" }), st.stanza("message", { to = far, type = "error" }),
		} do
			assert.same({ true }, { send(stanza) })
		end
		assert.is_false((send(st.message({ to = "nurse@far.example" }, "hi"))))
		assert.is_true((send(st.message({ to = "villain@far.example/r" }, "hi"), "full")))
	end)

	it("never comes between the user's own resources (XEP-0191 4)", function ()
		start()
		block "capulet.example"
		assert.is_false((receive(message("chat", "juliet@capulet.example/tomb"))))
		assert.is_false((send(st.message({ to = "juliet@capulet.example/tomb" }, "note"), "full")))
		assert.is_true((receive(message("chat", "nurse@capulet.example/x"))))
		for _, own in ipairs { "juliet@capulet.example", "juliet@capulet.example/tomb", "JULIET@capulet.example" } do
			assert.equal("not-allowed", condition_of(command(juliet, "block", { own })))
		end
	end)

	it("tells every resource that has asked for the list", function ()
		start()
		local tomb, cell = world.online("juliet", host, "tomb"), world.online("juliet", host, "cell")
		list_of(tomb)
		tomb.sent = {}
		block(far)
		local push = tomb.sent[1]
		assert.equal("set", push.attr.type)
		assert.equal("juliet@capulet.example/tomb", push.attr.to)
		assert.equal(far, push:get_child("block", xmlns):get_child("item").attr.jid)
		assert.same({}, cell.sent)
		unblock(far)
		assert.equal(far, tomb.sent[2]:get_child("unblock", xmlns):get_child("item").attr.jid)
		block(far)
		unblock()
		assert.equal(0, #tomb.sent[4]:get_child("unblock", xmlns).tags)
		assert.not_equal(tomb.sent[1].attr.id, tomb.sent[2].attr.id)
	end)

	it("refuses commands that make no sense", function ()
		start({}, "blocklist_max_items = 2")
		assert.equal("bad-request", condition_of(command(juliet, "block")))
		assert.equal("jid-malformed", condition_of(command(juliet, "block", { far, "@@" })))
		assert.same({}, list_of(juliet))
		local iq = st.iq({ type = "set", id = "x" }):tag("block", { xmlns = xmlns }):tag("item"):up()
		events.fire_event("iq-set/self/" .. xmlns .. ":block", { origin = juliet, stanza = iq })
		assert.equal("jid-malformed", condition_of(juliet.sent[#juliet.sent]))
		block("a@far.example", "b@far.example")
		assert.equal("resource-constraint", condition_of(command(juliet, "block", { "c@far.example" })))
		assert.same({ "a@far.example", "b@far.example" }, list_of(juliet))
	end)

	describe("with contacts", function ()
		local function befriend()
			local rostermanager = world.load "rostermanager"
			local roster = rostermanager.load_roster("juliet", host)
			roster[far] = { subscription = "both", groups = {} }
			roster["friend@far.example"] = { subscription = "from", groups = {} }
			roster["idol@far.example"] = { subscription = "to", groups = {} }
			assert(rostermanager.save_roster("juliet", host, roster))
			juliet.presence = st.presence({}):text_tag("status", "sighing")
		end

		local function posted()
			local list = {}
			for _, entry in ipairs(world.posted) do
				local stanza = entry.stanza
				table.insert(list, ("%s %s -> %s"):format(stanza.attr.type or "available", stanza.attr.from, stanza.attr.to))
			end
			table.sort(list)
			return list
		end

		it("goes offline for those it blocks", function ()
			start()
			befriend()
			block(far)
			assert.same({ "unavailable juliet@capulet.example/balcony -> villain@far.example" }, posted())
		end)

		it("does so for all contacts of a blocked host that see the user", function ()
			start()
			befriend()
			block "far.example"
			assert.same({ "unavailable juliet@capulet.example/balcony -> friend@far.example",
				"unavailable juliet@capulet.example/balcony -> villain@far.example" }, posted())
		end)

		it("comes online again for those it unblocks, unless another entry stands", function ()
			start()
			befriend()
			block(far, "far.example")
			world.posted = {}
			unblock(far)
			assert.same({}, posted())
			unblock()
			assert.same({
				"available juliet@capulet.example/balcony -> friend@far.example",
				"available juliet@capulet.example/balcony -> villain@far.example",
				"probe juliet@capulet.example -> friend@far.example",
				"probe juliet@capulet.example -> villain@far.example",
			}, posted())
			assert.equal("sighing", world.posted[1].stanza:get_child_text("status")
				or world.posted[2].stanza:get_child_text("status"))
		end)

		it("forgets requests of theirs that were waiting", function ()
			start()
			local rostermanager = world.load "rostermanager"
			local roster = rostermanager.load_roster("juliet", host)
			roster[false] = roster[false] or { version = 1 }
			roster[false].pending = { [far] = true, ["friend@other.example"] = true }
			assert(rostermanager.save_roster("juliet", host, roster))
			block "far.example"
			local pending = rostermanager.load_roster("juliet", host)[false].pending
			assert.is_nil(pending[far])
			assert.is_truthy(pending["friend@other.example"])
		end)
	end)

	it("stops everything when the list cannot be read, rather than let a blocked message through", function ()
		start { juliet = { [far] = 1 } }
		local memory = getmetatable(store).__index
		local get = memory.get
		memory.get = function () return nil, "the disk is gone" end
		assert.is_true((receive(message("chat", "nurse@far.example"))))
		assert.equal("internal-server-error", condition_of(command(juliet, "blocklist")))
		memory.get = get
		assert.is_false((receive(message("chat", "nurse@far.example"))))
		assert.is_true((receive(message("chat"))))
	end)

	it("changes nothing when the list cannot be saved", function ()
		start()
		local memory = getmetatable(store).__index
		local set = memory.set
		memory.set = function () return nil, "the disk is full" end
		assert.equal("internal-server-error", condition_of(command(juliet, "block", { far })))
		memory.set = set
		assert.is_false((receive(message("chat"))))
	end)

	it("forgets the list of a deleted account", function ()
		start { juliet = { [far] = 1 } }
		assert.is_true((receive(message("chat"))))
		assert(store:set("juliet", nil))
		world.prosody.events.fire_event("user-deleted", { username = "juliet", host = host })
		assert.is_false((receive(message("chat"))))
	end)
end)
