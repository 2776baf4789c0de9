local fake = require "spec.support.fake_native"

describe("Ports", function ()
	local world, portmanager

	-- A library, on a machine that has IPv6 or not.
	local function load_library(has_ipv6)
		local io_open = io.open
		io.open = function (path, ...) -- luacheck: ignore 122
			if path ~= "/proc/net/if_inet6" then return io_open(path, ...) end
			local file = assert(io.tmpfile())
			file:write(has_ipv6 and "00000000000000000000000000000001 01 80 10 80       lo\n" or "")
			file:seek "set"
			return file
		end
		finally(function () io.open = io_open end) -- luacheck: ignore 122
		return world.load("portmanager")
	end

	local function begin(config, has_ipv6)
		world = fake.start { config = config }
		portmanager = load_library(has_ipv6 ~= false)
	end
	after_each(function () world.stop() end)

	local function offer(service)
		prosody.events.fire_event("item-added/net-provider", { item = service })
		return service
	end

	-- Where somebody listens: sorted "interface port".
	local function open()
		local list = {}
		for key in pairs(world.listeners) do list[#list + 1] = key end
		table.sort(list)
		return list
	end

	local function thing(fields)
		local service = { name = "thing", listener = {}, default_port = 1000 }
		for key, value in pairs(fields or {}) do service[key] = value end
		return service
	end

	it("are opened together, on all interfaces when nothing else is said", function ()
		begin()
		offer(thing())
		assert.same({}, open())
		portmanager.activate_all()
		assert.same({ "* 1000", ":: 1000" }, open())
	end)

	it("are those of IPv4 alone on a machine that has no IPv6", function ()
		begin(nil, false)
		offer(thing())
		offer(thing { name = "inside", default_port = 2000, private = true })
		portmanager.activate_all()
		assert.same({ "* 1000", "127.0.0.1 2000" }, open())
	end)

	local function limits_of(key) return world.listeners[key].limits end

	it("are limited in what strangers may take of them", function ()
		begin 'interfaces = { "*" }'
		offer(thing())
		offer(thing { name = "c2s", listener = "c2s", default_port = 5222 })
		portmanager.activate_all()
		local exempt = { { address = "127.0.0.0", bits = 8 }, { address = "::1", bits = 128 } }
		assert.same({ connections_per_ip = 100, accepts_per_second = 200, accepts_per_second_per_ip = 20,
			strangers = 2000, strangers_per_ip = 50, exempt = exempt }, limits_of "* 5222")
		assert.same({ connections_per_ip = 100, accepts_per_second = 200, accepts_per_second_per_ip = 20,
			strangers = 0, strangers_per_ip = 0, exempt = exempt }, limits_of "* 1000")
	end)

	it("have the limits the admin wants, those of one service before those of all, also after a change", function ()
		begin [[interfaces = { "*" } max_connections_per_ip = 5 thing_max_connections_per_ip = 0
			max_accepts_per_second = "many" unlimited_ips = { "10.0.0.0/8", "x" } trusted_proxies = "192.0.2.1"]]
		offer(thing())
		offer(thing { name = "other", default_port = 9 })
		portmanager.activate_all()
		assert.equal(0, limits_of "* 1000".connections_per_ip)
		assert.equal(5, limits_of "* 9".connections_per_ip)
		assert.equal(200, limits_of "* 9".accepts_per_second)
		assert.same({ { address = "10.0.0.0", bits = 8 }, { address = "192.0.2.1", bits = 32 } }, limits_of "* 9".exempt)
		world.configure 'interfaces = { "*" } max_connections_per_ip = 6'
		prosody.events.fire_event("config-reloaded", {})
		assert.equal(6, limits_of "* 1000".connections_per_ip)
	end)

	it("are where the admin wants them", function ()
		begin 'thing_ports = { 1, "2" } thing_interfaces = { "10.0.0.1" } interfaces = { "::1" } other_port = 3'
		offer(thing())
		offer(thing { name = "other", default_port = 9 })
		portmanager.activate_all()
		assert.same({ "10.0.0.1 1", "10.0.0.1 2", "::1 3" }, open())
	end)

	it("of private services are only for this machine", function ()
		begin 'interfaces = { "*" }'
		offer(thing { private = true })
		portmanager.activate_all()
		assert.same({ "127.0.0.1 1000", "::1 1000" }, open())
	end)

	it("can be named by a prefix of their own, or an older name", function ()
		begin 'x_ports = { 7 } legacy_ssl_ports = { 5223 } interfaces = { "*" }'
		world.file("certs/a.example.crt", "certificate")
		world.file("certs/a.example.key", "PRIVATE KEY")
		prosody.hosts["a.example"] = { host = "a.example", type = "local" }
		offer(thing { config_prefix = "x" })
		offer(thing { name = "c2s_direct_tls", default_port = false, encryption = "ssl" })
		portmanager.activate_all()
		assert.same({ "* 5223", "* 7" }, open())
	end)

	it("that belong to streams of the core are told so", function ()
		begin 'interfaces = { "*" }'
		offer(thing { listener = "c2s" })
		local listener = {}
		offer(thing { name = "lua", default_port = 2, listener = listener })
		portmanager.activate_all()
		assert.equal("c2s", world.listeners["* 1000"].kind)
		assert.is_nil(world.listeners["* 1000"].listener)
		assert.equal(listener, world.listeners["* 2"].listener)
		assert.is_nil(world.listeners["* 2"].kind)
	end)

	it("that cannot be had are named, and the others are opened", function ()
		begin 'interfaces = { "*", "::" }'
		world.taken["* 1000"] = "Address already in use"
		offer(thing())
		assert.equal(1, portmanager.activate_all())
		assert.same({ ":: 1000" }, open())
		assert.is_string(world.log_has("error",
			"thing is not served on * port 1000: cannot listen on * 1000: Address already in use. " ..
			"The options are thing_ports and interfaces"))
	end)

	it("are not shared by two services", function ()
		begin 'interfaces = { "*" }'
		offer(thing())
		offer(thing { name = "other" })
		assert.equal(1, portmanager.activate_all())
		assert.is_string(world.log_has("error", "it is already used for "))
	end)

	it("that are none are named", function ()
		begin 'thing_ports = { "http", 70000 } interfaces = { "*" }'
		offer(thing())
		assert.equal(0, portmanager.activate_all())
		assert.is_string(world.log_has("error", "thing_ports: http is no port"))
		assert.is_string(world.log_has("error", "thing_ports: 70000 is no port"))
	end)

	it("can be looked up and closed", function ()
		begin 'interfaces = { "*" }'
		local service = offer(thing())
		portmanager.activate_all()
		assert.equal(service, portmanager.get_service("thing"))
		assert.equal(service, (portmanager.get_service_at(1000, "*")))
		assert.equal(service, portmanager.get_active_services():get("thing", "*", 1000).service)
		assert.equal(service, portmanager.get_registered_services().thing[1])
		assert.is_true(portmanager.close("*", 1000))
		assert.same({}, open())
		assert.is_nil((portmanager.close("*", 1000)))
		assert.is_nil(portmanager.get_service_at(1000, "*"))
	end)

	it("open and close with their module once the server runs", function ()
		begin 'interfaces = { "*" }'
		portmanager.activate_all()
		local first, second = offer(thing()), offer(thing())
		assert.same({ "* 1000" }, open())
		assert.equal(second, (portmanager.get_service_at(1000, "*")))
		prosody.events.fire_event("item-removed/net-provider", { item = second })
		assert.equal(first, (portmanager.get_service_at(1000, "*")))
		prosody.events.fire_event("item-removed/net-provider", { item = first })
		assert.same({}, open())
	end)

	it("follow a changed configuration without touching those that stay", function ()
		begin 'thing_ports = { 1, 2 } interfaces = { "*" }'
		offer(thing())
		portmanager.activate_all()
		local stays = world.listeners["* 2"]
		world.configure 'thing_ports = { 2, 3 } interfaces = { "*" }'
		prosody.events.fire_event("config-reloaded", {})
		assert.same({ "* 2", "* 3" }, open())
		assert.equal(stays, world.listeners["* 2"])
	end)

	describe("with TLS from the first byte", function ()
		local function host(name, has_certificate)
			prosody.hosts[name] = { host = name, type = "local" }
			if has_certificate then
				world.file(("certs/%s.crt"):format(name), "certificate")
				world.file(("certs/%s.key"):format(name), "PRIVATE KEY")
			end
		end

		it("have a context with all hosts' certificates by name", function ()
			begin 'interfaces = { "*" }'
			host("b.example", true)
			host("c.example", true)
			host("a.example", false)
			offer(thing { encryption = "ssl", ssl_config = { alpn = "xmpp-client" } })
			portmanager.activate_all()
			local listener = world.listeners["* 1000"]
			assert.is_true(listener.direct_tls)
			assert.matches("b.example.crt", listener.tls.settings.certificate)
			assert.equal("xmpp-client", listener.tls.settings.alpn)
			assert.is_nil(listener.tls.sni["a.example"])
			assert.matches("c.example.crt", listener.tls.sni["c.example"].settings.certificate)
		end)

		it("are not opened without a certificate", function ()
			begin 'interfaces = { "*" }'
			host("a.example", false)
			offer(thing { encryption = "ssl" })
			assert.equal(0, portmanager.activate_all())
			assert.is_string(world.log_has("error", "coupletctl cert generate a.example"))
		end)

		it("take new certificates for new connections", function ()
			begin 'interfaces = { "*" }'
			host("a.example", true)
			offer(thing { encryption = "ssl" })
			portmanager.activate_all()
			local before = world.listeners["* 1000"].tls
			world.load("certmanager").reload()
			assert.are_not.equal(before, world.listeners["* 1000"].tls)
		end)
	end)
end)
