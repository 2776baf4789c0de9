local fake_native = require "spec.support.fake_native"
local st = require "prosody.util.stanza"

local host = "capulet.example"
local xmlns_tls = "urn:ietf:params:xml:ns:xmpp-tls"

describe("mod_tls", function ()
	local world, events

	local function start(options)
		options = options or {}
		local certificate = options.certificate or host
		world = fake_native.serve { modules = { "tls" }, config = options.more,
			host_config = ("ssl = { certificate = 'certs/%s.crt'; key = 'certs/%s.key' }"):format(certificate, certificate),
			before = function (new)
				new.file("certs/capulet.example.crt", "certificate")
				new.file("certs/capulet.example.key", "key")
			end }
		events = world.events
	end
	after_each(function () world.stop() end)

	local function connect(fields)
		local session = world.session { host = host, secure = false }
		session.steps = {}
		function session:reset_stream() table.insert(self.steps, "reset") end
		session.conn = { starttls = function (_, context)
			table.insert(session.steps, context)
			return not session.is_dirty
		end }
		for name, value in pairs(fields or {}) do session[name] = value end
		return session
	end

	local function starttls_of(session, event)
		local features = st.stanza("features")
		events.fire_event(event or "stream-features", { origin = session, features = features })
		return features:get_child("starttls", xmlns_tls)
	end

	local function start_tls(session)
		return events.fire_event("stanza/" .. xmlns_tls .. ":starttls",
			{ origin = session, stanza = st.stanza("starttls", { xmlns = xmlns_tls }) })
	end

	it("offers TLS before anything else, and says that it is required", function ()
		start()
		local offer = starttls_of(connect())
		assert.is_truthy(offer)
		assert.is_truthy(offer:get_child("required"))
		assert.is_truthy(starttls_of(connect { type = "s2sin_unauthed" }, "s2s-stream-features"))
	end)

	it("does not require it where the admin does not", function ()
		start { more = "c2s_require_encryption = false" }
		assert.is_nil(starttls_of(connect()):get_child("required"))
		assert.is_truthy(starttls_of(connect { type = "s2sin_unauthed" }, "s2s-stream-features"):get_child("required"))
	end)

	it("does not offer it inside TLS, after login, or where nothing can be upgraded", function ()
		start()
		assert.is_nil(starttls_of(connect { secure = true }))
		assert.is_nil(starttls_of(connect { type = "c2s", username = "romeo" }))
		assert.is_nil(starttls_of(connect { conn = {} }))
	end)

	it("says proceed, forgets the stream, then starts TLS (RFC 6120 5.4)", function ()
		start()
		local session = connect()
		assert.is_true(start_tls(session))
		assert.equal("proceed", session.sent[1].name)
		assert.equal(xmlns_tls, session.sent[1].attr.xmlns)
		assert.equal("reset", session.steps[1])
		assert.matches("certs/capulet.example.crt$", session.steps[2].settings.certificate)
		assert.is_nil(session.closed)
	end)

	it("closes when bytes had come in behind the command (CVE-2011-0411)", function ()
		start()
		local session = connect { is_dirty = true }
		start_tls(session)
		assert.is_truthy(session.closed)
	end)

	it("answers with a failure where there is no TLS to be had, and ends the stream (5.4.2.2)", function ()
		start()
		for _, fields in ipairs { { secure = true }, { conn = {} }, { type = "c2s" } } do
			local session = connect(fields)
			assert.is_true(start_tls(session))
			assert.equal("failure", session.sent[1].name)
			assert.is_truthy(session.closed)
			assert.same({}, session.steps)
		end
	end)

	it("says in the log when there is no certificate, and offers nothing", function ()
		start { certificate = "missing" }
		assert.is_truthy(world.log_has("error", "No TLS for c2s on capulet.example"))
		assert.is_nil(starttls_of(connect()))
	end)

	it("takes new certificates after a reload, and keeps the old ones when the new cannot be read", function ()
		start()
		local before = connect()
		start_tls(before)
		world.load "certmanager".forget()
		world.prosody.events.fire_event("certificates-reloaded")
		local after = connect()
		start_tls(after)
		assert.not_equal(before.steps[2], after.steps[2])
		os.remove(world.directory .. "/certs/capulet.example.key")
		world.load "certmanager".forget()
		world.prosody.events.fire_event("certificates-reloaded")
		local later = connect()
		start_tls(later)
		assert.equal(after.steps[2], later.steps[2])
	end)
end)
