-- Servers that find each other by the DNS alone: a real name server with signed zones, SRV records of both kinds, dead,
-- slow and hostile ones among them (RFC 6120 3.2, RFC 2782, RFC 8305, XEP-0368; SECURITY C7).

local dns = require "spec.support.dns"
local federation = require "spec.support.federation"
local loop = require "spec.support.loop"
local Server = require "spec.support.server"

local ports = { montague = Server.free_port(), capulet = Server.free_port(), direct = Server.free_port() }
local mail = federation.banner "220 mail.example ESMTP\r\n"
local hole = federation.hole "127.0.0.1"
local has_ipv6, hole_six = pcall(federation.hole, "::1", ports.capulet) -- some machines have none

local function records(name, n)
	local lines = {}
	for i = 1, n do lines[i] = ("_xmpp-server._tcp.%s SRV 0 0 %d host\n"):format(name, i) end
	return table.concat(lines)
end

local zone = ([[
host      A     127.0.0.1
dual      A     127.0.0.1
dual      AAAA  ::1
linked    A     169.254.1.1
linked    AAAA  fe80::1
_xmpp-server._tcp.linked    SRV 0 0 5269 linked
inside    A     10.1.2.3
inside    AAAA  ::ffff:10.0.0.1
nickname  CNAME host
_xmpp-server._tcp.montague  SRV 0 0 @montague@ host
_xmpp-server._tcp.capulet   SRV 0 0 @capulet@ host
_xmpps-server._tcp.direct   SRV 0 0 @direct@ host
_xmpp-server._tcp.direct    SRV 0 0 0 .
_xmpp-server._tcp.merged    SRV 9 0 @capulet@ host
_xmpps-server._tcp.merged   SRV 5 0 @direct@ host
_xmpp-server._tcp.failover  SRV 0 0 1 host
_xmpp-server._tcp.failover  SRV 9 0 @capulet@ host
_xmpp-server._tcp.wrong     SRV 0 0 @mail@ host
_xmpp-server._tcp.wrong     SRV 9 0 @capulet@ host
_xmpp-server._tcp.hole      SRV 0 0 @hole@ host
_xmpp-server._tcp.hole      SRV 9 0 @capulet@ host
_xmpp-server._tcp.six       SRV 0 0 @capulet@ dual
_xmpp-server._tcp.alias     CNAME _xmpp-server._tcp.away
_xmpp-server._tcp.away      SRV 0 0 @capulet@ nickname
_xmpp-server._tcp.slow      SRV 0 0 @capulet@ host
_xmpp-server._tcp.self      SRV 0 0 @montague@ host
_xmpp-server._tcp.closed    SRV 0 0 0 .
_xmpp-server._tcp.mail      SRV 0 0 25 host
_xmpp-server._tcp.inside    SRV 0 0 6379 inside
_xmpp-server._tcp.loop      CNAME _xmpp-server._tcp.loop2
_xmpp-server._tcp.loop2     CNAME _xmpp-server._tcp.loop
_xmpp-server._tcp.round     SRV 0 0 5269 round2
round2    CNAME round3
round3    CNAME round2
_xmpp-server._tcp.far       SRV 0 0 @hole@ host
]]):gsub("@(%w+)@", function (name) return ports[name] or name == "hole" and hole.port or mail.port end)

local name_server, missing = dns.start { example = zone .. records("crowd", 900) .. records("many", 1001) }
if not name_server then
	describe("Servers", function () pending("cannot be found by the DNS here: " .. missing) end)
	return
end

