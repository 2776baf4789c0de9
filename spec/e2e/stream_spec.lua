-- Streams: how they begin, what they may not be, how they end (RFC 6120 4).

local Server = require "spec.support.server"

describe("A stream", function()
	local server, client

	setup(function()
		server = Server.start { hosts = { localhost = "", ["capulet.example"] = "" } }
	end)
	teardown(function() server:stop() end)
	before_each(function() client = server:client { name = "somebody" }:connect() end)
	after_each(function() server:forget_clients() end)

	it("is answered with a header from the host, version 1.0 and an id (4.7)", function()
		local header = client:opens_stream()
		assert.equal("localhost", header.attr.from)
		assert.equal("1.0", header.attr.version)
		assert.is_true(#header.attr.id >= 16, "an id long enough not to be guessed")
	end)

	it("has an id that no other stream has (4.7.3)", function()
		local seen = {}
		for _ = 1, 20 do
			local one = server:client {}:connect()
			local id = one:opens_stream().attr.id
			assert.is_nil(seen[id])
			seen[id] = true
		end
	end)

	it("keeps to the lower version when the client offers a newer one (4.7.5)", function()
		assert.equal("1.0", client:opens_stream({ version = "1.7" }).attr.version)
	end)

	it("is refused when the client speaks no version of ours (4.9.3.25)", function()
		client:opens_stream { version = false }
		client:is_thrown_out "unsupported-version"
	end)

	it("is refused for a host that is not here, after a proper header (4.9.3.6, 4.9.1.2)", function()
		local header = client:opens_stream { to = "verona.example" }
		assert.is_truthy(header)
		client:is_thrown_out "host-unknown"
	end)

	it("is refused without a host (4.7.2)", function()
		client:opens_stream { to = false }
		local condition = client:is_thrown_out():child().name
		assert.is_true(condition == "host-unknown" or condition == "improper-addressing", condition)
	end)

	it("finds its host in any spelling (RFC 7622 3.2)", function()
		assert.equal("capulet.example", client:opens_stream({ to = "CAPULET.Example" }).attr.from)
	end)

	it("is refused with a wrong namespace of streams (4.9.3.10)", function()
		client:opens_stream { ["xmlns:stream"] = "urn:example:wrong" }
		client:is_thrown_out "invalid-namespace"
	end)

	it("is refused with a wrong content namespace (4.9.3.10)", function()
		client:opens_stream { xmlns = "urn:example:wrong" }
		client:is_thrown_out "invalid-namespace"
	end)

	it("is refused when its root is something else", function()
		client:new_parser()
		client:sends_raw "<?xml version='1.0'?><house xmlns='jabber:client' to='localhost' version='1.0'>"
		client:is_thrown_out()
	end)

	it("demands TLS before anything else (5.3.1)", function()
		local features = client:opens_stream_with_features()
		local starttls = features:child("starttls", "urn:ietf:params:xml:ns:xmpp-tls")
		assert.is_truthy(starttls and starttls:child "required")
		assert.is_nil(features:child "mechanisms")
		assert.is_nil(features:child "bind")
	end)

	it("does not take stanzas from a stranger (4.9.3.12)", function()
		client:opens_stream_with_features()
		client:sends "<message to='juliet@localhost'><body>hi</body></message>"
		client:is_thrown_out()
	end)

	it("ends with both footers and the connection (4.4)", function()
		client:opens_stream_with_features()
		client:sends_raw "</stream:stream>"
		client:sees_the_end()
		assert.is_true(client.footer)
	end)

	it("tolerates white space between stanzas (4.6.1)", function()
		local romeo = server:person "romeo"
		romeo:sends_raw "  \n\t "
		romeo:settles()
	end)
end)

describe("A stream after login", function()
	local server, romeo

	setup(function() server = Server.start {} end)
	teardown(function() server:stop() end)
	before_each(function() romeo = server:person "romeo" end)
	after_each(function() server:forget_clients() end)

	it("ends when it is not well-formed (4.9.3.13)", function()
		romeo:sends "<message><body></message></body>"
		romeo:is_thrown_out "not-well-formed"
	end)

	it("ends at an undeclared prefix", function()
		romeo:sends "<message><x:body/></message>"
		local condition = romeo:is_thrown_out():child().name
		assert.is_true(condition == "not-well-formed" or condition == "bad-namespace-prefix", condition)
	end)

	it("ends at an element that is no stanza (4.9.3.24)", function()
		romeo:sends "<letter to='juliet@localhost'/>"
		romeo:is_thrown_out "unsupported-stanza-type"
	end)

	it("ends at a stanza of another namespace", function()
		romeo:sends "<message xmlns='jabber:server' to='juliet@localhost'/>"
		romeo:is_thrown_out()
	end)

	it("ends with system-shutdown when the server goes (4.9.3.19)", function()
		local other = Server.start {}
		local juliet = other:person "juliet"
		other:signal(15)
		juliet:is_thrown_out "system-shutdown"
		other:stop()
	end)

	it("is alone: the end of one leaves others as they are", function()
		local juliet = server:person "juliet"
		romeo:sends "<broken"
		romeo:sends "<"
		romeo:is_thrown_out "not-well-formed"
		juliet:settles()
	end)
end)
