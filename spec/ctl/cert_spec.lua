local ctl = require "spec.support.ctl"
local x509 = require "prosody.util.x509"

describe("coupletctl cert", function ()
	local place

	before_each(function () place = ctl.place 'VirtualHost "capulet.example"\nVirtualHost "montague.example"' end)
	after_each(function () place:remove() end)

	local function mode_of(name)
		local pipe <close> = io.popen(("stat -c %%a '%s/%s'"):format(place.folder, name))
		return pipe:read "l"
	end

	it("makes keys that nobody else can read, and never over another one", function ()
		assert.equal(0, select(2, place:run("cert", "key", "capulet.example")))
		local key = place:read "certs/capulet.example.key"
		assert.matches("PRIVATE KEY", key)
		assert.equal("600", mode_of "certs/capulet.example.key")
		assert.equal(1, select(2, place:run("cert", "key", "capulet.example")))
		assert.equal(key, place:read "certs/capulet.example.key")
	end)

	it("makes certificates for one host or more", function ()
		assert.equal(0, select(2, place:run("cert", "generate", "capulet.example", "montague.example")))
		local cert = assert(x509.load(place.folder .. "/certs/capulet.example.crt"))
		for _, host in ipairs { "capulet.example", "montague.example" } do
			assert.is_true(x509.verify_identity(host, "xmpp-client", cert))
			assert.is_true(x509.verify_identity(host, "xmpp-server", cert))
		end
		assert.is_true(cert:validat(os.time()))
		assert.equal(1, select(2, place:run("cert", "generate", "capulet.example")))
	end)

	it("makes requests, with a key of its own or one that is there", function ()
		assert.equal(0, select(2, place:run("cert", "request", "capulet.example")))
		local key = place:read "certs/capulet.example.key"
		assert.matches("CERTIFICATE REQUEST", place:read "certs/capulet.example.req")
		os.remove(place.folder .. "/certs/capulet.example.req")
		assert.equal(0, select(2, place:run("cert", "request", "capulet.example")))
		assert.equal(key, place:read "certs/capulet.example.key")
	end)

	it("imports what others made, when it fits", function ()
		local other = ctl.place 'VirtualHost "capulet.example"'
		other:run("cert", "generate", "capulet.example")
		place:file("live/capulet.example/fullchain.pem", other:read "certs/capulet.example.crt")
		place:file("live/capulet.example/privkey.pem", other:read "certs/capulet.example.key")
		other:remove()
		local live = place.folder .. "/live"
		local output, code = place:run("cert", "import", "capulet.example", live)
		assert.equal(0, code, output)
		assert.equal(place:read "live/capulet.example/fullchain.pem", place:read "certs/capulet.example.crt")
		assert.matches("^6[04]0$", mode_of "certs/capulet.example.key")

		output, code = place:run("cert", "import", "montague.example", live)
		assert.equal(1, code)
		assert.matches("no certificate", output)
		place:file("live/montague.example/fullchain.pem", place:read "live/capulet.example/fullchain.pem")
		place:file("live/montague.example/privkey.pem", place:read "live/capulet.example/privkey.pem")
		output, code = place:run("cert", "import", "montague.example", live)
		assert.equal(1, code)
		assert.matches("not for this host", output)
		assert.is_nil(place:read "certs/montague.example.crt")
	end)

	it("refuses hosts that are not served", function ()
		for _, action in ipairs { "key", "request", "generate", "import" } do
			assert.equal(1, select(2, place:run("cert", action, "nowhere.example")))
			assert.equal(1, select(2, place:run("cert", action)))
		end
	end)
end)
