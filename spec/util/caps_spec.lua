local caps = require "util.caps"
local st = require "util.stanza"

describe("util.caps", function ()
	it("hashes the simple example of XEP-0115 5.2", function ()
		local query = st.stanza("query", { xmlns = "http://jabber.org/protocol/disco#info" })
			:tag("identity", { category = "client", name = "Exodus 0.9.1", type = "pc" }):up()
		for _, feature in ipairs { "caps", "disco#info", "disco#items", "muc" } do
			query:tag("feature", { var = "http://jabber.org/protocol/" .. feature }):up()
		end
		local ver, text = caps.calculate_hash(query)
		assert.equal("QgayPKawpkPSDYmwT/WM94uAlu0=", ver)
		assert.matches("^client/pc//Exodus 0.9.1<http", text)
	end)

	-- XEP-0115 5.3, with everything in another order than the hash takes it.
	it("hashes the complex example of XEP-0115 5.3", function ()
		local function field(form, var, ...)
			form:tag("field", { var = var })
			for _, value in ipairs { ... } do
				form:text_tag("value", value)
			end
			form:up()
		end
		local form = st.stanza("x", { xmlns = "jabber:x:data", type = "result" })
		field(form, "software_version", "0.11")
		field(form, "ip_version", "ipv6", "ipv4")
		field(form, "os", "Mac")
		field(form, "FORM_TYPE", "urn:xmpp:dataforms:softwareinfo")
		field(form, "os_version", "10.5.1")
		field(form, "software", "Psi")
		local query = st.stanza("query", { xmlns = "http://jabber.org/protocol/disco#info" })
		for _, feature in ipairs { "muc", "disco#items", "disco#info", "caps" } do
			query:tag("feature", { var = "http://jabber.org/protocol/" .. feature }):up()
		end
		query:add_child(form)
		query:tag("identity", { ["xml:lang"] = "en", category = "client", name = "Psi 0.11", type = "pc" }):up()
		query:tag("identity", { ["xml:lang"] = "el", category = "client", name = "Ψ 0.11", type = "pc" }):up()
		assert.equal("q07IKJEyjvHSyhy//CH0CxmKi8w=", (caps.calculate_hash(query)))
	end)

	it("hashes nothing", function ()
		local ver, text = caps.calculate_hash(st.stanza "query")
		assert.equal("", text)
		assert.equal("2jmj7l5rSw0yVb/vlWAYkK/YBwk=", ver)
	end)
end)
