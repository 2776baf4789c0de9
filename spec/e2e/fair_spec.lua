-- Nobody keeps others waiting: what a connection has sent is handled a share at a time, by turns with all others
-- (SECURITY 5.3; core/net/share.h). Told by the order in which stanzas are handled, not by a clock.

local Server = require "spec.support.server"

local PIECES = 64 -- SHARE_PIECES
local SIGSTOP, SIGCONT = 19, 18

-- Who sent what is handled, in order.
local WITNESS = [[
local seen = {}
module:hook("pre-message/full", function (event) table.insert(seen, event.origin.username) end, 1000)
module:hook("pre-message/host", function (event)
	module:send(require "prosody.util.stanza".reply(event.stanza):text_tag("body", table.concat(seen, " ")))
	seen = {}
	return true
end)
]]

describe("Of two who send at the same time", function()
	local server, juliet
	local senders = {}

	setup(function()
		server = Server.start { plugins = { witness = WITNESS }, more_modules = { "witness" } }
		juliet = server:person("juliet", { resource = "balcony" })
		for _, name in ipairs { "romeo", "nurse" } do
			senders[name] = server:person(name, { tls = "direct" })
		end
	end)
	teardown(function() server:stop() end)

	-- The server finds all that at once.
	local function send_at_once(counts)
		server.process:kill(SIGSTOP)
		for name, n in pairs(counts) do
			senders[name]:queues_raw(("<message to='%s'><body/></message>"):format(juliet.jid):rep(n))
		end
		server.process:kill(SIGCONT)
		for _, one in pairs(senders) do one:settles() end
		juliet:sends "<message to='localhost'/>"
		return juliet:awaits("<message from='localhost'/>"):child("body"):text()
	end

	it("neither waits for the other to be done", function()
		local counts = { romeo = 800, nurse = 500 } -- which sockets hold
		local order = send_at_once(counts)
		local left, run, last, longest = counts, 0, nil, 0
		for name in order:gmatch "%a+" do
			run = name == last and run + 1 or 1
			last = name
			left[name] = left[name] - 1
			-- The end of one share and the next may follow each other, once the others' turn came before.
			if left.romeo > 0 and left.nurse > 0 then longest = math.max(longest, run) end
		end
		assert.same({ romeo = 0, nurse = 0 }, left)
		assert.is_true(longest <= 2 * PIECES, ("%d in a row"):format(longest))
		local put_off = server:ctl("shell", '> require "couplet.native".figures().put_off'):match "%d+"
		assert.is_true(tonumber(put_off) >= 800 // PIECES, put_off .. " times put off")
	end)

	it("one who leaves at once is heard to the end", function()
		server.process:kill(SIGSTOP)
		local romeo = senders.romeo
		romeo:queues_raw(("<message to='%s'><body/></message>"):format(juliet.jid):rep(300) .. "</stream:stream>")
		server.process:kill(SIGCONT)
		romeo:sees_the_end()
		juliet:sends "<message to='localhost'/>"
		local _, n = juliet:awaits("<message from='localhost'/>"):child("body"):text():gsub("romeo", "")
		assert.equal(300, n)
	end)
end)
