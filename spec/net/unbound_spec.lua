--- What net.unbound and couplet.unbound promise, with a real name server that signs its zones.

local dns = require "spec.support.dns"
local name_server, missing = dns.start()
if not name_server then
	describe("Names", function () pending("cannot be looked up here: " .. missing) end)
	return
end

describe("The DNS:", function ()
	teardown(function () name_server:stop() end)

	describe("looking up names", function ()
		local world, unbound, resolver

		local function start(settings, direct)
			resolver = unbound.new(name_server:settings(settings, direct))
			return resolver
		end

		before_each(function ()
			world = dns.world()
			unbound = require "net.unbound"
			name_server.relay.asked = {}
			start()
		end)
		after_each(function ()
			resolver:close()
			name_server.relay:release()
			world.stop()
		end)

		-- Asks and turns until there is an answer: answer, error.
		local function ask(name, qtype, qclass)
			local answered, answer, err
			resolver:lookup(function (...)
				assert(not answered, "answered twice")
				answered, answer, err = true, ...
			end, name, qtype, qclass)
			assert.is_nil(answered, "answered from inside the call that asks")
			world.run(function () return answered end, name)
			return answer, err
		end

		-- The values of one field of all records, sorted.
		local function values(answer, field)
			local list = {}
			for i, record in ipairs(answer) do list[i] = tostring(record[field]) end
			table.sort(list)
			return list
		end

		it("finds addresses, and says that they are validated", function ()
			local answer = assert(ask("xmpp.secure"))
			assert.same({ "192.0.2.10" }, values(answer, "a"))
			assert.is_true(answer.secure)
			assert.is_false(answer.bogus)
			assert.equal(0, answer.rcode)
			assert.equal("NoError", answer.status)
			assert.equal(1, answer.n)
			assert.equal("xmpp.secure", answer.qname)
			assert.equal("A", answer.type)
			assert.equal("IN", answer.class)
			assert.same({ "2001:db8::10" }, values(ask("xmpp.secure", "AAAA"), "aaaa"))
			assert.same({ "2001:db8::10" }, values(ask("xmpp.secure", 28, 1), "aaaa"))
		end)

		it("reads every type that modules ask for", function ()
			local srv = ask("_xmpp-server._tcp.capulet.secure", "SRV")[1].srv
			assert.same({ 10, 0, 5269, "xmpp.secure." }, { srv.priority, srv.weight, srv.port, srv.target })
			local tlsa = ask("_5270._tcp.xmpp.secure.", "TLSA")[1].tlsa
			assert.same({ 2, 0, 2, "\0\255" }, { tlsa.use, tlsa.select, tlsa.match, tlsa.data })
			local mx = ask("mail.secure", "MX")[1].mx
			assert.same({ 10, "mail.secure." }, { mx.pref, mx.mx })
			assert.equal('one twoquote" and \200', ask("txt.secure", "TXT")[1].txt)
			assert.equal("xmpp.secure.", ask("10.2.0.192.secure", "PTR")[1].ptr)
			assert.equal("ns.secure.", ask("secure", "NS")[1].ns)
			local soa = ask("secure", "SOA")[1].soa
			assert.same({ "ns.secure.", "hostmaster.secure.", 1, 3600, 600, 86400, 60 },
				{ soa.mname, soa.rname, soa.serial, soa.refresh, soa.retry, soa.expire, soa.minimum })
			local naptr = ask("naptr.secure", "NAPTR")[1].naptr
			assert.same({ 100, 50, "s", "SIP+D2U", "!^.*$!sip:x@y!", "_sip._udp.secure." }, { naptr.order,
				naptr.preference, naptr.flags, naptr.service, naptr.regexp, naptr.replacement })
			assert.equal("\1\2\3\4", ask("strange.secure", "TYPE65534")[1].type65534)
		end)

		it("prints records as zone files have them", function ()
			assert.equal("xmpp.secure. 3600 IN A 192.0.2.10", tostring(ask("xmpp.secure")[1]))
			assert.equal("_xmpp-server._tcp.capulet.secure. 3600 IN SRV 10 0 5269 xmpp.secure.",
				tostring(ask("_xmpp-server._tcp.capulet.secure", "SRV")[1]))
			assert.equal("_5270._tcp.xmpp.secure. 3600 IN TLSA 2 0 2 00FF",
				tostring(ask("_5270._tcp.xmpp.secure", "TLSA")[1]))
			assert.equal("strange.secure. 3600 IN TYPE65534 \\# 4 01020304", tostring(ask("strange.secure", 65534)[1]))
			assert.equal('txt.secure. 3600 IN TXT "one twoquote\\" and \\200"', tostring(ask("txt.secure", "TXT")[1]))
			assert.equal("; xmpp.secure IN A: NoError, secure\nxmpp.secure. 3600 IN A 192.0.2.10",
				tostring(ask("xmpp.secure")))
		end)

		it("follows aliases, as far as they are signed", function ()
			local answer = ask("alias.secure", "AAAA")
			assert.same({ "2001:db8::10" }, values(answer, "aaaa"))
			assert.equal("xmpp.secure.", answer[1].name)
			assert.is_true(answer.secure)
			assert.equal("xmpp.secure.", ask("alias.secure", "CNAME")[1].cname)
			answer = ask("outside.secure")
			assert.same({ "192.0.2.200" }, values(answer, "a"))
			assert.is_false(answer.secure)
		end)

		it("keeps a name of strange bytes one name", function ()
			assert.equal("a\\.b\\000c.secure.", ask("odd.secure", "CNAME")[1].cname)
		end)

		it("tells signed nothing from unsigned nothing", function ()
			local answer = ask("missing.secure")
			assert.same({ 0, 3, "NXDomain", true, true, false },
				{ answer.n, answer.rcode, answer.status, answer.nxdomain, answer.secure, answer.bogus })
			answer = ask("xmpp.secure", "TXT")
			assert.same({ 0, 0, "NoError", false, true }, { answer.n, answer.rcode, answer.status, answer.nxdomain,
				answer.secure })
			answer = ask("missing.plain")
			assert.same({ 0, 3, false }, { answer.n, answer.rcode, answer.secure })
		end)

		it("takes an unsigned zone for what it is", function ()
			local answer = ask("host.plain")
			assert.same({ "192.0.2.200" }, values(answer, "a"))
			assert.is_false(answer.secure)
			assert.is_false(answer.bogus)
		end)

		it("gives no records that fail validation, and says why", function ()
			for _, name in ipairs { "host.broken", "host.expired" } do
				local answer = assert(ask(name))
				assert.equal(0, answer.n)
				assert.is_nil(answer[1])
				assert.is_false(answer.secure)
				assert.matches("%a", answer.bogus)
			end
			assert.matches("expired", ask("host.expired").bogus)
			assert.matches("^; host.broken IN A: %a+, bogus %(.+%)$", tostring(ask("host.broken")))
		end)

		it("validates nothing without a trust anchor", function ()
			resolver:close()
			start { trusted = {} }
			assert.is_false(ask("xmpp.secure").secure)
			assert.same({ "192.0.2.99" }, values(ask("host.broken"), "a"))
		end)

		it("trusts keys of a file", function ()
			resolver:close()
			start { trusted = false, trustfile = name_server.folder .. "/root.ds" }
			assert.is_true(ask("xmpp.secure").secure)
			assert.matches("%a", ask("host.broken").bogus)
		end)

		it("by default trusts the keys of the real root", function ()
			local settings = require "net.unbound_settings".native {}
			local text = table.concat(settings.trusted or {}) .. (settings.trustfile or "")
			assert.matches(settings.trustfile and "^/usr/share/dns/root.key$" or "IN DS 20326 .* IN DS 38696 ", text)
		end)

		describe("behind a server that knows no DNSSEC", function ()
			local settings

			before_each(function ()
				resolver:close()
				name_server.relay.strips = true
				settings = name_server:settings()
				settings.trusted = nil
				resolver = unbound.new(settings)
			end)
			after_each(function () name_server.relay.strips = nil end)

			it("goes on without validation when nobody relies on it, and says so once", function ()
				for _, name in ipairs { "xmpp.secure", "four.secure" } do
					local answer = ask(name)
					assert.equal(1, answer.n)
					assert.is_false(answer.secure)
					assert.is_false(answer.bogus)
					assert.is_true(answer.is_unvalidated)
					assert.matches("leave out DNSSEC", require "net.dns".describe(name, "A", answer))
				end
				local n = 0
				for _, entry in ipairs(world.logged) do
					if entry.level == "warn" then n = n + 1 end
				end
				assert.equal(1, n)
				assert.truthy(world.log_has("warn", "unbound = { forward = \"ADDRESS\" }"))
				assert.is_false(world.log_has("error", "name servers"))
			end)

			it("answers all who ask at the same time", function ()
				local came = 0
				for _ = 1, 20 do
					resolver:lookup(function (answer) came = came + (answer and answer.n or 0) end, "xmpp.secure")
					resolver:lookup(function (answer) came = came + (answer and answer.n or 0) end, "four.secure")
				end
				world.run(function () return came == 40 end)
			end)

			it("tries again later whether answers can be validated", function ()
				local function n_asked_for_keys()
					local n = 0
					for _, name in ipairs(name_server.relay.asked) do
						if name == "." then n = n + 1 end
					end
					return n
				end
				assert.is_true(ask("xmpp.secure").is_unvalidated)
				local before = n_asked_for_keys()
				world.advance(599)
				assert.is_true(ask("six.secure", "AAAA").is_unvalidated)
				assert.equal(before, n_asked_for_keys())
				world.advance(2)
				assert.is_true(ask("xmpp.secure").is_unvalidated) -- ours is not the real root
				assert.is_true(n_asked_for_keys() > before)
			end)

			it("believes nothing when DANE relies on it", function ()
				world.configure "use_dane = true"
				resolver:close()
				resolver = unbound.new(settings)
				assert.matches("our name servers leave out what DNSSEC needs", ask("xmpp.secure").bogus)
				assert.truthy(world.log_has("error", "none is believed"))
			end)
		end)

		it("believes nothing behind such a server when told whom to trust, and says once what to do", function ()
			name_server.relay.strips = true
			finally(function () name_server.relay.strips = nil end)
			for _, name in ipairs { "xmpp.secure", "four.secure", "host.plain" } do
				local answer = ask(name)
				assert.equal(0, answer.n)
				assert.matches("our name servers leave out what DNSSEC needs", answer.bogus)
				assert.matches('DNSSEC needs. Ask others %(unbound = { forward = "ADDRESS" }%)',
					require "net.dns".describe(name, "A", answer))
			end
			assert.matches("unbound = { trusted = {} }", world.log_has("error", "cannot be validated"), 1, true)
			local n = 0
			for _, entry in ipairs(world.logged) do
				if entry.level == "error" then n = n + 1 end
			end
			assert.equal(1, n)
		end)

		it("ends at an alias that leads to itself", function ()
			local answer, err = ask("loop1.secure")
			assert.is_nil(err)
			assert.equal(0, answer.n)
		end)

		it("looks up IDNs by their A-labels", function ()
			assert.same({ "192.0.2.33" }, values(ask("bücher.secure"), "a"))
			ask("_xmpp-server._tcp.bücher.secure", "SRV")
			assert.equal("_xmpp-server._tcp.xn--bcher-kva.secure.", name_server.relay.asked[#name_server.relay.asked])
		end)

		it("refuses what is no name, type or class, without asking anybody", function ()
			for _, question in ipairs {
				{ "" }, { "a..b" }, { ".a" }, { ("a"):rep(64) .. ".secure" }, { ("a."):rep(127) .. "secure" }, { "a b.secure" },
				{ "a\0b.secure" }, { "a\\.b.secure" }, { "a;b.secure" }, { "\255.secure" }, { "ü\0.secure" }, { 7 },
				{ "xmpp.secure", "NONSENSE" }, { "xmpp.secure", 65536 }, { "xmpp.secure", -1 }, { "xmpp.secure", "A", "XX" },
			} do
				local answer, err = ask(table.unpack(question))
				assert.is_nil(answer)
				assert.matches("cannot be asked for", err)
			end
			assert.same({}, name_server.relay.asked)
		end)

		it("takes answers of 60 KB and of 1,000 records over TCP, and refuses more records", function ()
			resolver:close()
			start({}, true)
			local answer = ask("big.secure", "TXT")
			assert.equal(225, answer.n)
			assert.equal(253, #answer[1].txt)
			assert.equal(1000, ask("thousand.secure").n)
			local none, err = ask("crowd.secure")
			assert.is_nil(none)
			assert.matches("too many records", err)
		end)

		it("answers many at once, each with its own", function ()
			local wrong, left = 0, 200
			for i = 1, 200 do
				local secure = i % 2 == 0
				resolver:lookup(function (answer)
					if answer[1].a ~= (secure and "192.0.2.10" or "192.0.2.200") then wrong = wrong + 1 end
					left = left - 1
				end, secure and "xmpp.secure" or "host.plain")
			end
			world.run(function () return left == 0 end)
			assert.equal(0, wrong)
		end)

		it("remembers answers until it is told to forget", function ()
			local function count()
				local n = 0
				for _, name in ipairs(name_server.relay.asked) do
					if name == "four.secure." then n = n + 1 end
				end
				return n
			end
			ask("four.secure")
			ask("four.secure")
			assert.equal(1, count())
			resolver:purge()
			assert.same({ "192.0.2.4" }, values(ask("four.secure"), "a"))
			assert.equal(2, count())
		end)

		describe("when a name server is slow", function ()
			local function lookup(name)
				local query = { answers = 0 }
				query.handle = resolver:lookup(function (answer, err)
					query.answers, query.answer, query.err = query.answers + 1, answer, err
				end, name)
				return query
			end
			local function awaits_held(n)
				world.run(function () return #name_server.relay.waiting >= n end, "a question")
			end

			it("answers others meanwhile", function ()
				name_server.relay:hold("^four")
				local slow = lookup "four.secure"
				assert.same({ "192.0.2.10" }, values(ask("xmpp.secure"), "a"))
				assert.equal(0, slow.answers)
				name_server.relay:release()
				world.run(function () return slow.answers == 1 end)
				assert.same({ "192.0.2.4" }, values(slow.answer, "a"))
			end)

			it("gives up after ten seconds, and no answer comes later", function ()
				name_server.relay:hold("^four")
				local slow = lookup "four.secure"
				ask("xmpp.secure")
				awaits_held(1)
				world.advance(9.9)
				world.settle()
				assert.equal(0, slow.answers)
				world.advance(0.2)
				world.settle()
				assert.equal(1, slow.answers)
				assert.is_nil(slow.answer)
				assert.equal("no answer within 10 seconds", slow.err)
				name_server.relay:release()
				assert.same({ "192.0.2.4" }, values(ask("four.secure"), "a"))
				assert.equal(1, slow.answers)
			end)

			it("gives up after the time it was given, within bounds", function ()
				for given, seconds in pairs { [3] = 3, [0] = 0.1, [1e9] = 60, [-1] = 0.1, text = 10 } do
					resolver:close()
					resolver = unbound.new(name_server:settings(), given)
					local slow = lookup "silent.secure"
					world.advance(seconds - 0.05)
					world.settle()
					assert.equal(0, slow.answers)
					world.advance(0.1)
					world.settle()
					assert.equal(("no answer within %g seconds"):format(seconds), slow.err)
				end
			end)

			it("cancels at any moment: before asking, while waiting, when answered, and again", function ()
				name_server.relay:hold("^four")
				local before = lookup "xmpp.secure"
				resolver:cancel(before.handle)
				local waiting = lookup "four.secure"
				local other = lookup "four.secure"
				awaits_held(1)
				resolver:cancel(waiting.handle)
				name_server.relay:release()
				world.run(function () return other.answers == 1 end)
				resolver:cancel(waiting.handle)
				resolver:cancel(other.handle)
				local invalid = lookup "a..b" -- answered already, but in the next turn
				resolver:cancel(invalid.handle)
				local told = lookup "silent.secure"
				resolver:cancel(told.handle, true, "changed my mind")
				ask("host.plain")
				assert.same({ 0, 0, 1, 0, 1 },
					{ before.answers, waiting.answers, other.answers, invalid.answers, told.answers })
				assert.equal("changed my mind", told.err)
			end)

			it("lets those who wait have their answer though everything else is forgotten", function ()
				name_server.relay:hold("^four")
				local slow = lookup "four.secure"
				ask("xmpp.secure")
				awaits_held(1)
				resolver:purge()
				assert.same({ "192.0.2.10" }, values(ask("xmpp.secure"), "a"))
				local first = next(resolver._contexts)
				assert.is_not_nil(next(resolver._contexts, first), "the old one lives until it has answered")
				name_server.relay:release()
				world.run(function () return slow.answers == 1 end)
				assert.same({ "192.0.2.4" }, values(slow.answer, "a"))
				first = next(resolver._contexts)
				assert.is_nil(next(resolver._contexts, first))
			end)

			it("answers nobody after it was closed", function ()
				local one, two = lookup "silent.secure", lookup "xmpp.secure"
				world.run(function () return two.answers == 1 end)
				local three = lookup "xmpp.secure"
				resolver:close()
				local late = lookup "xmpp.secure"
				world.settle()
				assert.same({ 0, 1, 0, 1 }, { one.answers, two.answers, three.answers, late.answers })
				assert.matches("closed", late.err)
				assert.is_nil(next(resolver._contexts))
			end)

			it("takes no more than 1,024 lookups at once, and one that ends makes room", function ()
				resolver:close()
				start { options = { ["outgoing-range"] = 1100 } }
				local queries = {}
				for i = 1, 1024 do queries[i] = lookup(("silent%d.secure"):format(i)) end
				world.settle()
				local none, err = ask("xmpp.secure")
				assert.is_nil(none)
				assert.matches("too many", err)
				resolver:cancel(queries[1].handle)
				assert.is_not_nil(ask("xmpp.secure"))
				for i = 2, 1024 do assert.equal(0, queries[i].answers) end
			end)

			it("counts those that were given up too, and not beyond 4,096", function ()
				for round = 1, 4 do
					local queries = {}
					for i = 1, 1024 do queries[i] = lookup(("silent%d-%d.secure"):format(round, i)) end
					world.settle()
					for i = 1, 1024 do
						assert.equal(0, queries[i].answers)
						resolver:cancel(queries[i].handle)
					end
				end
				local live, unfinished = next(resolver._contexts).handle:counts()
				assert.same({ 0, 4096 }, { live, unfinished })
				local none, err = ask("xmpp.secure")
				assert.is_nil(none)
				assert.matches("too many", err)
				resolver:purge()
				assert.is_not_nil(ask("xmpp.secure"))
			end)
		end)

		describe("with an error in the settings", function ()
			it("says which, once, and every lookup fails", function ()
				for _, case in ipairs {
					{ { options = { ["no-such-option"] = "x" } }, "option no%-such%-option" },
					{ { trusted = { "nonsense" } }, "trust anchor nonsense" },
					{ { trustfile = "/nonexistent" }, "/nonexistent: No such file" },
					{ { forward = { "nobody" } }, "forward must be the address of a name server" },
					{ { forward = "192.0.2.1:53" }, "forward must be the address of a name server" },
					{ { forwards = "192.0.2.1" }, "there is no \"forwards\"; there are forward, hoststxt" },
					{ { resolvconf = 1 }, "resolvconf must be true, false or the path of a file" },
					{ { options = { "verbosity: 1" } }, "options must be a table such as" },
					{ { resolvconf = "/nonexistent", forward = false }, "/nonexistent: No such file" },
					{ { hoststxt = "/nonexistent" }, "/nonexistent: No such file" },
				} do
					resolver:close()
					start(case[1])
					world.logged = {}
					for _ = 1, 2 do
						local none, err = ask("xmpp.secure")
						assert.is_nil(none)
						assert.matches(case[2], err)
					end
					local n = 0
					for _, entry in ipairs(world.logged) do
						if entry.level == "error" then n = n + 1 end
					end
					assert.equal(1, n)
				end
			end)
		end)

		it("knows the names of a hosts file", function ()
			local path = world.file("hosts", "192.0.2.123 from.hosts\n")
			resolver:close()
			start { hoststxt = path }
			local answer = ask("from.hosts")
			assert.same({ "192.0.2.123" }, values(answer, "a"))
			assert.is_false(answer.secure)
		end)

		it("promises", function ()
			local results = {}
			resolver:lookup_promise("xmpp.secure"):next(function (answer) results.good = answer end)
			resolver:lookup_promise("a..b"):catch(function (err) results.bad = err end)
			resolver:lookup_promise("silent.secure"):catch(function (err) results.late = err end)
			world.run(function () return results.good and results.bad end)
			world.advance(10)
			world.settle()
			assert.equal("192.0.2.10", results.good[1].a)
			assert.same({ "modify", "jid-malformed" }, { results.bad.type, results.bad.condition })
			assert.same({ "wait", "remote-server-timeout", "no answer within 10 seconds" },
				{ results.late.type, results.late.condition, results.late.text })
		end)
	end)

	describe("the server's resolver", function ()
		local world, adns

		before_each(function ()
			world = dns.world { config = name_server:configuration() .. "dns_timeout = 3\n" }
			adns = require "net.adns"
			name_server.relay.asked = {}
		end)
		after_each(function () world.stop() end)

		local function ask(lookup)
			local answered, answer, err
			lookup(function (...) answered, answer, err = true, ... end)
			world.run(function () return answered end)
			return answer, err
		end

		it("is the same as function and as method, under both names", function ()
			assert.equal(adns, require "prosody.net.adns")
			local answer = ask(function (callback) return adns.lookup(callback, "_xmpp-server._tcp.capulet.secure", "SRV") end)
			assert.equal("xmpp.secure.", answer[1].srv.target)
			answer = ask(function (callback) return adns.resolver():lookup(callback, "xmpp.secure", "A", "IN") end)
			assert.equal("192.0.2.10", answer[1].a)
			answer = ask(function (callback) adns.lookup_promise("xmpp.secure"):next(callback) end)
			assert.equal("192.0.2.10", answer[1].a)
			answer = ask(function (callback) adns.resolver():lookup_promise("xmpp.secure"):next(callback) end)
			assert.equal("192.0.2.10", answer[1].a)
		end)

		it("asks nobody before the first turn", function ()
			adns.lookup(function () end, "xmpp.secure")
			assert.is_nil(next(adns.resolver()._contexts))
			world.settle()
			assert.is_not_nil(next(adns.resolver()._contexts))
		end)

		it("heeds dns_timeout", function ()
			local err
			adns.lookup(function (_, text) err = text end, "silent.secure")
			world.settle()
			world.advance(3.1)
			world.settle()
			assert.equal("no answer within 3 seconds", err)
		end)

		it("takes up a changed configuration", function ()
			local function is_secure()
				return ask(function (callback) adns.lookup(callback, "xmpp.secure") end).secure
			end
			assert.is_true(is_secure())
			world.configure((name_server:configuration():gsub("trusted = %b{}", "trusted = {}")))
			assert.is_true(is_secure())
			world.prosody.events.fire_event("config-reloaded", {})
			assert.is_false(is_secure())
		end)

		it("can be cancelled and emptied", function ()
			local answers = 0
			local query = adns.lookup(function () answers = answers + 1 end, "xmpp.secure")
			adns.cancel(query)
			ask(function (callback) adns.lookup(callback, "xmpp.secure") end)
			adns.purge()
			ask(function (callback) adns.lookup(callback, "xmpp.secure") end)
			assert.equal(0, answers)
		end)

		it("is gone when the server has stopped", function ()
			ask(function (callback) adns.lookup(callback, "xmpp.secure") end)
			world.prosody.events.fire_event("server-cleanup")
			assert.is_nil(next(adns.resolver()._contexts))
		end)
	end)
end)
