local Server = require "spec.support.server"

describe("mod_private", function ()
	local server, romeo, juliet

	setup(function ()
		server = Server.start {
			modules = { "roster", "saslauth", "tls", "private", "admin_shell" },
			config = "private_max_elements = 3; private_max_bytes = 2000",
		}
	end)
	teardown(function () server:stop() end)
	before_each(function ()
		romeo, juliet = server:person "romeo", server:person "juliet"
	end)
	after_each(function () server:forget_clients() end)

	local function set(who, element)
		return who:asks("<iq type='set'><query xmlns='jabber:iq:private'>" .. element .. "</query></iq>")
	end
	local function get(who, element, to)
		return who:asks(("<iq type='get' %s><query xmlns='jabber:iq:private'>%s</query></iq>"):format(
			to and "to='" .. to .. "'" or "", element))
	end
	local function condition(reply)
		return reply:at "error":child(nil, "urn:ietf:params:xml:ns:xmpp-stanzas").name
	end

	it("gives back what was kept, by name and namespace", function ()
		assert.equal("result", set(romeo, "<a xmlns='urn:1' x='y'>one<b/></a>").attr.type)
		assert.equal("result", set(romeo, "<a xmlns='urn:2'>two</a>").attr.type)
		local one = get(romeo, "<a xmlns='urn:1'/>"):at("query", "a")
		assert.equal("urn:1", one.ns)
		assert.equal("y", one.attr.x)
		assert.equal("one", one:text())
		assert.is_truthy(one:child "b")
		assert.equal("two", get(romeo, "<a xmlns='urn:2'/>", "romeo@localhost"):at("query", "a"):text())
	end)

	it("gives an empty element for what is not there", function ()
		local element = get(romeo, "<nothing xmlns='urn:none'/>"):at("query", "nothing")
		assert.equal("urn:none", element.ns)
		assert.equal(0, #element)
	end)

	it("keeps accounts apart", function ()
		set(romeo, "<a xmlns='urn:1'>romeo's</a>")
		assert.equal("", get(juliet, "<a xmlns='urn:1'/>"):at("query", "a"):text())
		assert.equal("forbidden", condition(get(juliet, "<a xmlns='urn:1'/>", "romeo@localhost")))
		assert.equal("forbidden", condition(juliet:asks [[
			<iq type='set' to='romeo@localhost'><query xmlns='jabber:iq:private'><a xmlns='urn:1'>x</a></query></iq>]]))
		assert.equal("romeo's", get(romeo, "<a xmlns='urn:1'/>"):at("query", "a"):text())
	end)

	it("clears what is set to nothing", function ()
		set(romeo, "<c xmlns='urn:3'>three</c>")
		set(romeo, "<c xmlns='urn:3'/>")
		assert.equal("", get(romeo, "<c xmlns='urn:3'/>"):at("query", "c"):text())
	end)

	it("wants an element (XEP-0049 2.3)", function ()
		assert.equal("bad-request", condition(get(romeo, "")))
		assert.equal("bad-request", condition(set(romeo, "")))
	end)

	it("keeps only so many, and only so large ones", function ()
		for i = 1, 3 do
			assert.equal("result", set(juliet, ("<e xmlns='urn:%d'>x</e>"):format(i)).attr.type)
		end
		assert.equal("resource-constraint", condition(set(juliet, "<e xmlns='urn:4'>x</e>")))
		assert.equal("result", set(juliet, "<e xmlns='urn:3'>again</e>").attr.type)
		assert.equal("result", set(juliet, "<e xmlns='urn:3'/>").attr.type)
		assert.equal("result", set(juliet, "<e xmlns='urn:4'>x</e>").attr.type)
		assert.equal("policy-violation", condition(set(juliet, "<e xmlns='urn:1'>" .. ("x"):rep(2001) .. "</e>")))
		assert.equal("x", get(juliet, "<e xmlns='urn:1'/>"):at("query", "e"):text())
	end)
end)
