-- What we make of a server that we come to and that answers as it likes (XEP-0220 2.1, 2.3, 2.4; SECURITY C1), and
-- whether we believe one that comes to us because of what another says.

local federation = require "spec.support.federation"
local loop = require "spec.support.loop"

local DB = "xmlns='jabber:server:dialback'"
local FEATURES = "<stream:features><dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback></stream:features>"

-- The other domains may do without TLS, so that the specs can play them.
local CONFIG = "s2s_secure_auth = false\ns2s_require_encryption = false\n"

-- A server that was called: takes our header and gives its own.
local function answers(peer, id)
	loop.await(function() return peer.header end, "a stream header", nil, 2)
	peer:sends_raw(("<?xml version='1.0'?><stream:stream xmlns='jabber:server' from='%s' id='%s' version='1.0' "
		.. "xmlns:db='jabber:server:dialback' xmlns:stream='http://etherx.jabber.org/streams'>%s"):format(
		peer.options.host, id, FEATURES))
end

describe("A server that we come to", function()
	local server, romeo, verona, called

	setup(function()
		verona = federation.listener "verona.example"
		server = federation.alone { more_modules = { "dialback" }, config = CONFIG,
			routes = { ["verona.example"] = { port = verona.port } } }
		romeo = server:person "romeo"
	end)
	teardown(function()
		server:stop()
		verona:close()
	end)
	before_each(function()
		romeo:forgets()
		romeo:sends "<message to='nurse@verona.example' id='m1'><body>hello</body></message>"
		called = verona:accepts()
		answers(called, "stream-id")
		local result = called:awaits(("<result %s from='montague.example' to='verona.example'/>"):format(DB))
		assert.equal(64, #result:text())
	end)
	after_each(function()
		called:vanishes()
		-- Forget the failure, so that the next spec is not told of it.
		server:ctl("s2s", "close", "verona.example")
	end)

	local function bounced()
		local answer = romeo:awaits "<message type='error' id='m1' from='nurse@verona.example'/>"
		return answer:child "error"
	end

	it("gets what waits once it believes us", function()
		called:sends(("<result %s from='verona.example' to='montague.example' type='valid'/>"):format(DB))
		called:awaits "<message xmlns='jabber:server' to='nurse@verona.example'><body>hello</body></message>"
	end)

	it("gets nothing when it says that our key is invalid; the sender learns of it", function()
		called:sends(("<result %s from='verona.example' to='montague.example' type='invalid'/>"):format(DB))
		local text = bounced():child("text"):text()
		assert.truthy(text:find("key is not valid", 1, true), text)
	end)

	it("gets nothing when it cannot check the key; the sender learns why", function()
		called:sends(([[<result %s from='verona.example' to='montague.example' type='error'><error type='cancel'>
			<remote-server-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></result>]]):format(DB))
		local text = bounced():child("text"):text()
		assert.truthy(text:find("remote-server-not-found", 1, true), text)
	end)

	it("gets nothing when it answers for another domain", function()
		called:sends(("<result %s from='capulet.org' to='montague.example' type='valid'/>"):format(DB))
		called:is_thrown_out "invalid-from"
		assert.truthy(bounced():child "remote-server-timeout")
	end)

	it("may not answer twice (SECURITY C1)", function()
		called:sends(("<result %s from='verona.example' to='montague.example' type='valid'/>"):format(DB))
		called:awaits "<message xmlns='jabber:server'/>"
		called:sends(("<result %s from='verona.example' to='montague.example' type='valid'/>"):format(DB))
		called:is_thrown_out "invalid-from"
	end)

	it("gets nothing when it hangs up", function()
		called:vanishes()
		assert.truthy(bounced():child "remote-server-timeout")
	end)

	it("gets nothing when it reports an error, whose words the sender reads", function()
		called:sends_raw [[<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>
			<text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>not here</text></stream:error></stream:stream>]]
		local text = bounced():child("text"):text()
		assert.truthy(text:find("host-unknown: not here", 1, true), text)
	end)

	it("may not send us stanzas that way", function()
		called:sends(("<result %s from='verona.example' to='montague.example' type='valid'/>"):format(DB))
		called:sends "<message from='nurse@verona.example' to='romeo@montague.example'><body>x</body></message>"
		called:is_thrown_out "invalid-from"
		assert.is_nil(table.unpack(romeo.inbox))
	end)
end)

describe("A server that comes to us with a key", function()
	local server, juliet, listener, verona, authority

	setup(function()
		listener = federation.listener "verona.example"
		server = federation.alone { more_modules = { "dialback" }, config = CONFIG,
			routes = { ["verona.example"] = { port = listener.port } } }
		juliet = server:person "juliet"
	end)
	teardown(function()
		server:stop()
		listener:close()
	end)
	before_each(function()
		juliet:forgets()
		verona = federation.peer(server, { from = "verona.example", tls = "none" }):connect()
		verona:opens()
		verona:sends(("<result %s from='verona.example' to='montague.example'>the-key</result>"):format(DB))
		authority = listener:accepts()
		answers(authority, "other-id")
	end)
	after_each(function()
		verona:vanishes()
		authority:vanishes()
		server:ctl("s2s", "close", "verona.example")
	end)

	local function question()
		local asked = authority:awaits(("<verify %s from='montague.example' to='verona.example'/>"):format(DB))
		assert.equal("the-key", asked:text())
		assert.equal(verona.header.attr.id, asked.attr.id)
		return asked
	end

	local function says(kind, id, from)
		authority:sends(("<verify %s from='%s' to='montague.example' id='%s' type='%s'/>"):format(DB,
			from or "verona.example", id, kind))
	end

	it("is believed when who is in charge of the domain says so", function()
		says("valid", question().attr.id)
		verona:awaits(("<result %s from='montague.example' to='verona.example' type='valid'/>"):format(DB))
		verona:sends "<message from='nurse@verona.example' to='juliet@montague.example'><body>x</body></message>"
		juliet:receives "<message from='nurse@verona.example'/>"
	end)

	it("is believed once, however often that one says so; who says so twice is sent away (SECURITY C1)", function()
		local id = question().attr.id
		says("valid", id)
		verona:awaits(("<result %s type='valid'/>"):format(DB))
		says("valid", id)
		authority:is_thrown_out "invalid-from"
		verona:settles()
		assert.is_nil(table.unpack(verona.inbox))
	end)

	it("is not believed, and sent away, when that one says no", function()
		says("invalid", question().attr.id)
		verona:awaits(("<result %s type='invalid'/>"):format(DB))
		verona:sees_the_end()
	end)

	it("is told when that one cannot be asked", function()
		question()
		authority:vanishes()
		local answer = verona:awaits(("<result %s type='error'/>"):format(DB))
		assert.truthy(answer:child("error"):child "remote-server-timeout")
	end)

	it("is not believed because of an answer to another question", function()
		question()
		says("valid", "another-id")
		authority:is_thrown_out "invalid-from"
		verona:awaits(("<result %s type='error'/>"):format(DB))
	end)

	it("is not believed because of another domain's answer", function()
		local id = question().attr.id
		says("valid", id, "capulet.org")
		authority:is_thrown_out "invalid-from"
		verona:awaits(("<result %s type='error'/>"):format(DB))
	end)

	it("is not believed because it answers itself", function()
		local id = question().attr.id
		verona:sends(("<verify %s from='verona.example' to='montague.example' id='%s' type='valid'/>"):format(DB, id))
		verona:is_thrown_out "invalid-from"
	end)

	it("may not ask twice at once", function()
		question()
		verona:sends(("<result %s from='verona.example' to='montague.example'>again</result>"):format(DB))
		local answer = verona:awaits(("<result %s type='error'/>"):format(DB))
		assert.truthy(answer:child("error"):child "policy-violation")
	end)
end)

describe("The secret of our keys", function()
	it("outlives a restart (SECURITY C2)", function()
		local listener = federation.listener "verona.example"
		local server = federation.alone { more_modules = { "dialback" }, config = CONFIG,
			routes = { ["verona.example"] = { port = listener.port } } }
		finally(function()
			server:stop()
			listener:close()
		end)
		local function key()
			local romeo = server:person "romeo"
			romeo:sends "<message to='nurse@verona.example'><body>hello</body></message>"
			local called = listener:accepts()
			answers(called, "the-same-id")
			local text = called:awaits(("<result %s/>"):format(DB)):text()
			called:vanishes()
			return text
		end
		local before = key()
		server:restart()
		server:awaits_log "Activated service 's2s_direct_tls'"
		assert.equal(before, key())
	end)
end)
