-- Stream limits (XEP-0478): what we take is told, and nothing bigger is sent than the other side takes.

local federation = require "spec.support.federation"
local loop = require "spec.support.loop"

local NS_LIMITS, NS_SASL = "urn:xmpp:stream-limits:0", "urn:ietf:params:xml:ns:xmpp-sasl"

describe("A server that comes to us", function()
	local server
	setup(function()
		server = federation.alone { more_modules = { "s2s_bidi", "dialback" },
			config = "s2s_stanza_size_limit = 20000; s2s_idle_timeout = 600" }
	end)
	teardown(function() server:stop() end)

	it("is told what we take", function()
		local verona = federation.peer(server, { from = "verona.example", certificate = "verona" }):under_tls()
		local limits = verona:opens():child("limits", NS_LIMITS)
		assert.equal("20000", limits:child("max-bytes"):text())
		assert.equal("600", limits:child("idle-seconds"):text())
		verona:vanishes()
	end)

	it("may say what it takes when the stream is for both directions (XEP-0288)", function()
		local romeo = server:person "romeo"
		local verona = federation.peer(server, { from = "verona.example", certificate = "verona" }):under_tls()
		verona:opens()
		verona:sends_raw(("<bidi xmlns='urn:xmpp:bidi'><limits xmlns='%s'><max-bytes>5000</max-bytes></limits></bidi>")
			:format(NS_LIMITS))
		verona:sends_raw(("<auth xmlns='%s' mechanism='EXTERNAL'>=</auth>"):format(NS_SASL))
		verona:receives(("<success xmlns='%s'/>"):format(NS_SASL))
		verona:opens()
		verona:settles()
		for id, size in pairs { small = 4000, big = 5000 } do
			romeo:sends(("<message to='juliet@verona.example' id='%s'><body>%s</body></message>"):format(id, ("x"):rep(size)))
		end
		assert.truthy(romeo:awaits("<message type='error' id='big'/>"):at("error", "policy-violation"))
		verona:awaits "<message xmlns='jabber:server' id='small'/>"
		romeo:receives_nothing()
		verona:vanishes()
	end)
end)

describe("A server that we come to", function()
	local server, romeo, listener
	setup(function()
		listener = federation.listener "verona.example"
		server = federation.alone { routes = { ["verona.example"] = { port = listener.port, direct_tls = true } } }
		romeo = server:person "romeo"
	end)
	teardown(function()
		server:stop()
		listener:close()
	end)

	local function sends(id, size)
		romeo:sends(("<message to='juliet@verona.example' id='%s'><body>%s</body></message>"):format(id, ("x"):rep(size)))
	end

	-- Says these limits before it believes us.
	local function answers(limits)
		local verona = listener:accepts()
		local files = federation.certificate "verona"
		verona.options.sni = false
		verona:handshake { mode = "server", certificate = files.certificate, key = files.key }
		for _, features in ipairs { ("<mechanisms xmlns='%s'><mechanism>EXTERNAL</mechanism></mechanisms>"):format(NS_SASL),
			limits } do
			verona:new_parser()
			loop.await(function() return verona.header end, "our header")
			verona:sends_raw(verona:header_text { xmlns = "jabber:server", from = "verona.example", to = "montague.example",
				id = "1" } .. "<stream:features>" .. features .. "</stream:features>")
			if features ~= limits then
				verona:receives(("<auth xmlns='%s' mechanism='EXTERNAL'/>"):format(NS_SASL))
				verona:sends_raw(("<success xmlns='%s'/>"):format(NS_SASL))
			end
		end
		return verona
	end

	local function told(bytes)
		return ("<limits xmlns='%s'><max-bytes>%s</max-bytes></limits>"):format(NS_LIMITS, bytes)
	end

	after_each(function()
		server:ctl("s2s", "close", "verona.example")
		romeo:forgets()
	end)

	it("gets what it takes; what is bigger comes back, be it while the link comes up or later", function()
		sends("early1", 9000)
		sends("early2", 11000)
		local verona = answers(told "10000")
		local text = romeo:awaits("<message type='error' id='early2'/>"):at("error", "text"):text()
		assert.equal("The server verona.example takes stanzas of up to 10000 bytes", text)
		verona:awaits "<message xmlns='jabber:server' id='early1'/>"
		sends("late1", 9000)
		sends("late2", 11000)
		assert.truthy(romeo:awaits("<message type='error' id='late2'/>"):at("error", "policy-violation"))
		verona:awaits "<message xmlns='jabber:server' id='late1'/>"
		romeo:receives_nothing()
		verona:vanishes()
	end)

	it("hears of us before it takes the stream for idle", function()
		sends("m", 10)
		local verona = answers(("<limits xmlns='%s'><idle-seconds>1</idle-seconds></limits>"):format(NS_LIMITS))
		verona:awaits "<message xmlns='jabber:server' id='m'/>"
		local before = verona.bytes_in
		loop.await(function() return verona.bytes_in > before end, "a sign of life")
		assert.equal(before + 1, verona.bytes_in)
		verona:vanishes()
	end)

	it("gets everything when what it says makes no sense", function()
		for _, limits in ipairs { "", told "0", told "-5", told "many", told "", told "99999999999999999999" } do
			sends("m", 11000)
			local verona = answers(limits)
			verona:awaits "<message xmlns='jabber:server' id='m'/>"
			verona:vanishes()
			server:ctl("s2s", "close", "verona.example")
		end
	end)
end)
