-- A disk that fills up: nothing is acknowledged that is not stored, who does not write is not disturbed, and when there
-- is room again all goes on without a restart (SECURITY P1, P3).

local Server = require "spec.support.server"

local function shell(command, ...) return os.execute(command:format(...)) end

local function set_notes(text)
	return ("<iq type='set'><query xmlns='jabber:iq:private'><notes xmlns='urn:example:notes'>%s</notes></query></iq>")
		:format(text)
end

local read_notes = "<iq type='get'><query xmlns='jabber:iq:private'><notes xmlns='urn:example:notes'/></query></iq>"

for _, storage in ipairs { "sql", "internal" } do
	describe(("A full disk (%s)"):format(storage), function()
		local disk, server

		setup(function()
			local pipe <close> = io.popen "mktemp -d /tmp/couplet-disk.XXXXXX"
			disk = pipe:read "l"
			assert(shell("mount -t tmpfs -o size=2m,mode=700 couplet-spec '%s'", disk),
				"cannot mount a small disk (not root?)")
			server = Server.start { config = ("data_path = %q; storage = %q"):format(disk, storage) }
			for _, text in ipairs { "No space left", "disk is full", "could not be", "database or disk", "is lost",
				"Error saving" } do
				server:expects_error(text)
			end
			for _, user in ipairs { "romeo", "juliet" } do server:register(user, "secret") end
		end)
		teardown(function()
			if server then server:stop() end
			shell("umount '%s' && rmdir '%s'", disk, disk)
		end)

		local function come(user)
			return server:client { user = user, password = "secret", tls = "direct", mechanism = "PLAIN" }:logs_in()
		end

		it("costs who wrote the session, once, and then gives errors; others notice nothing", function()
			local romeo, juliet = come "romeo", come "juliet"
			local ping = "<iq type='get'><ping xmlns='urn:xmpp:ping'/></iq>"
			assert.equal("result", romeo:asks(set_notes "small").attr.type)

			shell("dd if=/dev/zero of='%s/filler' bs=4k 2>/dev/null", disk)
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

			assert(os.remove(disk .. "/filler"))
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
