-- Connections that break at random while everybody talks (SECURITY P9): what was sent has arrived, once and in order,
-- when all are back. A connection ends without a word, in the middle of a stanza, by a reset, or not at all as far as
-- the server can see.

local loop = require "spec.support.loop"
local Server = require "spec.support.server"

local SM = "xmlns='urn:xmpp:sm:3'"
local CUTS = os.getenv "COUPLET_TRICKLE" == "1" and 40 or 220
local PAIRS = 4

-- A client as XEP-0198 wants it: counts what it hears, keeps what it says until that is acknowledged, and resumes.
local person = {}
person.__index = person

local function new_person(server, user, partner)
	return setmetatable({ server = server, user = user, partner = partner, said = 0, heard = {}, h = 0, acked = 0,
		unacked = {}, cuts = 0 }, person)
end

local counted = { message = true, presence = true, iq = true }

function person:write(text)
	if self.client and not self.client.closed then self.client:queues_raw(text) end
end

function person:acknowledged(h)
	while self.acked < h do
		self.acked = self.acked + 1
		table.remove(self.unacked, 1)
	end
end

-- Looks at what has come.
function person:looks()
	local client = self.client
	for _, element in ipairs(client.inbox) do
		if counted[element.name] then
			self.h = self.h + 1
			if element.name == "message" then table.insert(self.heard, element.attr.id) end
		elseif element.name == "r" then
			self:write(("<a %s h='%d'/>"):format(SM, self.h))
		elseif element.name == "a" then
			self:acknowledged(tonumber(element.attr.h))
		end
	end
	client:forgets()
end

function person:says_something()
	self.said = self.said + 1
	local text = ("<message to='%s@localhost' type='chat' id='%s-%d'><body>%s</body></message>"):format(self.partner,
		self.user, self.said, ("x"):rep(math.random(200)))
	table.insert(self.unacked, text)
	self:write(text .. (self.said % 7 == 0 and ("<r %s/>"):format(SM) or ""))
end

function person:begins()
	self.client = self.server:client { user = self.user, tls = "none", mechanism = "PLAIN" }:logs_in()
	self.client:sends("<enable " .. SM .. " resume='true'/>")
	self.id = self.client:awaits("<enabled " .. SM .. "/>").attr.id
	self.client:sends "<presence/>"
	table.insert(self.unacked, "<presence/>")
	return self
end

-- The old connection is left behind in one way or another.
function person:is_cut()
	local old, how = self.client, math.random(4)
	self.cuts = self.cuts + 1
	if how == 1 then
		old:vanishes()
	elseif how == 2 then
		old:queues_raw "<message to='nobody@localhost' id='ha"
		old:vanishes()
	elseif how == 3 and old.socket then
		old.socket:setoption("linger", { on = true, timeout = 0 }) -- a reset
		old:vanishes()
	else
		old:unwatch() -- says nothing, reads nothing; to the server it is still there
		table.insert(self.server.left, old)
	end
end

function person:returns()
	local client = self.server:client { user = self.user, tls = "none", mechanism = "PLAIN" }:enters()
	self.client = client
	client:sends(("<resume %s previd='%s' h='%d'/>"):format(SM, self.id, self.h))
	local resumed = client:receives("<resumed " .. SM .. "/>")
	self:acknowledged(tonumber(resumed.attr.h))
	self:looks()
	for _, text in ipairs(self.unacked) do self:write(text) end
end

-- After a restart of the server: the old session is no more, but how much of it was handled is known.
function person:begins_anew()
	local client = self.server:client { user = self.user, tls = "none", mechanism = "PLAIN" }:enters()
	self.client = client
	client:sends(("<resume %s previd='%s' h='%d'/>"):format(SM, self.id, self.h))
	local failed = client:receives("<failed " .. SM .. "/>")
	self:acknowledged(tonumber(failed.attr.h))
	client:binds()
	client:sends("<enable " .. SM .. " resume='true'/>")
	self.id = client:awaits("<enabled " .. SM .. "/>").attr.id
	self.h, self.acked = 0, 0
	table.insert(self.unacked, 1, "<presence/>")
	for _, text in ipairs(self.unacked) do self:write(text) end
end

-- What was heard, without what came again because nobody could know that it had arrived.
function person:heard_once()
	local once, seen = {}, {}
	for _, id in ipairs(self.heard) do
		if not seen[id] then table.insert(once, id) end
		seen[id] = true
	end
	return once
