local fake = require "spec.support.fake_native"
local x509core = require "util.x509core"

describe("Certificates", function ()
	local world, certmanager

	before_each(function ()
		world = fake.start { config = 'VirtualHost "capulet.example"' }
		certmanager = world.load("certmanager")
	end)
	after_each(function () world.stop() end)

	-- A certificate and key that are only looked for, not into.
	local function pair(certificate, key)
		world.file("certs/" .. certificate, "certificate")
		world.file("certs/" .. key, "-----BEGIN PRIVATE KEY-----")
	end

	local function found(host)
		local cert, err = certmanager.find_host_cert(host)
		if not cert then return nil, err end
		local prefix = #world.directory + #"/certs/" + 1
		return { cert.certificate:sub(prefix), cert.key:sub(prefix) }
	end

	for _, place in ipairs {
		{ "h.example.crt", "h.example.key" },
		{ "h.example.pem", "h.example.key" },
		{ "h.example/fullchain.pem", "h.example/privkey.pem" },
		{ "live/h.example/fullchain.pem", "live/h.example/privkey.pem" },
	} do
		it("are found as " .. place[1], function ()
			pair(place[1], place[2])
			assert.same(place, found("h.example"))
		end)
	end

	it("are found with their key in one file, and not when it has none", function ()
		world.file("certs/h.example.pem", "certificate")
		assert.is_nil(found("h.example"))
		world.file("certs/h.example.pem", "certificate -----BEGIN PRIVATE KEY-----")
		assert.same({ "h.example.pem", "h.example.pem" }, found("h.example"))
	end)

	it("of the domain above stand in", function ()
		pair("capulet.example.crt", "capulet.example.key")
		assert.same({ "capulet.example.crt", "capulet.example.key" }, found("rooms.capulet.example"))
		assert.is_nil(found("montague.example"))
	end)

	it("of internationalised hosts are found under their ASCII name", function ()
		pair("xn--bcher-kva.example.crt", "xn--bcher-kva.example.key")
		assert.same({ "xn--bcher-kva.example.crt", "xn--bcher-kva.example.key" }, found("bücher.example"))
	end)

	it("that are nowhere are missed with a mend", function ()
		local _, err = found("h.example")
		assert.matches("no certificate for h.example was found in " .. world.directory .. "/certs", err, 1, true)
		assert.matches("`coupletctl cert generate h.example` makes one", err, 1, true)
	end)

	it("are asked for in a table; what is none is named with its line", function ()
		local path = world.file("prosody.cfg.lua", 'VirtualHost "capulet.example"\n\tssl = "capulet.crt"\n')
		assert(world.load("configmanager").load(path))
		certmanager.create_context("capulet.example", "server", "capulet.crt")
		assert.is_string(world.log_has("error", "prosody.cfg.lua:2: ssl should be a table"))
	end)

	it("are found by the names inside, wildcards too, the one that holds longest", function ()
		os.execute(("mkdir -p '%s/certs/deep'"):format(world.directory))
		local function make(path, names, days)
			path = world.directory .. "/certs/" .. path
			local key = assert(x509core.generate_key(path .. ".key"))
			assert(x509core.self_sign { key = key, names = names, days = days, path = path .. ".crt" })
		end
		make("one", { "capulet.example", "*.capulet.example" }, 10)
		make("deep/two", { "capulet.example" }, 100)
		assert.same({ "deep/two.crt", "deep/two.key" }, found("capulet.example"))
		assert.same({ "one.crt", "one.key" }, found("rooms.capulet.example"))
		assert.is_nil(found("a.b.montague.example"))
	end)

	it("can be named by the host's option", function ()
		world.configure 'VirtualHost "h.example" certificate = "elsewhere/x.crt"'
		world.file("elsewhere/x.crt", "certificate")
		world.file("elsewhere/x.key", "PRIVATE KEY-----")
		local cert = certmanager.find_host_cert("h.example")
		assert.equal(world.directory .. "/elsewhere/x.key", cert.key)
	end)

	it("of a service can be named by port", function ()
		world.configure 'https_certificate = { [443] = "a.pem" } smtp_certificate = "absent.pem"'
		world.file("a.pem", "certificate PRIVATE KEY-----")
		assert.equal(world.directory .. "/a.pem", certmanager.find_service_cert("https", 443).certificate)
		assert.is_nil(certmanager.find_service_cert("https", 444))
		assert.matches("smtp_certificate names", select(2, certmanager.find_service_cert("smtp", 25)))
	end)

	describe("become contexts", function ()
		it("with the settings of the ssl options, the first given above the others", function ()
			pair("h.example.crt", "h.example.key")
			world.configure 'ssl = { protocol = "tlsv1_3+", ciphers = "A:B" }'
			local context, err, used = certmanager.create_context("h.example", "server", { ciphers = "C" },
				{ ciphers = "D", curveslist = { "X25519", "P-256" }, verify = { "peer" } })
			assert.is_nil(err)
			assert.equal("C", context.settings.ciphers)
			assert.equal("X25519:P-256", context.settings.curves)
			assert.equal("tlsv1_3", context.settings.min_protocol)
			assert.is_true(context.settings.ask_client_certificate)
			assert.is_true(context.settings.server)
			assert.matches("h.example.crt$", used.certificate)
		end)

		it("of files named explicitly, relative to the configuration", function ()
			pair("h.example.crt", "h.example.key")
			world.file("own.crt", "c")
			world.file("own.key", "k")
			local context = certmanager.create_context("h.example", "server", { certificate = "own.crt", key = "own.key" })
			assert.equal(world.directory .. "/own.crt", context.settings.certificate)
		end)

		it("never of protocols before TLS 1.2", function ()
			pair("h.example.crt", "h.example.key")
			local context = certmanager.create_context("h.example", "server", { protocol = "tlsv1" })
			assert.is_nil(context.settings.min_protocol)
			assert.is_string(world.log_has("warn", "TLS before 1.2 is not spoken"))
		end)

		it("that are shared while nothing has changed", function ()
			pair("h.example.crt", "h.example.key")
			local first = certmanager.create_context("h.example", "server")
			assert.equal(first, (certmanager.create_context("h.example", "server")))
			certmanager.reload()
			assert.are_not.equal(first, (certmanager.create_context("h.example", "server")))
		end)

		it("for a port with TLS from the first byte: each host's own by its name, and its ssl option", function ()
			world.configure [[
				VirtualHost "h.example"
				VirtualHost "own.example"
					ssl = { certificate = "own.crt"; key = "own.key" }
			]]
			for _, name in ipairs { "own", "certs/h.example", "certs/own.example" } do
				world.file(name .. ".crt", "certificate")
				world.file(name .. ".key", "PRIVATE KEY-----")
			end
			for _, name in ipairs { "h.example", "own.example" } do
				world.prosody.hosts[name] = { host = name, type = "local" }
			end
			local context = assert(certmanager.create_service_context({ name = "c2s_direct_tls" }, 5223))
			local function shown(name) return context.sni[name].settings.certificate:sub(#world.directory + 2) end
			assert.equal("certs/h.example.crt", shown "h.example")
			assert.equal("own.crt", shown "own.example")
		end)

		it("as the global ssl option says, also for hosts whose certificate would be found", function ()
			world.configure [[
				ssl = { certificate = "everybody.crt"; key = "everybody.key" }
				VirtualHost "h.example"
				VirtualHost "own.example"
					ssl = { certificate = "own.crt"; key = "own.key" }
			]]
			for _, name in ipairs { "everybody", "own", "certs/h.example" } do
				world.file(name .. ".crt", "certificate")
				world.file(name .. ".key", "PRIVATE KEY-----")
			end
			local own = { certificate = "own.crt", key = "own.key" }
			assert.matches("everybody.crt$", certmanager.create_context("h.example", "server").settings.certificate)
			assert.matches("own.crt$", certmanager.create_context("own.example", "server", own).settings.certificate)
		end)

		it("for clients without any", function ()
			local context = certmanager.create_context("h.example", "client")
			assert.is_false(context.settings.server)
			assert.is_nil(context.settings.certificate)
		end)

		it("or say why not", function ()
			assert.matches("coupletctl cert generate", select(2, certmanager.create_context("h.example", "server")))
			local context, err = certmanager.create_context("h.example", "server", { certificate = "no.crt", key = "no.key" })
			assert.is_nil(context)
			assert.matches("cannot read .*no.crt", err)
		end)
	end)
end)
