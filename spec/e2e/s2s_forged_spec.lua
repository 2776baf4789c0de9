-- What a hostile server may try (SECURITY C1 to C4, C9; XEP-0220 5). Each attempt ends the stream or is refused, and no
-- stanza gets through.

local federation = require "spec.support.federation"
local loop = require "spec.support.loop"

local NS_SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
local DB = "xmlns='jabber:server:dialback'"

describe("A server that has proven to be verona.example", function()
	local server, juliet, verona

	setup(function()
		server = federation.alone { hosts = { ["montague.example"] = "", ["capulet.example"] = "" },
			more_modules = { "dialback", "s2s_bidi" } }
		juliet = server:person("juliet", { host = "montague.example" })
	end)
	teardown(function() server:stop() end)
	before_each(function()
		juliet:forgets()
		verona = federation.peer(server, { from = "verona.example", certificate = "verona" }):logs_in_with_certificate()
	end)
	after_each(function() verona:vanishes() end)

	it("is heard", function()
		verona:sends "<message from='nurse@verona.example/x' to='juliet@montague.example'><body>hi</body></message>"
		juliet:receives "<message from='nurse@verona.example/x'><body>hi</body></message>"
	end)

	for what, case in pairs {
		["as somebody of another domain"] = {
			"<message from='tybalt@capulet.org' to='juliet@montague.example'><body>x</body></message>", "invalid-from" },
		["as somebody of a domain below its own"] = {
			"<message from='a@sub.verona.example' to='juliet@montague.example'><body>x</body></message>", "invalid-from" },
		["as one of our own users (C9)"] = {
			"<message from='romeo@montague.example' to='juliet@montague.example'><body>x</body></message>", "invalid-from" },
		["as one of our own hosts"] = {
			"<message from='montague.example' to='juliet@montague.example'><body>x</body></message>", "invalid-from" },
		["to another host of ours, for which nothing was proven"] = {
			"<message from='a@verona.example' to='juliet@capulet.example'><body>x</body></message>", "invalid-from" },
		["to a host that is not ours"] = {
			"<message from='a@verona.example' to='juliet@nowhere.example'><body>x</body></message>", "host-unknown" },
		["without saying to whom"] = { "<message from='a@verona.example'><body>x</body></message>",
			"improper-addressing" },
		["without saying from whom"] = { "<message to='juliet@montague.example'><body>x</body></message>",
			"improper-addressing" },
	} do
		it("may not send " .. what, function()
			verona:sends(case[1])
			verona:is_thrown_out(case[2])
			juliet:receives_nothing()
		end)
	end

	it("may not send in the clients' namespace", function()
		verona:sends [[<message xmlns='jabber:client' from='a@verona.example' to='juliet@montague.example'>
			<body>x</body></message>]]
		verona:is_thrown_out()
		juliet:receives_nothing()
	end)

	it("may not answer for a domain nobody has asked about (C1)", function()
		for _, lie in ipairs {
			"<result %s from='capulet.org' to='montague.example' type='valid'/>",
			"<result %s from='verona.example' to='montague.example' type='valid'/>",
			"<result %s from='verona.example' to='montague.example' type='error'/>",
			"<verify %s from='capulet.org' to='montague.example' id='1' type='valid'/>",
			"<verify %s from='verona.example' to='montague.example' id='1' type='valid'/>",
			"<verify %s from='verona.example' to='montague.example' id='1' type='error'/>",
		} do
			local liar = federation.peer(server, { from = "verona.example", certificate = "verona" })
			liar:logs_in_with_certificate()
			liar:sends(lie:format(DB))
			liar:is_thrown_out "invalid-from"
		end
	end)

	it("may not be another domain too, without its certificate (C3)", function()
		verona:sends(("<result %s from='capulet.org' to='montague.example'>made-up</result>"):format(DB))
		local answer = verona:awaits(("<result %s type='error'/>"):format(DB))
		assert.equal("capulet.org", answer.attr.to)
		assert.truthy(answer:child("error"):child "not-authorized")
		verona:sends "<message from='a@capulet.org' to='juliet@montague.example'><body>x</body></message>"
		verona:is_thrown_out "invalid-from"
		juliet:receives_nothing()
	end)

	it("may not be one of our hosts", function()
		verona:sends(("<result %s from='capulet.example' to='montague.example'>x</result>"):format(DB))
		verona:is_thrown_out "invalid-from"
	end)

	it("proves itself to another host of ours by the same certificate, and is heard there", function()
		verona:sends(("<result %s from='verona.example' to='capulet.example'>whatever</result>"):format(DB))
		verona:awaits(("<result %s from='capulet.example' to='verona.example' type='valid'/>"):format(DB))
		local nurse = server:person("nurse", { host = "capulet.example" })
		verona:sends "<message from='a@verona.example' to='nurse@capulet.example'><body>x</body></message>"
		nurse:receives "<message from='a@verona.example'><body>x</body></message>"
	end)

	it("is told when it asks for a host that is not ours", function()
		verona:sends(("<result %s from='verona.example' to='nowhere.example'>x</result>"):format(DB))
		local answer = verona:awaits(("<result %s type='error'/>"):format(DB))
		assert.truthy(answer:child("error"):child "item-not-found")
	end)

	it("may send an odd address without harm to the stream", function()
		verona:sends "<message from='@@@verona.example' to='juliet@montague.example'><body>x</body></message>"
		verona:sends "<message from='a@verona.example' to='juliet@montague.example'><body>good</body></message>"
		juliet:receives "<message><body>good</body></message>"
	end)
end)

