--- What net.resolvers.service promises, with a real name server.

local dns = require "spec.support.dns"
local effort = require "spec.support.effort"

dns.suite(_ENV, "A domain's service", "net.resolvers.service", function (here)
	local world, service
	local relay = here.relay
	before_each(function () world, service = here.world, here.subject end)

	local both = { "xmpps-server", "xmpp-server" }

	local function new(name, extra, services)
		extra = extra or {}
		extra.prefer_ipv6 = true
		extra.default_port = extra.default_port or 5269
		return service.new(name, services or both, "tcp", extra)
	end

	it("is where its SRV records say, those of direct TLS mixed with the others by priority", function ()
		local list, err, targets = world.targets(new "capulet.secure")
		assert.equal("2001:db8::10:5270 192.0.2.10:5270 2001:db8::10:5269 192.0.2.10:5269 192.0.2.4:443", list)
		assert.matches("no more", err)
		local tls, services, names = {}, {}, {}
		for i, target in ipairs(targets) do
			tls[i], services[i], names[i] = target.extra.direct_tls, target.extra.service, target.extra.target
			assert.is_true(target.extra.secure)
			assert.equal(i < 5, target.more)
		end
		assert.same({ true, true, false, false, true }, tls)
		assert.same({ "xmpps-server", "xmpps-server", "xmpp-server", "xmpp-server", "xmpps-server" }, services)
		assert.same({ "xmpp.secure.", "xmpp.secure.", "xmpp.secure.", "xmpp.secure.", "four.secure." }, names)
	end)

	it("may be looked for under one name", function ()
		assert.equal("2001:db8::10:5269 192.0.2.10:5269",
			(world.targets(new("capulet.secure", nil, "xmpp-server"))))
		assert.equal("192.0.2.4:5269", (world.targets(new("only.secure"))))
	end)

	it("is at the domain itself when there are no SRV records", function ()
		local list, _, targets = world.targets(new "bare.secure")
		assert.equal("2001:db8::5:5269 192.0.2.5:5269", list)
		assert.same({ true, false, "xmpp-server", "bare.secure." }, { targets[1].extra.secure,
			targets[1].extra.direct_tls, targets[1].extra.service, targets[1].extra.target })
		assert.is_false(world.target(new "host.plain").extra.secure)
	end)

	it("is nowhere when there is no port for that", function ()
		local list, err = world.targets(service.new("bare.secure", both, "tcp", {}))
		assert.equal("", list)
		assert.matches("bare.secure has no SRV record", err)
	end)

	it("is at the domain itself when nobody answers for SRV records", function ()
		relay.silent["^_xmpps?%-server%._tcp%.bare"] = true
		local came
		new "bare.secure":next(function (_, address) came = address end)
		local is_known
		require "net.adns".lookup(function () is_known = true end, "bare.secure")
		world.run(function () return is_known end)
		world.advance(10)
		world.run(function () return came end)
		assert.equal("2001:db8::5", came)
		relay.silent["^_xmpps?%-server%._tcp%.bare"] = nil
	end)

	it("is nowhere when the records say so", function ()
		local list, err = world.targets(new "closed.secure")
		assert.equal("", list)
		assert.matches("closed.secure says that it has no such service", err)
		list = world.targets(new "halfclosed.secure") -- only direct TLS is closed, the other does not exist
		assert.equal("", list)
	end)

	it("without direct TLS is still there", function ()
		assert.equal("192.0.2.4:5269", (world.targets(new "notls.secure")))
	end)

	it("is nowhere when its records failed validation", function ()
		local list, err = world.targets(new "host.expired")
		assert.equal("", list)
		assert.matches("SRV records of host.expired failed validation", err)
	end)

	it("is not at a host whose address failed validation", function ()
		local list, err = world.targets(new "fallen.secure")
		assert.equal("", list)
		assert.matches("host.broken", err)
	end)

	it("is not secure when its host is not, or its records are not", function ()
		local target = world.target(new "away.secure")
		assert.same({ "192.0.2.200", false }, { target.address, target.extra.secure })
		target = world.target(new "verona.plain")
		assert.same({ "192.0.2.200", false }, { target.address, target.extra.secure })
	end)

	it("tries the next record when a host does not exist", function ()
		assert.equal("192.0.2.4:5269", (world.targets(new "twice.secure")))
		local list, err = world.targets(new "nowhere.secure")
		assert.equal("", list)
		assert.matches("missing.secure. has no address", err)
	end)

	it("is never a mail server, nor a name that is none", function ()
		for _, name in ipairs { "mail.secure", "odd.secure" } do
			local list, err = world.targets(new(name))
			assert.equal("", list)
			assert.matches("no SRV record that can be used", err)
		end
	end)

	it("is not where we may not connect", function ()
		local is_allowed = require "util.address".checker()
		local list, err = world.targets(new("inside.secure", { is_allowed = is_allowed }))
		assert.equal("", list)
		assert.matches("where we do not connect", err)
	end)

	it("has at most eight records that are tried", function ()
		local list, _, targets = world.targets(new "many.secure")
		assert.equal(8, #targets)
		assert.matches("^192.0.2.4:7001 192.0.2.4:7002 .* 192.0.2.4:7008$", list)
		_, _, targets = world.targets(new "ports.secure")
		assert.equal(8, #targets)
		local ports = {}
		for _, target in ipairs(targets) do ports[target.port] = true end
		local n = 0
		for _ in pairs(ports) do n = n + 1 end
		assert.equal(8, n)
	end)

	it("of an IDN is asked for by its A-labels", function ()
		world.targets(new "bücher.secure")
		local asked = {}
		for _, name in ipairs(relay.asked) do asked[name] = true end
		assert.is_true(asked["_xmpp-server._tcp.xn--bcher-kva.secure."])
		assert.is_true(asked["_xmpps-server._tcp.xn--bcher-kva.secure."])
		local list, err = world.targets(new "a..b")
		assert.equal("", list)
		assert.matches("not a domain name", err)
	end)

	it("comes with TLSA records when all is validated", function ()
		local target = world.target(new("capulet.secure", { use_dane = true }))
		assert.equal(2, target.extra.tlsa[1].tlsa.use)
		assert.is_nil(world.target(new("verona.plain", { use_dane = true })).extra.tlsa)
	end)

	it("can be cancelled at any moment", function ()
		local called = false
		local function on_target() called = true end
		local before, during, after = new "capulet.secure", new "capulet.secure", new "capulet.secure"
		before:cancel()
		assert.is_nil((world.target(before)))
		during:next(on_target)
		world.settle()
		during:cancel()
		assert.is_not_nil(world.target(after))
		after:next(on_target)
		world.run(function () return called end)
		called = false
		after:next(on_target)
		after:cancel()
		assert.is_nil((world.target(after)))
		assert.is_not_nil(world.target(new "only.secure"))
		assert.is_false(called)
	end)

	it("serves those who ask before there is an answer in order", function ()
		local resolver, came = new "capulet.secure", {}
		for i = 1, 6 do
			resolver:next(function (_, address, port) came[i] = tostring(address) .. ":" .. tostring(port) end)
		end
		world.run(function () return came[6] end)
		assert.equal("2001:db8::10:5270 192.0.2.10:5270 2001:db8::10:5269 192.0.2.10:5269 192.0.2.4:443",
			table.concat(came, " ", 1, 5))
	end)
end)

describe("The order of SRV records", function ()
	local world, order

	setup(function ()
		world = dns.world {}
		order = require "net.resolvers.service".order
	end)
	teardown(function () world.stop() end)

	local function record(name, priority, weight) return { name = name, priority = priority, weight = weight } end

	local function names(records)
		local list = {}
		for i, one in ipairs(records) do list[i] = one.name end
		return table.concat(list)
	end

	it("is that of priority, the lowest first", function ()
		assert.equal("abc", names(order({ record("c", 30, 9), record("a", 0, 0), record("b", 20, 0) }, 8)))
		assert.equal("ab", names(order({ record("c", 30, 9), record("a", 0, 0), record("b", 20, 0) }, 2)))
	end)

	it("within a priority is chance in proportion to weight (RFC 2782)", function ()
		local records = { record("a", 0, 60), record("b", 0, 20), record("c", 0, 20), record("z", 0, 0) }
		-- sorted by weight: z up to 0, then b and c (in either order) up to 20 and 40, a up to 100
		assert.equal("z", names(order(records, 1, function (sum)
			assert.equal(100, sum)
			return 0
		end)))
		assert.equal("a", names(order(records, 1, function () return 41 end)))
		assert.equal("a", names(order(records, 1, function () return 100 end)))
		assert.matches("^[bc]$", names(order(records, 1, function () return 1 end)))
		assert.matches("^[bc]$", names(order(records, 1, function () return 40 end)))
		assert.matches("^a[bc][bc]z$", names(order(records, 8, function (sum) return sum end)))
	end)

	it("gives every record of a priority its turn", function ()
		local first = {}
		for _ = 1, 2000 do
			local list = names(order({ record("a", 0, 3), record("b", 0, 1), record("c", 1, 0) }, 8))
			assert.matches("^[ab][ab]c$", list)
			first[list:sub(1, 1)] = (first[list:sub(1, 1)] or 0) + 1
		end
		-- a is chosen by 2, 3 and 4 of 0 to 4 or more exactly when the number is above 1: 3 of 5
		assert.is_true(first.a > 1050 and first.a < 1350, first.a)
	end)

	it("is chance among records without weight", function ()
		local first = {}
		for _ = 1, 400 do
			local name = names(order({ record("a", 0, 0), record("b", 0, 0) }, 1))
			first[name] = (first[name] or 0) + 1
		end
		assert.is_true(first.a > 100 and first.b > 100)
	end)

	it("of two thousand records takes no time", function ()
		local records = {}
		for i = 1, 2000 do records[i] = record("a", i % 2, 65535) end
		assert.is_true(effort.is_below(0.05, function () assert.equal(8, #order(records, 8)) end))
	end)
end)
