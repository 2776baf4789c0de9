-- Peers that do not behave: who never reads, who never logs in, who says nothing.

local Server = require "spec.support.server"

describe("A reader who never reads", function()
	local server, romeo, canary

	setup(function() server = Server.start { more_modules = { "offline" } } end)
	teardown(function() server:stop() end)
	before_each(function()
		romeo = server:person("romeo", { trickle = false })
		canary = server:person "canary"
	end)
	after_each(function() server:forget_clients() end)

	it("costs a bounded piece of memory, and nobody else any time", function()
		local deaf = {}
		for i = 1, 5 do
			local one = server:person("deaf" .. i, { receive_buffer = 4096, resource = "r" })
			one:unwatch()
			deaf[i] = one
		end
		local memory = server:memory()
		local text = ("x"):rep(60 * 1024)
		for round = 1, 120 do -- 7 MiB for each
			for i = 1, 5 do
				romeo:sends(("<message to='deaf%d@localhost/r' type='headline'><body>%d%s</body></message>"):format(i, round, text))
			end
			if round % 20 == 0 then canary:settles() end
		end
		romeo:settles()
		local grown = server:memory() - memory
		assert.is_true(grown < 5 * 4.7 * 1024, grown .. " KiB")
		for _, one in ipairs(deaf) do one:vanishes() end
		canary:settles()
	end)

	it("is not read from either while it owes so much", function()
		local greedy = server:person("greedy", { receive_buffer = 4096, send_buffer = 4096, trickle = false })
		greedy:unwatch()
		local memory = server:memory()
		local request = "<iq type='get' to='localhost' id='x'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
		local asked = 0
		for _ = 1, 2000 do
			greedy:queues_raw(request:rep(50))
			asked = asked + 50
			if greedy.output ~= "" then break end
		end
		canary:settles()
		assert.is_true(server:memory() - memory < 5 * 1024, server:memory() - memory .. " KiB")
		-- It begins to read: everything it asked is answered, nothing is lost.
		greedy:watch()
		greedy:sends_raw ""
		greedy:settles()
		local answers = 0
		for _, stanza in ipairs(greedy.inbox) do
			if stanza.attr.id == "x" then answers = answers + 1 end
		end
		assert.equal(asked, answers)
	end)
end)

describe("Who does not log in", function()
	local server

	setup(function() server = Server.start { config = "c2s_timeout = 2" } end)
	teardown(function() server:stop() end)
	after_each(function() server:forget_clients() end)

	it("is sent away after a while", function()
		local client = server:client {}:connect()
		client:opens_stream_with_features()
		client:sees_the_end()
	end)

	it("is sent away also when it keeps talking", function()
		local loop = require "spec.support.loop"
		local client = server:client { trickle = false }:connect()
		client:opens_stream_with_features()
		local start = loop.now()
		while not client.closed and loop.now() - start < loop.deadline_seconds do
			client:sends_raw " "
			loop.try_await(function() return client.closed end, 0.2)
		end
		assert.is_truthy(client.closed)
	end)

	it("is sent away when it says nothing at all", function()
		local client = server:client {}:connect()
		client:sees_the_end()
	end)
end)

describe("The end of everybody", function()
	it("leaves no session, no stanza and no connection alive", function()
		local server = Server.start { more_modules = { "offline" } }
		local canary = server:person("canary", { trickle = false })
		local before = server:live()
		for i = 1, 10 do
			local one = server:person("guest" .. i)
			one:sends "<message to='canary@localhost'><body>hi</body></message>"
			one:settles()
			if i % 2 == 0 then one:leaves() else one:vanishes() end
		end
		canary:settles()
		local after = server:live()
		assert.same(before, after)
		server:stop()
	end)
end)
