-- A disk that takes its time, or fails: who writes waits for it, nobody else does, and nothing is acknowledged that it
-- does not have (SECURITY P1, P6, P13).

local bosh = require "spec.support.bosh"
local loop = require "spec.support.loop"
local Server = require "spec.support.server"
local slow_disk = require "spec.support.slow_disk"
local websocket = require "spec.support.websocket"

local ping = "<iq type='get' id='ping'><ping xmlns='urn:xmpp:ping'/></iq>"

local function notes(text, id)
	return ([[<iq type='set' id='%s' xmlns='jabber:client'><query xmlns='jabber:iq:private'>
		<notes xmlns='urn:example:notes'>%s</notes></query></iq>]]):format(id or "notes", text)
end

local read_notes = "<iq type='get'><query xmlns='jabber:iq:private'><notes xmlns='urn:example:notes'/></query></iq>"

local function contact(name)
	return ("<iq type='set' id='contact'><query xmlns='jabber:iq:roster'><item jid='%s@example.org'/></query></iq>")
		:format(name)
end

for _, storage in ipairs { "sqlite", "internal" } do
	describe(("While the disk (%s) is busy"):format(storage), function()
		local disk, server, romeo, juliet

		setup(function()
			disk = slow_disk.new()
			server = Server.start {
				with_http = true, more_modules = { "offline", "bosh", "websocket", "smacks" }, env = disk.env,
				config = ("storage = %q; consider_bosh_secure = true; offline_max_messages = 1000"):format(storage),
			}
			for _, text in ipairs { "is lost", "could not be made durable", "Input/output error", "cannot be used",
				"cannot write", "Error saving", "disk I/O error", "since the disk has failed" } do
				server:expects_error(text)
			end
			server.accounts = {}
			for _, user in ipairs { "romeo", "juliet", "nurse" } do
				server:register(user, "secret")
				server.accounts[user .. "@localhost"] = true
			end
		end)
		teardown(function()
			if server then server:stop() end
			disk:ends()
		end)

		before_each(function()
			romeo, juliet = server:person "romeo", server:person "juliet"
			for _, one in ipairs { romeo, juliet } do one:asks "<iq type='get'><query xmlns='jabber:iq:roster'/></iq>" end
			disk:forgets()
		end)
		after_each(function()
			disk:recovers() -- whatever became of the test
			server:forget_clients()
		end)

		-- Nothing with this id has come, also when all that has left has arrived.
		local function has_not_heard(one, id)
			loop.turn(0)
			for _, stanza in ipairs(one.inbox) do assert.not_equal(id, stanza.attr.id) end
		end

		-- The server's own thread waited for no disk.
		local function the_loop_never_waited()
			local calls = disk:log()
			assert.is_true(#calls > 0)
			for _, call in ipairs(calls) do assert.equal("thread", call.who, call.file) end
		end

		it("who changed the roster waits for it, and who talks does not", function()
			disk:stops()
			romeo:sends(contact "benvolio")
			disk:awaits "begins"
			assert.equal("result", juliet:asks(ping).attr.type)
			juliet:sends "<message to='juliet@localhost' type='chat' id='self'><body>to myself</body></message>"
			juliet:receives "<message id='self'/>"
			has_not_heard(romeo, "contact")
			disk:goes_on()
			romeo:awaits "<iq type='result' id='contact'/>"
			the_loop_never_waited()
		end)

		it("what follows an unanswered write on the same stream waits, too", function()
			disk:stops()
			romeo:sends "<message to='nurse@localhost' type='chat' id='m1'><body>to who is away</body></message>"
			disk:awaits "begins"
			romeo:sends(ping)
			assert.equal("result", juliet:asks(ping).attr.type)
			assert.equal("result", juliet:asks(ping).attr.type)
			has_not_heard(romeo, "ping")
			disk:goes_on()
			romeo:awaits "<iq type='result' id='ping'/>"
			the_loop_never_waited()
		end)

		it("who reads what is not durable yet waits with who wrote it; other data are there at once", function()
			disk:stops()
			romeo:sends(notes "first")
			disk:awaits "begins"
			local other = server:person("romeo", { appears = false })
			other:sends((read_notes:gsub("<iq ", "<iq id='read' ")))
			assert.equal("result", juliet:asks(read_notes).attr.type)
			has_not_heard(other, "read")
			has_not_heard(romeo, "notes")
			disk:goes_on()
			assert.equal("first", other:reply_to "read":child():child():text())
			the_loop_never_waited()
		end)

		it("what is written meanwhile is made durable together, and acknowledged in order", function()
			disk:stops()
			romeo:sends(notes("a", "w1"))
			disk:awaits "begins"
			for i = 2, 20 do
				romeo:sends(notes(("b"):rep(i), "w" .. i))
				juliet:sends(contact("friend" .. i))
			end
			local third = server:person("nurse", { appears = false })
			assert.equal("result", third:asks(ping).attr.type)
			has_not_heard(romeo, "w1")
			disk:goes_on()
			for i = 1, 20 do assert.equal("w" .. i, romeo:awaits "<iq type='result'/>".attr.id) end
			the_loop_never_waited()
			assert.is_true(#disk:log() < 40, "every write was synced by itself")
			assert.equal(("b"):rep(20), romeo:asks(read_notes):child():child():text())
		end)

		it("a WebSocket waits for what it wrote, and a BOSH session", function()
			local ws = websocket.connect(server, { tls = true })
			ws:logs_in("romeo", "secret", "ws")
			local web = bosh.new(server)
			web:logs_in("juliet", "secret", "bosh")
			disk:forgets()
			disk:stops()
			ws:sends(notes("by WebSocket", "ws"))
			disk:awaits "begins"
			local asked = web:sends(notes("by BOSH", "bosh"))
			assert.equal("result", juliet:asks(ping).attr.type)
			assert.equal("result", romeo:asks(ping).attr.type)
			loop.turn(0)
			assert.is_nil(ws.conn:raw():find("ws", 1, true))
			assert.equal("", asked.conn:raw())
			disk:goes_on()
			assert.equal("result", ws:receives().attr.type)
			assert.equal("result", bosh.answer(asked):child("iq").attr.type)
			the_loop_never_waited()
			web:asks("", { type = "terminate" })
		end)

		local SM = "xmlns='urn:xmpp:sm:3'"

		it("stream management acknowledges nothing before, on the stream or on the one that resumes it", function()
			romeo:sends(("<enable %s resume='true'/>"):format(SM))
			local enabled = romeo:awaits(("<enabled %s/>"):format(SM))
			disk:forgets()
			disk:stops()
			romeo:sends "<message to='nurse@localhost' type='chat' id='m2'><body>to who is away</body></message>"
			romeo:sends(("<r %s/>"):format(SM))
			disk:awaits "begins"
			assert.equal("result", juliet:asks(ping).attr.type)
			assert.equal("result", juliet:asks(ping).attr.type)
			loop.turn(0)
			assert.same({}, romeo.inbox)
			romeo:vanishes()

			local again = server:client { user = "romeo" }:connect()
			again:opens_stream_with_features()
			again:starts_tls()
			again:opens_stream_with_features()
			assert(again:authenticates "PLAIN")
			again:opens_stream_with_features()
			again:sends(("<resume %s previd='%s' h='0'/>"):format(SM, enabled.attr.id))
			assert.equal("result", juliet:asks(ping).attr.type)
			assert.equal("result", juliet:asks(ping).attr.type)
			loop.turn(0)
			assert.same({}, again.inbox)
			disk:goes_on()
			assert.equal("1", again:awaits(("<resumed %s/>"):format(SM)).attr.h)
			the_loop_never_waited()
			again:leaves()
		end)

		it("that breaks, nothing is acknowledged, who wrote loses the session, and writing works again later", function()
			romeo:asks(notes "old")
			local before = juliet:asks(ping)
			assert.equal("result", before.attr.type)
			disk:stops()
			disk:breaks()
			romeo:sends(notes("new", "lost"))
			disk:awaits "begins"
			disk:goes_on()
			romeo:sees_the_end()
			for _, stanza in ipairs(romeo.inbox) do assert.not_equal("lost", stanza.attr.id) end
			assert.equal("result", juliet:asks(ping).attr.type)

			romeo = server:person("romeo", { appears = false })
			assert.equal("error", romeo:asks(notes "also lost").attr.type)
			disk:is_mended()
			server:awaits(function()
				return romeo:asks(notes "written").attr.type == "result"
			end, "the disk to be used again")
			assert.equal("written", romeo:asks(read_notes):child():child():text())
			assert.equal("result", juliet:asks(ping).attr.type)
			server:forget_clients()
			server:restart()
			romeo = server:person("romeo", { appears = false })
			assert.equal("written", romeo:asks(read_notes):child():child():text())
		end)

		it("the server that is told to end waits for it, and acknowledges what it was given", function()
			disk:stops()
			romeo:sends(notes("last words", "last"))
			disk:awaits "begins"
			server:signal(15)
			server:awaits_log "SIGTERM"
			has_not_heard(romeo, "last")
			disk:goes_on()
			romeo:awaits "<iq type='result' id='last'/>"
			server:awaits_exit()
			server:forget_clients()
			server:run()
			romeo = server:person("romeo", { appears = false })
			assert.equal("last words", romeo:asks(read_notes):child():child():text())
		end)
	end)
end
