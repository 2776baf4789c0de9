-- Two servers whose users write to each other all the time, while now one, now the other is killed or told to stop:
-- every message arrives, or comes back to its sender, or was cut off with its sender; none arrives twice, none
-- overtakes another, and only one that says so may have done both.
--
-- S2S_KILLS (20) is the number of rounds, half of them with one stream for both directions; with it set, the figures
-- are printed.

local federation = require "spec.support.federation"
local loop = require "spec.support.loop"

local rounds = (tonumber(os.getenv "S2S_KILLS") or 20) // 2
local AT_ONCE = 25

local figures

-- What became of the messages from one user to another.
local function new_route(from, to)
	return { from = from, to = to, n = 0, arrived = {}, back = {}, perhaps = {}, cut_off = {}, last = 0, settled = 0 }
end

local function sends(route, client)
	route.n = route.n + 1
	client:queues_raw(("<message to='%s' type='chat' id='%s %d'><body>%d</body></message>"):format(route.to, route.to,
		route.n, route.n))
end

local function bare(jid) return jid:match "^[^/]*" end

-- Looks through what a user has received.
local function look(one, routes)
	for _, stanza in ipairs(one.inbox) do
		if stanza.name == "message" then
			local to, n = stanza.attr.id:match "^(%S+) (%d+)$"
			n = tonumber(n)
			if stanza.attr.type == "error" then
				local route = routes[one.bare .. " " .. to]
				assert(not route.back[n] and not route.perhaps[n], "answered twice: " .. stanza.attr.id)
				local text = stanza:at("error", "text"):text()
				route[text:find("may or may not have arrived", 1, true) and "perhaps" or "back"][n] = true
			else
				local route = routes[bare(stanza.attr.from) .. " " .. to]
				assert(n > route.last, ("%s: %d arrived after %d"):format(to, n, route.last))
				route.last, route.arrived[n] = n, true
			end
		end
	end
	one:forgets()
end

local function is_known(route, n)
	return route.arrived[n] or route.back[n] or route.perhaps[n] or route.cut_off[n]
end

local function is_settled(route)
	while route.settled < route.n and is_known(route, route.settled + 1) do route.settled = route.settled + 1 end
	return route.settled == route.n
end

-- After a round all is known: adds it up and forgets it.
local function add_up(route)
	for n = (route.added or 0) + 1, route.n do
		local arrived, back, perhaps = route.arrived[n], route.back[n], route.perhaps[n]
		assert(not (arrived and back), ("%s %d came back although it had arrived"):format(route.to, n))
		figures.sent = figures.sent + 1
		figures.both = figures.both + (arrived and perhaps and 1 or 0)
		if arrived then figures.arrived = figures.arrived + 1
		elseif back then figures.back = figures.back + 1
		elseif perhaps then figures.perhaps = figures.perhaps + 1
		else figures.cut_off = figures.cut_off + 1 end
		for _, fate in ipairs { "arrived", "back", "perhaps", "cut_off" } do route[fate][n] = nil end
	end
	route.added = route.n
end

