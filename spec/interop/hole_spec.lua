-- Where the DNS sends us to networks that swallow every packet: stanzas arrive all the same, over the other addresses,
-- and how late is told (FEDERATION: black holes, RFC 8305). All of it happens in a network of its own.

local lan = require "spec.support.lan"

local is_alone, why = lan.unshare()
if not is_alone then
	describe("Past black holes", function () pending(why) end)
	return
end

local dns = require "spec.support.dns"
local federation = require "spec.support.federation"
local loop = require "spec.support.loop"
local Server = require "spec.support.server"

local ports = { montague = Server.free_port(), capulet = Server.free_port() }
local zone = ([[
host   A     127.0.0.1
six    A     127.0.0.1
six    AAAA  2001:db8:66::66
four   A     198.51.100.66
dark   A     198.51.100.67
dark   AAAA  2001:db8:66::67
_xmpp-server._tcp.montague  SRV 0 0 @montague@ host
_xmpp-server._tcp.capulet   SRV 0 0 @capulet@ host
_xmpp-server._tcp.six       SRV 0 0 @capulet@ six
_xmpp-server._tcp.hole      SRV 0 0 @capulet@ four
_xmpp-server._tcp.hole      SRV 9 0 @capulet@ host
_xmpp-server._tcp.merged    SRV 0 0 @capulet@ dark
_xmpp-server._tcp.merged    SRV 0 0 @capulet@ four
_xmpp-server._tcp.merged    SRV 9 0 @capulet@ host
_xmpp-server._tcp.wrong     SRV 0 0 @capulet@ dark
]]):gsub("@(%w+)@", ports)

local name_server, missing = dns.start { example = zone }
if not name_server then
	describe("Past black holes", function () pending("needs a name server: " .. missing) end)
	return
end

describe("Past black holes", function ()
	local montague, capulet, romeo, count_lost

	local function start(name, hosts)
		local more = {}
		for _, host in ipairs(hosts) do more[host .. ".example"] = "" end
		return Server.start {
			with_s2s = true, hosts = more,
			config = federation.ssl(name == "capulet" and "everybody" or name) .. ("s2s_ports = { %d }\n"):format(ports[name])
				.. name_server:configuration()
				.. 's2s_allow_private_targets = { "loopback", "2001:db8:66::/64", "198.51.100.0/24" }\n',
		}
	end

	setup(function ()
		count_lost = lan.void { "2001:db8:66::1/64", "198.51.100.1/24" }
		montague = start("montague", { "montague" })
		capulet = start("capulet", { "capulet", "six", "hole", "merged", "wrong" })
		romeo = montague:person "romeo"
	end)
	teardown(function ()
		if montague then montague:stop() end
		if capulet then capulet:stop() end
		name_server:stop()
	end)

	-- How long a ping to the domain takes, and the answer.
	local function ping(domain, seconds)
		local began, lost = loop.now(), count_lost()
		local id = "p-" .. domain
		romeo:sends(("<iq type='get' id='%s' to='%s'><ping xmlns='urn:xmpp:ping'/></iq>"):format(id, domain))
		local reply
		loop.await(function ()
			for i, stanza in ipairs(romeo.inbox) do
				if stanza.attr.id == id then reply = table.remove(romeo.inbox, i) end
			end
			return reply
		end, "an answer of " .. domain, seconds)
		return loop.now() - began, reply, count_lost() - lost
	end

	local function reaches(domain, what)
		local seconds, reply, n_lost = ping(domain, 20)
		assert.equal("result", reply.attr.type, (montague:ctl("s2s", "explain", domain)))
		if n_lost then print(("    %s: %.0f ms, %d packets lost there"):format(what, seconds * 1000, n_lost)) end
		return seconds, n_lost
	end

	it("of IPv6 a server is reached by IPv4, a quarter of a second later", function ()
		local seconds, n_lost = reaches("six.example", "past an IPv6 black hole")
		assert.is_true(n_lost > 0)
		assert.is_true(seconds >= 0.25 and seconds < 2)
		local told = montague:ctl("s2s", "explain", "six.example")
		assert.matches("connecting to 2001:db8:66::66.*connecting to 127%.0%.0%.1.*connected to 127%.0%.0%.1", told)
	end)

	it("of IPv4 a server is reached by the next record, two seconds later when that is of lesser priority", function ()
		local seconds, n_lost = reaches("hole.example", "past an IPv4 black hole")
		assert.is_true(n_lost > 0)
		assert.is_true(seconds >= 2 and seconds < 6)
	end)

	it("of both, and another one, a server is reached by the last record", function ()
		local seconds, n_lost = reaches("merged.example", "past an IPv6 and two IPv4 black holes")
		assert.is_true(n_lost >= 3)
		assert.is_true(seconds >= 2.5 and seconds < 8)
	end)

	it("that are all there is nothing is reached, and who waits is told so", function ()
		local seconds, reply, n_lost = ping("wrong.example", 40)
		assert.is_true(n_lost >= 2)
		assert.truthy(reply:at("error", "remote-server-timeout"))
		assert.matches("nobody answered", reply:at("error", "text"):text())
		print(("    nothing but black holes: told after %.1f s"):format(seconds))
	end)
end)
