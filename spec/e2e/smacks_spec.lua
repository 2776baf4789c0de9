-- Stream management of clients (XEP-0198): acknowledgements, sessions that outlive their connection, and what becomes
-- of what was not acknowledged. SECURITY D11, B2, B7, P11.

local bosh = require "spec.support.bosh"
local loop = require "spec.support.loop"
local Server = require "spec.support.server"
local websocket = require "spec.support.websocket"

local SM = "xmlns='urn:xmpp:sm:3'"
local FAILED = "<failed " .. SM .. "><%s xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>"

-- Tells what modules hear, holds what is to be held, and answers for what it is asked to.
local WITNESS = [[
local async = require "util.async"
local st = require "util.stanza"
local held
local function told(event, session, data)
	module:log("info", "%s: %s smacks=%s token=%s hibernating=%s watchdog=%s queue=%s stanza=%s", event, session.full_jid,
		tostring(session.smacks), session.resumption_token and #session.resumption_token or "none",
		math.type(session.hibernating) or "no",
		session.hibernating_watchdog and session.hibernating_watchdog.timeout or "none",
		data.queue and #data.queue or "none", data.stanza and data.stanza.attr.id or "none")
end
for _, event in ipairs { "smacks-hibernation-start", "smacks-hibernation-stanza-queued", "smacks-ack-delayed" } do
	module:hook(event, function (data) told(event, data.origin, data) end)
end
module:hook("smacks-hibernation-end", function (data) told("smacks-hibernation-end", data.resumed, data) end)
module:hook("delivery/failure", function (data)
	module:log("info", "delivery/failure of %s to %s", data.stanza.attr.id, data.session.username)
	if data.stanza:get_child("answered", "urn:example:witness") then return true end
end)
module:hook("pre-message/bare", function (event)
	if not event.stanza:get_child("hold", "urn:example:witness") then return end
	local wait, done = async.waiter()
	held = done
	module:log("info", "holds a message")
	wait()
end, 1000)
for _, state in ipairs { "active", "inactive" } do
	module:hook("iq-set/host/urn:example:witness:" .. state, function (event)
		module:fire_event("csi-client-" .. state, { origin = event.origin })
		event.origin.send(st.reply(event.stanza))
		return true
	end)
end
module:hook("iq-set/host/urn:example:witness:release", function (event)
	held()
	event.origin.send(st.reply(event.stanza))
	return true
end)
]]

describe("Stream management", function()
	local server, romeo
	local current

	local function start(options)
		options = options or {}
		current = options
		server = Server.start {
			more_modules = { "offline", "witness", "websocket", "bosh" }, plugins = { witness = WITNESS }, with_http = true,
			config = options.config, env = options.env,
		}
		server.accounts = {}
		for _, user in ipairs { "juliet", "nurse", "absent" } do
			server:register(user, "secret")
			server.accounts[user .. "@localhost"] = true
		end
		romeo = server:person("romeo", { resource = "orchard" })
	end

	local function stop()
		server:stop()
		server = nil
	end

	-- On a server of its own, and after it on the usual one again.
	local function with(config)
		stop()
		start { config = config, is_special = true }
	end

	setup(function() start() end)
	teardown(function() stop() end)
	after_each(function()
		if current.is_special then
			stop()
			start()
			return
		end
		if romeo.closed then romeo = server:person("romeo", { resource = "orchard" }) end
		server:ctl("shell", "c2s:close(\"juliet@localhost\")")
		server:ctl("shell", "c2s:close(\"nurse@localhost\")")
		for _, user in ipairs { "juliet", "nurse" } do -- what was left for them is no affair of the next test
			local one = server:client { user = user }:logs_in()
			one:sends "<presence/>"
			one:settles()
			one:leaves()
		end
		romeo:settles()
		romeo:forgets()
	end)

	local function enables(one, attributes)
		one:sends(("<enable %s %s/>"):format(SM, attributes or "resume='true'"))
		local enabled = one:awaits("<enabled " .. SM .. "/>")
		return enabled.attr.id, enabled
	end

	-- Somebody with stream management. Gives the client and the id of its session.
	local function person(user, options, attributes)
		local one = server:person(user, options)
		return one, enables(one, attributes)
	end

	local function returns(user, id, h, options)
		options = options or {}
		options.user = user
		local one = server:client(options):enters()
		one:sends(("<resume %s previd='%s' h='%s'/>"):format(SM, id, h))
		return one
	end

	local function resumes(user, id, h, options)
		local one = returns(user, id, h, options)
		one.resumed = one:receives("<resumed " .. SM .. "/>")
		return one
	end

	local function says(who, i, to, kind)
		who:sends(("<message to='%s' id='m%s' type='%s'><body>%s</body></message>"):format(to or "juliet@localhost", i,
			kind or "chat", i))
	end

	-- The next message must be that one. Gives it.
	local function hears(who, i)
		local message = who:awaits "<message/>"
		assert.equal("m" .. i, message.attr.id)
		return message
	end

	local function hears_no_message(who)
		who:settles()
		for _, stanza in ipairs(who.inbox) do assert.not_equal("message", stanza.name, tostring(stanza)) end
	end

	local function acknowledged(who)
		who:sends("<r " .. SM .. "/>")
		return tonumber(who:awaits("<a " .. SM .. "/>").attr.h)
	end

	-- Its connection breaks, and the server has seen it.
	local function is_cut(one)
		local from = server:log_position()
		one:vanishes()
		server:awaits_log("hibernates (", from)
	end

	describe("is offered", function()
		it("to who is logged in, before and after a resource is bound (section 2)", function()
			local juliet = server:client { user = "juliet" }:connect()
			assert.is_nil(juliet:opens_stream_with_features():child("sm"))
			juliet:starts_tls()
			assert.is_nil(juliet:opens_stream_with_features():child("sm"))
			juliet:authenticates()
			assert.truthy(juliet:opens_stream_with_features():child("sm", "urn:xmpp:sm:3"))
			juliet:leaves()
		end)

		it("not over BOSH, whose sessions have no connection to lose", function()
			local one = bosh.new(server, { tls = true })
			one:creates()
			one:asks "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGp1bGlldABzZWNyZXQ=</auth>"
			local features = one:restarts():child "features"
			assert.truthy(features:child("bind", "urn:ietf:params:xml:ns:xmpp-bind"))
			assert.is_nil(features:child("sm", "urn:xmpp:sm:3"))
			one:asks("", { type = "terminate" })
		end)

		it("not where the admin does not want it", function()
			with "smacks_enabled_c2s = false"
			local juliet = server:client { user = "juliet" }:enters()
			assert.is_nil(juliet.features:child("sm"))
			juliet:binds()
			juliet:sends("<enable " .. SM .. "/>")
			juliet:is_thrown_out()
		end)
	end)

	describe("is agreed on", function()
		it("without resumption by default (section 3)", function()
			local juliet = server:person "juliet"
			juliet:sends("<enable " .. SM .. "/>")
			juliet:receives_exactly("<enabled " .. SM .. "/>")
			juliet:leaves()
		end)

		for _, word in ipairs { "true", "1" } do
			it("with it when asked for by " .. word .. ", under an id nobody guesses", function()
				local juliet = server:person "juliet"
				local id, enabled = enables(juliet, ("resume='%s'"):format(word))
				assert.same({ "true", "600" }, { enabled.attr.resume, enabled.attr.max })
				assert.truthy(id:match "^[%w_-]+$" and #id >= 22, id) -- 128 bits in base64
				juliet:leaves()
			end)
		end

		it("for no longer than the client wants", function()
			local juliet = server:person "juliet"
			local _, enabled = enables(juliet, "resume='true' max='20'")
			assert.equal("20", enabled.attr.max)
			juliet:leaves()
			juliet = server:person "juliet"
			_, enabled = enables(juliet, "resume='true' max='100000'")
			assert.equal("600", enabled.attr.max)
			juliet:leaves()
			juliet = server:person "juliet"
			local id, refused = enables(juliet, "resume='true' max='0'")
			assert.is_nil(id)
			assert.is_nil(refused.attr.resume)
			juliet:leaves()
		end)

		it("not before TLS, login or binding (section 3, SECURITY B2)", function()
			local juliet = server:client { user = "juliet" }:connect()
			juliet:opens_stream_with_features()
			for _, element in ipairs { "enable", "resume h='0' previd='x'" } do
				juliet:sends(("<%s %s/>"):format(element, SM))
				juliet:receives(FAILED:format "unexpected-request")
			end
			juliet:starts_tls()
			juliet:opens_stream_with_features()
			for _, element in ipairs { "enable", "resume h='0' previd='x'" } do
				juliet:sends(("<%s %s/>"):format(element, SM))
				juliet:receives(FAILED:format "unexpected-request")
			end
			juliet:authenticates()
			juliet:opens_stream_with_features()
			juliet:sends("<enable " .. SM .. "/>")
			juliet:receives(FAILED:format "unexpected-request")
			juliet:binds()
			enables(juliet)
			juliet:leaves()
		end)

		it("not twice (section 3)", function()
			local juliet = person "juliet"
			juliet:sends("<enable " .. SM .. "/>")
			juliet:receives(FAILED:format "unexpected-request")
			juliet:is_thrown_out "policy-violation"
		end)
	end)

	describe("counts", function()
		it("stanzas of all kinds, refused ones too, and nothing else (section 4)", function()
			local juliet = person "juliet"
			assert.equal(0, acknowledged(juliet))
			says(juliet, 1, "romeo@localhost")
			juliet:sends "<presence><status>up</status></presence>"
			juliet:sends "<iq type='get' id='v' to='localhost'><query xmlns='jabber:iq:version'/></iq>"
			says(juliet, 2, "nobody@localhost")
			assert.equal(4, acknowledged(juliet))
			assert.equal(4, acknowledged(juliet))
			hears(romeo, 1)
			juliet:leaves()
		end)

		it("nothing before it was agreed on", function()
			for _, element in ipairs { "<r " .. SM .. "/>", "<a " .. SM .. " h='0'/>" } do
				local juliet = server:person "juliet"
				juliet:sends(element)
				juliet:is_thrown_out "unsupported-stanza-type"
			end
		end)

		it("and takes no acknowledgement of what was not sent (section 6)", function()
			local juliet = person "juliet"
			juliet:sends("<a " .. SM .. " h='1'/>")
			local high = juliet:is_thrown_out "undefined-condition":child("handled-count-too-high", "urn:xmpp:sm:3")
			assert.same({ "1", "0" }, { high.attr.h, high.attr["send-count"] })
		end)

		for what, h in pairs { ["without a count"] = "", ["with a negative count"] = "h='-1'", ["with words"] = "h='two'",
			["with a count of 33 bits"] = "h='4294967296'" } do
			it("and takes no acknowledgement " .. what, function()
				local juliet = person "juliet"
				juliet:sends(("<a %s %s/>"):format(SM, h))
				juliet:is_thrown_out "bad-format"
			end)
		end

		it("and says so when it closes the stream", function()
			local juliet = person "juliet"
			says(juliet, 1, "romeo@localhost")
			hears(romeo, 1)
			server:ctl("shell", "c2s:close(\"juliet@localhost\")")
			juliet:awaits("<a " .. SM .. " h='1'/>")
			juliet:is_thrown_out "policy-violation"
		end)

		it("and acknowledges what is on the disk", function()
			local juliet = person "juliet"
			for i = 1, 50 do
				juliet:queues_raw(("<message to='absent@localhost' id='m%d'><body>%d</body></message>%s"):format(i, i,
					i % 10 == 0 and "<r " .. SM .. "/>" or ""))
			end
			local h = tonumber(juliet:awaits("<a " .. SM .. "/>").attr.h)
			server:kill9()
			for _, stanza in ipairs(juliet.inbox) do
				if stanza.name == "a" then h = math.max(h, tonumber(stanza.attr.h)) end
			end
			server:run()
			local absent = server:client { user = "absent" }:logs_in()
			absent:sends "<presence/>"
			for i = 1, h do assert.equal("m" .. i, absent:awaits("<message/>").attr.id) end
			absent:leaves()
			romeo = server:person("romeo", { resource = "orchard" })
		end)
	end)

	describe("asks", function()
		it("a moment after something was sent, and after that not until there is more", function()
			local juliet = person "juliet"
			says(romeo, 1)
			juliet:receives "<message id='m1'/>"
			juliet:receives_exactly("<r " .. SM .. "/>")
			juliet:sends("<a " .. SM .. " h='1'/>")
			juliet:settles()
			assert.same({}, juliet.inbox)
			juliet:leaves()
		end)

		it("after so many stanzas at once", function()
			with "smacks_max_unacked_stanzas = 2"
			local juliet = person "juliet"
			for i = 1, 5 do says(romeo, i) end
			for i = 1, 3 do juliet:receives(("<message id='m%d'/>"):format(i)) end
			juliet:receives("<r " .. SM .. "/>")
			for i = 4, 5 do juliet:receives(("<message id='m%d'/>"):format(i)) end
			juliet:sends("<a " .. SM .. " h='3'/>")
			juliet:receives("<r " .. SM .. "/>")
			juliet:leaves()
		end)

		it("each time where the admin wants that", function()
			with "smacks_max_unacked_stanzas = 0"
			local juliet = person "juliet"
			says(romeo, 1)
			juliet:receives "<message id='m1'/>"
			juliet:receives("<r " .. SM .. "/>")
			juliet:leaves()
		end)

		it("clients that nobody looks at only after more stanzas (XEP-0352)", function()
			with "smacks_max_inactive_unacked_stanzas = 4"
			local juliet = person "juliet"
			juliet:asks "<iq type='set' to='localhost'><inactive xmlns='urn:example:witness'/></iq>"
			for i = 1, 5 do says(romeo, i) end -- with the answer to the iq that is six
			for i = 1, 4 do juliet:receives(("<message id='m%d'/>"):format(i)) end
			juliet:receives("<r " .. SM .. "/>")
			juliet:receives "<message id='m5'/>"
			juliet:sends("<a " .. SM .. " h='5'/>")
			juliet:asks "<iq type='set' to='localhost'><active xmlns='urn:example:witness'/></iq>"
			juliet:awaits("<r " .. SM .. "/>")
			juliet:leaves()
		end)

		it("who says nothing for long, and takes who does not answer for gone", function()
			with "c2s_idle_timeout = 1; smacks_max_ack_delay = 1; smacks_ack_timeout = 2"
			local juliet, id = person "juliet"
			juliet:receives("<r " .. SM .. "/>")
			local from = server:log_position()
			says(romeo, 1)
			server:awaits_log("smacks-ack-delayed: " .. juliet.jid .. " smacks=urn:xmpp:sm:3 token=24 hibernating=no "
				.. "watchdog=none queue=1 stanza=none", from)
			server:awaits_log("hibernates (no answer to what was sent)", from)
			juliet:sees_the_end()
			juliet = resumes("juliet", id, 0)
			hears(juliet, 1)
			juliet:leaves()
		end)
	end)

	describe("A session whose connection breaks", function()
		it("stays, and has got everything when the client comes back, once and in order", function()
			local juliet, id = person("juliet", { resource = "balcony" })
			says(romeo, 1)
			says(romeo, 2, "juliet@localhost/balcony")
			hears(juliet, 1)
			hears(juliet, 2)
			is_cut(juliet)
			says(romeo, 3)
			romeo:sends "<presence to='juliet@localhost/balcony'/>"
			says(romeo, 4, "juliet@localhost/balcony", "headline")
			romeo:sends "<iq type='get' to='juliet@localhost/balcony' id='q'><ping xmlns='urn:xmpp:ping'/></iq>"
			says(romeo, 5)
			romeo:settles()
			assert.same({}, romeo.inbox) -- no errors, no unavailable presence
			juliet = resumes("juliet", id, 1)
			assert.same({ "0", id }, { juliet.resumed.attr.h, juliet.resumed.attr.previd })
			juliet:receives "<message id='m2'/>"
			juliet:receives "<message id='m3'/>"
			juliet:receives "<presence from='romeo@localhost/orchard'/>"
			juliet:receives "<message id='m4'/>"
			juliet:receives "<iq type='get' id='q'/>"
			juliet:receives "<message id='m5'/>"
			juliet:receives("<r " .. SM .. "/>")
			juliet:sends "<iq type='result' to='romeo@localhost/orchard' id='q'/>"
			romeo:awaits "<iq type='result' id='q' from='juliet@localhost/balcony'/>"
			juliet:sends("<a " .. SM .. " h='7'/>")
			is_cut(juliet)
			juliet = resumes("juliet", id, 7)
			hears_no_message(juliet)
			juliet:leaves()
		end)

		it("is told how much the server has handled, and sends the rest", function()
			local juliet, id = person "juliet"
			says(juliet, 1, "romeo@localhost")
			says(juliet, 2, "romeo@localhost")
			hears(romeo, 1)
			hears(romeo, 2)
			is_cut(juliet)
			juliet = resumes("juliet", id, 0)
			assert.equal("2", juliet.resumed.attr.h)
			says(juliet, 3, "romeo@localhost")
			hears(romeo, 3)
			assert.equal(3, acknowledged(juliet))
			juliet:leaves()
		end)

		it("goes on from half a stanza", function()
			local juliet, id = person "juliet"
			says(juliet, 1, "romeo@localhost")
			juliet:sends_raw "<message to='romeo@localhost' id='m2'><bo"
			hears(romeo, 1)
			is_cut(juliet)
			juliet = resumes("juliet", id, 0)
			assert.equal("1", juliet.resumed.attr.h)
			says(juliet, 2, "romeo@localhost")
			hears(romeo, 2)
			juliet:leaves()
		end)

		it("may be taken over while the old connection still seems to be there (section 5)", function()
			local juliet, id = person "juliet"
			says(romeo, 1)
			hears(juliet, 1)
			local again = resumes("juliet", id, 0)
			hears(again, 1)
			juliet:is_thrown_out "conflict"
			says(romeo, 2)
			hears(again, 2)
			again:sends("<a " .. SM .. " h='2'/>")
			local third = resumes("juliet", id, 2)
			again:is_thrown_out "conflict"
			hears_no_message(third)
			third:leaves()
		end)

		it("is the last one's of several that resume it at the same time (SECURITY D11)", function()
			local juliet, id = person "juliet"
			is_cut(juliet)
			says(romeo, 1)
			romeo:settles()
			local all = {}
			for i = 1, 3 do all[i] = server:client { user = "juliet" }:enters() end
			for i = 1, 3 do all[i]:sends(("<resume %s previd='%s' h='0'/>"):format(SM, id)) end
			local winner
			loop.await(function()
				local n_open = 0
				for _, one in ipairs(all) do
					if not one.closed then n_open, winner = n_open + 1, one end
				end
				return n_open == 1
			end, "all but one to be closed")
			for _, one in ipairs(all) do
				hears(one, 1)
				if one ~= winner then one:is_thrown_out "conflict" end
			end
			says(romeo, 2)
			hears(winner, 2)
			winner:leaves()
		end)

		it("may have more on the way behind the question", function()
			local juliet, id = person "juliet"
			is_cut(juliet)
			juliet = server:client { user = "juliet" }:enters()
			juliet:sends_raw(("<resume %s previd='%s' h='0'/><message to='romeo@localhost' id='m1'/><r %s/>"):format(SM, id, SM))
			juliet:receives("<resumed " .. SM .. " h='0'/>")
			juliet:receives("<a " .. SM .. " h='1'/>")
			hears(romeo, 1)
			juliet:leaves()
		end)

		it("is another's to resume as little as one that is not there", function()
			local juliet, id = person "juliet"
			is_cut(juliet)
			for _, wrong in ipairs { { "nurse", id }, { "juliet", id .. "x" }, { "juliet", id:sub(1, -2) } } do
				local one = returns(wrong[1], wrong[2], 0)
				local failed = one:receives(FAILED:format "item-not-found")
				assert.is_nil(failed.attr.h)
				assert.truthy(one:binds().attr.type == "result") -- section 5: it may go on without
				one:leaves()
			end
			juliet = resumes("juliet", id, 0)
			juliet:leaves()
		end)

		it("is not for guessing", function()
			local nurse = server:client { user = "nurse" }:enters()
			for _ = 1, 3 do
				nurse:sends("<resume " .. SM .. " previd='guess' h='0'/>")
				nurse:receives(FAILED:format "item-not-found")
			end
			nurse:is_thrown_out "policy-violation"
		end)

		it("is resumed by a count, not by nonsense", function()
			local juliet, id = person "juliet"
			is_cut(juliet)
			for _, h in ipairs { "-1", "", "4294967296", "x" } do
				local one = returns("juliet", id, h)
				one:receives(FAILED:format "bad-request")
				one:leaves()
			end
			local one = server:client { user = "juliet" }:enters()
			one:sends("<resume " .. SM .. " h='0'/>")
			one:receives(FAILED:format "bad-request")
			one:leaves()
			one = returns("juliet", id, 7)
			local high = one:is_thrown_out "undefined-condition":child("handled-count-too-high", "urn:xmpp:sm:3")
			assert.same({ "7", "0" }, { high.attr.h, high.attr["send-count"] })
			juliet = resumes("juliet", id, 0)
			juliet:leaves()
		end)

		it("is not resumed by who is bound already", function()
			local juliet, id = person "juliet"
			local other = server:person "juliet"
			other:sends(("<resume %s previd='%s' h='0'/>"):format(SM, id))
			other:awaits(FAILED:format "unexpected-request")
			other:leaves()
			juliet:leaves()
		end)

		it("without a wish to resume ends at once", function()
			local juliet = person("juliet", { resource = "balcony" }, "")
			romeo:sends "<presence to='juliet@localhost/balcony'/>"
			juliet:awaits "<presence from='romeo@localhost/orchard'/>"
			juliet:sends "<presence to='romeo@localhost'/>"
			romeo:awaits "<presence from='juliet@localhost/balcony'/>"
			juliet:vanishes()
			romeo:awaits "<presence type='unavailable' from='juliet@localhost/balcony'/>"
		end)

		it("ends at once when the client has closed its stream", function()
			local juliet, id = person "juliet"
			juliet:leaves()
			local one = returns("juliet", id, 0)
			local failed = one:receives(FAILED:format "item-not-found")
			assert.is_nil(failed.attr.h)
			one:leaves()
		end)

		it("waits with its answer while something it has sent is still being handled", function()
			local juliet, id = person "juliet"
			local from = server:log_position()
			juliet:sends "<message to='romeo@localhost' id='m1'><hold xmlns='urn:example:witness'/></message>"
			server:awaits_log("holds a message", from)
			juliet:vanishes()
			says(romeo, 2)
			juliet = returns("juliet", id, 0)
			server:awaits_log("is resumed by", from)
			romeo:asks "<iq type='set' to='localhost'><release xmlns='urn:example:witness'/></iq>"
			juliet:receives("<resumed " .. SM .. " h='1'/>")
			hears(juliet, 2)
			hears(romeo, 1)
			says(juliet, 3, "romeo@localhost")
			hears(romeo, 3)
			juliet:leaves()
		end)

		it("goes on when the module is loaded anew", function()
			local juliet, id = person "juliet"
			is_cut(juliet)
			assert.truthy(server:ctl("shell", "module:reload(\"smacks\", \"localhost\")"):find "OK")
			says(romeo, 1)
			juliet = resumes("juliet", id, 0)
			hears(juliet, 1)
			juliet:leaves()
		end)

		it("is told of to modules, with what they look for", function()
			local juliet, id = person("juliet", { resource = "balcony" })
			says(romeo, 1)
			hears(juliet, 1)
			local from = server:log_position()
			juliet:vanishes()
			server:awaits_log("smacks-hibernation-start: juliet@localhost/balcony smacks=urn:xmpp:sm:3 token=24 "
				.. "hibernating=integer watchdog=600 queue=1 stanza=none", from)
			says(romeo, 2)
			server:awaits_log("smacks-hibernation-stanza-queued: juliet@localhost/balcony smacks=urn:xmpp:sm:3 token=24 "
				.. "hibernating=integer watchdog=600 queue=2 stanza=m2", from)
			juliet = resumes("juliet", id, 1)
			server:awaits_log("smacks-hibernation-end: juliet@localhost/balcony smacks=urn:xmpp:sm:3 token=24 hibernating=no "
				.. "watchdog=none queue=1 stanza=none", from)
			juliet:leaves()
		end)

		it("is shown to the admin", function()
			local juliet = person("juliet", { resource = "balcony" })
			assert.truthy(server:ctl("shell", "c2s:show(\"juliet@localhost\")"):find "here, sm")
			is_cut(juliet)
			says(romeo, 1)
			romeo:settles()
			assert.truthy(server:ctl("shell", "c2s:show(\"juliet@localhost\")"):find "away %d+s: 1")
		end)

		it("gives way when one more session may not be bound", function()
			with "c2s_max_resources = 2"
			local juliet, id = person "juliet"
			is_cut(juliet)
			local second, third = server:person "juliet", server:person "juliet"
			returns("juliet", id, 0):receives(FAILED:format "item-not-found")
			local fourth = server:client { user = "juliet" }:enters()
			assert.equal("error", fourth:binds().attr.type)
			second:leaves()
			third:leaves()
		end)

		it("gives way to later ones of the same account that are away too", function()
			with "smacks_max_hibernated_sessions = 2"
			local ids = {}
			for i = 1, 3 do
				local juliet
				juliet, ids[i] = person("juliet", { resource = "r" .. i })
				is_cut(juliet)
			end
			local one = returns("juliet", ids[1], 0)
			one:receives(FAILED:format "item-not-found")
			one:leaves()
			for i = 2, 3 do
				resumes("juliet", ids[i], select(2, server:log():gsub("nothing", "")) * 0):leaves()
			end
		end)
	end)

	describe("What was not acknowledged when a session ends", function()
		local function comes_anew(user, h)
			local one = server:client { user = user or "juliet" }:logs_in()
			one:sends "<presence/>"
			for i = 1, h or 0 do hears(one, i) end
			return one
		end

		it("because its time is over is kept for the next login, with the time when it came", function()
			with "smacks_hibernation_time = 1"
			local juliet, id = person("juliet", { resource = "balcony" })
			juliet:sends "<presence to='romeo@localhost'/>"
			romeo:awaits "<presence from='juliet@localhost/balcony'/>"
			says(juliet, 9, "romeo@localhost")
			hears(romeo, 9)
			says(romeo, 1)
			hears(juliet, 1)
			is_cut(juliet)
			local sent_at = os.time()
			says(romeo, 2)
			romeo:awaits "<presence type='unavailable' from='juliet@localhost/balcony'/>"
			local again = returns("juliet", id, 1)
			again:receives(("<failed %s h='2'/>"):format(SM)) -- <presence/> and a message
			again:binds()
			says(romeo, 3)
			romeo:settles()
			again:sends "<presence/>"
			for i = 1, 3 do
				local message = hears(again, i)
				local delays = message:children "delay"
				assert.equal(1, #delays)
				local y, mo, d, ho, mi, s = delays[1].attr.stamp:match "^(%d+)-(%d+)-(%d+)T(%d+):(%d+):(%d+)"
				local at = os.time { year = y, month = mo, day = d, hour = ho, min = mi, sec = s, isdst = false }
				local utc = os.time(os.date("!*t", sent_at))
				assert.is_true(i == 3 and at >= utc or at <= utc + 1, delays[1].attr.stamp)
			end
			hears_no_message(again)
			again:leaves()
		end)

		it("because too much waits is kept for the next login, in order, and what comes then behind it", function()
			with "smacks_max_queue_size = 5"
			local juliet = person "juliet"
			is_cut(juliet)
			for i = 1, 8 do says(romeo, i) end
			romeo:settles()
			assert.same({}, romeo.inbox)
			local again = comes_anew("juliet", 8)
			hears_no_message(again)
			again:leaves()
		end)

		it("because too many bytes wait is kept too", function()
			with "smacks_max_queue_bytes = 65536"
			local juliet = person "juliet"
			is_cut(juliet)
			local from = server:log_position()
			for i = 1, 4 do
				romeo:sends(("<message to='juliet@localhost' id='m%d'><body>%s</body></message>"):format(i, ("x"):rep(20000)))
			end
			romeo:settles()
			server:awaits_log("stanzas were not acknowledged", from)
			comes_anew("juliet", 4):leaves()
		end)

		it("goes to another resource that has not got it, once, with the time when it came", function()
			local phone = person("juliet", { resource = "phone" })
			is_cut(phone)
			says(romeo, 1, "juliet@localhost/phone")
			local laptop = server:person("juliet", { resource = "laptop" })
			says(romeo, 2)
			laptop:awaits "<message id='m2'/>"
			romeo:settles()
			server:ctl("shell", "c2s:close(\"juliet@localhost/phone\")")
			local message = hears(laptop, 1)
			assert.equal("localhost", message:child("delay", "urn:xmpp:delay").attr.from)
			hears_no_message(laptop)
			laptop:leaves()
			hears_no_message(comes_anew())
		end)

		it("waits for the other resources that got it to acknowledge or end in turn", function()
			local phone = person("juliet", { resource = "phone" })
			local laptop = person("juliet", { resource = "laptop" })
			is_cut(phone)
			is_cut(laptop)
			says(romeo, 1)
			romeo:settles()
			server:ctl("shell", "c2s:close(\"juliet@localhost/phone\")")
			server:ctl("shell", "c2s:close(\"juliet@localhost/laptop\")")
			local one = comes_anew("juliet", 1)
			hears_no_message(one)
			one:leaves()
		end)

		it("comes to the session that takes its place", function()
			local juliet = person("juliet", { resource = "balcony" })
			is_cut(juliet)
			says(romeo, 1, "juliet@localhost/balcony")
			romeo:settles()
			local again = server:client { user = "juliet", resource = "balcony" }:logs_in()
			again:sends "<presence/>"
			hears(again, 1)
			again:leaves()
		end)

		it("is answered where it is a request, and forgotten where it is of no use any more", function()
			local juliet = person("juliet", { resource = "balcony" })
			is_cut(juliet)
			romeo:sends "<iq type='get' to='juliet@localhost/balcony' id='q'><ping xmlns='urn:xmpp:ping'/></iq>"
			romeo:sends "<iq type='result' to='juliet@localhost/balcony' id='r'/>"
			romeo:sends "<presence to='juliet@localhost/balcony'/>"
			says(romeo, 1, "juliet@localhost/balcony", "headline")
			says(romeo, 2, "juliet@localhost/balcony", "groupchat")
			romeo:sends "<message type='error' to='juliet@localhost/balcony' id='e'><body>x</body></message>"
			romeo:settles()
			server:ctl("shell", "c2s:close(\"juliet@localhost\")")
			for _, answer in ipairs { "<iq type='error' id='q'/>", "<message type='error' id='m2'/>" } do
				assert.truthy(romeo:receives(answer):at("error", "service-unavailable"))
			end
			romeo:settles()
			assert.same({}, romeo.inbox)
			hears_no_message(comes_anew())
		end)

		it("is first offered to modules", function()
			local juliet = person "juliet"
			is_cut(juliet)
			romeo:sends("<message to='juliet@localhost' id='m1'><body>1</body><answered xmlns='urn:example:witness'/></message>")
			romeo:settles()
			local from = server:log_position()
			server:ctl("shell", "c2s:close(\"juliet@localhost\")")
			server:awaits_log("delivery/failure of m1 to juliet", from)
			hears_no_message(comes_anew())
		end)

		it("is not what came out of the offline store with another time than its own", function()
			says(romeo, 1)
			romeo:settles()
			local juliet = server:client { user = "juliet" }:logs_in()
			enables(juliet)
			juliet:sends "<presence/>"
			local stamp = hears(juliet, 1):child("delay", "urn:xmpp:delay").attr.stamp
			is_cut(juliet)
			server:ctl("shell", "c2s:close(\"juliet@localhost\")")
			local again = comes_anew()
			local delays = hears(again, 1):children "delay"
			assert.same({ 1, stamp }, { #delays, delays[1].attr.stamp })
			again:leaves()
		end)

		it("is on the disk when the server has stopped", function()
			local juliet, id = person "juliet"
			local nurse, nurse_id = person "nurse"
			says(romeo, 1)
			says(romeo, 1, "nurse@localhost")
			hears(juliet, 1)
			hears(nurse, 1)
			is_cut(juliet) -- away; the nurse is here, and has not acknowledged anything
			says(romeo, 2)
			says(romeo, 2, "nurse@localhost")
			romeo:settles()
			server:restart()
			for user, old in pairs { juliet = id, nurse = nurse_id } do
				local one = returns(user, old, 0)
				local failed = one:receives(FAILED:format "item-not-found")
				assert.is_truthy(failed.attr.h)
				one:binds()
				one:sends "<presence/>"
				hears(one, 1)
				hears(one, 2)
				hears_no_message(one)
				one:leaves()
			end
			romeo = server:person("romeo", { resource = "orchard" })
		end)
	end)

	describe("Over WebSocket", function()
		local function opens(user)
			local ws = websocket.connect(server, { tls = true })
			return assert(ws:logs_in(user, "secret", "web"))
		end

		local function awaits(ws, name)
			while true do
				local element, text = ws:receives()
				if element.name == name then return element, text end
			end
		end

		it("a session is resumed over TCP, and back", function()
			local ws = opens "juliet"
			ws:sends "<presence xmlns='jabber:client'/>"
			ws:sends("<enable " .. SM .. " resume='true'/>")
			local id = awaits(ws, "enabled").attr.id
			says(romeo, 1)
			assert.equal("m1", awaits(ws, "message").attr.id)
			local from = server:log_position()
			ws.conn:vanishes()
			server:awaits_log("hibernates (", from)
			says(romeo, 2)
			romeo:settles()
			local juliet = resumes("juliet", id, 1)
			assert.equal("0", juliet.resumed.attr.h)
			hears(juliet, 2)
			assert.truthy(server:ctl("shell", "c2s:show(\"juliet@localhost\")"):find "127.0.0.1")

			ws = websocket.connect(server, { tls = true })
			ws:opens()
			ws:sends("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGp1bGlldABzZWNyZXQ=</auth>")
			assert.equal("success", ws:receives().name)
			assert.truthy(ws:opens():child("sm", "urn:xmpp:sm:3"))
			says(romeo, 3)
			romeo:settles()
			ws:sends(("<resume %s previd='%s' h='2'/>"):format(SM, id))
			assert.equal("resumed", ws:receives().name)
			local message, text = ws:receives()
			assert.equal("m3", message.attr.id)
			assert.truthy(text:find "^<message xmlns='jabber:client' ") -- RFC 7395 3.3.3
			juliet:is_thrown_out "conflict"
			ws:sends "<message xmlns='jabber:client' to='romeo@localhost' id='m4'/>"
			hears(romeo, 4)
			ws:sends "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>"
			assert.equal("close", awaits(ws, "close").name)
		end)

		it("the connection that is left is told why", function()
			local ws = opens "juliet"
			ws:sends("<enable " .. SM .. " resume='true'/>")
			local id = awaits(ws, "enabled").attr.id
			local juliet = resumes("juliet", id, 0)
			local error = awaits(ws, "error")
			assert.truthy(error:child("conflict", "urn:ietf:params:xml:ns:xmpp-streams"))
			juliet:leaves()
		end)
	end)
end)

describe("Stream management while the disk is full", function()
	local disk, server

	setup(function()
		local pipe <close> = io.popen "mktemp -d /tmp/couplet-disk.XXXXXX"
		disk = pipe:read "l"
		assert(os.execute(("mount -t tmpfs -o size=2m,mode=700 couplet-spec '%s'"):format(disk)), "cannot mount (not root?)")
		server = Server.start { more_modules = { "offline" }, config = ("data_path = %q; storage = 'sqlite'"):format(disk) }
		for _, text in ipairs { "No space left", "disk is full", "could not be", "database or disk", "is lost" } do
			server:expects_error(text)
		end
		server:register("absent", "secret")
		server:register("juliet", "secret")
	end)
	teardown(function()
		os.remove(disk .. "/filler")
		local ok, why = pcall(server.stop, server)
		os.execute(("umount '%s' && rmdir '%s'"):format(disk, disk))
		assert(ok, why)
	end)

	it("tells of nothing as handled that could not be stored, and takes it when it comes again", function()
		local juliet = server:client { user = "juliet" }:logs_in()
		juliet:sends("<enable " .. SM .. " resume='true'/>")
		local id = juliet:awaits("<enabled " .. SM .. "/>").attr.id
		juliet:sends("<message to='absent@localhost' id='m1'><body>1</body></message><r " .. SM .. "/>")
		juliet:receives("<a " .. SM .. " h='1'/>")
		os.execute(("dd if=/dev/zero of='%s/filler' bs=4k 2>/dev/null"):format(disk))
		local second = ("<message to='absent@localhost' id='m2'><body>%s</body></message>"):format(("x"):rep(60000))
		juliet:sends(second .. "<r " .. SM .. "/>")
		juliet:sees_the_end()
		for _, stanza in ipairs(juliet.inbox) do assert.not_equal("a", stanza.name) end
		assert(os.remove(disk .. "/filler"))
		juliet = server:client { user = "juliet" }:enters()
		juliet:sends(("<resume %s previd='%s' h='0'/>"):format(SM, id))
		juliet:receives("<resumed " .. SM .. " h='1'/>")
		juliet:sends(second .. "<r " .. SM .. "/>")
		juliet:receives("<a " .. SM .. " h='2'/>")
		local absent = server:client { user = "absent" }:logs_in()
		absent:sends "<presence/>"
		for _, wanted in ipairs { "m1", "m2" } do assert.equal(wanted, absent:awaits("<message/>").attr.id) end
		absent:settles()
		for _, stanza in ipairs(absent.inbox) do assert.not_equal("message", stanza.name) end
	end)
end)
