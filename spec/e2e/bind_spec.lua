-- Binding a resource (RFC 6120 7).

local Server = require "spec.support.server"

local NS_BIND = "urn:ietf:params:xml:ns:xmpp-bind"

describe("Binding", function()
	local server

	setup(function()
		server = Server.start {}
		server:register("romeo", "secret")
	end)
	teardown(function() server:stop() end)
	after_each(function() server:forget_clients() end)

	-- Authenticated, with features that ask for a resource.
	local function unbound()
		local client = server:client { user = "romeo", tls = "direct" }:connect()
		client:opens_stream_with_features()
		assert(client:authenticates())
		local features = client:opens_stream_with_features()
		assert.is_truthy(features:child("bind", NS_BIND))
		return client
	end

	it("takes the resource the client asks for (7.7)", function()
		local client = unbound()
		client:binds "orchard"
		assert.equal("romeo@localhost/orchard", client.jid)
	end)

	it("makes a resource when the client asks for none (7.6)", function()
		local a, b = unbound(), unbound()
		a:binds(false)
		b:binds(false)
		assert.is_truthy(a.jid:match "^romeo@localhost/.+")
		assert.not_equal(a.jid, b.jid)
	end)

	it("comes before any other stanza (7.1)", function()
		local client = unbound()
		client:sends "<message to='romeo@localhost'><body>hi</body></message>"
		local answer = client:next_stanza()
		assert.is_true(answer:is "error" or answer.attr.type == "error", tostring(answer))
	end)

	it("happens once per stream", function()
		local client = unbound()
		client:binds "orchard"
		local reply = client:asks(("<iq type='set'><bind xmlns='%s'><resource>tomb</resource></bind></iq>"):format(NS_BIND))
		assert.equal("error", reply.attr.type)
		client:settles()
		assert.equal("orchard", client.resource)
	end)

	it("with a resource in use ends the older session or gives another one (7.7.2.2)", function()
		local old = unbound()
		old:binds "orchard"
		local new = unbound()
		local reply = new:binds "orchard"
		if new.jid == "romeo@localhost/orchard" then
			old:is_thrown_out "conflict"
		else
			assert.is_true(reply.attr.type == "error" or new.jid ~= nil)
			old:settles()
		end
	end)

	it("never cuts a resource in half: too long a one is refused or replaced", function()
		for _, resource in ipairs { ("x"):rep(1022) .. "é", ("x"):rep(1024), ("x"):rep(4000) } do
			local client = unbound()
			local reply = client:binds(resource)
			if reply.attr.type == "error" then
				assert.is_truthy(reply:at("error", "bad-request") or reply:at("error", "not-acceptable")
					or reply:at("error", "jid-malformed"))
			else
				assert.is_nil(client.jid:find(("x"):rep(1000), 1, true))
			end
		end
	end)

	it("takes a resource of 1,023 bytes", function()
		local client = unbound()
		client:binds(("x"):rep(1023))
		assert.equal("romeo@localhost/" .. ("x"):rep(1023), client.jid)
	end)

	it("takes resources of any script", function()
		local client = unbound()
		client:binds "Ромео & <Джульетта>"
		assert.equal("romeo@localhost/Ромео & <Джульетта>", client.jid)
	end)

	it("refuses what cannot be a resource", function()
		local client = unbound()
		local reply = client:binds "tab\tinside"
		assert.is_true(reply.attr.type == "error" or not client.jid:find "\t")
	end)

	it("keeps sessions of one account apart", function()
		local a, b = unbound(), unbound()
		a:binds "orchard"
		b:binds "tomb"
		a:sends "<message to='romeo@localhost/tomb' type='chat'><body>note to self</body></message>"
		b:receives "<message from='romeo@localhost/orchard'><body>note to self</body></message>"
	end)

	it("answers the old session request with a result (RFC 3921 3)", function()
		local client = unbound()
		client:binds "orchard"
		local reply = client:asks "<iq type='set'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>"
		assert.equal("result", reply.attr.type)
	end)
end)
