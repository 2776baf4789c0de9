-- Moving over costs nothing: what Prosody wrote is served as it is, from its file tree and from its SQLite database.

local Server = require "spec.support.server"

local trees = {
	{ name = "files of 0.12", from = "012-files", storage = "internal" },
	{ name = "files of 13", from = "13-files", storage = "internal", disabled = { "bob@example.test", "pat@plain.test" } },
	{ name = "the SQLite database of 0.12", from = "012-sql", storage = "sql" },
}

for _, tree in ipairs(trees) do
	describe("On " .. tree.name, function()
		local server

		setup(function()
			server = Server.start {
				hosts = { ["example.test"] = "", ["plain.test"] = 'authentication = "internal_plain"' },
				config = ("storage = %q"):format(tree.storage),
				data = "spec/fixtures/prosody/" .. tree.from,
			}
		end)

		for _, jid in ipairs(tree.disabled or {}) do
			it(jid .. ", disabled there, stays out until the admin lets it in again", function()
				local user, host = jid:match "^(.-)@(.*)$"
				local client = server:client { user = user, password = user == "pat" and "plainpw" or "pw_bob", host = host }
				assert.has_error(function() client:logs_in() end)
				local said, code = server:ctl("shell", ("user:enable(%q)"):format(jid))
				assert.equal(0, code, said)
			end)
		end
		teardown(function() server:stop() end)
		after_each(function() server:forget_clients() end)

		local function logs_in(user, password, host)
			return server:client { user = user, password = password, host = host or "example.test", resource = "new" }
				:logs_in()
		end

		it("accounts log in with their old passwords", function()
			logs_in("admin", "pw_adm")
			logs_in("we.ird\\20us%er", "pw_we.")
			logs_in("pat", "plainpw", "plain.test")
		end)

		it("a wrong password is still refused", function()
			local client = server:client { user = "alice", password = "pw_bob", host = "example.test" }
			client:connect()
			client:opens_stream_with_features()
			client:starts_tls()
			client:opens_stream_with_features()
			assert.is_nil((client:authenticates()))
		end)

		it("the roster is there, with names, groups and what was asked", function()
			local alice = logs_in("alice", "pw_ali")
			local roster = alice:asks "<iq type='get'><query xmlns='jabber:iq:roster'/></iq>"
			local items = {}
			for _, item in ipairs(roster:at("query"):children("item")) do items[item.attr.jid] = item end
			assert.equal("to", items["bob@example.test"].attr.subscription)
			assert.equal("Bob & co", items["bob@example.test"].attr.name)
			assert.equal("Pals", items["bob@example.test"]:at("group"):text())
			assert.equal("subscribe", items["carol@remote.example"].attr.ask)
		end)

		it("the vCard is there", function()
			local alice = logs_in("alice", "pw_ali")
			local vcard = alice:asks "<iq type='get'><vCard xmlns='vcard-temp'/></iq>"
			assert.equal("Alice L", vcard:at("vCard"):at("FN"):text())
		end)

		it("private data is there", function()
			local alice = logs_in("alice", "pw_ali")
			local reply = alice:asks
				"<iq type='get'><query xmlns='jabber:iq:private'><exodus xmlns='exodus:prefs'/></query></iq>"
			assert.equal("Hamlet", reply:at("query"):at("exodus"):at("defaultnick"):text())
		end)

		it("who was blocked is still blocked", function()
			local alice = logs_in("alice", "pw_ali")
			local reply = alice:asks "<iq type='get'><blocklist xmlns='urn:xmpp:blocking'/></iq>"
			assert.equal("spam@evil.example", reply:at("blocklist"):at("item").attr.jid)
		end)

		it("waiting messages and a waiting request are delivered", function()
			local bob = logs_in("bob", "pw_bob")
			bob:sends "<presence/>"
			bob:awaits "<presence type='subscribe' from='admin@example.test'><status>hi</status></presence>"
			bob:awaits "<message from='alice@example.test/r1'><body>offline one</body></message>"
			bob:awaits "<message from='alice@example.test/r1'><body>offline two é</body></message>"
		end)
	end)
end
