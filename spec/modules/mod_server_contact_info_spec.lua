local Server = require "spec.support.server"

describe("mod_server_contact_info", function ()
	local function contacts(config)
		local server = Server.start { more_modules = { "server_contact_info" }, config = config }
		finally(function () server:stop() end)
		local reply = server:person "romeo":asks(
			"<iq type='get' to='localhost'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>")
		local form = reply:child "query":child("x", "jabber:x:data")
		local found = {}
		for _, field in ipairs(form and form:children "field" or {}) do
			local values = {}
			for i, value in ipairs(field:children "value") do
				values[i] = value:text()
			end
			found[field.attr.var] = values
		end
		return found
	end

	it("publishes what is configured", function ()
		assert.same({
			FORM_TYPE = { "http://jabber.org/network/serverinfo" },
			["abuse-addresses"] = { "mailto:abuse@example.com", "xmpp:abuse@example.com" },
			["security-addresses"] = { "mailto:security@example.com" },
		}, contacts [[
			contact_info = {
				abuse = { "mailto:abuse@example.com", "xmpp:abuse@example.com" };
				security = "mailto:security@example.com";
			}]])
	end)

	it("names the admins otherwise", function ()
		assert.same({
			FORM_TYPE = { "http://jabber.org/network/serverinfo" },
			["admin-addresses"] = { "xmpp:a%23b@example.com", "xmpp:escalus@localhost" },
		}, contacts "admins = { \"escalus@localhost\", \"a#b@example.com\" }")
	end)
end)
