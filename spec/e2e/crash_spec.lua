-- kill -9 at any moment while rosters, passwords and offline messages are written under load: what was acknowledged is
-- there afterwards, what was not is there whole or not at all, and no store is unreadable (SECURITY P1, P3, P5, P18).
--
-- CRASH_ROUNDS (50) is the number of kills for each storage.

local loop = require "spec.support.loop"
local Server = require "spec.support.server"

local rounds = tonumber(os.getenv "CRASH_ROUNDS") or 50
local CONTACTS, AT_ONCE = 7, 8

-- ---- who writes ----
-- Each writer has a session, sends without waiting, and remembers what it sent and what was acknowledged. `checks` is
-- called with a new session after the restart.

local function log_in(server, user, password)
	local one = server:client { user = user, tls = "direct", mechanism = "PLAIN", password = password, resource = "r" }
	return one:logs_in()
end

-- Gives contacts names that count up. Whatever survives must be a state the roster once had: contact c has the highest
-- number of its own up to the last one that was written.
local function roster_writer(server, user)
	server:register(user, "secret")
	local writer = { sent = 0, acked = 0 }

	function writer.starts()
		writer.client = log_in(server, user, "secret")
		writer.client:asks "<iq type='get'><query xmlns='jabber:iq:roster'/></iq>"
	end

	function writer.works()
		local acks = 0
		for _, stanza in ipairs(writer.client.inbox) do
			local n = stanza.attr.type == "result" and tonumber(stanza.attr.id:match "^w(%d+)$")
			assert(stanza.attr.type ~= "error", tostring(stanza))
			if n then
				assert(n == writer.acked + 1, "acknowledged out of order")
				writer.acked, acks = n, acks + 1
			end
		end
		writer.client:forgets()
		while writer.sent - writer.acked < AT_ONCE do
			writer.sent = writer.sent + 1
			writer.client:queues_raw(([[<iq type='set' id='w%d'><query xmlns='jabber:iq:roster'>
				<item jid='c%d@example.org' name='%d'><group>A</group></item></query></iq>]])
				:format(writer.sent, writer.sent % CONTACTS, writer.sent))
		end
		return acks
	end

	function writer.checks()
		local roster = writer.client:asks "<iq type='get'><query xmlns='jabber:iq:roster'/></iq>":child()
		local names, last = {}, 0
		for _, item in ipairs(roster:children "item") do
			local n = assert(tonumber(item.attr.name), "a contact without its name")
			assert.equal(("c%d@example.org"):format(n % CONTACTS), item.attr.jid)
			assert.equal("A", item:child("group"):text())
			names[item.attr.jid], last = n, math.max(last, n)
		end
		assert.is_true(last >= writer.acked and last <= writer.sent, ("%s: acknowledged %d, sent %d, found %d"):format(user,
			writer.acked, writer.sent, last))
		for n = math.max(1, last - CONTACTS + 1), last do
			assert.equal(n, names[("c%d@example.org"):format(n % CONTACTS)])
		end
		writer.sent, writer.acked = last, last
	end

	return writer
end

