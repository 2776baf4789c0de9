-- Two laptops on a LAN, without a name server and without an authority: their servers are called by addresses, by names
-- in .local and by bare names, and trust each other's self-signed certificates on first use.

local lan = require "spec.support.lan"
local federation = require "spec.support.federation"

local network, why = lan.start()
if not network then
	describe("Two laptops on a LAN", function() pending(why) end)
	return
end

-- Self-signed certificates, as `coupletctl cert generate` would make them; whose names they bear does not matter.
local function start(on, name, host, friend, config, modules)
	local files = federation.certificate(name .. "_self")
	return network[on]:starts { host = host, more_modules = modules, config = ([[
		s2s_ssl = { certificate = %q; key = %q }
		s2s_trust_on_first_use = { %q }
		%s]]):format(files.certificate, files.key, friend, config or "") }
end

local function explain(server, domain) return (server:ctl("s2s", "explain", domain)) end

local function chat(romeo, juliet)
	for _, way in ipairs { { romeo, juliet }, { juliet, romeo } } do
		local one, other = table.unpack(way)
		one:sends(("<message to='%s' type='chat'><body>good night</body></message>"):format(other.bare))
		other:awaits(("<message from='%s'><body>good night</body></message>"):format(one.jid))
	end
end

describe("On a LAN, users of two laptops chat both ways", function()
	local montague, capulet

	teardown(function() network:stop() end)
	after_each(function()
		for _, server in pairs { montague, capulet } do server:stop() end
		montague, capulet = nil, nil
	end)

	local function meet()
		local ok, problem = pcall(function() chat(montague:person "romeo", capulet:person "juliet") end)
		if not ok then
			error(("%s\n%s\n%s"):format(problem, explain(montague, capulet:host()), explain(capulet, montague:host())), 0)
		end
	end

	local romeo, juliet = network.romeo, network.juliet
	for what, hosts in pairs {
		["whose hosts are IPv4 addresses"] = { romeo.ipv4, juliet.ipv4 },
		["whose hosts are IPv6 addresses"] = { ("[%s]"):format(romeo.ipv6), ("[%s]"):format(juliet.ipv6) },
	} do
		it(what, function()
			montague = start("romeo", "montague", hosts[1], hosts[2])
			capulet = start("juliet", "capulet", hosts[2], hosts[1])
			meet()
			assert.truthy(explain(montague, hosts[2]):find("trusted on first use", 1, true))
		end)
	end

	for what, hosts in pairs {
		["whose hosts are names in .local"] = { "montague.local", "capulet.local" },
		["whose hosts have bare names"] = { "montague", "capulet" },
	} do
		it(what .. ", with a line that says where the other is", function()
			local function route(domain, laptop)
				return ("s2s_connect_overrides = { [%q] = { host = %q } }"):format(domain, laptop.ipv4)
			end
			montague = start("romeo", "montague", hosts[1], hosts[2], route(hosts[2], juliet))
			capulet = start("juliet", "capulet", hosts[2], hosts[1], route(hosts[1], romeo))
			meet()
		end)
	end

	it("whose hosts are names in /etc/hosts", function()
		local known = ("127.0.0.1 localhost\n%s romeo.lan\n%s juliet.lan\n"):format(romeo.ipv4, juliet.ipv4)
		romeo:has_hosts(known)
		juliet:has_hosts(known)
		montague = start("romeo", "montague", "romeo.lan", "*.lan")
		capulet = start("juliet", "capulet", "juliet.lan", "*.lan")
		meet()
	end)

	describe("who have Avahi", function()
		setup(function()
			for _, laptop in ipairs { romeo, juliet } do
				laptop:has_bus()
				laptop:has_avahi()
			end
		end)

		for what, hosts in pairs {
			["whose hosts are announced with names in .local"] = { "montague.local", "capulet.local" },
			["whose hosts are announced with bare names"] = { "montague", "capulet" },
		} do
			it(what, function()
				montague = start("romeo", "montague", hosts[1], hosts[2], nil, { "mdns" })
				capulet = start("juliet", "capulet", hosts[2], hosts[1], nil, { "mdns" })
				for _, server in ipairs { montague, capulet } do server:awaits_log "is announced in the local network" end
				meet()
				local told = explain(montague, hosts[2])
				assert.truthy(told:find("mDNS: juliet.local is at ", 1, true), told)
			end)
		end

		it("which finds out when two of them have the same name", function()
			montague = start("romeo", "montague", "same.local", "other.local", nil, { "mdns" })
			montague:awaits_log "same.local is announced in the local network"
			capulet = start("juliet", "capulet", "same.local", "other.local", nil, { "mdns" })
			capulet:awaits_log "Another machine in the local network is announced as same.local"
		end)

		it("whose hosts are called as the machines, and are not announced", function()
			montague = start("romeo", "montague", "romeo.local", "juliet.local", "mdns_announce = false", { "mdns" })
			capulet = start("juliet", "capulet", "juliet.local", "romeo.local", "mdns_announce = false", { "mdns" })
			meet()
		end)

		it("which may come later, or again", function()
			network:stop()
			network = assert(lan.start())
			romeo, juliet = network.romeo, network.juliet
			romeo:has_bus()
			montague = start("romeo", "montague", "montague.local", "capulet.local", nil, { "mdns" })
			capulet = start("juliet", "capulet", "capulet.local", "montague.local", nil, { "mdns" })
			capulet:awaits_log "The local network is not asked: the system's D-Bus cannot be reached"
			montague:awaits_log "Avahi does not answer"
			local avahi = romeo:has_avahi()
			local at = montague:awaits_log "montague.local is announced in the local network"
			avahi:kill(9)
			avahi:wait(60)
			romeo:has_avahi()
			at = montague:awaits_log("montague.local is announced in the local network", at)
			local said = montague:ctl("shell", "module", "reload", "mdns")
			montague:awaits_log("montague.local is announced in the local network (_xmpp-client._tcp", at)
			assert.truthy(said:find("OK", 1, true), said)
			-- Who cannot ask says so at once.
			local one = capulet:person "juliet"
			one:sends "<message to='romeo@montague.local' id='m1'><body>hello?</body></message>"
			local text = one:awaits "<message type='error' id='m1'/>":at("error", "text"):text()
			assert.truthy(text:find("Avahi is not running", 1, true), text)
		end)
	end)
end)
