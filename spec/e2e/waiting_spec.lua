-- Handlers that wait (for a database, for HTTP): their session's later stanzas keep their order behind them, everybody
-- else goes on, and what comes after the wait is as if there had been none.

local Server = require "spec.support.server"

-- A stanza with <hold at='EVENT...'/> waits in a handler of those events until somebody opens the gate. `arm` makes the
-- next firings of an event without stanza wait.
local gate = [[
local async = require "util.async";
local st = require "util.stanza";

local waiting, armed = {}, {};

local function hold(at)
	local wait, done = async.waiter();
	waiting[#waiting + 1] = done;
	module:log("info", "waits at %s", at);
	wait();
	module:log("info", "goes on at %s", at);
end

for _, name in ipairs { "pre-message/bare", "message/bare", "message/full", "pre-presence/bare", "iq/host",
	"message/offline/handle", "iq-get/host/urn:example:gate:ask" } do
	module:hook(name, function (event)
		local tag = event.stanza:get_child("hold", "urn:example:gate") or event.stanza.tags[1];
		if tag and tag.attr.at and (" " .. tag.attr.at .. " "):find(" " .. name .. " ", 1, true) then
			hold(name);
			if tag.attr["then"] == "die" then error "died after the wait"; end
		end
	end, 1000);
	module:hook(name, function (event)
		local tag = event.stanza:get_child("hold", "urn:example:gate");
		if tag then tag.attr.seen = (tag.attr.seen or "") .. name .. " "; end
	end, 999);
end
for _, name in ipairs { "stream-features", "resource-unbind", "session-secured" } do
	module:hook(name, function (event)
		if (armed[name] or 0) == 0 then return; end
		armed[name] = armed[name] - 1;
		hold(name);
		if event.features then event.features:tag("late", { xmlns = "urn:example:gate" }):up(); end
		if armed.die then armed.die = nil; error "died after the wait"; end
	end, 1000);
end
module:hook("iq-get/host/urn:example:gate:ask", function (event)
	local who = event.origin.full_jid or "nobody";
	event.origin.send(st.reply(event.stanza):text_tag("answer", who, { xmlns = "urn:example:gate" }));
	return true;
end);
module:hook("iq-set/host/urn:example:gate:arm", function (event)
	local attr = event.stanza.tags[1].attr;
	armed[attr.at] = tonumber(attr.count or 1);
	armed.die = attr["then"] == "die" or nil;
	event.origin.send(st.reply(event.stanza));
	return true;
end);
module:hook("iq-set/host/urn:example:gate:open", function (event)
	local now = waiting;
	waiting = {};
	for _, done in ipairs(now) do done(); end
	event.origin.send(st.reply(event.stanza):text_tag("open", ("%d"):format(#now), { xmlns = "urn:example:gate" }));
	return true;
end);
-- As many messages as asked for, on behalf of the asker, each of them waiting.
module:hook("iq-set/host/urn:example:gate:many", function (event)
	for i = 1, tonumber(event.stanza.tags[1].attr.count) do
		local message = st.message({ to = event.stanza.tags[1].attr.to, from = event.origin.full_jid, type = "chat" })
			:text_tag("body", ("%d"):format(i)):tag("hold", { xmlns = "urn:example:gate", at = "message/bare" });
		prosody.core_post_stanza(event.origin, message);
	end
	event.origin.send(st.reply(event.stanza));
	return true;
end);
]]

local function start(options)
	options.plugins = { gate = gate }
	local server = Server.start(options)
	local said, code = server:ctl("shell", "module load gate")
	assert.equal(0, code, said)
	return server
end

local function held(at, to, text, how)
	return ("<message to='%s' type='chat'><body>%s</body><hold xmlns='urn:example:gate' at='%s'%s/></message>"):format(to,
		text, at, how and " then='" .. how .. "'" or "")
end

local function said(to, text) return ("<message to='%s' type='chat'><body>%s</body></message>"):format(to, text) end

local ask = "<iq type='get' to='localhost' id='%s'><ask xmlns='urn:example:gate' at='%s'%s/></iq>"

describe("A handler that waits", function ()
	local server, romeo, juliet, mercutio

	setup(function () server = start { more_modules = { "offline" } } end)
	teardown(function () server:stop() end)
	before_each(function ()
		romeo = server:person("romeo", { resource = "orchard" })
		juliet = server:person("juliet", { resource = "balcony" })
		mercutio = server:person "mercutio"
		juliet:settles()
		juliet:forgets()
	end)
	after_each(function ()
		mercutio = server:person "mercutio"
		mercutio:asks "<iq type='set' to='localhost'><open xmlns='urn:example:gate'/></iq>"
		server:forget_clients()
	end)

	local function awaits_waiting(at, from) return server:awaits_log("waits at " .. at, from) end

	local function opens(expected)
		local reply = mercutio:asks "<iq type='set' to='localhost'><open xmlns='urn:example:gate'/></iq>"
		if expected then assert.equal(tostring(expected), reply:child():text()) end
	end

	for _, case in ipairs {
		{ "pre-message/bare", "juliet@localhost" }, { "message/bare", "juliet@localhost" },
		{ "message/full", "juliet@localhost/balcony" },
	} do
		local at, to = case[1], case[2]
		it("at " .. at .. " keeps its session's later stanzas behind it, while others go on", function ()
			local from = server:log_position()
			romeo:sends(held(at, to, "one"))
			romeo:sends(said(to, "two"))
			romeo:sends(said(to, "three"))
			awaits_waiting(at, from)
			mercutio:sends(said("juliet@localhost", "meanwhile"))
			juliet:receives "<message><body>meanwhile</body></message>"
			juliet:sends(said("mercutio@localhost", "yes?"))
			mercutio:awaits "<message><body>yes?</body></message>"
			juliet:receives_nothing(mercutio)
			opens(1)
			local one = juliet:receives "<message from='romeo@localhost/orchard'><body>one</body></message>"
			assert.is_truthy(one:child("hold", "urn:example:gate").attr.seen:find(at, 1, true)) -- later hooks ran
			juliet:receives "<message><body>two</body></message>"
			juliet:receives "<message><body>three</body></message>"
			romeo:settles()
		end)
	end

	it("at a request answers late, and the session's other requests after it", function ()
		local from = server:log_position()
		romeo:sends(ask:format("first", "iq-get/host/urn:example:gate:ask", ""))
		romeo:sends "<iq type='get' to='localhost' id='second'><ping xmlns='urn:xmpp:ping'/></iq>"
		awaits_waiting("iq-get/host", from)
		juliet:settles()
		assert.equal(0, #romeo.inbox)
		opens(1)
		romeo:awaits "<iq type='result' id='first'><answer xmlns='urn:example:gate'>romeo@localhost/orchard</answer></iq>"
		romeo:receives "<iq type='result' id='second'/>"
	end)

	it("before the events of a request are fired goes on to them", function ()
		local from = server:log_position()
		romeo:sends(ask:format("deep", "iq/host", ""))
		awaits_waiting("iq/host", from)
		opens(1)
		romeo:awaits "<iq type='result' id='deep'><answer xmlns='urn:example:gate'>romeo@localhost/orchard</answer></iq>"
	end)

	it("may be followed by others that wait", function ()
		local from = server:log_position()
		romeo:sends(held("pre-message/bare message/bare", "juliet@localhost", "at last"))
		from = awaits_waiting("pre-message/bare", from)
		opens(1)
		awaits_waiting("message/bare", from)
		juliet:receives_nothing(mercutio)
		opens(1)
		local message = juliet:receives "<message><body>at last</body></message>"
		assert.equal("pre-message/bare message/bare ", message:child("hold", "urn:example:gate").attr.seen)
	end)

	it("for an offline message keeps it afterwards", function ()
		server:register("tybalt", "secret")
		local from = server:log_position()
		romeo:sends(held("message/offline/handle", "tybalt@localhost", "draw"))
		awaits_waiting("message/offline/handle", from)
		opens(1)
		romeo:settles()
		server.accounts["tybalt@localhost"] = true
		local tybalt = server:person("tybalt", { appears = false })
		tybalt:sends "<presence/>"
		tybalt:awaits "<message from='romeo@localhost/orchard'><body>draw</body></message>"
	end)

	it("that dies after the wait is answered with an error", function ()
		server:expects_error "died after the wait"
		local from = server:log_position()
		romeo:sends(ask:format("bad", "iq-get/host/urn:example:gate:ask", " then='die'"))
		from = awaits_waiting("iq-get/host", from)
		opens(1)
		local reply = romeo:awaits "<iq type='error' id='bad'/>"
		assert.is_truthy(reply:child("error"):child "internal-server-error")
		romeo:sends(held("message/bare", "juliet@localhost", "lost", "die"))
		awaits_waiting("message/bare", from)
		opens(1)
		reply = romeo:awaits "<message type='error' from='juliet@localhost'/>"
		assert.is_truthy(reply:child("error"):child "internal-server-error")
		juliet:receives_nothing(romeo)
	end)

	it("is not disturbed when its client goes", function ()
		local from = server:log_position()
		romeo:sends(held("message/bare", "juliet@localhost", "last words"))
		awaits_waiting("message/bare", from)
		romeo:vanishes()
		juliet:settles()
		opens(1)
		juliet:awaits "<message from='romeo@localhost/orchard'><body>last words</body></message>"
		juliet:settles()
	end)

	it("is not disturbed when its session is replaced", function ()
		for _, at in ipairs { "pre-message/bare", "message/bare" } do
			local from = server:log_position()
			romeo:sends(held(at, "juliet@localhost", at))
			awaits_waiting(at, from)
			local again = server:person("romeo", { resource = "orchard" })
			romeo:is_thrown_out "conflict"
			again:settles()
			opens(1)
			juliet:awaits(("<message from='romeo@localhost/orchard'><body>%s</body></message>"):format(at))
			again:settles()
			again:leaves()
			romeo = server:person("romeo", { resource = "orchard" })
			juliet:settles()
			juliet:forgets()
		end
	end)

	it("is not disturbed when the one who waits for its answer goes", function ()
		for _, how in ipairs { "", " then='die'" } do
			server:expects_error "died after the wait"
			local from = server:log_position()
			local late = server:person("romeo", { resource = "late" })
			late:sends(ask:format("never", "iq-get/host/urn:example:gate:ask", how))
			late:sends(said("juliet@localhost", "behind it"))
			from = awaits_waiting("iq-get/host", from)
			local again = server:person("romeo", { resource = "late" })
			late:is_thrown_out "conflict"
			opens(1)
			server:awaits_log("goes on at iq-get/host", from)
			again:settles()
			again:leaves()
		end
	end)

	it("in hundreds of messages of one session at once holds them all, and reading goes on after the last", function ()
		romeo:asks "<iq type='set' to='localhost'><many xmlns='urn:example:gate' count='300' to='juliet@localhost'/></iq>"
		romeo:sends(said("juliet@localhost", "after them"))
		juliet:receives_nothing(mercutio)
		opens(300)
		for i = 1, 300 do juliet:receives(("<message><body>%d</body></message>"):format(i)) end
		juliet:receives "<message><body>after them</body></message>"
		romeo:settles()
	end)

	describe("while a stream opens", function ()
		local function arms(at, how, count)
			mercutio:asks(("<iq type='set' to='localhost'><arm xmlns='urn:example:gate' at='%s' count='%d'%s/></iq>"):format(at,
				count or 1, how and " then='" .. how .. "'" or ""))
		end

		it("delays the features, which are complete", function ()
			arms "stream-features"
			local from = server:log_position()
			local one = server:client { user = "romeo" }:connect()
			one:opens_stream()
			awaits_waiting("stream-features", from)
			juliet:settles()
			assert.equal(0, #one.inbox)
			local other = server:client { user = "juliet" }:logs_in()
			other:leaves()
			opens(1)
			local features = one:next_stanza()
			assert.is_truthy(features:child("late", "urn:example:gate"))
			assert.is_truthy(features:child("starttls", "urn:ietf:params:xml:ns:xmpp-tls"))
			one:starts_tls()
			one:opens_stream_with_features()
			assert.is_nil(one.features:child("late", "urn:example:gate"))
			assert.is_true(one:authenticates())
		end)

		it("delays them at each step of a login", function ()
			arms("stream-features", nil, 3)
			local from = server:log_position()
			local one = server:client { user = "romeo" }:connect()
			one:opens_stream()
			from = awaits_waiting("stream-features", from)
			opens(1)
			one:receives "<features xmlns='http://etherx.jabber.org/streams'/>"
			one:starts_tls()
			one:opens_stream()
			from = awaits_waiting("stream-features", from)
			opens(1)
			one.features = one:next_stanza()
			assert.is_true(one:authenticates())
			one:opens_stream()
			awaits_waiting("stream-features", from)
			opens(1)
			one:receives "<features xmlns='http://etherx.jabber.org/streams'/>"
			one:binds "late"
			one:settles()
		end)

		it("is not disturbed when the client goes", function ()
			arms "stream-features"
			local from = server:log_position()
			local one = server:client {}:connect()
			one:opens_stream()
			awaits_waiting("stream-features", from)
			one:vanishes()
			opens(1)
			juliet:settles()
		end)

		it("and dies then ends that stream alone", function ()
			server:expects_error "died after the wait"
			arms("stream-features", "die")
			local from = server:log_position()
			local one = server:client {}:connect()
			one:opens_stream()
			awaits_waiting("stream-features", from)
			opens(1)
			one:is_thrown_out "internal-server-error"
			juliet:settles()
		end)

		it("after TLS holds what the client says under it", function ()
			arms "session-secured"
			local from = server:log_position()
			local one = server:client { user = "romeo" }:connect()
			one:opens_stream_with_features()
			one:starts_tls()
			one:new_parser()
			one:sends_raw(one:header_text())
			awaits_waiting("session-secured", from)
			juliet:settles()
			assert.is_nil(one.header)
			opens(1)
			one.features = one:next_stanza()
			assert.is_true(one:authenticates())
		end)

	end)

	it("when a session ends lets the others hear of it", function ()
		mercutio:asks "<iq type='set' to='localhost'><arm xmlns='urn:example:gate' at='resource-unbind'/></iq>"
		local other = server:person("juliet", { resource = "tomb" })
		juliet:awaits "<presence from='juliet@localhost/tomb'/>"
		local from = server:log_position()
		other:vanishes()
		awaits_waiting("resource-unbind", from)
		juliet:settles()
		opens(1)
		juliet:awaits "<presence type='unavailable' from='juliet@localhost/tomb'/>"
		server:awaits_log("goes on at resource-unbind", from)
		juliet:settles()
	end)
end)

describe("What waits for ever", function ()
	it("does not keep the server from ending", function ()
		local server = start { more_modules = { "offline" } }
		local romeo, juliet = server:person "romeo", server:person "juliet"
		romeo:sends(held("message/bare", "juliet@localhost", "never"))
		juliet:sends(ask:format("never", "iq-get/host/urn:example:gate:ask", ""))
		server:awaits_log "waits at message/bare"
		server:awaits_log "waits at iq-get/host"
		local mercutio = server:person "mercutio"
		mercutio:asks "<iq type='set' to='localhost'><arm xmlns='urn:example:gate' at='stream-features'/></iq>"
		server:client {}:connect():opens_stream()
		server:awaits_log "waits at stream-features"
		server.told_to_end = true -- now, with all that is left
		server:stop()
	end)

	it("is given up with its host", function ()
		local server = start { hosts = { localhost = "", ["capulet.lit"] = "" } }
		local juliet = server:person("juliet", { host = "capulet.lit" })
		local romeo = server:person "romeo"
		juliet:sends(held("message/bare", "nurse@capulet.lit", "never"))
		romeo:sends(held("message/bare", "juliet@capulet.lit", "never"))
		server:awaits_log("waits at message/bare", server:awaits_log "waits at message/bare")
		local text, code = server:ctl("shell", "> assert(require 'core.hostmanager'.deactivate('capulet.lit'))")
		assert.equal(0, code, text)
		juliet:sees_the_end()
		romeo:settles() -- was waiting for an answer that does not come any more, and is read from again
		server:stop()
	end)
end)

describe("A handler that nobody resumes", function ()
	local server

	setup(function () server = start { more_modules = { "offline" } } end)
	teardown(function () server:stop() end)

	it("is ended when its time is over: what it held gets an error, the session goes on", function ()
		server:configure {
			config = "max_handler_wait = '1s'",
			more_modules = {},
		}
		server:restart()
		assert.equal(0, select(2, server:ctl("shell", "module load gate")))
		server:expects_error "has waited for 1 s and was ended"
		local romeo, juliet = server:person "romeo", server:person "juliet"
		local from = server:log_position()
		romeo:sends(ask:format("late", "iq-get/host/urn:example:gate:ask", ""))
		romeo:sends(held("message/bare", "juliet@localhost", "one"))
		romeo:sends(said("juliet@localhost", "two"))
		romeo:awaits "<iq type='error' id='late'/>"
		romeo:awaits "<message type='error'/>"
		juliet:receives "<message><body>two</body></message>"
		server:awaits_log("has waited for 1 s and was ended", from)
		-- Too late to be of use, and harmless.
		juliet:asks "<iq type='set' to='localhost'><open xmlns='urn:example:gate'/></iq>"
		assert.equal("result", romeo:asks(ask:format("again", "nothing", "")).attr.type)
		romeo:leaves()
		juliet:leaves()
	end)
end)
