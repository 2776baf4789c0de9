--- What the libraries do when the core is below them: timers, waiting handlers, filters, promises, logging. A module of
-- this spec runs in the server; romeo asks it by messages to its host.

local Server = require "spec.support.server"
local lfs = require "lfs"

local module_text = [==[
local async = require "prosody.util.async"
local promise = require "prosody.util.promise"
local timer = require "prosody.util.timer"
local filters = require "prosody.util.filters"
local st = require "prosody.util.stanza"

local function say(event, text)
	event.origin.send(st.message({ from = module.host, to = event.origin.full_jid }, text))
end

local asked = {}

function asked.sleep(event)
	async.sleep(0.05)
	say(event, "slept")
end

function asked.promise(event)
	local value = async.wait_for(promise.new(function (resolve)
		timer.add_task(0.02, function () resolve("kept") end)
	end))
	say(event, value)
end

function asked.late_error(event)
	async.sleep(0.01)
	error("broken after waiting")
end

function asked.ticks(event)
	local n = 0
	timer.add_task(0.01, function ()
		n = n + 1
		say(event, "tick " .. n)
		return n < 3 and 0.01 or nil
	end)
end

function asked.stopped(event)
	local task = timer.add_task(0.01, function () say(event, "never") end)
	task:stop()
	timer.add_task(0.05, function () say(event, "only this") end)
end

function asked.reschedule(event)
	local task = timer.add_task(60, function () say(event, "sooner") end)
	timer.reschedule(task, 0.01)
end

function asked.filter(event)
	local session = event.origin
	local function shout(stanza)
		stanza:maptags(function (tag)
			return tag.name == "body" and st.stanza("body"):text(tag:get_text():upper()) or tag
		end)
		return stanza
	end
	local function drop(stanza)
		if stanza:get_child_text("body") == "forbidden" then
			return nil
		end
		return stanza
	end
	filters.add_filter(session, "stanzas/out", shout)
	filters.add_filter(session, "stanzas/in", drop)
	say(event, "loud")
	module:add_timer(0.1, function ()
		filters.remove_filter(session, "stanzas/out", shout)
		say(event, "quiet")
	end)
end

module:hook("message/host", function (event)
	local fn = asked[event.stanza:get_child_text("body") or ""]
	if fn then
		fn(event)
	else
		say(event, "what?")
	end
	return true
end, 100)
]==]

describe("In the server", function ()
	local server, romeo, plugins

	setup(function ()
		plugins = os.tmpname()
		os.remove(plugins)
		assert(lfs.mkdir(plugins))
		local file <close> = assert(io.open(plugins .. "/mod_libraries.lua", "w"))
		file:write(module_text)
		file:close()
		server = Server.start { more_modules = { "libraries" }, config = ("plugin_paths = { %q }"):format(plugins) }
	end)
	teardown(function ()
		os.remove(plugins .. "/mod_libraries.lua")
		lfs.rmdir(plugins)
		server:stop()
	end)
	before_each(function () romeo = server:person "romeo" end)
	after_each(function () server:forget_clients() end)

	local function ask(text)
		romeo:sends(("<message to='localhost'><body>%s</body></message>"):format(text))
	end
	local function hears(text)
		romeo:receives(("<message from='localhost'><body>%s</body></message>"):format(text))
	end

	it("a handler sleeps while others are served, and what its session sent meanwhile comes after", function ()
		local juliet = server:person "juliet"
		ask "sleep"
		ask "and then"
		juliet:settles()
		hears "slept"
		hears "what?"
	end)

	it("a handler waits for a promise", function ()
		ask "promise"
		hears "kept"
	end)

	it("an error after waiting costs its sender an error and nobody else anything", function ()
		server:expects_error "broken after waiting"
		ask "late_error"
		romeo:receives "<message type='error'/>"
		ask "promise"
		hears "kept"
	end)

	it("a timer repeats as long as it is told to", function ()
		ask "ticks"
		hears "tick 1"
		hears "tick 2"
		hears "tick 3"
	end)

	it("a stopped timer keeps still and a moved one comes at its new time", function ()
		ask "stopped"
		hears "only this"
		ask "reschedule"
		hears "sooner"
	end)

	it("filters change and drop what goes through a session, as long as they are there", function ()
		ask "filter"
		hears "LOUD"
		ask "forbidden"
		hears "quiet"
		ask "promise"
		hears "kept"
	end)
end)
