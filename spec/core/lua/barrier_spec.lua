-- Modules that do harm, which must not become the server's (SECURITY D7, P20).

local loop = require "spec.support.loop"
local Server = require "spec.support.server"

-- For what takes seconds of the processor, however many others want it, too.
local PATIENT_SECONDS = 280

describe("A module that does harm", function ()
	local server, romeo, canary
	local question = "<iq type='get' to='localhost'><do xmlns='urn:example:harm'/></iq>"

	setup(function ()
		server = Server.start { plugins = {} }
		server:expects_error "mod_harm.lua"
	end)
	teardown(function () server:stop() end)
	before_each(function ()
		romeo = server:person "romeo"
		canary = server:person "canary"
	end)
	after_each(function ()
		server:ctl("shell", "module unload harm localhost")
		server:forget_clients()
	end)

	local function answering(body)
		return ("local st = require 'util.stanza'\n"
			.. "module:hook('iq-get/host/urn:example:harm:do', function (event)\n%s\nend)\n"):format(body)
	end

	local function load_harm(code)
		server:plugin("harm", code)
		server:shell("module load harm localhost")
	end

	-- It goes wrong for the one who asked, and for nobody else.
	local function is_contained(body, seconds)
		load_harm(answering(body))
		local from = server:log_position()
		local deadline = loop.deadline_seconds
		loop.deadline_seconds = seconds or deadline
		local ok, reply = pcall(romeo.asks, romeo, question)
		loop.deadline_seconds = deadline
		assert.is_true(ok, reply)
		assert.equal("error", reply.attr.type)
		assert.is_truthy(reply:child("error"):child "internal-server-error", tostring(reply))
		server:awaits_log("mod_harm.lua:", from)
		romeo:settles()
		canary:settles()
		assert.is_true(server:is_running())
	end

	local harm = {
		{ "raises an error", "error 'boom'" },
		{ "raises an object without text", "error {}" },
		{ "raises nothing at all", "error()" },
		{ "raises an object that raises when it is told",
			"error(setmetatable({}, { __tostring = function () error 'again' end }))", unnamed = true },
		{ "indexes what is not there", "return event.stanza:get_child('no', 'such').attr.x" },
		{ "calls itself without end", "local function f() return 1 + f() end f()" },
		{ "waits in a coroutine of its own", [[
			coroutine.wrap(function () require 'util.async'.wait_for(require 'util.promise'.new(function () end)) end)()
		]] },
	}
	for _, case in ipairs(harm) do
		it("and " .. case[1] .. " is stopped", function ()
			if case.unnamed then
				server:expects_error "cannot be told"
				load_harm(answering(case[2]))
				assert.is_truthy(romeo:asks(question):child("error"):child "internal-server-error")
				canary:settles()
			else
				is_contained(case[2])
			end
		end)
	end

	local endless = {
		{ "never ends", "while true do end" },
		{ "never ends and catches what would stop it", "while true do pcall(function () while true do end end) end" },
		{ "never ends in coroutines", [[
			while true do coroutine.resume(coroutine.create(function () while true do end end)) end
		]] },
	}
	for _, case in ipairs(endless) do
		it("and " .. case[1] .. " is stopped after five seconds of the processor", function ()
			is_contained(case[2], PATIENT_SECONDS)
		end)
	end

	local greedy = {
		{ "fills a table without end", "local t = {} for i = 1, math.huge do t[i] = { i } end" },
		{ "fills a table and catches what would stop it", [[
			local t = {}
			while true do pcall(function () for i = 1, math.huge do t[#t + 1] = ('%d'):rep(100):format(i) end end) end
		]] },
		{ "makes a text of a terabyte", "local s = ('x'):rep(2^40)" },
		{ "doubles a text without end", "local s = 'x' while true do s = s .. s end" },
		{ "fills memory from coroutines", [[
			local t = {}
			while true do coroutine.wrap(function () for i = 1, 1000 do t[#t + 1] = { i } end end)() end
		]] },
		{ "makes stanzas without end", [[
			local t = {}
			for i = 1, math.huge do t[i] = st.message({ id = 'x' }, ('y'):rep(1000)) end
		]] },
	}
	for _, case in ipairs(greedy) do
		it("and " .. case[1] .. " is stopped, and its memory is given back", function ()
			local before = server:memory()
			is_contained(case[2], PATIENT_SECONDS)
			assert.is_true(server:memory() - before < 24 * 1024, server:memory() - before .. " KiB")
		end)
	end

	it("and answers a message with a message to itself is stopped", function ()
		load_harm [[
			module:hook("message/bare", function (event)
				local copy = require "util.stanza".clone(event.stanza)
				module:send(copy)
			end, 10)
		]]
		local from = server:log_position()
		romeo:sends "<message to='canary@localhost' type='chat'><body>ping</body></message>"
		romeo:settles()
		server:awaits_log("mod_harm.lua:", from)
		canary:settles()
		assert.is_true(server:is_running())
	end)

	it("and hooks an event again and again is told when it is too much", function ()
		load_harm(answering "for _ = 1, 10000 do module:hook('some/event', function () end) end")
		assert.is_truthy(romeo:asks(question):child("error"):child "internal-server-error")
		canary:settles()
	end)

	it("and hooks ever new events is told when it is too much", function ()
		load_harm(answering "for i = 1, 100000 do module:hook('some/event/' .. i, function () end) end")
		assert.is_truthy(romeo:asks(question):child("error"):child "internal-server-error")
		canary:settles()
		server:shell("module unload harm localhost")
		assert.not_matches("some/event", server:hooks())
	end)

	it("may ask many questions of its own, one after the other", function ()
		load_harm(answering [[
			for i = 1, 100000 do
				local function f() end
				module:hook('iq-result/host/' .. i, f)
				module:unhook('iq-result/host/' .. i, f)
			end
			event.origin.send(st.reply(event.stanza))
			return true
		]])
		assert.equal("result", romeo:asks(question).attr.type)
	end)

	it("and raises in a timer does so alone", function ()
		load_harm "module:add_timer(0, function () error 'too late' end)"
		server:awaits_log "too late"
		romeo:settles()
		canary:settles()
	end)

	it("and never ends in a timer is stopped", function ()
		load_harm "module:add_timer(0, function () while true do end end)"
		local deadline = loop.deadline_seconds
		loop.deadline_seconds = PATIENT_SECONDS
		server:awaits_log "interrupted"
		romeo:settles()
		canary:settles()
		loop.deadline_seconds = deadline
	end)

	it("and raises as it is loaded is not there", function ()
		local before = server:hooks()
		server:plugin("harm", "module:hook('message/bare', function () end)\nerror 'not like this'")
		local said, code = server:ctl("shell", "module load harm localhost")
		assert.equal(1, code)
		assert.matches("not like this", said)
		assert.equal(before, server:hooks())
	end)

	it("and raises as it is unloaded goes all the same", function ()
		server:expects_error "module.unload failed"
		local before = server:hooks()
		load_harm "module:hook('message/bare', function () end)\nfunction module.unload() error 'never' end"
		server:shell("module unload harm localhost")
		assert.equal(before, server:hooks())
	end)

	it("and ends all sessions while one takes over another's resource does not take the server with it", function ()
		load_harm [[
			local native = require "couplet.native"
			module:hook("resource-unbind", function ()
				for session in native.sessions() do native.end_session(session, "harm") end
			end)
		]]
		server:person("romeo", { resource = "contested" })
		local late = server:client { user = "romeo" }:connect()
		late:opens_stream_with_features()
		late:starts_tls()
		late:opens_stream_with_features()
		late:authenticates()
		late:opens_stream_with_features()
		late:sends [[<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>
			<resource>contested</resource></bind></iq>]]
		late:sees_the_end()
		canary:sees_the_end()
		server:shell("module unload harm localhost")
		server:person("romeo", { resource = "contested" }):settles()
	end)

	it("and puts a function of its own in the place of session.send can still call the old one", function ()
		load_harm [[
			module:hook("resource-bind", function (event)
				local session = event.session
				local send = session.send
				function session.send(stanza)
					if stanza.attr.id == "marked" then stanza.attr.by = "harm" end
					return send(stanza)
				end
			end)
		]]
		local late = server:person("romeo", { resource = "late" })
		canary:sends(("<message to='%s' id='marked'><body>1</body></message>"):format(late.jid))
		late:awaits "<message by='harm'><body>1</body></message>"
		late:settles()
		canary:sends(("<message to='%s' id='other'><body>2</body></message>"):format(late.jid))
		assert.is_nil(late:awaits("<message id='other'/>").attr.by)
		late:leaves()
	end)
end)
