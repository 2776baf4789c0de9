-- Servers without an authority, which trust each other's certificates on first use (s2s_trust_on_first_use).

local federation = require "spec.support.federation"

-- As openssl tells it.
local function fingerprint(name)
	local pipe <close> = io.popen(("openssl x509 -in %s -noout -fingerprint -sha256"):format(
		federation.certificate(name).certificate))
	return pipe:read("a"):match "=([%x:]+)"
end

describe("Two servers with self-signed certificates that trust on first use", function()
	local pair

	setup(function()
		pair = federation.pair {
			certificates = { montague = "montague_self", capulet = "capulet_self" },
			montague = "s2s_trust_on_first_use = { 'capulet.example' }",
			capulet = "s2s_trust_on_first_use = { '*.example' }",
		}
	end)
	teardown(function() pair:stop() end)

	local function meet()
		local romeo, juliet = pair.montague:person "romeo", pair.capulet:person "juliet"
		romeo:sends "<message to='juliet@capulet.example' type='chat'><body>art thou there?</body></message>"
		juliet:awaits(("<message from='%s'><body>art thou there?</body></message>"):format(romeo.jid))
		juliet:sends(("<message to='%s' type='chat'><body>ay me</body></message>"):format(romeo.jid))
		romeo:awaits(("<message from='%s'><body>ay me</body></message>"):format(juliet.jid))
	end

	-- The sentence that one is told whose message does not get through.
	local function refusal(from, user, to)
		local one = pair[from]:person(user)
		one:sends(("<message to='%s' id='m1' type='chat'><body>hello?</body></message>"):format(to))
		return one:awaits("<message type='error' id='m1'/>"):child("error"):child("text"):text()
	end

	it("let their users chat both ways, and the admin can read whom they trust", function()
		meet()
		local said = pair.montague:ctl("s2s", "known")
		assert.truthy(said:find(fingerprint "capulet_self", 1, true), said)
		assert.truthy(said:find("capulet.example", 1, true), said)
		said = pair.capulet:ctl("s2s", "known")
		assert.truthy(said:find(fingerprint "montague_self", 1, true), said)
	end)

	it("still do after a restart", function()
		for _, name in ipairs { "montague", "capulet" } do
			pair[name]:restart()
			pair[name]:await_ready()
		end
		meet()
		local told = pair.montague:ctl("s2s", "explain", "capulet.example")
		assert.truthy(told:find("the one first seen on", 1, true), told)
	end)

	it("refuse one that comes back with another certificate, whoever calls, and say how to accept it", function()
		pair.capulet:ends()
		pair.capulet:forget_clients()
		pair.capulet:configure { config = pair.capulet.options.config:gsub("capulet_self", "self") }
		pair.capulet:run()
		pair.capulet:await_ready()
		local text = refusal("montague", "romeo", "juliet@capulet.example")
		assert.truthy(text:find("the certificate has changed since", 1, true), text)
		assert.truthy(text:find(fingerprint "self", 1, true), text)
		assert.truthy(text:find("coupletctl s2s forget capulet.example", 1, true), text)
		refusal("capulet", "juliet", "romeo@montague.example")
		local told = pair.montague:ctl("s2s", "explain", "capulet.example")
		assert.truthy(told:find("montague.example from capulet.example:.*the certificate has changed since"), told)
	end)

	it("accept it when the admin has forgotten the old one", function()
		local said = pair.montague:ctl("s2s", "forget", "capulet.example")
		assert.truthy(said:find("forgotten", 1, true), said)
		pair.capulet:ctl("s2s", "close", "montague.example") -- so that it does not wait
		meet()
		said = pair.montague:ctl("s2s", "known")
		assert.truthy(said:find(fingerprint "self", 1, true), said)
		assert.is_nil(said:find(fingerprint "capulet_self", 1, true), said)
	end)
end)

describe("A server that trusts on first use", function()
	it("leaves certificates of an authority to the authority", function()
		local pair = federation.pair { config = "s2s_trust_on_first_use = { '*.example' }" }
		finally(function() pair:stop() end)
		local romeo, juliet = pair.montague:person "romeo", pair.capulet:person "juliet"
		romeo:sends "<message to='juliet@capulet.example'><body>hello</body></message>"
		juliet:awaits "<message><body>hello</body></message>"
		local said = pair.capulet:ctl("s2s", "known")
		assert.truthy(said:find("0 domains", 1, true), said)
	end)

	describe("and is called", function()
		local server

		setup(function() server = federation.alone { config = "s2s_trust_on_first_use = { 'verona.example' }" } end)
		teardown(function() server:stop() end)

		local function comes(domain, certificate)
			return federation.peer(server, { from = domain, certificate = certificate })
		end

		local function is_refused(domain, certificate)
			local one = comes(domain, certificate):under_tls()
			one:opens_only()
			return one:is_thrown_out("not-authorized"):child("text"):text()
		end

		it("does not trust domains that are not listed", function()
			is_refused("capulet.org", "self")
			is_refused("below.verona.example", "self")
			local said = server:ctl("s2s", "forget", "capulet.org")
			assert.truthy(said:find("No certificate", 1, true), said)
		end)

		it("needs a certificate all the same", function()
			is_refused("verona.example", nil)
		end)

		it("tells who comes with another certificate than at first why it is refused", function()
			comes("verona.example", "self"):logs_in_with_certificate():vanishes()
			local text = is_refused("verona.example", "expired")
			assert.truthy(text:find("the certificate has changed since", 1, true), text)
			comes("verona.example", "self"):logs_in_with_certificate():vanishes()
		end)
	end)
end)
