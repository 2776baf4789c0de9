-- TLS: STARTTLS (RFC 6120 5), direct TLS (XEP-0368), and what it protects from (SECURITY B1, B2, B3).

local Server = require "spec.support.server"

local NS_TLS = "urn:ietf:params:xml:ns:xmpp-tls"

describe("TLS", function()
	local server

	setup(function() server = Server.start {} end)
	teardown(function() server:stop() end)
	after_each(function() server:forget_clients() end)

	it("is started on the stream, and a new stream begins with SASL", function()
		local client = server:client {}:connect()
		client:opens_stream_with_features()
		assert.is_true(client:starts_tls())
		local features = client:opens_stream_with_features()
		assert.is_truthy(features:child("mechanisms", "urn:ietf:params:xml:ns:xmpp-sasl"))
		assert.is_nil(features:child "starttls")
	end)

	it("has a certificate that leads to the authority", function()
		local client = server:client {}:connect()
		client:opens_stream_with_features()
		client:starts_tls()
		assert.is_true((client.socket:getpeerverification()))
	end)

	it("is there from the first byte on the direct port, with ALPN xmpp-client (XEP-0368)", function()
		local client = server:client { tls = "direct", alpn = { "xmpp-client" } }:connect()
		assert.equal("xmpp-client", client.socket:getalpn())
		local features = client:opens_stream_with_features()
		assert.is_truthy(features:child "mechanisms")
		assert.is_nil(features:child "starttls")
	end)

	it("is 1.3 where the client can, and 1.2 where not", function()
		for _, version in ipairs { "TLSv1.3", "TLSv1.2" } do
			local client = server:client {
				tls = "direct", tls_protocol = version:gsub("TLSv1.", "tlsv1_"),
			}:connect()
			assert.equal(version, client.socket:info "protocol")
		end
	end)

	it("is not older than 1.2", function()
		for _, version in ipairs { "tlsv1", "tlsv1_1" } do
			local client = server:client {
				tls = "direct", tls_protocol = version, ciphers = "ALL:@SECLEVEL=0",
			}:connect()
			assert.is_nil(client.secure)
		end
	end)

	it("has no ciphers without forward secrecy or authenticated encryption", function()
		for _, cipher in ipairs { "ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA", "AES128-GCM-SHA256" } do
			local client = server:client { tls = "direct", tls_protocol = "tlsv1_2", ciphers = cipher }:connect()
			assert.is_nil(client.secure, cipher)
		end
	end)

	it("starts on a clean slate: bytes behind <starttls/> end the connection (CVE-2011-0411)", function()
		local client = server:client { trickle = false }:connect()
		client:opens_stream_with_features()
		client:sends_raw(("<starttls xmlns='%s'/><iq type='get' id='smuggled'/>"):format(NS_TLS))
		client:sees_the_end()
		for _, stanza in ipairs(client.inbox) do
			assert.is_nil(stanza.attr.id)
		end
	end)

	it("starts also behind a line break, which some libraries send after <starttls/>", function()
		local client = server:client { trickle = false }:connect()
		client:opens_stream_with_features()
		client:sends_raw(("<starttls xmlns='%s'/>\n"):format(NS_TLS))
		client:receives(("<proceed xmlns='%s'/>"):format(NS_TLS))
		client.parser = nil
		assert.is_true(client:handshake())
		client:opens_stream_with_features()
	end)

	it("does not start when the handshake comes along with the command", function()
		local client = server:client { trickle = false }:connect()
		client:opens_stream_with_features()
		client:sends_raw(("<starttls xmlns='%s'/>\n\22\3\1\0\5\1\0\0\1\3"):format(NS_TLS))
		client:sees_the_end()
	end)

	it("cannot be started twice", function()
		local client = server:client {}:connect()
		client:opens_stream_with_features()
		client:starts_tls()
		client:opens_stream_with_features()
		client:sends(("<starttls xmlns='%s'/>"):format(NS_TLS))
		client:sees_the_end()
	end)

	it("comes before a password: auth in the clear is refused, and the session stays outside", function()
		local client = server:client {}:connect()
		client:opens_stream_with_features()
		client:sends "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AHJvbWVvAHNlY3JldA==</auth>"
		local answer = client:next_stanza()
		if answer:is "failure" then
			assert.equal("encryption-required", answer:child().name)
		else
			assert.is_true(answer:is("error", "http://etherx.jabber.org/streams"), tostring(answer))
		end
		assert.is_nil(client.authenticated)
	end)

	it("comes before registration, too", function()
		local client = server:client {}:connect()
		client:opens_stream_with_features()
		client:sends "<iq type='get' id='r1'><query xmlns='jabber:iq:register'/></iq>"
		local answer = client:next_stanza()
		assert.is_falsy(answer:is "iq" and answer.attr.type == "result", tostring(answer))
	end)

	it("is no compression: <compress/> is not known, before TLS or after (CVE-2014-8760)", function()
		local client = server:client {}:connect()
		client:opens_stream_with_features()
		client:sends "<compress xmlns='http://jabber.org/protocol/compress'><method>zlib</method></compress>"
		local answer = client:next_stanza()
		assert.is_falsy(answer:is "compressed")
	end)

	it("must be finished in time", function()
		local client = server:client { tls = "none", port = server.direct_port, trickle = false }:connect()
		client:sends_raw "\22\3\1\2\0\1\0\1\252\3\3" -- the beginning of a ClientHello, and then nothing
		client:sees_the_end()
	end)
end)
