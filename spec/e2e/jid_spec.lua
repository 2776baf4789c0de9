-- One person has one name, however it is written (RFC 7622; SECURITY D14).

local Server = require "spec.support.server"

describe("A JID", function()
	local server, romeo

	setup(function()
		server = Server.start { hosts = { localhost = "", ["xn--bcher-kva.Example."] = "", ["[::0:1]"] = "" } }
	end)
	teardown(function() server:stop() end)
	before_each(function() romeo = server:person("romeo", { resource = "orchard" }) end)
	after_each(function() server:forget_clients() end)

	-- Each pair is one account; the first is how it was registered.
	for written, same in pairs {
		["alice"] = "ALICE", ["straße"] = "STRASSE", ["élan"] = "e\u{301}lan", ["kelvin"] = "\u{212A}elvin",
		["office"] = "o\u{FB03}ce", ["ａｂｃ"] = "abc",
	} do
		it(("is the same for login and for letters: %s, %s"):format(written, same), function()
			server:register(written, "secret")
			local other = server:client { user = same, mechanism = "PLAIN", resource = "r" }:logs_in()
			other:appears()
			for _, name in ipairs { written, same } do
				romeo:sends(("<message to='%s@LOCALHOST/r' type='chat'><body>%s</body></message>"):format(name, name))
				other:receives(("<message to='%s/r'><body>%s</body></message>"):format(other.bare, name))
			end
			other:leaves()
			server:ctl("unregister", written, "localhost")
		end)
	end

	for _, bad in ipairs { "a b", "a&quot;b", "a&amp;b", "a:b", "a&lt;b", "a\u{202E}b", "a\u{200B}\u{E000}b", "" } do
		it(("is refused: %q"):format(bad), function()
			romeo:sends(("<message to='%s@localhost' id='bad'><body>x</body></message>"):format(bad))
			romeo:receives "<message type='error' id='bad'><error type='modify'/></message>"
		end)
	end

	for host, written in pairs { ["bücher.example"] = "BÜCHER.example.", ["[::1]"] = "[0:0::1]" } do
		it(("reaches a host however that is written, in addresses and in the configuration: %s"):format(host), function()
			local nurse = server:person("nurse", { host = host, resource = "r", sni = "localhost" })
			assert.equal(("nurse@%s/r"):format(host), nurse.jid)
			romeo:sends(("<message to='nurse@%s/r' type='chat'><body>x</body></message>"):format(written))
			nurse:receives(("<message to='nurse@%s/r'><body>x</body></message>"):format(host))
			nurse:leaves()
		end)
	end

	it("keeps the case of its resource, and resources that differ by case apart (RFC 7622 3.4)", function()
		local upper = server:person("romeo", { resource = "ORCHARD" })
		upper:forgets()
		romeo:settles()
		romeo:forgets()
		upper:sends "<message to='romeo@localhost/orchard' type='chat'><body>x</body></message>"
		romeo:receives "<message from='romeo@localhost/ORCHARD'/>"
		upper:receives_nothing()
	end)

	it("with escapes (XEP-0106) stays as it is", function()
		server:register("d\\27artagnan", "secret")
		local musketeer = server:client { user = "d\\27artagnan", resource = "r" }:logs_in()
		assert.equal("d\\27artagnan@localhost/r", musketeer.jid)
	end)
end)
