-- A disk that fills up: nothing is acknowledged that is not stored, who does not write is not disturbed, and when there
-- is room again all goes on without a restart (SECURITY P1, P3).

local disk = require "spec.support.disk"
local Server = require "spec.support.server"

local function set_notes(text)
	return ("<iq type='set'><query xmlns='jabber:iq:private'><notes xmlns='urn:example:notes'>%s</notes></query></iq>")
		:format(text)
end

local read_notes = "<iq type='get'><query xmlns='jabber:iq:private'><notes xmlns='urn:example:notes'/></query></iq>"

for _, storage in ipairs { "sql", "internal" } do
	describe(("A full disk (%s)"):format(storage), function()
		local small, why = disk.mount "2m"
		if not small then return pending(why) end
		local server

		setup(function()
			server = Server.start { config = ("data_path = %q; storage = %q"):format(small.folder, storage) }
			for _, text in ipairs { "No space left", "disk is full", "could not be", "database or disk", "is lost",
				"Error saving" } do
				server:expects_error(text)
			end
			for _, user in ipairs { "romeo", "juliet" } do server:register(user, "secret") end
		end)
		teardown(function()
			local ok, problem = pcall(server.stop, server)
			small:unmount()
			assert(ok, problem)
		end)

		local function come(user)
			return server:client { user = user, password = "secret", tls = "direct", mechanism = "PLAIN" }:logs_in()
		end

		it("costs who wrote the session, once, and then gives errors; others notice nothing", function()
			local romeo, juliet = come "romeo", come "juliet"
			local ping = "<iq type='get'><ping xmlns='urn:xmpp:ping'/></iq>"
			assert.equal("result", romeo:asks(set_notes "small").attr.type)

			small:fills()
			-- Files are tried at once; a database may find out when it commits, with the answer already made.
			if storage == "sql" then
				romeo:sends((set_notes(("x"):rep(60000)):gsub("<iq ", "<iq id='lost' ")))
				romeo:sees_the_end()
				for _, stanza in ipairs(romeo.inbox) do assert.not_equal("lost", stanza.attr.id) end
			else
				assert.equal("error", romeo:asks(set_notes(("x"):rep(60000))).attr.type)
				romeo:leaves()
			end
			assert.equal("result", juliet:asks(ping).attr.type)

			romeo = come "romeo"
			for _ = 1, 3 do assert.equal("error", romeo:asks(set_notes(("y"):rep(60000))).attr.type) end
			assert.equal("small", romeo:asks(read_notes):child():child():text())
			local add = romeo:asks(("<iq type='set'><query xmlns='jabber:iq:roster'>%s</query></iq>")
				:format(("<item jid='%s@capulet.example'/>"):format(("n"):rep(1000))))
			assert.equal("error", add.attr.type)
			local roster = romeo:asks "<iq type='get'><query xmlns='jabber:iq:roster'/></iq>"
			assert.is_nil(roster:child():child "item")

			small:empties()
			assert.equal("result", romeo:asks(set_notes(("z"):rep(60000))).attr.type)
			assert.equal("result", juliet:asks(ping).attr.type)
			romeo:leaves()
			juliet:leaves()
			server:restart()
			romeo = come "romeo"
			assert.equal(("z"):rep(60000), romeo:asks(read_notes):child():child():text())
			romeo:leaves()
		end)
	end)
end