describe("A server that has proven nothing", function()
	local server

	setup(function() server = federation.alone { more_modules = { "dialback" } } end)
	teardown(function() server:stop() end)

	local function stranger(options) return federation.peer(server, options) end

	it("may not say anything, under TLS or not", function()
		local message = "<message from='a@verona.example' to='juliet@montague.example'><body>x</body></message>"
		local verona = stranger { from = "verona.example" }:connect()
		verona:opens()
		verona:sends(message)
		verona:is_thrown_out "not-authorized"
		verona = stranger { from = "verona.example", certificate = "verona" }:under_tls()
		verona:opens()
		verona:sends(message)
		verona:is_thrown_out "not-authorized"
	end)

	it("may not be one of our hosts (C9)", function()
		local liar = stranger { from = "montague.example", certificate = "montague" }:connect()
		liar:opens_only()
		liar:is_thrown_out "invalid-from"
	end)

	it("must ask for a host of ours", function()
		local lost = stranger { from = "verona.example", to = "nowhere.example" }:connect()
		lost:opens_only()
		lost:is_thrown_out "host-unknown"
	end)

	it("must speak jabber:server", function()
		local client = stranger { from = "verona.example" }:connect()
		client:opens_only { xmlns = "jabber:client" }
		client:is_thrown_out "invalid-namespace"
	end)

	it("must be between the same domains after TLS", function()
		local verona = stranger { from = "verona.example", certificate = "verona" }:under_tls()
		verona:opens_only { from = "capulet.org" }
		verona:is_thrown_out "not-authorized"
	end)

	it("gets no dialback outside TLS (C3)", function()
		local verona = stranger { from = "verona.example" }:connect()
		local features = verona:opens()
		assert.is_nil(features:child("dialback", "urn:xmpp:features:dialback"))
		verona:sends(("<result %s from='verona.example' to='montague.example'>x</result>"):format(DB))
		local answer = verona:awaits(("<result %s type='error'/>"):format(DB))
		assert.truthy(answer:child("error"):child "policy-violation")
	end)

	it("may not answer <starttls/>, offer features or begin TLS with more in the same breath", function()
		for _, text in ipairs { "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", "<stream:features/>" } do
			local verona = stranger { from = "verona.example" }:connect()
			verona:opens()
			verona:sends(text)
			verona:is_thrown_out "unsupported-stanza-type"
		end
		local verona = stranger { from = "verona.example" }:connect()
		verona:opens()
		verona:sends_raw "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><stream:stream>"
		verona:sees_the_end()
	end)
end)

describe("A key that we are asked about (C2)", function()
	local server, verona

	setup(function()
		server = federation.alone { more_modules = { "dialback" }, config = [[dialback_secret = "s3cr3t"]] }
	end)
	teardown(function() server:stop() end)
	before_each(function()
		verona = federation.peer(server, { from = "verona.example", certificate = "verona" }):under_tls()
		verona:opens()
	end)
	after_each(function() verona:vanishes() end)

	-- XEP-0185 2, worked out with openssl instead of our own code.
	local function key(receiving, originating, id)
		local pipe = io.popen(("hash=$(printf %%s s3cr3t | openssl sha256 -r | cut -d' ' -f1); "
			.. "printf %%s '%s %s %s' | openssl dgst -sha256 -hmac $hash -r | cut -d' ' -f1"):format(receiving, originating, id))
		local hex = pipe:read "l"
		pipe:close()
		return hex
	end

	local function verdict(from, to, id, text)
		verona:sends(("<verify %s from='%s' to='%s' id='%s'>%s</verify>"):format(DB, from, to, id, text))
		return verona:awaits(("<verify %s id='%s'/>"):format(DB, id)).attr.type
	end

	it("is valid when it is ours (XEP-0185)", function()
		assert.equal("valid", verdict("verona.example", "montague.example", "417", key("verona.example",
			"montague.example", "417")))
	end)

	it("is not valid for another stream, another domain, or with its parts shifted", function()
		local right = key("verona.example", "montague.example", "417")
		assert.equal("invalid", verdict("verona.example", "montague.example", "418", right))
		assert.equal("invalid", verdict("capulet.org", "montague.example", "417", right))
		assert.equal("invalid", verdict("verona.example", "montague.example", "4", key("7verona.example",
			"montague.example", "41")))
		assert.equal("invalid", verdict("verona.example", "montague.example", "x", ""))
	end)

	it("of a host that is not ours is nobody's", function()
		assert.equal("error", verdict("verona.example", "nowhere.example", "417", "x"))
	end)
end)

