--- What mod_s2s/policy promises: with whom we talk, and what they have to show.

local fake = require "spec.support.fake_native"
local libraries = require "spec.support.s2s_libraries"

describe("The policy between servers", function ()
	local world
	before_each(function () world = fake.start() end)
	after_each(function () world.stop() end)

	local function with(options) return libraries.load(world, "policy", options) end

	it("by default talks with everybody who has a certificate, under TLS", function ()
		local policy = with {}
		assert.is_true(policy.may_talk "verona.example")
		assert.is_true(policy.needs_certificate "verona.example")
		assert.is_true(policy.needs_encryption "verona.example")
		assert.is_nil(policy.pin "verona.example")
	end)

	it("makes exceptions, whatever the case or form of their names", function ()
		local policy = with { s2s_insecure_domains = { "Verona.Example", "BÜCHER.example" } }
		assert.is_false(policy.needs_certificate "verona.example")
		assert.is_false(policy.needs_certificate "bücher.example")
		assert.is_true(policy.needs_certificate "sub.verona.example")
		assert.is_true(policy.needs_encryption "verona.example")
	end)

	it("can be the other way round", function ()
		local policy = with { s2s_secure_auth = false, s2s_secure_domains = { "verona.example", "*.mantua.example" } }
		assert.is_true(policy.needs_certificate "verona.example")
		assert.is_true(policy.needs_certificate "a.b.mantua.example")
		assert.is_false(policy.needs_certificate "mantua.example")
		assert.is_false(policy.needs_certificate "padua.example")
	end)

	it("wants no encryption only where it wants no certificate either", function ()
		local policy = with { s2s_require_encryption = false, s2s_insecure_domains = { "verona.example" } }
		assert.is_false(policy.needs_encryption "verona.example")
		assert.is_true(policy.needs_encryption "mantua.example")
		assert.is_false(with { require_encryption = false, s2s_secure_auth = false }.needs_encryption "verona.example")
		assert.is_true(with { require_encryption = false, s2s_require_encryption = true, s2s_secure_auth = false }
			.needs_encryption "verona.example")
	end)

	it("may name the only ones, and those never to talk with; never is never", function ()
		local policy = with { s2s_allowed_domains = { "*.school.example", "school.example", "spam.example" },
			s2s_denied_domains = { "spam.example", "*.bad.school.example" } }
		assert.is_true(policy.may_talk "school.example")
		assert.is_true(policy.may_talk "a.b.school.example")
		local may, why = policy.may_talk "spam.example"
		assert.is_nil(may)
		assert.matches("does not talk with spam.example", why)
		assert.is_nil(policy.may_talk "x.bad.school.example")
		may, why = policy.may_talk "elsewhere.example"
		assert.is_nil(may)
		assert.matches("only talks with a few others", why)
	end)

	it("says which names are none", function ()
		local _, module = with { s2s_denied_domains = { "a b.example", "*.fine.example" } }
		assert.same({ { "error", 's2s_denied_domains: "a b.example" is not a domain' } }, module.logged)
	end)

	it("pins certificates, which then prove what nothing else does", function ()
		local digits = ("AB:"):rep(31) .. "AB"
		local policy = with { s2s_secure_auth = false, s2s_connect_overrides = {
			["Verona.example"] = { host = "192.0.2.1", fingerprint = digits },
			["mantua.example"] = { { host = "192.0.2.2", fingerprint = ("cd"):rep(32) }, { host = "192.0.2.3" } },
			["padua.example"] = { host = "192.0.2.4" },
		} }
		assert.equal(("ab"):rep(32), policy.pin "verona.example")
		assert.equal(("cd"):rep(32), policy.pin "mantua.example")
		assert.is_nil(policy.pin "padua.example")
		assert.is_true(policy.needs_certificate "verona.example")
		assert.is_true(policy.needs_encryption "verona.example")
		assert.is_false(policy.needs_certificate "padua.example")
	end)

	it("takes a fingerprint that is none for one that nothing has, and says so", function ()
		for _, bad in ipairs { "ab", ("xy"):rep(32), ("ab"):rep(20) } do
			local policy, module = with { s2s_connect_overrides = { ["verona.example"] = { fingerprint = bad } } }
			assert.is_true(policy.needs_certificate "verona.example")
			assert.not_matches("^%x+$", policy.pin "verona.example" .. "!")
			assert.matches("verona.example is not a SHA%-256", module.logged[1][2])
		end
	end)

	it("knows how certificates and the DNS write a domain", function ()
		local policy = with {}
		assert.equal("xn--bcher-kva.example", policy.dns_name "bücher.example")
		assert.equal("verona.example", policy.dns_name "verona.example")
		for _, address in ipairs { "192.0.2.1", "[2001:db8::1]", "2001:db8::1" } do
			assert.is_nil(policy.dns_name(address))
		end
	end)

	it("changes when the configuration does", function ()
		local policy, module = with {}
		module.options = { s2s_secure_auth = false, s2s_denied_domains = { "verona.example" } }
		policy.load()
		assert.is_nil(policy.may_talk "verona.example")
		assert.is_false(policy.needs_certificate "mantua.example")
	end)
end)
