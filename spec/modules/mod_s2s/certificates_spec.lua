--- What mod_s2s/certificates promises: each domain is asked for anew, and who refuses has the last word.

local fake = require "spec.support.fake_native"
local federation = require "spec.support.federation"
local libraries = require "spec.support.s2s_libraries"

describe("What a certificate between servers proves", function ()
	local world, certificates, session, pins, answers, asked

	local function read(name)
		local file <close> = assert(io.open(federation.certificate(name).certificate))
		return file:read "a"
	end

	before_each(function ()
		world = fake.start { config = 'VirtualHost "montague.example"' }
		pins, answers, asked = {}, {}, {}
		local events = require "util.events".new()
		world.prosody.hosts["montague.example"] = { events = events }
		certificates = libraries.load(world, "certificates") { pin = function (domain) return pins[domain] end }
		events.add_handler("s2s-check-certificate", function (event)
			table.insert(asked, event.host)
			local answer = answers[event.host] or {}
			event.session.cert_chain_status, event.session.cert_identity_status = answer.chain, answer.identity
			event.session.cert_problem, event.session.cert_proof = answer.problem, answer.proof
			return answer.result
		end)
		session = {
			secure = true, direction = "incoming", host = "montague.example", from_host = "verona.example",
			conn = { ssl_peerchain_pem = function () return read "verona" end },
		}
	end)
	after_each(function () world.stop() end)

	it("is what those who look at it say of chain and names", function ()
		answers["verona.example"] = { chain = "valid", identity = "valid" }
		local is_valid, text = certificates.prove(session, "verona.example")
		assert.is_true(is_valid)
		assert.matches("valid for verona.example", text)
	end)

	it("is nothing unless both were said to be good", function ()
		local bad = { {}, { chain = "valid" }, { identity = "valid" }, { chain = "invalid", identity = "valid" } }
		for _, answer in ipairs(bad) do
			answers["verona.example"] = answer
			local is_valid, text, is_refused = certificates.prove(setmetatable({}, { __index = session }), "verona.example")
			assert.is_false(is_valid)
			assert.matches("^the certificate is not ", text)
			assert.is_nil(is_refused)
		end
	end)

	it("is told in the words of who has found it out", function ()
		answers["verona.example"] = { chain = "valid", identity = "valid", proof = "it was seen before" }
		assert.equal("it was seen before", select(2, certificates.prove(session, "verona.example")))
		answers["mantua.example"] = { chain = "invalid", problem = "it has expired" }
		assert.equal("it has expired", select(2, certificates.prove(session, "mantua.example")))
	end)

	it("is nothing at all when somebody refuses it", function ()
		answers["verona.example"] = { chain = "valid", identity = "valid", result = false, problem = "not this one" }
		assert.same({ false, "not this one", true }, { certificates.prove(session, "verona.example") })
		assert.same({ false, "not this one", true }, { certificates.prove(session, "verona.example") })
	end)

	it("is found out once for each domain, and not taken for another's", function ()
		answers["verona.example"] = { chain = "valid", identity = "valid" }
		assert.is_true((certificates.prove(session, "verona.example")))
		assert.is_false((certificates.prove(session, "mantua.example")))
		assert.is_true((certificates.prove(session, "verona.example")))
		assert.same({ "verona.example", "mantua.example" }, asked)
		-- Fields that modules look at tell of the stream's own domain.
		assert.same({ "valid", "valid" }, { session.cert_chain_status, session.cert_identity_status })
	end)

	it("is found out again when more is known", function ()
		assert.is_false((certificates.prove(session, "verona.example")))
		answers["verona.example"] = { chain = "valid", identity = "valid" }
		assert.is_false((certificates.prove(session, "verona.example")))
		certificates.reconsider(session, "verona.example")
		assert.is_true((certificates.prove(session, "verona.example")))
	end)

	it("is nothing before TLS, which may still come, and nothing without a certificate", function ()
		session.secure = false
		assert.matches("not encrypted", select(2, certificates.prove(session, "verona.example")))
		session.secure = true
		answers["verona.example"] = { chain = "valid", identity = "valid" }
		assert.is_true((certificates.prove(session, "verona.example")))
		session.cert_results, session.conn.ssl_peerchain_pem = nil, function () end
		assert.same({ false, "no certificate was shown" }, { certificates.prove(session, "verona.example") })
	end)

	it("is what the admin has pinned, and nobody else is asked", function ()
		local digest = require "util.x509core".from_pem(read "verona"):digest "sha256"
		pins["verona.example"], pins["mantua.example"] = digest, ("0"):rep(64)
		answers["mantua.example"] = { chain = "valid", identity = "valid" }
		assert.same({ true, "the certificate is the pinned one" }, { certificates.prove(session, "verona.example") })
		assert.is_false((certificates.prove(session, "mantua.example")))
		assert.same({}, asked)
	end)
end)