describe("A server that we have come to (C4)", function()
	local server, listener, romeo, verona

	setup(function()
		listener = federation.listener "verona.example"
		server = federation.alone {
			hosts = { ["montague.example"] = "", ["capulet.example"] = "" }, more_modules = { "s2s_bidi" },
			routes = { ["verona.example"] = { port = listener.port, direct_tls = true } },
		}
		romeo = server:person("romeo", { host = "montague.example" })
	end)
	teardown(function()
		server:stop()
		listener:close()
	end)
	after_each(function()
		verona:vanishes()
		server:awaits(function()
			return server:ctl("s2s", "show"):find("0 streams", 1, true)
		end, "the end of the stream")
		server:ctl("s2s", "close", "verona.example")
		romeo:forgets()
	end)

	-- Romeo's message brings us there; the other side believes us, and gets it.
	local function is_called(offer)
		romeo:sends "<message to='nurse@verona.example'><body>hello</body></message>"
		verona = listener:accepts()
		local files = federation.certificate "verona"
		verona.options.sni = false
		verona:handshake { mode = "server", certificate = files.certificate, key = files.key }
		local function answers(features)
			verona:new_parser()
			loop.await(function() return verona.header end, "our header")
			verona:sends_raw(verona:header_text { xmlns = "jabber:server", from = "verona.example", to = "montague.example",
				id = "1" } .. "<stream:features>" .. features .. "</stream:features>")
		end
		answers(("<mechanisms xmlns='%s'><mechanism>EXTERNAL</mechanism></mechanisms>"):format(NS_SASL) .. offer)
		verona:awaits(("<auth xmlns='%s' mechanism='EXTERNAL'/>"):format(NS_SASL))
		verona:sends_raw(("<success xmlns='%s'/>"):format(NS_SASL))
		answers ""
		verona:awaits "<message xmlns='jabber:server' to='nurse@verona.example'><body>hello</body></message>"
		romeo:forgets()
	end

	local WITH_BIDI = "<bidi xmlns='urn:xmpp:features:bidi'/>"
	local HERS = "<message from='nurse@verona.example' to='romeo@montague.example'><body>hi</body></message>"

	it("is not heard there, when one direction was agreed on", function()
		is_called ""
		verona:sends(HERS)
		verona:is_thrown_out "invalid-from"
		romeo:receives_nothing()
	end)

	it("is heard there, when both were", function()
		is_called(WITH_BIDI)
		verona:sends(HERS)
		romeo:receives "<message from='nurse@verona.example'><body>hi</body></message>"
	end)

	for what, addresses in pairs {
		["as another domain"] = { "tybalt@capulet.org", "romeo@montague.example" },
		["as one of our users"] = { "juliet@capulet.example", "romeo@montague.example" },
		["as the user it talks to"] = { "romeo@montague.example", "romeo@montague.example" },
		["to another host of ours"] = { "nurse@verona.example", "romeo@capulet.example" },
	} do
		it("is not heard " .. what .. " even then", function()
			is_called(WITH_BIDI)
			verona:sends(("<message from='%s' to='%s'><body>x</body></message>"):format(addresses[1], addresses[2]))
			verona:is_thrown_out "invalid-from"
			romeo:receives_nothing()
		end)
	end
end)

describe("A host of ours (C9)", function()
	it("is never connected to, whatever the configuration says", function()
		local listener = federation.listener "capulet.example"
		local server = federation.alone { hosts = { ["montague.example"] = "", ["capulet.example"] = "" },
			routes = { ["capulet.example"] = { port = listener.port } } }
		finally(function()
			server:stop()
			listener:close()
		end)
		local romeo = server:person("romeo", { host = "montague.example" })
		local juliet = server:person("juliet", { host = "capulet.example" })
		romeo:sends "<message to='juliet@capulet.example'><body>hello</body></message>"
		juliet:receives(("<message from='%s'><body>hello</body></message>"):format(romeo.jid))
		romeo:sends "<iq type='get' id='p' to='capulet.example'><ping xmlns='urn:xmpp:ping'/></iq>"
		romeo:awaits "<iq type='result' id='p' from='capulet.example'/>"
		local said = server:ctl("s2s", "show")
		assert.truthy(said:find("0 streams", 1, true), said)
		assert.is_false(listener:is_called(0))
	end)
end)
