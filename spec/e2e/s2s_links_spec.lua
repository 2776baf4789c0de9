-- What waits while a link comes up, and what becomes of it (SECURITY C8, C9): order, bounds, answers, patience.

local federation = require "spec.support.federation"
local Server = require "spec.support.server"

describe("A domain that cannot be reached", function()
	local server, romeo

	setup(function()
		server = federation.alone {
			routes = { ["closed.example"] = { port = 1 } },
			config = [[
				s2s_denied_domains = { "spam.example", "*.spam.example" }
				unbound = { resolvconf = false; hoststxt = false; forward = "127.0.0.1@1" }
			]],
		}
		romeo = server:person "romeo"
	end)
	teardown(function() server:stop() end)
	before_each(function() romeo:forgets() end)

	it("costs every message one answer, in order, with a reason the sender can read", function()
		for i = 1, 50 do
			romeo:sends(("<message to='a@closed.example' id='m%d'><body>%d</body></message>"):format(i, i))
		end
		for i = 1, 50 do
			local error = romeo:awaits "<message type='error'/>"
			assert.equal("m" .. i, error.attr.id)
			assert.truthy(error:at("error", "remote-server-timeout"))
			local text = error:at("error", "text"):text()
			assert.truthy(text:find("closed.example", 1, true), text)
			assert.truthy(text:find("refused", 1, true), text)
		end
		romeo:receives_nothing()
	end)

	it("is left alone for a while: the answer comes at once, without a new attempt", function()
		local _, before = server:log():gsub("connecting to", "")
		assert.truthy(romeo:asks("<iq type='get' to='closed.example'><ping xmlns='urn:xmpp:ping'/></iq>")
			:at("error", "remote-server-timeout"))
		local _, after = server:log():gsub("connecting to", "")
		assert.equal(before, after)
	end)

	it("is tried again when the admin closes what there is", function()
		server:ctl("s2s", "close", "closed.example")
		local from = server:log_position()
		romeo:sends "<message to='a@closed.example' id='m1'><body>x</body></message>"
		server:awaits_log("connecting to 127.0.0.1 port 1 for closed.example", from)
		romeo:awaits "<message type='error' id='m1'/>"
	end)

	it("does not answer what needs no answer", function()
		romeo:sends "<message to='a@closed.example' type='error'><error/></message>"
		romeo:sends "<iq to='a@closed.example' type='result' id='r1'/>"
		romeo:sends "<presence to='a@closed.example' type='unavailable'/>"
		romeo:receives_nothing()
	end)

	it("may be one that the admin does not want", function()
		for _, domain in ipairs { "spam.example", "deep.below.spam.example" } do
			local reply = romeo:asks(("<iq type='get' to='%s'><ping xmlns='urn:xmpp:ping'/></iq>"):format(domain))
			assert.truthy(reply:at("error", "not-allowed"))
		end
		local spam = federation.peer(server, { from = "spam.example" }):connect()
		spam:opens_only()
		spam:is_thrown_out "policy-violation"
	end)

	it("has its story told", function()
		local told = server:ctl("s2s", "explain", "closed.example")
		assert.truthy(told:find("connecting to 127.0.0.1 port 1", 1, true), told)
		assert.truthy(told:find("refused", 1, true), told)
		assert.truthy(told:find("gave up", 1, true), told)
		assert.truthy(server:ctl("s2s", "explain", "unheard-of.example"):find("no attempt", 1, true))
	end)
end)

describe("What waits for a domain that does not answer", function()
	local server, romeo, listener

	setup(function()
		listener = federation.listener "slow.example"
		server = federation.alone { routes = { ["slow.example"] = { port = listener.port } } }
		romeo = server:person "romeo"
	end)
	teardown(function()
		server:stop()
		listener:close()
	end)

	it("is bounded: what comes on top is answered at once (256 KiB for a domain)", function()
		local body = ("x"):rep(10000)
		for i = 1, 40 do
			romeo:sends(("<message to='a@slow.example' id='m%d'><body>%s</body></message>"):format(i, body))
		end
		local full = romeo:awaits "<message type='error'/>"
		assert.truthy(full:at("error", "resource-constraint"))
		local first = tonumber(full.attr.id:match "%d+")
		assert.is_true(first > 20 and first <= 27, "the first that did not fit is " .. first)
		-- The others wait. When the other side goes they come back too, each once.
		listener:accepts():vanishes()
		local seen = { [full.attr.id] = true }
		for _ = 2, 40 do
			local id = romeo:awaits "<message type='error'/>".attr.id
			assert.is_nil(seen[id])
			seen[id] = true
		end
		romeo:receives_nothing()
	end)
end)

describe("A link that has ended", function()
	it("comes up again for the next stanza, from either side", function()
		local pair = federation.pair {}
		finally(function() pair:stop() end)
		local romeo, juliet = pair.montague:person "romeo", pair.capulet:person "juliet"
		for i = 1, 3 do
			romeo:sends(("<message to='juliet@capulet.example'><body>%d</body></message>"):format(i))
			assert.equal(tostring(i), juliet:awaits("<message/>"):child("body"):text())
			juliet:sends(("<message to='romeo@montague.example'><body>%d</body></message>"):format(i))
			assert.equal(tostring(i), romeo:awaits("<message/>"):child("body"):text())
			local from, other = pair.montague:log_position(), pair.capulet:log_position()
			assert.truthy(pair.montague:ctl("s2s", "close", "capulet.example"):find("2 streams closed", 1, true))
			pair.montague:awaits_log("Ending outgoing stream", from)
			pair.capulet:awaits_log("Ending outgoing stream", other)
		end
	end)

	it("because the server stops is told so", function()
		local server = federation.alone {}
		local verona = federation.peer(server, { from = "verona.example", certificate = "verona" })
		verona:logs_in_with_certificate()
		server:signal(15)
		verona:is_thrown_out "system-shutdown"
		server:stop()
	end)

	it("because nobody proved anything in time is closed", function()
		local server = federation.alone { config = "s2s_timeout = 1" }
		local verona = federation.peer(server, { from = "verona.example", certificate = "verona" }):under_tls()
		verona:opens()
		verona:is_thrown_out "connection-timeout"
		server:stop()
	end)

	it("because it was not used is closed without an error", function()
		local server = federation.alone { config = "s2s_idle_timeout = 1" }
		local verona = federation.peer(server, { from = "verona.example", certificate = "verona" })
		verona:logs_in_with_certificate()
		verona:sees_the_end()
		assert.is_true(verona.footer)
		server:stop()
	end)
end)

describe("Without mod_s2s", function()
	it("the server does not talk to others, and says so", function()
		local server = Server.start {}
		finally(function() server:stop() end)
		local reply = server:person("romeo"):asks "<iq type='get' to='verona.example'><ping xmlns='urn:xmpp:ping'/></iq>"
		assert.truthy(reply:at("error", "remote-server-not-found"))
	end)
end)