-- Changes its password again and again. Afterwards the last acknowledged one counts, or the one that was on its way.
local function password_writer(server, user)
	local writer = { sent = 0, acked = 0 }
	local function password(n) return ("secret-%d"):format(n) end
	server:register(user, password(0))

	function writer.starts()
		local accepted = {}
		for n = writer.acked, writer.sent do
			local one = server:client { user = user, tls = "direct", resource = "r" }:connect()
			one:opens_stream_with_features()
			if one:authenticates("PLAIN", { password = password(n) }) then
				accepted[#accepted + 1] = n
				writer.client = one
			else
				one:vanishes()
			end
		end
		assert.equal(1, #accepted, ("%d of the passwords %d to %d are right"):format(#accepted, writer.acked, writer.sent))
		writer.sent, writer.acked = accepted[1], accepted[1]
		writer.client:opens_stream_with_features()
		writer.client:binds "r"
	end

	function writer.works()
		local acks = 0
		for _, stanza in ipairs(writer.client.inbox) do
			assert(stanza.attr.type == "result", tostring(stanza))
			writer.acked, acks = writer.acked + 1, acks + 1
		end
		writer.client:forgets()
		if writer.sent == writer.acked then
			writer.sent = writer.sent + 1
			writer.client:queues_raw(([[<iq type='set' id='p%d' to='localhost'><query xmlns='jabber:iq:register'>
				<username>%s</username><password>%s</password></query></iq>]]):format(writer.sent, user, password(writer.sent)))
		end
		return acks
	end

	function writer.checks()
		local other = server:client { user = user, tls = "direct" }:connect()
		other:opens_stream_with_features()
		assert.is_nil((other:authenticates("PLAIN", { password = "" })))
		other:vanishes()
	end

	return writer
end

-- Sends numbered messages to somebody who is away. Acknowledged is what a ping that was answered followed. They arrive
-- in order, each once, whatever the number of crashes.
local function offline_writer(server, user, away)
	server:register(user, "secret")
	server:register(away, "secret")
	local writer = { sent = 0, acked = 0, seen = 0 }

	function writer.starts() writer.client = log_in(server, user, "secret") end

	function writer.works()
		local acks = 0
		for _, stanza in ipairs(writer.client.inbox) do
			assert(stanza.attr.type == "result", tostring(stanza))
			writer.acked, acks = tonumber(stanza.attr.id:match "^after(%d+)$"), acks + 1
		end
		writer.client:forgets()
		while writer.sent - writer.acked < 2 * AT_ONCE do
			for _ = 1, 3 do
				writer.sent = writer.sent + 1
				writer.client:queues_raw(("<message to='%s@localhost' type='chat' id='m%d'><body>%d</body></message>")
					:format(away, writer.sent, writer.sent))
			end
			writer.client:queues_raw(("<iq type='get' to='localhost' id='after%d'><ping xmlns='urn:xmpp:ping'/></iq>")
				:format(writer.sent))
		end
		return acks
	end

	function writer.checks()
		local reader = log_in(server, away, "secret")
		reader:sends "<presence/>"
		reader:settles()
		for _, stanza in ipairs(reader.inbox) do
			if stanza.name == "message" then
				local n = tonumber(stanza:child("body"):text())
				assert.equal("m" .. n, stanza.attr.id)
				assert.is_true(n > writer.seen, ("message %d comes after %d"):format(n, writer.seen))
				assert.is_true(n == writer.seen + 1 or writer.seen >= writer.acked, ("the messages before %d are lost"):format(n))
				writer.seen = n
			end
		end
		assert.is_true(writer.seen >= writer.acked and writer.seen <= writer.sent,
			("acknowledged %d, sent %d, found %d"):format(writer.acked, writer.sent, writer.seen))
		writer.seen, writer.acked = writer.sent, writer.sent -- what was never written does not come any more
		reader:leaves()
	end

	return writer
end

-- ---- the storages ----

local function output_of(command)
	local pipe <close> = assert(io.popen(command .. " 2>&1"))
	return pipe:read "a"
end

local storages = {
	sqlite = {
		is_whole = function (folder)
			for path in output_of(("find '%s' -name '*.sqlite'"):format(folder)):gmatch "[^\n]+" do
				assert.equal("ok\n", output_of(("sqlite3 '%s' 'PRAGMA integrity_check'"):format(path)))
			end
		end,
	},
	internal = {
		is_whole = function (folder)
			-- A crash may leave one half-written copy per file, which the next write replaces.
			assert.is_true(tonumber(output_of(("find '%s' -name '*~' | wc -l"):format(folder))) < 10)
			for path in output_of(("find '%s' -name '*.dat'"):format(folder)):gmatch "[^\n]+" do
				assert(loadfile(path, "t", {}))
			end
		end,
	},
}

for storage, is in pairs(storages) do
	describe("A server on " .. storage .. " storage that is killed while it writes", function ()
		it(("has lost nothing it acknowledged, %d times"):format(rounds), function ()
			local server = Server.start {
				more_modules = { "offline" }, config = ("storage = %q; offline_max_messages = 100000"):format(storage),
			}
			local writers = {
				roster_writer(server, "anna"), roster_writer(server, "boris"), roster_writer(server, "clara"),
				password_writer(server, "keeper"), offline_writer(server, "sender", "away"),
			}
			for round = 1, rounds do
				for _, writer in ipairs(writers) do
					writer.starts()
					writer.checks()
				end
				-- Some have a few writes behind them, some many; all have some on their way.
				local acks, enough = 0, math.random(0, round % 10 == 0 and 200 or 40)
				local deadline = loop.now() + loop.deadline_seconds
				repeat
					for _, writer in ipairs(writers) do acks = acks + writer.works() end
					if acks < enough then loop.turn(1) end
					assert.is_true(loop.now() < deadline, "the server stands still")
				until acks >= enough
				server:kill9()
				is.is_whole(server.folder .. "/data")
				server:run()
			end
			for _, writer in ipairs(writers) do
				writer.starts()
				writer.checks()
			end
			server:stop()
		end)
	end)
end
