--- What the libraries do when the core is below them: timers, waiting handlers, filters, promises, logging. A module of
-- this spec runs in the server; romeo asks it by messages to its host.

local Server = require "spec.support.server"

local module_text = [==[
local async = require "prosody.util.async"
local promise = require "prosody.util.promise"
local timer = require "prosody.util.timer"
local filters = require "prosody.util.filters"
local helpers = require "prosody.util.helpers"
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
	function asked.unfilter(later)
		filters.remove_filter(session, "stanzas/out", shout)
		say(later, "quiet")
	end
end

-- Who handles a ping of the host, as the shell of a module's author shows it.
function asked.show_events(event)
	local events = prosody.hosts[module.host].events
	local name = "iq-get/host/urn:xmpp:ping:ping"
	say(event, ("%d %s"):format(#events.get_mappings()[name],
		(helpers.show_events(events, name):gsub("%s+", " "):gsub("function: %S+ %S+/", ""))))
end

-- What is told of events of the host from now on.
local told
function asked.log_events(event)
	local events = prosody.hosts[module.host].events
	told = {}
	helpers.log_events(events, "mine", function (_, form, ...)
		table.insert(told, (form:format(...):gsub("function: 0x%x+", "f")))
	end)
	say(event, "logging")
end

function asked.revert_log_events(event)
	helpers.revert_log_host_events(module.host)
	say(event, "not logging")
end

-- The lines of the ping's event and of a message between people, which only the core handles.
function asked.told(event)
	local found = {}
	for _, line in ipairs(told) do
		local name, rest = line:match("^mine: (%S+) (.*)$")
		if name == "iq-get/host/urn:xmpp:ping:ping" or name == "message/full" then
			table.insert(found, name .. " " .. rest)
		end
	end
	told = {}
	say(event, table.concat(found, "; "))
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
	local server, romeo

	setup(function ()
		server = Server.start { more_modules = { "libraries" }, plugins = { libraries = module_text } }
	end)
	teardown(function () server:stop() end)
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

	it("events tell who handles them", function ()
		ask "show_events"
		hears "1 iq-get/host/urn:xmpp:ping:ping 1: mod_ping.lua:{any}"
	end)

	it("events are logged as long as somebody wants it, whoever handles them, and nothing else changes", function ()
		ask "log_events"
		hears "logging"
		local function goes_on()
			assert.equal("result", romeo:asks("<iq type='get' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>").attr.type)
			romeo:sends(("<message to='%s' type='chat'><body>to myself</body></message>"):format(romeo.jid))
			romeo:receives "<message type='chat'><body>to myself</body></message>"
		end
		goes_on()
		ask "told"
		hears("iq-get/host/urn:xmpp:ping:ping (f) ...; iq-get/host/urn:xmpp:ping:ping answered: true; "
			.. "message/full (f) ...; message/full answered: true")
		ask "revert_log_events"
		hears "not logging"
		goes_on()
		ask "told"
		hears ""
	end)

	it("filters change and drop what goes through a session, as long as they are there", function ()
		ask "filter"
		hears "LOUD"
		ask "forbidden"
		ask "unfilter"
		hears "quiet"
		ask "promise"
		hears "kept"
	end)
end)
