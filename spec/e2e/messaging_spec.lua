-- Messages between users of the server (RFC 6121 8.5; RFC 6120 8).

local Server = require "spec.support.server"

describe("A message", function()
	local server, romeo, juliet

	setup(function() server = Server.start { more_modules = { "offline" } } end)
	teardown(function() server:stop() end)
	before_each(function()
		romeo = server:person("romeo", { resource = "orchard" })
		juliet = server:person("juliet", { resource = "balcony" })
	end)
	after_each(function() server:forget_clients() end)

	it("reaches a full JID, stamped with who sent it (RFC 6120 8.1.2.1)", function()
		romeo:sends [[
			<message to='juliet@localhost/balcony' type='chat' id='m1' xml:lang='en'>
				<body>Art thou not Romeo, and a Montague?</body>
			</message>]]
		juliet:receives [[
			<message from='romeo@localhost/orchard' to='juliet@localhost/balcony' type='chat' id='m1' xml:lang='en'>
				<body>Art thou not Romeo, and a Montague?</body>
			</message>]]
	end)

	it("reaches the bare JID's resource", function()
		romeo:sends "<message to='juliet@localhost' type='chat'><body>hi</body></message>"
		juliet:receives "<message from='romeo@localhost/orchard' to='juliet@localhost'><body>hi</body></message>"
	end)

	it("to nobody goes to oneself: no 'to' means the own account (RFC 6120 8.1.1.1)", function()
		romeo:sends "<message type='chat'><body>note</body></message>"
		romeo:receives "<message from='romeo@localhost/orchard'><body>note</body></message>"
	end)

	it("keeps order", function()
		for i = 1, 20 do
			romeo:sends(("<message to='juliet@localhost'><body>%d</body></message>"):format(i))
		end
		for i = 1, 20 do
			juliet:receives(("<message><body>%d</body></message>"):format(i))
		end
	end)

	it("is not answered and not delivered twice", function()
		romeo:sends "<message to='juliet@localhost/balcony'><body>once</body></message>"
		juliet:receives "<message><body>once</body></message>"
		juliet:receives_nothing(romeo)
		romeo:receives_nothing()
	end)

	it("keeps what it says: namespaces, attributes, languages, order of children", function()
		romeo:sends("<message to='juliet@localhost/balcony'><body xml:lang='de'>ja</body><body>yes</body>"
			.. "<x xmlns='urn:example:x' xmlns:y='urn:example:y' y:a='1'><y:z/>t<z xmlns='urn:z'/></x></message>")
		juliet:receives [[
			<message><body xml:lang='de'>ja</body><body>yes</body>
				<x xmlns='urn:example:x' xmlns:y='urn:example:y' y:a='1'><y:z/>t<z xmlns='urn:z'/></x>
			</message>]]
	end)

	it("to a user who does not exist is answered with service-unavailable (8.5.1)", function()
		romeo:sends "<message to='nobody@localhost' id='m2' type='chat'><body>hi</body></message>"
		romeo:receives [[
			<message from='nobody@localhost' to='romeo@localhost/orchard' id='m2' type='error'>
				<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>
			</message>]]
	end)

	it("that is an error is never answered (RFC 6120 8.3.1)", function()
		romeo:sends [[
			<message to='nobody@localhost' type='error'>
				<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>
			</message>]]
		romeo:receives_nothing()
	end)

	describe("to a resource that is not there", function()
		it("goes to the others when it is a chat (8.5.3.2.1)", function()
			romeo:sends "<message to='juliet@localhost/tomb' type='chat'><body>hi</body></message>"
			juliet:receives "<message from='romeo@localhost/orchard'><body>hi</body></message>"
		end)

		it("is answered with an error when it is a groupchat", function()
			romeo:sends "<message to='juliet@localhost/tomb' type='groupchat' id='g'><body>hi</body></message>"
			romeo:receives [[<message type='error' id='g'>
				<error><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>
			</message>]]
			juliet:receives_nothing(romeo)
		end)

		it("is dropped when it is a headline", function()
			romeo:sends "<message to='juliet@localhost/tomb' type='headline'><body>hi</body></message>"
			juliet:receives_nothing(romeo)
			romeo:receives_nothing()
		end)
	end)

	describe("to an account with several resources", function()
		local tomb

		before_each(function()
			tomb = server:person("juliet", { resource = "tomb", appears = false })
			tomb:appears "<priority>5</priority>"
			for _, one in ipairs { juliet, tomb } do
				one:settles()
				one:forgets()
			end
		end)

		it("reaches the one with the highest priority (8.5.2.1.1)", function()
			romeo:sends "<message to='juliet@localhost' type='chat'><body>hi</body></message>"
			tomb:receives "<message><body>hi</body></message>"
		end)

		it("reaches only the one it names", function()
			romeo:sends "<message to='juliet@localhost/balcony' type='chat'><body>hi</body></message>"
			juliet:receives "<message><body>hi</body></message>"
			tomb:receives_nothing(romeo)
		end)

		it("that is a headline reaches all that are not negative", function()
			romeo:sends "<message to='juliet@localhost' type='headline'><body>news</body></message>"
			juliet:receives "<message type='headline'><body>news</body></message>"
			tomb:receives "<message type='headline'><body>news</body></message>"
		end)

		it("never reaches one with a negative priority by the bare JID", function()
			juliet:sends "<presence><priority>-1</priority></presence>"
			for _, one in ipairs { juliet, tomb } do
				one:settles()
				one:forgets()
			end
			for _, kind in ipairs { "chat", "headline", "normal" } do
				romeo:sends(("<message to='juliet@localhost' type='%s'><body>hi</body></message>"):format(kind))
				tomb:receives(("<message type='%s'/>"):format(kind))
			end
			juliet:receives_nothing(romeo)
		end)
	end)

	it("of type groupchat to a bare JID is an error (8.5.2.1.1)", function()
		romeo:sends "<message to='juliet@localhost' type='groupchat' id='g'><body>hi</body></message>"
		romeo:receives "<message type='error' id='g'><error/></message>"
		juliet:receives_nothing(romeo)
	end)

	it("of a type nobody knows counts as normal (RFC 6121 5.2.2)", function()
		romeo:sends "<message to='juliet@localhost' type='whisper'><body>hi</body></message>"
		juliet:receives "<message from='romeo@localhost/orchard'><body>hi</body></message>"
	end)

	it("to something that is no JID is answered with jid-malformed (RFC 6120 8.3.3.8)", function()
		romeo:sends "<message to='@@' id='m3'><body>hi</body></message>"
		romeo:receives [[<message type='error' id='m3'>
			<error type='modify'><jid-malformed xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>
		</message>]]
	end)

	describe("with a forged sender", function()
		for _, from in ipairs { "juliet@localhost", "juliet@localhost/balcony", "localhost", "romeo@capulet.example" } do
			it("ends the stream: " .. from .. " (RFC 6120 4.9.3.9)", function()
				romeo:sends(("<message from='%s' to='juliet@localhost'><body>hi</body></message>"):format(from))
				romeo:is_thrown_out "invalid-from"
				juliet:receives_nothing()
			end)
		end

		it("may carry the own JID, bare or full", function()
			for _, from in ipairs { "romeo@localhost", "romeo@localhost/orchard" } do
				romeo:sends(("<message from='%s' to='juliet@localhost'><body>hi</body></message>"):format(from))
				juliet:receives "<message from='romeo@localhost/orchard'><body>hi</body></message>"
			end
		end)

		it("is not believed inside a forwarded stanza, which stays as it is", function()
			romeo:sends [[
				<message to='juliet@localhost/balcony'><forwarded xmlns='urn:xmpp:forward:0'>
					<message xmlns='jabber:client' from='nurse@localhost'><body>psst</body></message>
				</forwarded></message>]]
			juliet:receives [[
				<message from='romeo@localhost/orchard'><forwarded xmlns='urn:xmpp:forward:0'>
					<message xmlns='jabber:client' from='nurse@localhost'><body>psst</body></message>
				</forwarded></message>]]
		end)
	end)
end)