end

function person:is_done()
	self:looks()
	return #self.heard == self.server.people[self.partner].said
end

describe("People whose connections break at random while they talk", function()
	local server, all

	setup(function()
		server = Server.start {
			more_modules = { "offline" }, config = [[
				c2s_require_encryption = false
				allow_unencrypted_plain_auth = true
				smacks_max_unacked_stanzas = 5
			]],
		}
		server.left, server.people, all = {}, {}, {}
		for i = 1, PAIRS do
			for _, pair in ipairs { { "a" .. i, "b" .. i }, { "b" .. i, "a" .. i } } do
				server:register(pair[1], "secret")
				local one = new_person(server, pair[1], pair[2])
				server.people[pair[1]] = one
				table.insert(all, one)
			end
		end
		for _, one in ipairs(all) do one:begins() end
	end)
	teardown(function()
		for _, old in ipairs(server.left) do old:vanishes() end
		server:stop()
	end)

	it("hear all that was said to them, once and in order", function()
		local seed = os.time()
		math.randomseed(seed)
		local cuts, away = 0, {}
		while cuts < CUTS do
			for _, one in ipairs(all) do
				if not away[one] then one:looks() end
				for _ = 1, math.random(0, 3) do one:says_something() end
			end
			loop.turn(0)
			local unlucky = all[math.random(#all)]
			if away[unlucky] then
				unlucky:returns()
				away[unlucky] = nil
			else
				unlucky:is_cut()
				cuts = cuts + 1
				if math.random(2) == 1 then unlucky:returns() else away[unlucky] = true end
			end
		end
		for one in pairs(away) do one:returns() end
		for _, one in ipairs(all) do
			loop.await(function() return one:is_done() or one.client.closed end, function()
				return ("%s to hear the last of %s (seed %d)%s"):format(one.user, one.partner, seed, one.client:story())
			end)
		end
		local said, heard = 0, 0
		for _, one in ipairs(all) do
			said, heard = said + one.said, heard + #one.heard
			for i, id in ipairs(one.heard) do
				assert.equal(("%s-%d"):format(one.partner, i), id, ("to %s, seed %d"):format(one.user, seed))
			end
		end
		assert.equal(said, heard)
		assert.is_true(cuts >= CUTS and said > CUTS)
		for _, one in ipairs(all) do
			one.client:sends("<r " .. SM .. "/>")
			one:acknowledged(tonumber(one.client:awaits("<a " .. SM .. "/>").attr.h))
			assert.same({}, one.unacked)
		end
	end)

	it("hear it also when the server is stopped in the middle of it, and started again (SECURITY P11)", function()
		for round = 1, 3 do
			for _ = 1, 10 do
				for _, one in ipairs(all) do
					one:looks()
					one:says_something()
				end
				loop.turn(0)
			end
			if round == 2 then all[1]:is_cut() end
			server:signal(15)
			for _, one in ipairs(all) do
				loop.await(function() return one.client.closed or one == all[1] end, "the end of " .. one.user)
				one:looks()
			end
			server:awaits_exit()
			server:run()
			for _, one in ipairs(all) do one:begins_anew() end
		end
		for _, one in ipairs(all) do
			loop.await(function()
				one:looks()
				return #one:heard_once() == server.people[one.partner].said or one.client.closed
			end, function() return ("%s to hear the last of %s"):format(one.user, one.partner) end)
			for i, id in ipairs(one:heard_once()) do assert.equal(("%s-%d"):format(one.partner, i), id) end
		end
	end)

	it("and what is said to those who do not come back is there at the next login", function()
		for i = 1, PAIRS do
			local late = server.people["a" .. i]
			local partner = server.people[late.partner]
			late:looks()
			late.client:sends(("<a %s h='%d'/>"):format(SM, late.h))
			late.client:settles()
			late.client:vanishes()
			local first = partner.said + 1
			for _ = 1, 10 do partner:says_something() end
			partner.client:settles()
			server:ctl("shell", ("c2s:close(\"%s@localhost\")"):format(late.user))
			local again = server:client { user = late.user, tls = "none", mechanism = "PLAIN" }:logs_in()
			again:sends "<presence/>"
			for n = first, partner.said do
				assert.equal(("%s-%d"):format(partner.user, n), again:awaits "<message/>".attr.id)
			end
			again:leaves()
		end
	end)
end)
