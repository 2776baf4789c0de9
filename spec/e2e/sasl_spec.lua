-- Logging in (RFC 6120 6, RFC 5802, RFC 7677, RFC 9266; SECURITY B4, B5, B6, B7, B9).

local sha = require "spec.support.sha"
local Server = require "spec.support.server"

local NS_SASL = "urn:ietf:params:xml:ns:xmpp-sasl"

-- A stranger on an encrypted stream that has just offered its mechanisms.
local function stranger(server, options)
	local client = server:client(options or {})
	client.options.tls = "direct"
	client.options.port = server.direct_port
	client:connect()
	client:opens_stream_with_features()
	return client
end

describe("SASL", function()
	local server

	setup(function()
		server = Server.start { hosts = { localhost = "", ["capulet.example"] = "" } }
		server:register("romeo", "secret")
		server:register("juliet", "nightingale")
		server:register("romeo", "other", "capulet.example")
	end)
	teardown(function() server:stop() end)
	after_each(function() server:forget_clients() end)

	it("lets in with each mechanism it offers", function()
		local offered = stranger(server):mechanisms()
		local n = 0
		for mechanism in pairs(offered) do
			if mechanism ~= "EXTERNAL" then
				local options = { user = "romeo" }
				if server.program == "prosody" and mechanism:find "PLUS$" then
					options.tls_protocol, options.binding = "tlsv1_2", "tls-unique"
				end
				local client = stranger(server, options)
				assert.is_true(client:authenticates(mechanism), mechanism)
				n = n + 1
			end
		end
		assert.is_true(n >= 2)
	end)

	it("offers SCRAM, and SCRAM bound to the channel", function()
		local plain, plus = false, false
		for mechanism in pairs(stranger(server):mechanisms()) do
			plain = plain or mechanism:find "^SCRAM%-SHA%-%d+$" ~= nil
			plus = plus or mechanism:find "^SCRAM%-SHA%-%d+%-PLUS$" ~= nil
		end
		assert.is_true(plain)
		assert.is_true(plus)
	end)

	it("binds to TLS 1.3 by the exporter and to 1.2 by the certificate (RFC 9266, RFC 5929)", function()
		for version, binding in pairs { tlsv1_3 = "tls-exporter", tlsv1_2 = "tls-server-end-point" } do
			local client = stranger(server, { user = "romeo", tls_protocol = version })
			for mechanism in pairs(client:mechanisms()) do
				if mechanism:find "PLUS$" then
					assert.is_true(client:authenticates(mechanism, { binding = binding }))
					break
				end
			end
			assert.is_true(client.authenticated, binding)
		end
	end)

	local function plus_of(client)
		for mechanism in pairs(client:mechanisms()) do
			if mechanism:find "PLUS$" then return mechanism, (mechanism:gsub("%-PLUS$", "")) end
		end
	end

	it("does not let in over another channel", function()
		local client = stranger(server, { user = "romeo" })
		local ok, condition = client:authenticates((plus_of(client)), { binding_data = ("x"):rep(32) })
		assert.is_nil(ok)
		assert.equal("not-authorized", condition)
	end)

	it("notices that someone hid the bound mechanisms (RFC 5802 6: flag y)", function()
		local client = stranger(server, { user = "romeo" })
		local _, plain = plus_of(client)
		local ok, condition = client:authenticates(plain, { gs2 = "y" })
		assert.is_nil(ok)
		assert.equal("not-authorized", condition)
	end)

	it("refuses a wrong password, and another try may succeed", function()
		local client = stranger(server, { user = "romeo" })
		local ok, condition = client:authenticates(nil, { password = "wrong" })
		assert.is_nil(ok)
		assert.equal("not-authorized", condition)
		assert.is_true(client:authenticates())
	end)

	it("knows passwords host by host", function()
		local client = stranger(server, { user = "romeo", host = "capulet.example", sni = "capulet.example" })
		assert.is_nil((client:authenticates(nil, { password = "secret" })))
		assert.is_true(client:authenticates(nil, { password = "other" }))
	end)

	it("cuts off who guesses too often", function()
		local client = stranger(server, { user = "romeo" })
		local tries = 0
		repeat
			tries = tries + 1
			client:authenticates("PLAIN", { password = "guess" .. tries })
			local over = pcall(client.settles, client)
		until client.closed or over or tries > 20
		assert.is_true(tries <= 20)
	end)

	for _, mechanism in ipairs { "ANONYMOUS", "EXTERNAL", "DIGEST-MD5", "LOGIN", "plain", "X-NOTHING" } do
		it("does not accept what it did not offer: " .. mechanism, function()
			local client = stranger(server)
			assert.is_nil(client:mechanisms()[mechanism])
			client:sends(("<auth xmlns='%s' mechanism='%s'>=</auth>"):format(NS_SASL, mechanism))
			client:receives(("<failure xmlns='%s'><invalid-mechanism/></failure>"):format(NS_SASL))
		end)
	end

	it("does not open somebody else's session to who has a password (PLAIN with another authzid)", function()
		for _, authzid in ipairs { "juliet", "juliet@localhost", "juliet@capulet.example", "JULIET@localhost" } do
			local client = stranger(server, { user = "romeo" })
			local ok, condition = client:authenticates("PLAIN", { authzid = authzid })
			assert.is_nil(ok, authzid)
			assert.is_true(condition == "invalid-authzid" or condition == "not-authorized", condition)
		end
	end)

	it("does not do so with SCRAM either", function()
		local client = stranger(server, { user = "romeo" })
		local ok, condition = client:authenticates(select(2, plus_of(client)), { authzid = "juliet@localhost" })
		assert.is_nil(ok)
		assert.is_true(condition == "invalid-authzid" or condition == "not-authorized", condition)
	end)

	it("prepares user names (RFC 7622 3.3)", function()
		local client = stranger(server, { user = "RoMeO" })
		assert.is_true(client:authenticates "PLAIN")
		client:opens_stream_with_features()
		client:binds "orchard"
		assert.equal("romeo@localhost/orchard", client.jid)
	end)

	it("says that what is not base64 is wrongly encoded (6.5.5)", function()
		local client = stranger(server)
		client:sends(("<auth xmlns='%s' mechanism='PLAIN'>===!!</auth>"):format(NS_SASL))
		client:receives(("<failure xmlns='%s'><incorrect-encoding/></failure>"):format(NS_SASL))
	end)

	it("says that nonsense is malformed (6.5.8)", function()
		for _, text in ipairs { "just words", "\0\0", "n,,n=romeo" } do
			local client = stranger(server)
			local mechanism = text:find "^n," and select(2, plus_of(client)) or "PLAIN"
			client:sends(("<auth xmlns='%s' mechanism='%s'>%s</auth>"):format(NS_SASL, mechanism, sha.base64(text)))
			local answer = client:next_stanza()
			assert.is_true(answer:is("failure", NS_SASL), tostring(answer))
			local condition = answer:child().name
			assert.is_true(condition == "malformed-request" or condition == "not-authorized", condition)
		end
	end)

	it("can be aborted (6.5.1)", function()
		local client = stranger(server)
		local mechanism = select(2, plus_of(client))
		client:sends(("<auth xmlns='%s' mechanism='%s'>%s</auth>"):format(NS_SASL, mechanism,
			sha.base64 "n,,n=romeo,r=abcdefghijkl"))
		client:receives(("<challenge xmlns='%s'/>"):format(NS_SASL))
		client:sends(("<abort xmlns='%s'/>"):format(NS_SASL))
		client:receives(("<failure xmlns='%s'><aborted/></failure>"):format(NS_SASL))
	end)

	it("happens once on a stream (6.4.6)", function()
		local client = stranger(server, { user = "romeo" })
		assert.is_true(client:authenticates())
		client:opens_stream_with_features()
		client:sends(("<auth xmlns='%s' mechanism='PLAIN'>AHJvbWVvAHNlY3JldA==</auth>"):format(NS_SASL))
		local answer = client:next_stanza()
		assert.is_false(answer:is "success")
	end)

	it("is for one host: the stream cannot move to another one after it (CVE-2018-10847)", function()
		local client = stranger(server, { user = "romeo" })
		assert.is_true(client:authenticates())
		client:opens_stream { to = "capulet.example" }
		client:is_thrown_out()
	end)

	it("does not tell who has an account: same challenge, same failure, and it stays the same", function()
		local mechanism
		local function try(user)
			local client = stranger(server, { user = user })
			mechanism = mechanism or select(2, plus_of(client))
			local ok, condition, failure = client:authenticates(mechanism, { password = "wrong" })
			assert.is_nil(ok)
			return client.scram_challenge, condition, tostring(failure)
		end
		local known, known_condition, known_failure = try "romeo"
		local unknown, condition, failure = try "nobody"
		assert.equal(known.iterations, unknown.iterations)
		assert.equal(#known.salt, #unknown.salt)
		assert.equal(known_condition, condition)
		assert.equal(known_failure, failure)
		assert.equal(unknown.salt, (try "nobody").salt)
		assert.not_equal(unknown.salt, (try "somebody").salt)
		server:restart()
		assert.equal(unknown.salt, (try "nobody").salt)
		assert.equal(known.salt, (try "romeo").salt)
	end)
end)

describe("SASL ANONYMOUS", function()
	local server

	setup(function() server = Server.start { authentication = "anonymous" } end)
	teardown(function() server:stop() end)
	after_each(function() server:forget_clients() end)

	it("gives each guest a name of its own (XEP-0175)", function()
		local a, b = server:client { mechanism = "ANONYMOUS" }, server:client { mechanism = "ANONYMOUS" }
		a:logs_in()
		b:logs_in()
		assert.not_equal(a.bare, b.bare)
		a:settles()
	end)

	it("offers nothing that needs a password", function()
		assert.is_nil(stranger(server):mechanisms()["PLAIN"])
	end)
end)
