local Server = require "spec.support.server"

describe("mod_vcard", function ()
	local server, romeo, juliet

	setup(function ()
		server = Server.start { modules = { "roster", "saslauth", "tls", "vcard", "admin_shell" } }
		romeo, juliet = server:person "romeo", server:person "juliet"
	end)
	teardown(function () server:stop() end)

	local function get(who, to)
		return who:asks(("<iq type='get' %s><vCard xmlns='vcard-temp'/></iq>"):format(to and "to='" .. to .. "'" or ""))
	end
	local function set(who, name, to)
		return who:asks(("<iq type='set' %s><vCard xmlns='vcard-temp'><FN>%s</FN></vCard></iq>"):format(
			to and "to='" .. to .. "'" or "", name))
	end
	local function condition(reply)
		return reply:at "error":child(nil, "urn:ietf:params:xml:ns:xmpp-stanzas").name
	end

	it("is not found for who has none, nor for who is not there", function ()
		assert.equal("item-not-found", condition(get(juliet, "romeo@localhost")))
		assert.equal("item-not-found", condition(get(juliet, "nobody@localhost")))
		assert.equal("item-not-found", condition(get(juliet, "localhost")))
	end)

	it("is read by everybody and changed by its owner", function ()
		assert.equal("result", set(romeo, "Romeo").attr.type)
		assert.equal("Romeo", get(juliet, "romeo@localhost"):at("vCard", "FN"):text())
		assert.equal("Romeo", get(romeo):at("vCard", "FN"):text())
		assert.equal("forbidden", condition(set(juliet, "Fool", "romeo@localhost")))
		assert.equal("forbidden", condition(set(juliet, "Fool", "localhost")))
		assert.equal("result", set(romeo, "Montague", "romeo@localhost").attr.type)
		assert.equal("Montague", get(juliet, "romeo@localhost"):at("vCard", "FN"):text())
	end)
end)
