local fake = require "spec.support.fake_native"
local st = require "util.stanza"

local host, user, contact = "capulet.example", "juliet", "romeo@montague.example"

describe("Subscription states", function ()
	local states = require "core.roster_states"

	-- RFC 6121 appendix A, copied row by row: state, then for each kind of stanza the new state, or "-" for no change;
	-- "!" after it when the stanza is routed (outbound) or delivered (inbound).
	local order = { "None", "None + Pending Out", "None + Pending In", "None + Pending Out+In", "To", "To + Pending In",
		"From", "From + Pending Out", "Both" }
	local N, O, I, OI, T, TI, F, FO, B = table.unpack(order)
	local appendix = {
		outbound = {
			subscribe = { O .. "!", "-!", OI .. "!", "-!", "-!", "-!", FO .. "!", "-!", "-!" },
			unsubscribe = { "-!", N .. "!", "-!", I .. "!", N .. "!", I .. "!", "-!", F .. "!", F .. "!" },
			subscribed = { "-", "-", F .. "!", FO .. "!", "-", B .. "!", "-", "-", "-" },
			unsubscribed = { "-", "-", N .. "!", O .. "!", "-", T .. "!", N .. "!", O .. "!", T .. "!" },
		},
		inbound = {
			subscribe = { I .. "!", OI .. "!", "-", "-", TI .. "!", "-", "-", "-", "-" },
			unsubscribe = { "-", "-", N .. "!", O .. "!", "-", T .. "!", N .. "!", O .. "!", T .. "!" },
			subscribed = { "-", T .. "!", "-", TI .. "!", "-", "-", "-", B .. "!", "-" },
			unsubscribed = { "-", N .. "!", "-", I .. "!", N .. "!", I .. "!", "-", F .. "!", F .. "!" },
		},
	}

	for direction, kinds in pairs(appendix) do
		for kind, rows in pairs(kinds) do
			it(("follow RFC 6121 for %s %s"):format(direction, kind), function ()
				for i, name in ipairs(order) do
					local row = states[direction][kind][name]
					local new, delivered = rows[i]:match("^(.-)(!?)$")
					assert.equal(new == "-" and name or new, row.state, name)
					assert.equal(delivered == "!", row.deliver, name)
				end
			end)
		end
	end

	it("answer a request of those who are subscribed already", function ()
		for i, name in ipairs(order) do
			assert.equal(i >= 7 and "subscribed" or nil, states.inbound.subscribe[name].reply)
		end
	end)

	it("push what shows in the roster and nothing else", function ()
		assert.is_true(states.outbound.subscribe["None"].push)
		assert.is_false(states.outbound.subscribe["None + Pending Out"].push)
		assert.is_false(states.inbound.subscribe["None"].push)
		assert.is_false(states.outbound.unsubscribed["None + Pending In"].push)
		assert.is_true(states.outbound.unsubscribed["Both"].push)
	end)

	it("are found again from what is kept", function ()
		for _, name in ipairs(order) do
			local parts = states.kept[name]
			assert.equal(name, states.state_of(parts.subscription, parts.ask and "subscribe", parts.pending))
		end
		assert.equal("None", states.state_of(nil, nil, nil))
		assert.equal("To", states.state_of("to", "subscribe", nil)) -- nobody asks for what they have
		assert.equal("Both", states.state_of("both", "subscribe", true))
	end)
end)