for streams, modules in pairs { ["one stream for each direction"] = {}, ["one stream for both"] = { "s2s_bidi" } } do
describe(("Two servers, connected by %s, of which one is killed or stopped under load,"):format(streams), function()
	it(("lose nothing that was sent between them, %d times"):format(rounds), function()
		figures = { sent = 0, arrived = 0, back = 0, perhaps = 0, both = 0, cut_off = 0 }
		local pair = federation.pair { more_modules = modules, config = "storage = 'sqlite'" }
		local sides, routes = {}, {}
		for name, other in pairs { montague = "capulet", capulet = "montague" } do
			local server = pair[name]
			local side = { name = name, server = server, host = name .. ".example" }
			for _, user in ipairs { "writer", "reader", "away" } do
				server:register(user, "secret", side.host)
				if user ~= "writer" then
					local from, to = ("writer@%s.example"):format(other), ("%s@%s"):format(user, side.host)
					routes[from .. " " .. to] = new_route(from, to)
				end
			end
			sides[name] = side
		end

		local function come(side)
			for _, user in ipairs { "writer", "reader" } do
				side[user] = side.server:client { user = user, tls = "direct", mechanism = "PLAIN", host = side.host }:logs_in()
				side[user]:sends "<presence/>"
			end
			-- What is kept for the reader comes before anything new does.
			side.reader:settles()
		end

		-- The messages of a side's writer.
		local function each_route(side)
			return coroutine.wrap(function()
				for _, route in pairs(routes) do
					if route.from == "writer@" .. side.host then coroutine.yield(route) end
				end
			end)
		end

		local function look_at_all()
			for _, side in pairs(sides) do
				if side.reader then look(side.reader, routes) end
				if side.writer then look(side.writer, routes) end
			end
		end

		local function write(side, n)
			for _ = 1, n do
				for route in each_route(side) do sends(route, side.writer) end
			end
		end

		-- Who is away comes for a moment to read what was kept.
		local function read_what_was_kept(side)
			local away = side.server:client { user = "away", tls = "direct", mechanism = "PLAIN", host = side.host }:logs_in()
			away:sends "<presence/>"
			away:settles()
			look(away, routes)
			away:leaves()
		end

		local function all_arrived(side)
			for route in each_route(side) do
				if not route.to:find "^away" and not route.arrived[route.n] then return false end
			end
			return true
		end

		for _, side in pairs(sides) do come(side) end
		for round = 1, rounds do
			local victim, other = sides.montague, sides.capulet
			if round % 2 == 0 then victim, other = other, victim end
			local is_kill = round % 4 < 2
			-- Load both ways, of random length.
			local enough, written = math.random(0, 150), 0
			while written < enough do
				write(victim, 5)
				write(other, 5)
				written = written + 5
				loop.turn(0)
				look_at_all()
				for _, side in pairs(sides) do
					loop.await(function()
						look_at_all()
						for route in each_route(side) do
							if not route.to:find "^away" and not is_settled(route) and route.n - route.settled > AT_ONCE then
								return false
							end
						end
						return true
					end, "messages to arrive")
				end
			end
			if not is_kill then victim.writer:settles() end -- then its server has taken all, and is to deliver it
			victim.server:signal(is_kill and 9 or 15)
			write(other, 5)
			loop.await(function()
				look_at_all()
				return victim.writer.closed and victim.reader.closed
			end, "the connections of the victim to end")
			look_at_all()
			write(other, 5)
			local how, code = victim.server:awaits_exit()
			if not is_kill then assert.same({ "exit", 0 }, { how, code }, victim.server:tail()) end
			victim.server:forget_clients()
			victim.writer, victim.reader = nil, nil
			if not is_kill then assert.is_nil(victim.server:log():find("\terror\t", 1, true), victim.server:tail()) end
			victim.server.output, other.server.output = {}, {}
			victim.server:run()
			victim.server:await_ready()
			victim.server:awaits_log "Activated service 's2s_direct_tls'"
			come(victim)
			-- Word from the victim makes the other one try again.
			local before = {}
			for route in each_route(victim) do before[route] = route.n end
			write(victim, 1)
			loop.await(function() look_at_all() return all_arrived(victim) end, "word from the victim")
			write(other, 1)
			loop.await(function() look_at_all() return all_arrived(other) end, "word to the victim")
			for _, side in pairs(sides) do read_what_was_kept(side) end
			for route, last in pairs(before) do
				for n = 1, last do
					if not is_known(route, n) and n > (route.added or 0) then
						assert(is_kill, ("%s %d was taken by a server that stopped in good order, and lost"):format(route.to, n))
						route.cut_off[n] = true
					end
				end
			end
			loop.await(function()
				look_at_all()
				for _, route in pairs(routes) do
					if not is_settled(route) then return false end
				end
				return true
			end, function()
				local open = {}
				for name, route in pairs(routes) do
					if not is_settled(route) then table.insert(open, ("%s %d of %d"):format(name, route.settled + 1, route.n)) end
				end
				return ("round %d (%s): what became of %s"):format(round, is_kill and "kill" or "stop", table.concat(open, ", "))
			end)
			local both = figures.both
			for _, route in pairs(routes) do add_up(route) end
			if not is_kill then assert.equal(both, figures.both, "after a stop in good order nobody is in doubt") end
		end
		if os.getenv "S2S_KILLS" then
			print(("\t%d rounds: %d sent = %d arrived + %d came back + %d may have arrived, and did not + %d cut off with "
				.. "their sender; %d of those that arrived came back as well, as perhaps arrived"):format(rounds, figures.sent,
				figures.arrived, figures.back, figures.perhaps, figures.cut_off, figures.both))
		end
		assert.equal(figures.sent, figures.arrived + figures.back + figures.perhaps + figures.cut_off)
		assert.is_true(figures.arrived > figures.sent / 2)
		for _, side in pairs(sides) do
			side.writer:leaves()
			side.reader:leaves()
		end
		pair:stop()
	end)
end)
end
