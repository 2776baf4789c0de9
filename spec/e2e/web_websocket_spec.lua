-- XMPP over WebSocket (RFC 7395, RFC 6455, SECURITY E6).

local http = require "spec.support.http"
local support = require "spec.support.web"
local websocket = require "spec.support.websocket"

local NS_FRAMING = "urn:ietf:params:xml:ns:xmpp-framing"

describe("A WebSocket", function()
	local server

	setup(function() server = support.start({ "websocket" }, [[websocket_origins = { "https://chat.example" }]]) end)
	teardown(function() server:stop() end)
	after_each(function() server:forget_clients() end)

	local function connect(options)
		options = options or {}
		if options.tls == nil then options.tls = true end
		return websocket.connect(server, options)
	end

	describe("is agreed on", function()
		it("with the answer to the client's key and the protocol xmpp", function()
			local ws = connect()
			assert.equal("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", ws.response.headers["sec-websocket-accept"]) -- RFC 6455 1.3
			assert.equal("xmpp", ws.response.headers["sec-websocket-protocol"])
			assert.is_nil(ws.response.headers["sec-websocket-extensions"])
		end)

		for name, case in pairs {
			["another version"] = { { ["Sec-WebSocket-Version"] = "8" }, 426 },
			["no version"] = { { ["Sec-WebSocket-Version"] = false }, 426 },
			["no key"] = { { ["Sec-WebSocket-Key"] = false }, 400 },
			["a short key"] = { { ["Sec-WebSocket-Key"] = "c2hvcnQ=" }, 400 },
			["another protocol"] = { { ["Sec-WebSocket-Protocol"] = "chat" }, 400 },
			["no protocol"] = { { ["Sec-WebSocket-Protocol"] = false }, 400 },
			["no upgrade"] = { { Upgrade = false }, 426 },
			["no connection to upgrade"] = { { Connection = "keep-alive" }, 400 },
			["a page of another origin"] = { { Origin = "https://evil.example" }, 403 },
			["a page of no origin"] = { { Origin = "null" }, 403 },
			["a page of an origin that looks like ours"] = { { Origin = "https://localhost.evil.example" }, 403 },
		} do
			it("not with " .. name, function()
				local _, response = connect { headers = case[1] }
				assert.equal(case[2], response.status)
			end)
		end

		it("with pages of our own host, of our own address and of those that are named", function()
			for _, origin in ipairs { "https://localhost", "http://LOCALHOST", "https://chat.example",
				"https://localhost:" .. server.https_port } do
				assert.truthy(connect { headers = { Origin = origin } }, origin)
			end
		end)
	end)

	it("carries a whole login and messages both ways, with people on TCP", function()
		local romeo = connect():logs_in("romeo", "secret", "web")
		assert.equal("romeo@localhost/web", romeo.jid)
		local juliet = support.juliet(server)
		romeo:sends(support.message("juliet@localhost/balcony", "art thou there? ♥"))
		juliet:receives("<message from='romeo@localhost/web' type='chat'><body>art thou there? ♥</body></message>")
		juliet:sends("<message to='romeo@localhost/web' type='chat'><body>ay me &lt;3</body></message>")
		local message, text = romeo:receives()
		assert.equal("ay me <3", message:at("body"):text())
		assert.equal("jabber:client", message.ns)
		assert.truthy(text:find("^<message xmlns='jabber:client'"))
		assert.is_nil(text:sub(2):find("jabber:client", 30, true))
	end)

	it("works in pieces of a byte", function()
		local ws = connect { trickle = true }
		assert.equal("romeo@localhost/web", ws:logs_in("romeo", "secret", "web").jid)
	end)

	it("offers no login where it is not secure", function()
		local features = connect { tls = false }:opens()
		assert.is_nil(features:child "mechanisms")
	end)

	it("has the same features as TCP, but no TLS", function()
		local features = connect():opens()
		assert.truthy(features:child "mechanisms")
		assert.is_nil(features:child "starttls")
	end)

	it("is for the host that was named first", function()
		local ws = connect()
		ws:opens "localhost"
		ws:sends(support.auth("romeo", "secret"))
		assert.equal("success", ws:receives().name)
		ws:sends(("<open xmlns='%s' to='montague.example' version='1.0'/>"):format(NS_FRAMING))
		assert.truthy(ws:receives():child "not-authorized")
	end)

	it("refuses a wrong password like TCP does", function()
		local _, answer = connect():logs_in("romeo", "wrong", "web")
		assert.truthy(answer:child "not-authorized")
	end)

	it("ends in order when the client says so", function()
		local ws = connect()
		ws:opens()
		ws:sends(("<close xmlns='%s'/>"):format(NS_FRAMING))
		assert.equal("close", ws:receives().name)
		assert.equal(1000, (ws:closes()))
	end)

	it("that ends without a word is the end of its session", function()
		local juliet = support.juliet(server)
		local romeo = connect():logs_in("romeo", "secret", "gone")
		romeo:sends "<presence xmlns='jabber:client' to='juliet@localhost/balcony'/>"
		juliet:receives "<presence from='romeo@localhost/gone'/>"
		romeo.conn:vanishes()
		juliet:receives "<presence from='romeo@localhost/gone' type='unavailable'/>"
	end)

	it("answers pings, and pings itself never for nothing", function()
		local ws = connect()
		ws:sends_frame(9, "are you there?")
		assert.same({ 10, "are you there?" }, { ws:frame() })
	end)

	it("closes on floods of pings", function()
		local ws = connect()
		for _ = 1, 12 do ws:sends_frame(9, "") end
		local opcode, payload
		repeat opcode, payload = ws:frame() until opcode ~= 10
		assert.same({ 8, "\3\240" }, { opcode, payload:sub(1, 2) }) -- 1008
	end)

	for name, case in pairs {
		["unmasked frames"] = { { 1, "<open/>", { mask = false } }, 1002 },
		["binary messages"] = { { 2, "x" }, 1003 },
		["text that is not UTF-8"] = { { 1, "\xff" }, 1007 },
		["messages that are too long"] = { { 1, ("x"):rep(9000) }, 1009 },
		["unknown frames"] = { { 3, "" }, 1002 },
	} do
		it("closes on " .. name, function()
			local ws = connect()
			ws:sends_frame(table.unpack(case[1]))
			assert.equal(case[2], (ws:closes()))
		end)
	end

	local function error_after(ws, text)
		ws:sends(text)
		local element
		repeat element = ws:receives() until element.name == "error"
		assert.equal("http://etherx.jabber.org/streams", element.ns)
		assert.equal("close", ws:receives().name)
		assert.equal(1000, (ws:closes()))
		return element:child(nil, "urn:ietf:params:xml:ns:xmpp-streams").name
	end

	for name, case in pairs {
		["no element"] = { "hello", "not-well-formed" },
		["half an element"] = { "<open xmlns='" .. NS_FRAMING .. "'", "not-well-formed" },
		["two elements"] = { "<a xmlns='b'/><a xmlns='b'/>", "not-well-formed" },
		["a DTD"] = { "<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>", "restricted-xml" },
		["a comment"] = { "<a><!-- x --></a>", "restricted-xml" },
		["a stanza before <open/>"] = { "<message xmlns='jabber:client'/>", "invalid-namespace" },
		["no host"] = { ("<open xmlns='%s' version='1.0'/>"):format(NS_FRAMING), "improper-addressing" },
		["a host that is not ours"] = { ("<open xmlns='%s' to='x.example' version='1.0'/>"):format(NS_FRAMING),
			"host-unknown" },
		["another version"] = { ("<open xmlns='%s' to='localhost' version='2.0'/>"):format(NS_FRAMING),
			"unsupported-version" },
	} do
		it(("ends with %s when %s is sent first"):format(case[2], name), function()
			assert.equal(case[2], error_after(connect(), case[1]))
		end)
	end

	for name, case in pairs {
		["a message"] = { "<message xmlns='jabber:client' to='juliet@localhost'><body>x</body></message>", "not-authorized" },
		["a presence"] = { "<presence xmlns='jabber:client'/>", "not-authorized" },
		["a question"] = { "<iq xmlns='jabber:client' type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
			"not-authorized" },
		["starttls"] = { "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", "unsupported-stanza-type" },
		["compression"] = { "<compress xmlns='http://jabber.org/protocol/compress'/>", "unsupported-stanza-type" },
		["features"] = { "<features xmlns='http://etherx.jabber.org/streams'/>", "unsupported-stanza-type" },
		["another <open/>"] = { ("<open xmlns='%s' to='localhost' version='1.0'/>"):format(NS_FRAMING), "policy-violation" },
	} do
		it(("ends with %s when %s is sent before login"):format(case[2], name), function()
			local ws = connect()
			ws:opens()
			assert.equal(case[1] and case[2], error_after(ws, case[1]))
		end)
	end

	it("keeps the order of what is sent while something waits", function()
		local ws = connect()
		ws:opens()
		-- a wrong guess is answered late; what follows is not lost, nor answered first
		ws:sends(support.auth("romeo", "wrong")):sends(support.auth("romeo", "secret"))
		assert.equal("failure", ws:receives().name)
		assert.equal("success", ws:receives().name)
	end)

	it("is refused a second login of the same resource only after the first was told", function()
		local first = connect():logs_in("romeo", "secret", "same")
		local second = connect():logs_in("romeo", "secret", "same")
		assert.truthy(first:receives():child "conflict")
		assert.truthy(second)
	end)

	it("takes messages of up to 256 KiB after login", function()
		local romeo = connect():logs_in("romeo", "secret", "web")
		romeo:sends(("<message xmlns='jabber:client' to='romeo@localhost/web'><body>%s</body></message>"):format(
			("x"):rep(200000)))
		assert.equal(200000, #romeo:receives():at("body"):text())
		romeo:sends_frame(1, ("x"):rep(300000))
		assert.equal(1009, (romeo:closes()))
	end)

	it("looks friendly in a browser", function()
		local response = http.get(server, "/xmpp-websocket", { Accept = "text/html" }, { tls = true })
		assert.equal(426, response.status)
		assert.truthy(response.body:find "WebSocket")
	end)

	it("leaves nothing behind", function() support.leaves_nothing(server) end)
end)