describe("A roster", function ()
	local world, rostermanager, store

	before_each(function ()
		world = fake.start { config = 'storage = "memory" authentication = "null" VirtualHost "capulet.example"' }
		world.module("authz_internal", "")
		world.load("modulemanager")
		world.load("usermanager")
		world.load("hostmanager").activate_all()
		rostermanager = world.load("rostermanager")
		store = world.load("storagemanager").open(host, "roster", "keyval")
	end)
	after_each(function () world.stop() end)

	local function roster() return rostermanager.load_roster(user, host) end

	it("is empty at first, and one table for all who hold it", function ()
		local held = roster()
		assert.same({ [false] = { version = 0, pending = {} } }, held)
		assert.equal(held, roster())
	end)

	it("is read in all forms it was ever stored in", function ()
		store:set(user, {
			["mercutio@verona.example"] = { subscription = "both", groups = {} },
			["juliet@capulet.example"] = { subscription = "to", groups = {} },
			pending = { [contact] = true },
		})
		local held = roster()
		assert.equal("both", held["mercutio@verona.example"].subscription)
		assert.is_nil(held["juliet@capulet.example"]) -- herself
		assert.is_nil(held.pending)
		assert.is_true(rostermanager.is_contact_pending_in(user, host, contact))
	end)

	it("that cannot be read is never overwritten", function ()
		local storagemanager = world.load("storagemanager")
		storagemanager.open = function ()
			return { get = function () return nil, "disk on fire" end, set = function () error("written") end }
		end
		package.loaded["core.rostermanager"] = nil
		rostermanager = world.load("rostermanager")
		local held, err = rostermanager.load_roster(user, host)
		assert.equal("disk on fire", err)
		assert.is_true(held[false].broken)
		assert.is_nil((rostermanager.save_roster(user, host, held)))
		assert.is_false(rostermanager.set_contact_pending_out(user, host, contact))
	end)

	it("counts its version up with every save", function ()
		local held = roster()
		rostermanager.save_roster(user, host, held)
		rostermanager.save_roster(user, host, held)
		assert.equal(2, store:get(user)[false].version)
	end)

	it("does not keep what others lent", function ()
		prosody.hosts[host].events.add_handler("roster-load", function (event)
			event.roster["nurse@capulet.example"] = { subscription = "both", groups = {}, persist = false }
		end)
		local held = roster()
		assert.is_table(held["nurse@capulet.example"])
		rostermanager.set_contact_pending_out(user, host, contact)
		assert.is_nil(store:get(user)["nurse@capulet.example"])
		assert.equal("subscribe", store:get(user)[contact].ask)
	end)

	describe("edited by its user", function ()
		local session
		before_each(function () session = world.online(user, host) end)

		it("keeps the subscription of a renamed contact", function ()
			roster()[contact] = { subscription = "both", groups = {} }
			assert.is_true(rostermanager.add_to_roster(session, contact, { name = "Romeo", groups = { Friends = true } }))
			assert.same({ subscription = "both", name = "Romeo", groups = { Friends = true } }, roster()[contact])
			assert.is_true(rostermanager.remove_from_roster(session, contact))
			assert.is_nil(store:get(user)[contact])
		end)

		it("stays as it was when it cannot be saved", function ()
			roster()[false].broken = true
			local ok, kind, condition = rostermanager.add_to_roster(session, contact, { name = "x" })
			assert.same({ nil, "wait", "internal-server-error" }, { ok, kind, condition })
			assert.is_nil(roster()[contact])
		end)

		it("is pushed to the sessions that asked for it", function ()
			local other = world.online(user, host, "phone")
			other.interested = true
			rostermanager.add_to_roster(session, contact, { name = "Romeo", groups = { Friends = true } })
			rostermanager.roster_push(user, host, contact)
			assert.equal(0, #session.sent)
			local push = other.sent[1]
			assert.equal("set", push.attr.type)
			assert.equal("juliet@capulet.example/phone", push.attr.to)
			local query = push:get_child("query", "jabber:iq:roster")
			assert.equal("1", query.attr.ver)
			local item = query.tags[1]
			assert.same({ contact, "none", "Romeo" }, { item.attr.jid, item.attr.subscription, item.attr.name })
			assert.equal("Friends", item:get_child_text("group"))
			rostermanager.remove_from_roster(session, contact)
			rostermanager.roster_push(user, host, contact)
			assert.equal("remove", other.sent[2].tags[1].tags[1].attr.subscription)
		end)
	end)

	describe("through a subscription's life", function ()
		it("goes from a request to both and back", function ()
			assert.is_true(rostermanager.set_contact_pending_out(user, host, contact))
			assert.is_false(rostermanager.set_contact_pending_out(user, host, contact))
			assert.equal("subscribe", rostermanager.is_contact_pending_out(user, host, contact))
			assert.is_true(rostermanager.process_inbound_subscription_approval(user, host, contact))
			assert.is_true(rostermanager.is_user_subscribed(user, host, contact))
			assert.is_false(rostermanager.is_contact_subscribed(user, host, contact))

			local request = st.presence { from = contact, type = "subscribe" }:tag("nick"):text("R"):reset()
			assert.is_true(rostermanager.set_contact_pending_in(user, host, contact, request))
			assert.is_false(rostermanager.set_contact_pending_in(user, host, contact, request))
			assert.equal("R", rostermanager.is_contact_pending_in(user, host, contact):get_child_text("nick"))
			assert.same({ true, true }, { rostermanager.subscribed(user, host, contact) })
			assert.equal("both", roster()[contact].subscription)
			assert.is_nil(rostermanager.is_contact_pending_in(user, host, contact))
			assert.is_true(rostermanager.is_contact_subscribed(user, host, contact))

			assert.same({ true, true }, { rostermanager.unsubscribed(user, host, contact) })
			assert.equal("to", roster()[contact].subscription)
			assert.is_true(rostermanager.unsubscribe(user, host, contact))
			assert.equal("none", roster()[contact].subscription)
			assert.equal("none", store:get(user)[contact].subscription)
		end)

		it("does not put those into it who only ask", function ()
			rostermanager.set_contact_pending_in(user, host, contact)
			assert.is_nil(roster()[contact])
			assert.is_true(rostermanager.is_contact_pending_in(user, host, contact))
			assert.same({ false, false }, { rostermanager.unsubscribed(user, host, contact) }) -- nothing to be pushed
			assert.is_nil(rostermanager.is_contact_pending_in(user, host, contact))
			assert.is_nil(roster()[contact])
		end)

		it("ends when the contact ends it", function ()
			roster()[contact] = { subscription = "both", groups = {} }
			assert.is_true(rostermanager.process_inbound_subscription_cancellation(user, host, contact))
			assert.equal("from", roster()[contact].subscription)
			assert.same({ true, false }, { rostermanager.process_inbound_unsubscribe(user, host, contact) })
			assert.equal("none", roster()[contact].subscription)
			rostermanager.set_contact_pending_in(user, host, contact)
			assert.same({ true, true }, { rostermanager.process_inbound_unsubscribe(user, host, contact) })
		end)

		it("grants in advance what is asked later", function ()
			assert.same({ true, false }, { rostermanager.subscribed(user, host, contact) })
			assert.is_true(rostermanager.is_contact_preapproved(user, host, contact))
			assert.is_false(rostermanager.is_contact_subscribed(user, host, contact))
			local row = rostermanager.subscription_row("inbound", "subscribe", user, host, contact)
			assert.same({ "From", false, "subscribed", true }, { row.state, row.deliver, row.reply, row.push })
			assert.is_true(rostermanager.process_inbound_preapproved_request(user, host, contact))
			assert.is_true(rostermanager.is_contact_subscribed(user, host, contact))
		end)

		it("can take an approval back before it was used", function ()
			rostermanager.subscribed(user, host, contact)
			assert.same({ true, false }, { rostermanager.unsubscribed(user, host, contact) })
			assert.is_false(rostermanager.is_contact_preapproved(user, host, contact))
			assert.is_nil(roster()[contact])
		end)

		it("always lets users see themselves", function ()
			assert.is_true(rostermanager.is_contact_subscribed(user, host, "juliet@capulet.example"))
			assert.is_true(rostermanager.is_user_subscribed(user, host, "juliet@capulet.example"))
		end)
	end)
end)
