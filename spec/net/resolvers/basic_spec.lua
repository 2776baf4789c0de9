--- What net.resolvers.basic promises, with a real name server.

require "spec.support.dns".suite(_ENV, "A host's addresses", "net.resolvers.basic", function (here)
	local world, basic
	local relay, name_server = here.relay, here.name_server
	before_each(function () world, basic = here.world, here.subject end)

	local function new(name, extra)
		extra = extra or {}
		if extra.prefer_ipv6 == nil then extra.prefer_ipv6 = true end
		return basic.new(name, 5269, "tcp", extra)
	end

	it("come with those of IPv6 first, or as one prefers", function ()
		local list, err, targets = world.targets(new "xmpp.secure")
		assert.equal("2001:db8::10:5269 192.0.2.10:5269", list)
		assert.matches("no more addresses", err)
		assert.same({ "tcp6", true, "xmpp.secure.", true },
			{ targets[1].conn_type, targets[1].more, targets[1].extra.target, targets[1].extra.secure })
		assert.same({ "tcp4", false }, { targets[2].conn_type, targets[2].more })
		assert.equal("192.0.2.10:5269 2001:db8::10:5269",
			(world.targets(new("xmpp.secure", { prefer_ipv6 = false }))))
	end)

	it("take turns, and are at most eight", function ()
		world.configure((name_server:configuration():gsub("forward = %b\"\"", ("forward = %q"):format(
			"127.0.0.1@" .. name_server.port)))) -- so many need TCP
		local _, _, targets = world.targets(new "thousand.secure")
		assert.equal(8, #targets)
		local resolver = new "turns.secure"
		local first = world.target(resolver).address
		world.run(function () return not next(resolver._lookups) end)
		local families = (first .. " " .. world.targets(resolver)):gsub("[%x:.]+ ?", function (address)
			return address:find("::", 1, true) and "6" or "4"
		end)
		assert.equal("646444", families)
	end)

	it("may be of one family only", function ()
		assert.equal("192.0.2.10:5269", (world.targets(new("xmpp.secure", { use_ipv6 = false }))))
		assert.equal("2001:db8::10:5269", (world.targets(new("xmpp.secure", { use_ipv4 = false }))))
		world.configure(name_server:configuration() .. "use_ipv6 = false")
		assert.equal("192.0.2.10:5269", (world.targets(new "xmpp.secure")))
		assert.equal("192.0.2.4:5269", (world.targets(new "four.secure")))
		world.configure(name_server:configuration())
		assert.equal("2001:db8::6:5269", (world.targets(new "six.secure")))
	end)

	it("need no lookup when they are given as such", function ()
		for text, expected in pairs {
			["192.0.2.1"] = "192.0.2.1:5269", ["2001:db8::1"] = "2001:db8::1:5269", ["[2001:db8::1]"] = "2001:db8::1:5269",
		} do
			local list, _, targets = world.targets(new(text))
			assert.equal(expected, list)
			assert.is_nil(targets[1].extra.target)
		end
		assert.same({}, relay.asked)
	end)

	it("are not there when the name has none, is none, or does not exist", function ()
		for name, expected in pairs {
			["nothing.secure"] = "has no address", ["missing.secure"] = "has no address", ["a..b"] = "not a host name",
			["loop1.secure"] = "has no address", [""] = "not a host name",
		} do
			local list, err = world.targets(new(name))
			assert.equal("", list)
			assert.matches(expected, err)
		end
	end)

	it("are not taken from an answer that failed validation", function ()
		local list, err = world.targets(new "host.broken")
		assert.equal("", list)
		assert.matches("^host.broken: ", err)
	end)

	it("of a name that has as many letters as an address has bytes are those of the name", function ()
		assert.equal("192.0.2.44:5269", (world.targets(new "a.de.secure")))
		local list, err = world.targets(new "a.de")
		assert.equal("", list)
		assert.matches("a.de has no address", err)
	end)

	it("of an IDN are found", function ()
		local list, _, targets = world.targets(new "bücher.secure")
		assert.equal("192.0.2.33:5269", list)
		assert.equal("xn--bcher-kva.secure.", targets[1].extra.target)
	end)

	it("are secure only if all that led there was validated", function ()
		local function is_secure(name, extra)
			return world.target(new(name, extra)).extra.secure
		end
		assert.is_true(is_secure "xmpp.secure")
		assert.is_false(is_secure "host.plain")
		assert.is_false(is_secure "outside.secure")
		assert.is_false(is_secure("xmpp.secure", { secure = false }))
		assert.is_true(is_secure("xmpp.secure", { secure = true }))
	end)

	it("keep what extra says, and leave it as it was", function ()
		local extra = { prefer_ipv6 = true, mine = {} }
		local target = world.target(new("xmpp.secure", extra))
		assert.equal(extra.mine, target.extra.mine)
		assert.same({ prefer_ipv6 = true, mine = {} }, extra)
	end)

	describe("on or behind this machine", function ()
		local is_allowed
		before_each(function () is_allowed = require "util.address".checker() end)

		it("are not given to who does not allow them", function ()
			local list, err = world.targets(new("inside.secure", { is_allowed = is_allowed }))
			assert.equal("", list)
			assert.matches("inside.secure is at .+ %(%a+%), where we do not connect", err)
			local allowed = require "util.address".checker { "documentation" }
			assert.equal("192.0.2.77:5269", (world.targets(new("mixed.secure", { is_allowed = allowed }))))
			assert.equal("", (world.targets(new("127.0.0.1", { is_allowed = is_allowed }))))
			assert.equal("", (world.targets(new("[::1]", { is_allowed = is_allowed }))))
		end)

		it("are given to who lists them", function ()
			local allowed = require "util.address".checker { "10.0.0.0/8" }
			assert.equal("10.1.2.3:5269", (world.targets(new("inside.secure", { is_allowed = allowed }))))
		end)
	end)

	describe("when an answer is slow", function ()
		-- Asks for a target while questions of that type wait; gives the resolver and a function that says what came.
		local function start(held_type, extra, name)
			relay:hold(("^%s%%./%d$"):format(name or "xmpp%.secure", held_type))
			local resolver = new(name or "xmpp.secure", extra)
			local came
			resolver:next(function (_, address) came = address end)
			world.run(function () return relay.waiting[1] end, "the question")
			return resolver, function ()
				world.settle()
				return came
			end
		end

		it("waits 50 ms more for IPv6, then goes on without it", function ()
			local resolver, came = start(28)
			world.run(function () return resolver._delay end)
			assert.is_nil(came())
			world.advance(0.04)
			assert.is_nil(came())
			world.advance(0.02)
			assert.equal("192.0.2.10", came())
			relay:release()
			local target = world.target(resolver)
			assert.same({ "2001:db8::10", false }, { target.address, target.more })
		end)

		it("takes IPv6 when it comes in time", function ()
			local resolver, came = start(28)
			world.run(function () return resolver._delay end)
			world.advance(0.04)
			relay:release()
			world.run(came)
			assert.equal("2001:db8::10", came())
			assert.equal("192.0.2.10", world.target(resolver).address)
		end)

		it("does not wait for IPv4", function ()
			local resolver, came = start(1)
			world.run(came)
			assert.equal("2001:db8::10", came())
			local second
			resolver:next(function (_, address) second = address end)
			world.settle()
			assert.is_nil(second)
			relay:release()
			world.run(function () return second end)
			assert.equal("192.0.2.10", second)
		end)

		it("goes on with what there is when the other never comes", function ()
			local resolver, came = start(1)
			world.run(came)
			local second, err
			resolver:next(function (_, text) second, err = true, text end)
			world.advance(10)
			world.run(function () return second end)
			assert.matches("no answer within 10 seconds", err)
		end)

		it("can be cancelled, before, meanwhile and after", function ()
			local resolver, came = start(1)
			world.run(came)
			local called = false
			resolver:next(function () called = true end)
			resolver:cancel()
			relay:release()
			assert.equal("192.0.2.10:5269 2001:db8::10:5269",
				(world.targets(new("xmpp.secure", { prefer_ipv6 = false }))))
			assert.is_false(called)
			assert.is_nil((world.target(resolver)))
			local unused = new "xmpp.secure"
			unused:cancel()
			assert.is_nil((world.target(unused)))
		end)
	end)

	describe("with TLSA records", function ()
		local function dane(name, port, extra)
			extra = extra or {}
			extra.use_dane, extra.prefer_ipv6 = true, true
			return basic.new(name, port, "tcp", extra)
		end

		local function awaits_tlsa_only(resolver)
			world.run(function ()
				return resolver._lookups.TLSA and not resolver._lookups.A and not resolver._lookups.AAAA
			end, "addresses")
		end

		it("come with them", function ()
			local target = world.target(dane("xmpp.secure", 5269))
			assert.equal(1, target.extra.tlsa.n)
			assert.same({ 3, 1, 1, 32 }, { target.extra.tlsa[1].tlsa.use, target.extra.tlsa[1].tlsa.select,
				target.extra.tlsa[1].tlsa.match, #target.extra.tlsa[1].tlsa.data })
			assert.is_nil(world.target(dane("xmpp.secure", 5271)).extra.tlsa)
		end)

		it("come without them when anything before was not validated", function ()
			assert.is_nil(world.target(dane("host.plain", 5269)).extra.tlsa)
			assert.is_nil(world.target(dane("xmpp.secure", 5269, { secure = false })).extra.tlsa)
			assert.is_nil(world.target(new "xmpp.secure").extra.tlsa)
		end)

		it("do not come at all when these cannot be had", function ()
			relay.silent["_5269"] = true
			local called, err
			local resolver = dane("xmpp.secure", 5269)
			resolver:next(function (conn_type, text) called, err = true, not conn_type and text end)
			awaits_tlsa_only(resolver)
			assert.is_nil(called)
			world.advance(10)
			world.settle()
			assert.is_true(called)
			assert.matches("TLSA records of xmpp.secure: no answer", err)
			relay.silent["_5269"] = nil
		end)

		it("come, when they cannot be had, if they would not count anyway", function ()
			relay.silent["_5269"] = true
			local came
			local resolver = dane("host.plain", 5269)
			resolver:next(function (_, address) came = address end)
			awaits_tlsa_only(resolver)
			world.advance(10)
			world.settle()
			assert.equal("192.0.2.200", came)
			relay.silent["_5269"] = nil
		end)
	end)
end)
