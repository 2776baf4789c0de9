--- What mod_s2s/targets promises, with a real name server: where to connect, and where never.

local dns = require "spec.support.dns"
local libraries = require "spec.support.s2s_libraries"
local name_server, missing = dns.start()
if not name_server then
	describe("Where to connect", function () pending("cannot be looked up here: " .. missing) end)
	return
end

describe("Where to connect", function ()
	local world, notes

	before_each(function ()
		world = dns.world { config = name_server:configuration() .. "use_ipv6 = false" }
		notes = {}
	end)
	after_each(function () world.stop() end)
	teardown(function () name_server:stop() end)

	local public = { s2s_allow_private_targets = { "documentation" } } -- in which the zones' addresses are

	local function load(options) return libraries.load(world, "targets", options or public) end

	-- All targets as "address:port", with "!" behind those of direct TLS; the error that ended them, and whether nobody
	-- answered; the targets themselves.
	local function all(targets, domain)
		local list, found, failure = {}, {}, nil
		local one = targets.new(domain, function (text, ...) table.insert(notes, text:format(...)) end)
		repeat
			local target, err, is_unanswered
			local called = false
			one:next(function (...)
				target, err, is_unanswered = ...
				called = true
			end)
			world.run(function () return called end)
			if target then
				table.insert(found, target)
				table.insert(list, ("%s:%d%s"):format(target.address, target.port, target.direct_tls and "!" or ""))
			else
				failure = { err, is_unanswered }
			end
		until not target
		return table.concat(list, " "), failure, found
	end

	it("is what the domain's records say, with what belongs to each", function ()
		local list, _, found = all(load(), "capulet.secure")
		assert.equal("192.0.2.10:5270! 192.0.2.10:5269 192.0.2.4:443!", list)
		assert.same({ 5, 10, 20 }, { found[1].priority, found[2].priority, found[3].priority })
		assert.equal("xmpp.secure.", found[1].name)
		assert.equal("DNS", found[1].from)
		local told = table.concat(notes, "\n")
		assert.matches("_xmpps%-server._tcp.capulet.secure SRV: .*5 0 5270 xmpp.secure.", told)
		assert.matches("xmpp.secure. A: 192.0.2.10 %(validated by DNSSEC%)", told)
	end)

	it("is what the admin wrote down, wherever that is, and nothing else", function ()
		local targets = load { s2s_connect_overrides = {
			["Capulet.Secure"] = { host = "127.0.0.1", port = 7 },
			["list.example"] = { { host = "10.0.0.1", direct_tls = true }, { host = "xmpp.secure" } },
			["here.example"] = { port = 7000 },
		} }
		assert.equal("127.0.0.1:7", (all(targets, "capulet.secure")))
		local list, _, found = all(targets, "list.example")
		assert.equal("10.0.0.1:5270! 192.0.2.10:5269", list)
		assert.same({ 1, 2 }, { found[1].priority, found[2].priority }) -- the first is meant to be better
		assert.equal("", (all(targets, "here.example"))) -- the name itself, which has no address
	end)

	it("is the address that the domain is", function ()
		local targets = load { s2s_allow_private_targets = { "10.0.0.0/8" } }
		assert.equal("10.1.2.3:5269", (all(targets, "10.1.2.3")))
		assert.equal("", (all(targets, "192.168.1.1")))
		assert.equal("", (all(targets, "[::1]")))
		assert.equal("93.184.216.34:5269", (all(targets, "93.184.216.34")))
	end)

	it("is nowhere behind or on this machine, unless that is listed", function ()
		local list, failure = all(load(), "inside.secure")
		assert.equal("", list)
		assert.matches("inside.secure. is at 10.1.2.3 %(private%), where we do not connect", failure[1])
		assert.equal("10.1.2.3:6379", (all(load { s2s_allow_private_targets = { "private" } }, "inside.secure")))
	end)

	it("is never a port of ours", function ()
		local portmanager = require "core.portmanager"
		local get_service_at = portmanager.get_service_at
		local interface = "*"
		function portmanager.get_service_at(port, where) -- luacheck: ignore 122
			if port == 5269 and where == interface then return { name = "s2s" } end
		end
		finally(function () portmanager.get_service_at = get_service_at end) -- luacheck: ignore 122
		local targets = load { s2s_connect_overrides = {
			["self.example"] = { { host = "127.0.0.1" }, { host = "127.0.0.1", port = 5270 } },
			["other.example"] = { host = "192.0.2.1" },
			["mapped.example"] = { host = "::ffff:127.0.0.1" },
		} }
		local list, failure = all(targets, "self.example")
		assert.equal("127.0.0.1:5270", list)
		assert.equal("127.0.0.1 port 5269 is this server itself", failure[1])
		assert.equal("192.0.2.1:5269", (all(targets, "other.example"))) -- is not on this machine
		assert.equal("", (all(targets, "mapped.example")))
		interface = "192.0.2.1"
		assert.equal("", (all(targets, "other.example")))
	end)

	it("are eight addresses at most", function ()
		local _, _, found = all(load(), "ports.secure")
		assert.equal(8, #found)
		local routes = {}
		for i = 1, 20 do routes[i] = { host = "192.0.2.1", port = i } end
		_, _, found = all(load { s2s_connect_overrides = { ["many.example"] = routes } }, "many.example")
		assert.equal(8, #found)
	end)

	it("is nowhere for sure when the records say so, and perhaps somewhere when nobody answers", function ()
		local targets = load()
		local failure = select(2, all(targets, "closed.secure"))
		assert.same({ "closed.secure says that it has no such service", false }, failure)
		assert.is_false(select(2, all(targets, "missing.secure"))[2])
		name_server.relay.silent["away%.plain%./"] = true
		local one, came = targets.new "away.plain", nil
		one:next(function (_, err, is_unanswered) came = { err, is_unanswered } end)
		for _ = 1, 3 do
			world.settle()
			world.advance(10)
		end
		world.run(function () return came end)
		assert.matches("no answer within 10 seconds", came[1])
		assert.is_true(came[2])
	end)

	it("has TLSA records when these are wanted and validated", function ()
		assert.is_nil(select(3, all(load(), "capulet.secure"))[1].tlsa)
		local found = select(3, all(load { s2s_allow_private_targets = { "documentation" }, use_dane = true },
			"capulet.secure"))
		assert.equal(2, found[1].tlsa[1].tlsa.use)
	end)

	it("is not told any more once it was cancelled", function ()
		local one, called = load().new "capulet.secure", false
		one:next(function () called = true end)
		world.settle()
		one:cancel()
		local is_known
		require "net.adns".lookup(function () is_known = true end, "only.secure")
		world.run(function () return is_known end)
		assert.is_false(called)
		one:next(function (target) called = target == nil end)
		assert.is_true(called)
	end)

	it("is not decided by options that make no sense, which are told", function ()
		local _, module = load { s2s_connect_overrides = { ["a b"] = {}, ["fine.example"] = "192.0.2.1" },
			s2s_allow_private_targets = { "everything" }, unbound = { servers = {} } }
		local told = {}
		for i, entry in ipairs(module.logged) do told[i] = entry[2] end
		table.sort(told)
		assert.equal(4, #told)
		assert.matches('No name can be looked up: unbound: there is no "servers"', told[1])
		assert.matches("s2s_allow_private_targets: everything is neither", told[2])
		assert.matches('s2s_connect_overrides: %["a b"%] must be a domain', told[3])
		assert.matches('s2s_connect_overrides: %["fine.example"%] must be a domain', told[4])
	end)
end)