describe("With a real DNS:", function ()
	teardown(function ()
		name_server:stop()
		mail:close()
		hole:close()
		if has_ipv6 then hole_six:close() end
	end)

	local montague, capulet

	local function start(name, config)
		local hosts = { ["montague.example"] = "" }
		if name == "capulet" then
			hosts = {}
			for _, host in ipairs { "capulet", "direct", "merged", "failover", "wrong", "hole", "six", "alias", "slow" } do
				hosts[host .. ".example"] = ""
			end
		end
		return Server.start {
			with_s2s = true, hosts = hosts,
			config = federation.ssl(name == "capulet" and "everybody" or "montague")
				.. ("s2s_ports = { %d }; s2s_direct_tls_ports = { %s }\n"):format(ports[name] or Server.free_port(),
					name == "capulet" and ports.direct or "")
				.. config,
		}
	end

	describe("Servers that know of each other by the DNS only", function ()
		local romeo

		setup(function ()
			local config = name_server:configuration() .. 's2s_allow_private_targets = { "loopback" }; dns_timeout = 3\n'
			montague = start("montague", config)
			capulet = start("capulet", config)
			romeo = montague:person "romeo"
		end)
		teardown(function ()
			montague:stop()
			capulet:stop()
		end)
		before_each(function () romeo:forgets() end)

		-- A question to the other server, which has to find ours for the answer. Gives the seconds until it came, and the
		-- story.
		local function reaches(domain)
			local began = loop.now()
			local reply = romeo:asks(("<iq type='get' to='%s'><ping xmlns='urn:xmpp:ping'/></iq>"):format(domain))
			local seconds = loop.now() - began
			local told = montague:ctl("s2s", "explain", domain)
			assert(reply.attr.type == "result", told)
			return seconds, told
		end

		-- The error's condition and text, and the story.
		local function cannot_reach(domain)
			local reply = romeo:asks(("<iq type='get' to='%s'><ping xmlns='urn:xmpp:ping'/></iq>"):format(domain))
			local told = montague:ctl("s2s", "explain", domain)
			assert(reply.attr.type == "error", told)
			local error = reply:child "error"
			return error:child().name, error:child("text"):text(), told
		end

		local function says(told, ...)
			local at = 1
			for _, text in ipairs { ... } do
				local _, to = told:find(text, at, true)
				assert(to, ("%q is not in the story, or not there:\n%s"):format(text, told))
				at = to
			end
		end

		it("reach each other, and tell how", function ()
			local _, told = reaches "capulet.example"
			says(told, "_xmpp-server._tcp.capulet.example SRV: 0 0 ", "host.example. (validated by DNSSEC)",
				("connecting to 127.0.0.1 port %d (host.example.)"):format(ports.capulet), "ready")
		end)

		it("do so over direct TLS where that is what the records say (XEP-0368)", function ()
			local _, told = reaches "direct.example"
			says(told, ("port %d with direct TLS"):format(ports.direct), "xmpp-server", "ready")
		end)

		it("take records of both kinds in order of priority", function ()
			local _, told = reaches "merged.example"
			says(told, ("port %d with direct TLS"):format(ports.direct), "ready")
			assert.is_nil(told:find(("connecting to 127.0.0.1 port %d"):format(ports.capulet), 1, true))
		end)

		it("follow aliases", function ()
			says(select(2, reaches "alias.example"), "SRV: 0 0 ", "nickname.example.", "ready")
		end)

		it("go on when the first target is dead: nobody listens", function ()
			local seconds, told = reaches "failover.example"
			says(told, "port 1 ", "refused", ("port %d"):format(ports.capulet), "ready")
			print(("    past a closed port in %.0f ms"):format(seconds * 1000))
		end)

		it("go on when something else listens there", function ()
			local seconds, told = reaches "wrong.example"
			says(told, ("port %d "):format(mail.port), "ended", ("port %d"):format(ports.capulet), "ready")
			print(("    past the wrong port in %.0f ms"):format(seconds * 1000))
		end)

		it("go on when the first target is a black hole: two seconds later for one of lesser priority", function ()
			local seconds, told = reaches "hole.example"
			says(told, ("port %d "):format(hole.port), ("port %d"):format(ports.capulet), "ready")
			assert.is_true(seconds > 1.9)
			print(("    past a black hole in %.0f ms"):format(seconds * 1000))
		end)

		it("go on with IPv4 when IPv6 is a black hole, a quarter of a second later", function ()
			local seconds, told = reaches "six.example"
			says(told, ("connected to 127.0.0.1 port %d"):format(ports.capulet), "ready")
			if told:find "connecting to ::1.*connecting to 127" then -- where IPv6 is what this machine prefers
				assert.is_true(seconds > 0.24)
			end
			print(("    past an IPv6 black hole in %.0f ms"):format(seconds * 1000))
		end)

		it("do not connect where a domain says that it has no such service", function ()
			local condition, text = cannot_reach "closed.example"
			assert.equal("remote-server-not-found", condition)
			assert.matches("closed.example says that it has no such service", text)
		end)

		it("do not connect to mail servers, nor to addresses of private networks", function ()
			local condition, text = cannot_reach "mail.example"
			assert.equal("remote-server-not-found", condition)
			assert.matches("no SRV record that can be used", text)
			local told
			condition, text, told = cannot_reach "inside.example"
			assert.equal("remote-server-not-found", condition)
			assert.matches("inside.example. is at .+ %(private%), where we do not connect", text)
			assert.is_nil(told:find("connecting to", 1, true))
			condition, text, told = cannot_reach "linked.example"
			assert.equal("remote-server-not-found", condition)
			assert.matches("linked.example. is at .+ %(link%-local%), where we do not connect", text)
			assert.is_nil(told:find("connecting to", 1, true))
		end)

		it("do not connect to themselves", function ()
			local condition, text, told = cannot_reach "self.example"
			assert.equal("remote-server-not-found", condition)
			assert.matches(("127.0.0.1 port %d is this server itself"):format(ports.montague), text, 1, true)
			assert.is_nil(told:find("connecting to", 1, true))
		end)

		it("find no domain that does not exist, and none whose aliases lead nowhere", function ()
			for _, domain in ipairs { "nobody.example", "loop.example" } do
				assert.equal("remote-server-not-found", (cannot_reach(domain)), domain)
			end
			assert.equal("remote-server-timeout", (cannot_reach "round.example")) -- its name server cannot tell
		end)

		it("do not believe a zone that was tampered with", function ()
			local condition, text, told = cannot_reach "host.broken"
			assert.equal("remote-server-not-found", condition)
			assert.matches("host.broken.*validation failure", text)
			assert.is_nil(told:find("connecting to", 1, true))
		end)

		it("do without DNSSEC where a zone is not signed", function ()
			local _, _, told = cannot_reach "verona.plain"
			says(told, "_xmpp-server._tcp.verona.plain SRV: 0 0 5269 host.plain.\n")
		end)

		it("wait for slow name servers", function ()
			name_server.relay:hold "^_xmpps?%-server%._tcp%.slow%.example%./33$"
			romeo:sends "<iq type='get' id='slow' to='slow.example'><ping xmlns='urn:xmpp:ping'/></iq>"
			loop.await(function () return name_server.relay.waiting[2] end, "both questions")
			reaches "capulet.example"
			name_server.relay:release()
			assert.equal("result", romeo:awaits("<iq id='slow'/>").attr.type)
		end)

		it("answer everybody in time when name servers are silent, and do not slow down anybody else", function ()
			-- In the zone without signatures: in the others validated records tell that there are no such names.
			local canary = montague:person "benvolio"
			local began = loop.now()
			for i = 1, 500 do
				romeo:sends(("<message to='a@d%d.silent.plain' id='s%d'><body>hello?</body></message>"):format(i, i))
			end
			local seen, pings, slowest = {}, 0, 0
			for i = 1, 500 do
				if i == 1 or i % 50 == 0 then -- somebody else, to a server that is connected
					local ping_began = loop.now()
					canary:asks "<iq type='get' to='capulet.example'><ping xmlns='urn:xmpp:ping'/></iq>"
					pings, slowest = pings + 1, math.max(slowest, loop.now() - ping_began)
				end
				local answer = romeo:awaits "<message type='error'/>"
				assert.is_nil(seen[answer.attr.id])
				seen[answer.attr.id] = true
				assert(answer:at("error", "remote-server-timeout"), answer:at("error", "text"):text())
			end
			print(("    500 domains with silent name servers answered in %.1f s; the slowest of %d pings meanwhile took %.0f ms")
				:format(loop.now() - began, pings, slowest * 1000))
		end)
	end)

	describe("Records without end", function ()
		local server, romeo

		setup(function ()
			server = start("other", name_server:configuration(true) .. 's2s_allow_private_targets = { "loopback" }\n')
			romeo = server:person "romeo"
		end)
		teardown(function () server:stop() end)

		local function ask(domain)
			local reply = romeo:asks(("<iq type='get' to='%s'><ping xmlns='urn:xmpp:ping'/></iq>"):format(domain))
			return reply:at("error", "text"):text(), (server:ctl("s2s", "explain", domain))
		end

		it("make no more than eight attempts", function ()
			local text, told = ask "crowd.example"
			assert.matches("refused", text)
			local _, n = told:gsub("connecting to", "")
			assert.equal(8, n, told)
		end)

		it("are refused when there are more than a thousand", function ()
			local _, told = ask "many.example"
			assert.matches("_xmpp%-server._tcp.many.example SRV: the answer has too many records", told)
			assert.is_nil(told:find("connecting to", 1, true))
		end)
	end)

	describe("Behind name servers that leave out DNSSEC", function ()
		local config = ("unbound = { resolvconf = false; hoststxt = false; forward = '127.0.0.1@%d' }\n"):format(
			name_server.relay.port) .. 's2s_allow_private_targets = { "loopback" }\n'
		local other

		setup(function ()
			name_server.relay.strips = true
			other = Server.start {
				with_s2s = true, hosts = { ["capulet.example"] = "" },
				config = federation.ssl "capulet" .. ("s2s_ports = { %d }\n"):format(ports.capulet) .. config,
			}
		end)
		teardown(function ()
			name_server.relay.strips = nil
			other:stop()
		end)

		local function ping(more)
			local server = Server.start {
				with_s2s = true, hosts = { ["montague.example"] = "" },
				config = federation.ssl "montague" .. ("s2s_ports = { %d }\n"):format(ports.montague) .. config .. more,
			}
			local romeo = server:person "romeo"
			local reply = romeo:asks "<iq type='get' to='capulet.example'><ping xmlns='urn:xmpp:ping'/></iq>"
			local told = server:ctl("s2s", "explain", "capulet.example")
			return reply, told, server
		end

		it("servers find each other all the same, and say that nothing was validated", function ()
			local reply, told, server = ping ""
			finally(function () server:stop() end)
			assert.equal("result", reply.attr.type)
			assert.matches("host.example. %(the name servers leave out DNSSEC%)", told)
			server:awaits_log "their answers cannot be validated, and are taken as they are"
		end)

		it("nobody is believed when DANE relies on validation, and the story tells what to do", function ()
			local reply, told, server = ping "use_dane = true"
			finally(function () server:stop() end)
			server:expects_error "none is believed"
			assert.matches("our name servers leave out what DNSSEC needs", reply:at("error", "text"):text())
			assert.matches('Ask others %(unbound = { forward = "ADDRESS" }%) or the root servers', told)
		end)
	end)

	describe("Without s2s_allow_private_targets", function ()
		it("a domain that says it is at our loopback is not connected to", function ()
			local listener = federation.listener "redis"
			local server = start("other", name_server:configuration())
			finally(function ()
				server:stop()
				listener:close()
			end)
			local reply = server:person("romeo"):asks "<iq type='get' to='capulet.example'><ping xmlns='urn:xmpp:ping'/></iq>"
			assert.matches("host.example. is at 127.0.0.1 %(loopback%), where we do not connect",
				reply:at("error", "text"):text())
		end)
	end)
end)
