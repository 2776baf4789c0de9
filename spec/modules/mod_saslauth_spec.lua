local base64 = require "prosody.util.encodings".base64
local fake_native = require "spec.support.fake_native"
local scram = require "spec.support.scram"
local st = require "prosody.util.stanza"

local host = "capulet.example"
local xmlns_sasl = "urn:ietf:params:xml:ns:xmpp-sasl"
local xmlns_bind = "urn:ietf:params:xml:ns:xmpp-bind"

describe("mod_saslauth", function ()
	local world, usermanager, events

	local function start(more)
		world = fake_native.serve { modules = { "saslauth" }, authentication = "internal_hashed", config = more,
			managers = { "rostermanager", "sessionmanager" } }
		usermanager, events = world.usermanager, world.events
		assert.is_true(usermanager.create_user("romeo", "juliet", host))
		assert.is_false(world.log_has("error", ""))
	end

	after_each(function () world.stop() end)

	local function connect(fields)
		local session = world.session { host = host, ip = "192.0.2.1", secure = true }
		session.conn = { ssl_binding = function (_, name)
			if name == "tls-exporter" then return "exported" end
			if name == "tls-server-end-point" then return "certificate" end
		end }
		function session:reset_stream() self.was_reset = true end
		for name, value in pairs(fields or {}) do session[name] = value end
		return session
	end

	local function features_for(session)
		local features = st.stanza("features", { xmlns = "http://etherx.jabber.org/streams" })
		events.fire_event("stream-features", { origin = session, session = session, features = features })
		return features
	end

	local function mechanisms_of(features)
		local list = features:get_child("mechanisms", xmlns_sasl)
		local names = {}
		if list then
			for mechanism in list:childtags("mechanism") do table.insert(names, mechanism:get_text()) end
		end
		return names
	end

	local function fire(session, name, text, mechanism)
		local stanza = st.stanza(name, { xmlns = xmlns_sasl, mechanism = mechanism })
		if text then stanza:text(text) end
		local handled = events.fire_event("stanza/" .. xmlns_sasl .. ":" .. name, { origin = session, stanza = stanza })
		return session.sent[#session.sent], handled
	end

	local function auth(session, mechanism, message)
		return fire(session, "auth", message and (message == "" and "=" or base64.encode(message)), mechanism)
	end

	local function condition_of(answer)
		assert.equal("failure", answer.name)
		assert.equal(xmlns_sasl, answer.attr.xmlns)
		return answer.tags[1].name
	end

	it("offers mechanisms, best first, and the channel bindings (XEP-0440)", function ()
		start()
		local features = features_for(connect())
		assert.same({ "SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN" },
			mechanisms_of(features))
		local bindings = {}
		for binding in features:get_child("sasl-channel-binding", "urn:xmpp:sasl-cb:0"):childtags("channel-binding") do
			table.insert(bindings, binding.attr.type)
		end
		assert.same({ "tls-exporter", "tls-server-end-point" }, bindings)
	end)

	it("offers nothing outside TLS and says so to who asks", function ()
		start()
		local session = connect { secure = false }
		assert.same({}, mechanisms_of(features_for(session)))
		assert.equal("encryption-required", condition_of(auth(session, "PLAIN", "\0romeo\0juliet")))
		assert.is_nil(session.username)
	end)

	it("offers SCRAM but not PLAIN outside TLS when the admin allows that", function ()
		start "c2s_require_encryption = false"
		local session = connect { secure = false }
		assert.same({ "SCRAM-SHA-256", "SCRAM-SHA-1" }, mechanisms_of(features_for(session)))
		assert.equal("invalid-mechanism", condition_of(auth(session, "PLAIN", "\0romeo\0juliet")))
	end)

	it("offers what the options leave, -PLUS with its plain form", function ()
		start 'sasl_mechanisms = { "SCRAM-SHA-1" }'
		assert.same({ "SCRAM-SHA-1-PLUS", "SCRAM-SHA-1" }, mechanisms_of(features_for(connect())))
		world.stop()
		start 'disable_sasl_mechanisms = { "PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-1-PLUS" }'
		assert.same({ "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256" }, mechanisms_of(features_for(connect())))
	end)

	it("announces no channel bindings when no mechanism uses them (XEP-0440 4)", function ()
		start "tls_channel_binding = false"
		local features = features_for(connect())
		assert.same({ "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN" }, mechanisms_of(features))
		assert.is_nil(features:get_child("sasl-channel-binding", "urn:xmpp:sasl-cb:0"))
		world.stop()
		start 'sasl_mechanisms = { "PLAIN" }'
		assert.is_nil(features_for(connect()):get_child("sasl-channel-binding", "urn:xmpp:sasl-cb:0"))
	end)

	it("lets in with PLAIN, tells the modules and begins a new stream", function ()
		start()
		local told
		events.add_handler("authentication-success", function (event) told = event.session end)
		local session = connect()
		features_for(session)
		assert.equal("success", auth(session, "PLAIN", "\0romeo\0juliet").name)
		assert.equal("romeo", session.username)
		assert.equal(session, told)
		assert.is_true(session.was_reset)
		assert.is_nil(session.sasl_handler)
	end)

	local function scram_exchange(session, mechanism, hash, flag, binding)
		local first = flag .. ",,n=romeo,r=nonce"
		local challenge = auth(session, mechanism, first)
		assert.equal("challenge", challenge.name)
		local final = scram.final(hash, "juliet", first, base64.decode(challenge:get_text()), { binding = binding })
		return fire(session, "response", base64.encode(final))
	end

	it("lets in with SCRAM, with and without channel binding", function ()
		start()
		for mechanism, hash in pairs { ["SCRAM-SHA-1"] = "SHA-1", ["SCRAM-SHA-256"] = "SHA-256" } do
			local session = connect()
			features_for(session)
			local success = scram_exchange(session, mechanism, hash, "n")
			assert.equal("success", success.name)
			assert.matches("^v=", base64.decode(success:get_text()))
			session = connect()
			features_for(session)
			assert.equal("success", scram_exchange(session, mechanism .. "-PLUS", hash, "p=tls-exporter", "exported").name)
			assert.equal("romeo", session.username)
		end
	end)

	it("signs what it announced (XEP-0474)", function ()
		start()
		local session = connect()
		features_for(session)
		local challenge = auth(session, "SCRAM-SHA-256", "n,,n=romeo,r=nonce")
		assert.matches(",h=[%w+/=]+$", base64.decode(challenge:get_text()))
	end)

	it("notices that -PLUS was hidden from the client", function ()
		start()
		local session = connect()
		features_for(session)
		assert.equal("not-authorized", condition_of(auth(session, "SCRAM-SHA-256", "y,,n=romeo,r=nonce")))
	end)

	it("asks for the message a client has not sent along (RFC 4422)", function ()
		start()
		local session = connect()
		features_for(session)
		local challenge = auth(session, "PLAIN")
		assert.equal("challenge", challenge.name)
		assert.equal("", challenge:get_text() or "")
		assert.equal("success", fire(session, "response", base64.encode("\0romeo\0juliet")).name)
	end)

	it("accepts only what it offered on this stream", function ()
		start()
		for _, mechanism in ipairs { "ANONYMOUS", "EXTERNAL", "LOGIN", "plain", "DIGEST-MD5", "" } do
			local session = connect()
			features_for(session)
			assert.equal("invalid-mechanism", condition_of(auth(session, mechanism, "")))
		end
		assert.equal("invalid-mechanism", condition_of(auth(connect(), "PLAIN", "\0romeo\0juliet")))
		local session = connect { conn = {} }
		features_for(session)
		assert.equal("invalid-mechanism", condition_of(auth(session, "SCRAM-SHA-1-PLUS", "p=tls-exporter,,n=romeo,r=a")))
	end)

	it("tells what is wrong by RFC 6120 6.5 and lets the client try again", function ()
		start()
		local heard = {}
		events.add_handler("authentication-failure", function (event) table.insert(heard, event.condition) end)
		local session = connect()
		features_for(session)
		local failure = auth(session, "PLAIN", "\0romeo\0wrong")
		assert.equal("not-authorized", condition_of(failure))
		assert.is_string(failure:get_child_text("text"))
		assert.equal("incorrect-encoding", condition_of(fire(session, "auth", "!!", "PLAIN")))
		assert.equal("malformed-request", condition_of(auth(session, "PLAIN", "x")))
		auth(session, "SCRAM-SHA-1", "n,,n=romeo,r=nonce")
		assert.equal("aborted", condition_of(fire(session, "abort")))
		assert.same({ "not-authorized", "incorrect-encoding", "malformed-request", "aborted" }, heard)
		assert.is_nil(session.closed)
		assert.equal("success", auth(session, "PLAIN", "\0romeo\0juliet").name)
	end)

	it("takes no answer to a challenge there was not", function ()
		start()
		local session = connect()
		features_for(session)
		assert.equal("malformed-request", condition_of(fire(session, "response", base64.encode("\0romeo\0juliet"))))
		assert.is_nil(session.username)
	end)

	it("lets a client begin again in the middle", function ()
		start()
		local session = connect()
		features_for(session)
		auth(session, "SCRAM-SHA-1", "n,,n=romeo,r=nonce")
		assert.equal("success", auth(session, "PLAIN", "\0romeo\0juliet").name)
	end)

	it("leaves those alone who have logged in", function ()
		start()
		local session = world.online("romeo", host)
		local _, handled = auth(session, "PLAIN", "\0romeo\0juliet")
		assert.is_nil(handled)
		assert.same({}, session.sent)
	end)

	it("closes the connection after five failures", function ()
		start()
		local session = connect()
		features_for(session)
		for i = 1, 5 do
			assert.is_nil(session.closed)
			auth(session, "PLAIN", "\0romeo\0wrong" .. i)
		end
		assert.equal("policy-violation", session.closed.condition)
	end)

	it("looks at 20 guesses of an address, then at none, while others get in", function ()
		start()
		local evaluated = 0
		local provider = usermanager.get_provider(host)
		local get_sasl_handler = provider.get_sasl_handler
		provider.get_sasl_handler = function ()
			local handler = get_sasl_handler()
			local test = handler.profile.plain_test
			handler.profile.plain_test = function (...)
				evaluated = evaluated + 1
				return test(...)
			end
			return handler
		end
		for i = 1, 200 do
			local session = connect()
			features_for(session)
			auth(session, "PLAIN", "\0romeo\0guess" .. i)
		end
		assert.equal(20, evaluated)
		local session = connect()
		features_for(session)
		assert.equal("temporary-auth-failure", condition_of(auth(session, "PLAIN", "\0romeo\0juliet")))
		assert.equal("policy-violation", session.closed.condition)
		session = connect { ip = "192.0.2.2" }
		features_for(session)
		assert.equal("success", auth(session, "PLAIN", "\0romeo\0juliet").name)
	end)

	it("keeps going when a provider dies, and lets nobody in by that", function ()
		start()
		local provider = usermanager.get_provider(host)
		provider.get_sasl_handler = function ()
			return require "prosody.util.sasl".new(host, { plain_test = function () error("the disk is gone") end })
		end
		local session = connect()
		features_for(session)
		assert.equal("temporary-auth-failure", condition_of(auth(session, "PLAIN", "\0romeo\0juliet")))
		assert.is_truthy(world.log_has("error", "the disk is gone"))
		assert.is_nil(session.username)
	end)

	describe("after login", function ()
		local function bind(session, resource)
			local iq = st.iq({ type = "set", id = "b1" }):tag("bind", { xmlns = xmlns_bind })
			if resource then iq:text_tag("resource", resource) end
			events.fire_event("stanza/iq/" .. xmlns_bind .. ":bind", { origin = session, stanza = iq })
			return session.sent[#session.sent]
		end

		it("offers to bind a resource, and binds it (RFC 6120 7)", function ()
			start()
			local session = connect { username = "romeo", type = "c2s" }
			local features = features_for(session)
			assert.same({}, mechanisms_of(features))
			assert.is_truthy(features:get_child("bind", xmlns_bind))
			local bound
			events.add_handler("resource-bind", function (event) bound = event.session end)
			local reply = bind(session, "orchard")
			assert.equal("result", reply.attr.type)
			assert.equal("romeo@capulet.example/orchard", reply:get_child("bind", xmlns_bind):get_child_text("jid"))
			assert.equal(session, bound)
		end)

		it("tells why a resource cannot be had", function ()
			start()
			world.online("romeo", host, "orchard")
			local reply = bind(connect { username = "romeo", type = "c2s" }, "orchard")
			assert.equal("error", reply.attr.type)
			local _, condition = reply:get_error()
			assert.equal("conflict", condition)
		end)

		it("binds nothing before login", function ()
			start()
			local session = connect()
			assert.is_nil(bind(session, "orchard"))
		end)

		it("answers the session request of old clients", function ()
			start()
			local session = world.online("romeo", host)
			local iq = st.iq({ type = "set", id = "s1" }):tag("session", { xmlns = "urn:ietf:params:xml:ns:xmpp-session" })
			events.fire_event("iq-set/self/urn:ietf:params:xml:ns:xmpp-session:session", { origin = session, stanza = iq })
			assert.equal("result", session.sent[1].attr.type)
		end)
	end)
end)
