--- What mod_s2s/links and mod_s2s/answers promise: queues with bounds, in order, an answer for each stanza that is not
-- sent, and patience with domains that are not there. The core is made up, the clock is turned by hand.

local fake = require "spec.support.fake_native"
local libraries = require "spec.support.s2s_libraries"
local st = require "util.stanza"
local texts = require "util.texts"
local time = require "prosody.util.time"

local OURS, THEIRS = "montague.example", "capulet.example"

describe("A link", function ()
	local world, links, answers, module, deferred, routed, races, sessions, leaving, leftovers, held
	local monotonic = time.monotonic

	local function turn()
		local now = deferred
		deferred = {}
		for _, fn in ipairs(now) do fn() end
	end

	local function turns()
		while #deferred > 0 do turn() end
	end

	before_each(function ()
		world = fake.start()
		deferred, routed, races, sessions, leaving, leftovers, held = {}, {}, {}, {}, false, nil, {}
		time.monotonic = function () return world.now end -- luacheck: ignore 122
		local native = world.native
		function native.defer(fn) table.insert(deferred, fn) end
		function native.s2s_is_leaving() return leaving end
		function native.s2s_prove() return true end
		function native.s2s_pairs(session) return { { ours = session.from_host, theirs = session.to_host, out = true } } end
		function native.s2s_hold(_, _, theirs, is_held) held[theirs] = is_held end
		function native.sm_leftovers()
			local queue = texts.new()
			for _, text in ipairs(leftovers and leftovers[1] or {}) do queue:add(text, math.maxinteger) end
			return queue, leftovers and leftovers[2] or 0
		end
		world.prosody.hosts[OURS] = { host = OURS, events = native.events(), s2sout = {} }
		world.prosody.core_route_stanza = function (_, stanza) table.insert(routed, stanza) end
		local slices = libraries.load(world, "slices")
		answers = libraries.load(world, "answers")(slices)
		local load
		load, module = libraries.load(world, "links")
		links = load {
			answers = answers, slices = slices, policy = { may_talk = function () return true end }, limits = {},
			certificates = {},
			targets = { new = function () end },
			story = { begin = function () return { note = function () end } end },
			race = { new = function (options)
				local race = { options = options, stop = function () end, go = function () end }
				table.insert(races, race)
				return race
			end },
		}
	end)
	after_each(function ()
		time.monotonic = monotonic -- luacheck: ignore 122
		world.stop()
	end)

	local function message(n, body, from)
		return st.message({ from = from or "romeo@" .. OURS, to = "juliet@" .. THEIRS, id = "m" .. n }, body or "x")
	end

	local function send(n, body) links.send(OURS, THEIRS, message(n, body)) end

	-- The link comes up. Gives its session, which takes so many stanzas.
	local function establish(takes, theirs)
		local session
		session = { from_host = OURS, to_host = theirs or THEIRS, sent = {}, log = function () end }
		function session.sends2s(stanza)
			if #session.sent >= (takes or math.huge) then return false end
			table.insert(session.sent, stanza.attr.id)
			return true
		end
		table.insert(sessions, session)
		links.get(OURS, theirs or THEIRS):established(session)
		turn()
		return session
	end

	local function give_up(why) races[#races].options.failed(why or "Connection refused", true, true) end

	local function ends(session)
		links.returned(session, "gone")
		links.get(OURS, THEIRS):lost(session, "gone")
		links.go_on(session)
		turns()
	end

	local function ids(list)
		local all = {}
		for i, stanza in ipairs(list) do all[i] = stanza.attr and stanza.attr.id or stanza end
		return table.concat(all, " ")
	end

	it("begins with the first stanza, in a turn of its own, once; the others wait in order", function ()
		for n = 1, 5 do send(n) end
		assert.equal(0, #races)
		turn()
		assert.equal(1, #races)
		send(6)
		turn()
		assert.equal(1, #races)
		local session = establish()
		assert.equal("m1 m2 m3 m4 m5 m6", ids(session.sent))
		assert.equal(0, answers.bytes())
		assert.equal(0, #routed)
	end)

	it("takes no more than 256 KiB; what is too much is answered at once", function ()
		for n = 1, 40 do send(n, ("x"):rep(10000)) end
		assert.is_true(answers.bytes() <= 256 * 1024)
		assert.equal(15, #routed)
		assert.equal("m26", routed[1].attr.id)
		assert.equal("resource-constraint", select(2, routed[1]:get_error()))
		turn()
		assert.equal(25, #establish().sent)
		assert.equal(0, answers.bytes())
	end)

	it("takes one stanza that is bigger than that", function ()
		send(1, ("x"):rep(300 * 1024))
		send(2)
		assert.equal("m2", ids(routed))
	end)

	it("shares 16 MiB with all others", function ()
		for n = 1, 100 do
			links.send(OURS, ("d%d.example"):format(n), message(n, ("x"):rep(200 * 1024)))
		end
		assert.is_true(answers.bytes() <= 16 * 1024 * 1024)
		assert.equal(19, #routed)
		assert.equal("resource-constraint", select(2, routed[1]:get_error()))
	end)

	it("that fails answers all in order, a few in each turn, and what comes meanwhile after them", function ()
		for n = 1, 100 do send(n) end
		turn()
		give_up()
		assert.equal(0, #routed)
		turn()
		assert.is_true(#routed > 0 and #routed < 100)
		send(101)
		turns()
		assert.equal(101, #routed)
		for n = 1, 101 do assert.equal("m" .. n, routed[n].attr.id) end
		local kind, condition, text = routed[1]:get_error()
		assert.same({ "wait", "remote-server-timeout" }, { kind, condition })
		assert.truthy(text:find("Connection refused", 1, true))
		assert.equal(0, answers.bytes())
	end)

	it("that fails does not tell a client more than it reads; others are told meanwhile", function ()
		local queued = 200 * 1024
		local romeo = { conn = { counts = function () return 0, 0, queued end } }
		world.prosody.full_sessions = { ["romeo@montague.example/balcony"] = romeo }
		for n = 1, 3 do
			links.send(OURS, THEIRS, message(n, "x", "romeo@montague.example/balcony"))
			links.send(OURS, "other.example", message("o" .. n, "x", "nurse@montague.example/home"))
		end
		turn()
		for _, race in ipairs(races) do race.options.failed("refused", true, true) end
		turns()
		assert.equal("mo1 mo2 mo3", ids(routed))
		world.advance(1)
		turns()
		assert.equal(3, #routed)
		queued = 100 * 1024
		world.advance(0.2)
		turns()
		assert.equal("mo1 mo2 mo3 m1 m2 m3", ids(routed))
		assert.equal(0, answers.bytes())
	end)

	it("that fails is left alone, twice as long each time, from five seconds to five minutes", function ()
		local expected = 5
		for attempt = 1, 10 do
			send(attempt)
			turn()
			assert.equal(attempt, #races)
			give_up()
			turns()
			local n = #routed
			world.advance(0.75 * expected - 0.01)
			send "too-soon"
			assert.equal(n + 1, #routed)
			world.advance(0.5 * expected + 0.02)
			expected = math.min(expected * 2, 300)
		end
	end)

	it("that was forgiven is tried at once", function ()
		send(1)
		turn()
		give_up()
		turns()
		links.forget_failures "other.example"
		send(2)
		assert.equal("m1 m2", ids(routed))
		links.forget_failures(THEIRS)
		send(3)
		turn()
		assert.equal(2, #races)
		establish()
		assert.equal("m3", ids(sessions[1].sent))
	end)

	it("that does not get anywhere gives up after 55 seconds", function ()
		send(1)
		turn()
		world.advance(54)
		assert.equal(0, #routed)
		world.advance(2)
		turns()
		assert.equal("m1", ids(routed))
	end)

	it("does not answer what needs none", function ()
		links.send(OURS, THEIRS, st.iq({ type = "result", id = "r", from = OURS, to = THEIRS }))
		links.send(OURS, THEIRS, st.message({ type = "error", id = "e", from = OURS, to = THEIRS }))
		links.send(OURS, THEIRS, st.presence({ type = "unavailable", from = OURS, to = THEIRS }))
		turn()
		give_up()
		turns()
		assert.equal(0, #routed)
		assert.equal(0, answers.bytes())
	end)

	it("answers what the other side does not take any more", function ()
		for n = 1, 5 do send(n) end
		turn()
		establish(3)
		turns()
		assert.equal("m4 m5", ids(routed))
		assert.equal(0, answers.bytes())
	end)

	it("that ends gives what never left to the next stream, before what came later, and answers the rest", function ()
		send(1)
		turn()
		local session = establish()
		leaving = true
		send(5) -- while the old stream goes
		leaving = false
		leftovers = { { tostring(message(2)), tostring(message(3)), tostring(message(4)) }, 1 }
		ends(session)
		leftovers = nil
		assert.equal("m2", ids(routed))
		assert.truthy(select(3, routed[1]:get_error()):find("may or may not", 1, true))
		assert.equal("m3 m4 m5", ids(establish().sent))
		assert.equal(0, answers.bytes())
	end)

	it("that ends sends messages again where that is wanted, and nothing else", function ()
		send(1)
		turn()
		local session = establish()
		session.resends = true
		leftovers = { { tostring(message(2)), tostring(st.iq { type = "get", id = "q", from = OURS, to = THEIRS }) }, 2 }
		ends(session)
		leftovers = nil
		assert.equal("q", ids(routed))
		assert.equal("m2", ids(establish().sent))
	end)

	it("waits until the stream has gone that carried its stanzas before", function ()
		leaving = true
		send(1)
		turn()
		assert.equal(0, #races)
		leaving = false
		links.go_on { from_host = OURS, to_host = THEIRS }
		turn()
		turn()
		assert.equal(1, #races)
	end)

	it("that breaks at once three times with stanzas on it counts as failed", function ()
		send(1)
		turn()
		leftovers = { { tostring(message(1)) }, 0 }
		for n = 1, 3 do
			assert.equal(n, #races)
			local session = establish()
			session.sent = {}
			ends(session)
		end
		assert.equal(3, #races)
		assert.equal("m1", ids(routed))
		assert.truthy(select(3, routed[1]:get_error()):find("again and again", 1, true))
	end)

	it("is one of 20000 at most; those that are not used any more are forgotten", function ()
		for n = 1, 20000 do
			links.send(OURS, ("d%d.example"):format(n), st.message { from = OURS, to = "x", type = "error" })
		end
		send(1)
		assert.equal("m1", ids(routed))
		assert.equal("resource-constraint", select(2, routed[1]:get_error()))
		turn()
		turns()
		for _, race in ipairs(races) do race.options.failed("refused", true, true) end
		turns()
		world.advance(310)
		module.timer.fn()
		send(2)
		assert.equal("m1", ids(routed))
	end)

	it("of a host that goes, or of a server that stops, answers what waits", function ()
		send(1)
		links.send(OURS, "other.example", message(2))
		turn()
		links.stop()
		assert.equal(2, #routed)
		send(3)
		assert.equal(3, #routed)
		assert.equal("This server stops", (select(3, routed[3]:get_error())))
		links.forget_host(OURS, "bye")
		turns()
		assert.equal(3, #routed)
		assert.equal(0, answers.bytes())
	end)

	it("that comes up sends what waits over several turns, and nothing overtakes it", function ()
		for n = 1, 100 do send(n) end
		turn()
		local session = establish()
		assert.is_true(#session.sent > 0 and #session.sent < 50)
		assert.is_true(held[THEIRS]) -- so that the core asks us
		send(101)
		turns()
		assert.equal(101, #session.sent)
		for n = 1, 101 do assert.equal("m" .. n, session.sent[n]) end
		assert.is_false(held[THEIRS])
		assert.equal(0, answers.bytes())
	end)

	it("that breaks before all is sent goes on with the next stream", function ()
		for n = 1, 100 do send(n) end
		turn()
		local session = establish()
		local n_sent = #session.sent
		ends(session)
		local next_session = establish()
		turns()
		assert.equal(100, n_sent + #next_session.sent)
		assert.equal("m" .. n_sent + 1, next_session.sent[1])
		assert.equal(0, #routed)
	end)

	it("that is closed before all is sent waits for the next stream", function ()
		for n = 1, 100 do send(n) end
		turn()
		local session = establish()
		local n_sent = #session.sent
		leaving = true
		turns()
		assert.equal(n_sent, #session.sent)
		leaving = false
		ends(session)
		local next_session = establish()
		turns()
		assert.equal(100, n_sent + #next_session.sent)
		assert.equal(0, #routed)
	end)

	it("of a server that stops before all is sent sends the rest", function ()
		for n = 1, 100 do send(n) end
		turn()
		local session = establish()
		links.stop()
		assert.equal(100, #session.sent)
		turns()
		assert.equal(100, #session.sent)
		assert.equal(0, #routed)
	end)

	it("that fails answers each once, in order, when the module is loaded anew meanwhile", function ()
		for n = 1, 100 do send(n) end
		turn()
		give_up()
		turn()
		assert.is_true(#routed > 0 and #routed < 100)
		local slices = libraries.load(world, "slices")
		local new_answers = libraries.load(world, "answers")(slices)
		local state = answers.save()
		links.forget_host(OURS, "bye")
		new_answers.restore(state)
		new_answers.give(OURS, message(101), { type = "wait", condition = "remote-server-timeout" })
		turns()
		for n = 1, 101 do assert.equal("m" .. n, routed[n].attr.id) end
		assert.equal(101, #routed)
		assert.equal(0, new_answers.bytes())
	end)

	it("is begun with others a few in a turn, and fails so", function ()
		for n = 1, 200 do links.send(OURS, ("d%d.example"):format(n), message(n)) end
		turn()
		assert.is_true(#races > 0 and #races <= 50)
		turns()
		assert.equal(200, #races)
		for _, race in ipairs(races) do race.options.failed("refused", true, true) end
		turn()
		assert.is_true(#routed < 50)
		turns()
		assert.equal(200, #routed)
	end)
end)
