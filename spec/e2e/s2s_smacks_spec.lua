-- Stream management between servers (XEP-0198), seen by the other server: who came to us, and whom we came to.

local client = require "spec.support.client"
local disk = require "spec.support.disk"
local federation = require "spec.support.federation"
local loop = require "spec.support.loop"

local SM = "xmlns='urn:xmpp:sm:3'"
local FAILED = "<failed " .. SM .. "><%s xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>"

local function message(i, to)
	return ("<message from='nurse@verona.example' to='%s' type='chat' id='m%d'><body>%d</body></message>"):format(
		to or "juliet@montague.example", i, i)
end

describe("A server that comes to us", function()
	local server, juliet, verona

	setup(function()
		server = federation.alone { more_modules = { "smacks", "offline" } }
		juliet = server:person "juliet"
		server:register("absent", "secret")
	end)
	teardown(function() server:stop() end)
	before_each(function()
		juliet:forgets()
		verona = federation.peer(server, { from = "verona.example", certificate = "verona" })
	end)
	after_each(function() if not verona.closed then verona:vanishes() end end)

	local function enables()
		verona:logs_in_with_certificate()
		assert.truthy(verona.features:child("sm", "urn:xmpp:sm:3"))
		verona:sends("<enable " .. SM .. "/>")
		verona:receives_exactly("<enabled " .. SM .. "/>") -- there is nothing to resume between servers
	end

	it("may not enable it before it is believed (section 3)", function()
		verona:under_tls():opens()
		verona:sends("<enable " .. SM .. "/>")
		verona:receives(FAILED:format "unexpected-request")
		verona:proves_itself()
		verona:sends("<enable " .. SM .. "/>")
		verona:receives("<enabled " .. SM .. "/>")
	end)

	it("has its stanzas counted, and nothing else (section 4)", function()
		enables()
		verona:sends("<r " .. SM .. "/>")
		verona:receives_exactly("<a " .. SM .. " h='0'/>")
		verona:sends(message(1) .. message(2) .. "<presence from='nurse@verona.example' to='juliet@montague.example'/>"
			.. "<iq type='result' id='x' from='verona.example' to='montague.example'/><r " .. SM .. "/>")
		verona:receives("<a " .. SM .. " h='4'/>")
		verona:sends("<r " .. SM .. "/>")
		verona:receives("<a " .. SM .. " h='4'/>")
		verona:sends(message(3) .. "<r " .. SM .. "/>")
		verona:receives("<a " .. SM .. " h='5'/>")
		for i = 1, 3 do juliet:awaits(("<message id='m%d'/>"):format(i)) end
	end)

	it("hears of stanzas that were refused too: they were handled", function()
		enables()
		verona:sends("<message from='nurse@verona.example' to='nobody@montague.example'><body>x</body></message>"
			.. "<iq type='get' from='nurse@verona.example' to='juliet@montague.example'/><r " .. SM .. "/>")
		verona:receives("<a " .. SM .. " h='2'/>")
	end)

	it("may not enable it twice (section 3)", function()
		enables()
		verona:sends("<enable " .. SM .. "/>")
		verona:receives(FAILED:format "unexpected-request")
		verona:is_thrown_out "policy-violation"
	end)

	it("cannot resume", function()
		verona:logs_in_with_certificate()
		verona:sends("<resume " .. SM .. " h='0' previd='some'/>")
		verona:receives(FAILED:format "item-not-found")
		verona:sends("<enable " .. SM .. "/>")
		verona:receives("<enabled " .. SM .. "/>")
	end)

	it("may not ask what was not agreed on", function()
		verona:logs_in_with_certificate()
		verona:sends("<r " .. SM .. "/>")
		verona:is_thrown_out "unsupported-stanza-type"
	end)

	it("may not acknowledge what it was not sent (section 6)", function()
		enables()
		verona:sends("<a " .. SM .. " h='1'/>")
		local error = verona:is_thrown_out "undefined-condition"
		local high = error:child("handled-count-too-high", "urn:xmpp:sm:3")
		assert.same({ "1", "0" }, { high.attr.h, high.attr["send-count"] })
		assert.equal("You acknowledged 1 stanzas, but I only sent you 0 so far.", error:child("text"):text())
	end)

	for what, h in pairs { ["without a count"] = "", ["with a negative count"] = "h='-1'",
		["with a count of 33 bits"] = "h='4294967296'" } do
		it("may not acknowledge " .. what, function()
			enables()
			verona:sends(("<a %s %s/>"):format(SM, h))
			verona:is_thrown_out "bad-format"
		end)
	end

	it("that closes its stream hears before the end what was handled (section 4)", function()
		enables()
		verona:sends(message(1) .. message(2) .. "</stream:stream>")
		verona:receives("<a " .. SM .. " h='2'/>")
		verona:sees_the_end()
		assert.is_true(verona.footer)
		juliet:awaits "<message id='m2'/>"
	end)

	it("hears it when we close too, and what it sends after that was not handled", function()
		enables()
		verona:sends(message(1))
		juliet:awaits "<message id='m1'/>"
		assert.truthy(server:ctl("s2s", "close", "verona.example"):find("1 stream closed", 1, true))
		verona:awaits("<a " .. SM .. " h='1'/>")
		loop.await(function() return verona.footer end, "the closing tag")
		verona:sends(message(2))
		verona:is_thrown_out "reset"
		juliet:receives_nothing()
	end)

	it("and that has nothing but nonsense to say after that is cut off", function()
		enables()
		server:ctl("s2s", "close", "verona.example")
		loop.await(function() return verona.footer end, "the closing tag")
		verona:sends "<<<"
		client.sees_the_end(verona)
		juliet:settles()
	end)

	it("without it, what it sends after our closing tag and before its own counts (RFC 6120 4.4)", function()
		verona:logs_in_with_certificate()
		server:ctl("s2s", "close", "verona.example")
		loop.await(function() return verona.footer end, "the closing tag")
		verona:sends(message(2))
		juliet:awaits "<message id='m2'/>"
		verona:is_thrown_out "reset"
	end)

	it("is told so only when what it sent is on the disk", function()
		enables()
		for i = 1, 50 do
			verona:queues_raw(message(i, "absent@montague.example") .. (i % 10 == 0 and "<r " .. SM .. "/>" or ""))
		end
		local h = tonumber(verona:awaits("<a " .. SM .. "/>").attr.h)
		server:kill9()
		for _, stanza in ipairs(verona.inbox) do h = math.max(h, tonumber(stanza.attr.h) or 0) end
		server:run()
		server:awaits_log("Activated service 's2s_direct_tls'", server:log_position() - 4000)
		local absent = server:client { user = "absent" }:logs_in()
		absent:sends "<presence/>"
		for i = 1, h do assert.equal("m" .. i, absent:awaits("<message/>").attr.id) end
		juliet = server:person "juliet"
		absent:leaves()
	end)
end)

describe("A server that comes to us while the disk is full", function()
	local small, lack = disk.mount "2m"
	if not small then return pending(lack) end
	local server, verona

	setup(function()
		server = federation.alone { config = ("data_path = %q; storage = 'sqlite'"):format(small.folder) }
		for _, text in ipairs { "No space left", "disk is full", "could not be", "database or disk", "is lost" } do
			server:expects_error(text)
		end
		server:register("absent", "secret")
	end)
	teardown(function()
		local ok, why = pcall(server.stop, server)
		small:unmount()
		assert(ok, why)
	end)

	it("does not read that anything was handled which could not be stored", function()
		verona = federation.peer(server, { from = "verona.example", certificate = "verona" }):logs_in_with_certificate()
		verona:sends("<enable " .. SM .. "/>")
		verona:receives("<enabled " .. SM .. "/>")
		verona:sends(message(1, "absent@montague.example") .. "<r " .. SM .. "/>")
		verona:receives("<a " .. SM .. " h='1'/>")
		small:fills()
		local body = ("x"):rep(60000)
		verona:sends((message(2, "absent@montague.example"):gsub("<body>2", "<body>" .. body)) .. "<r " .. SM .. "/>")
		verona:sees_the_end()
		for _, stanza in ipairs(verona.inbox) do assert.not_equal("a", stanza.name) end
		small:empties()
		local absent = server:client { user = "absent" }:logs_in()
		absent:sends "<presence/>"
		absent:awaits "<message id='m1'/>"
		absent:settles()
		for _, stanza in ipairs(absent.inbox) do assert.not_equal("message", stanza.name) end
		absent:leaves()
	end)
end)

-- ---- a server we come to ----

local DB = "xmlns='jabber:server:dialback'"
local FEATURES = "<stream:features><dialback xmlns='urn:xmpp:features:dialback'/>%s</stream:features>"
-- The other domain may do without TLS, so that the spec can play it.
local CONFIG = "s2s_secure_auth = false\ns2s_require_encryption = false\nsmacks_max_unacked_stanzas = 3\n"

describe("A server that we come to", function()
	local server, romeo, verona, called
	local config = ""

	-- It is called, and believes us. has_sm: it offers stream management.
	local function is_called(has_sm)
		called = verona:accepts()
		loop.await(function() return called.header end, "a stream header", nil, 2)
		called:sends_raw(("<?xml version='1.0'?><stream:stream xmlns='jabber:server' from='verona.example' id='x%d' "
			.. "version='1.0' xmlns:db='jabber:server:dialback' xmlns:stream='http://etherx.jabber.org/streams'>%s"):format(
			math.random(1e9), FEATURES:format(has_sm and "<sm " .. SM .. "/>" or "")))
		called:awaits("<result " .. DB .. "/>")
		called:sends("<result " .. DB .. " from='verona.example' to='montague.example' type='valid'/>")
		if has_sm then called:receives_exactly("<enable " .. SM .. "/>") end
		return called
	end

	local function enabled()
		is_called(true):sends("<enabled " .. SM .. "/>")
		return called
	end

	local function says(i, body)
		romeo:sends(("<message to='nurse@verona.example' id='m%d' type='chat'><body>%s</body></message>"):format(i,
			body or i))
	end

	local function hears(i) called:awaits(("<message xmlns='jabber:server' id='m%d'/>"):format(i)) end

	local function gets_back(i, kind)
		local stanza = romeo:awaits(("<message type='error' id='m%d'/>"):format(i))
		assert.truthy(stanza:at("error", kind or "remote-server-timeout"), tostring(stanza))
		return stanza:at("error", "text"):text()
	end

	local function start(more)
		config = more or ""
		verona = federation.listener("verona.example", 4096)
		server = federation.alone { more_modules = { "dialback", "smacks" }, config = CONFIG .. config,
			routes = { ["verona.example"] = { port = verona.port } } }
		romeo = server:person "romeo"
	end

	before_each(function() if not server then start() end end)
	after_each(function()
		if not called.closed then called:vanishes() end
		if config ~= "" then
			server:stop()
			verona:close()
			server = nil
		else
			server:ctl("s2s", "close", "verona.example")
			romeo:settles()
			romeo:forgets()
		end
	end)
	teardown(function()
		if server then
			server:stop()
			verona:close()
		end
	end)

	it("is asked for it before it gets stanzas, and later what it has handled", function()
		says(1)
		enabled()
		hears(1)
		called:receives_exactly("<r " .. SM .. "/>")
		called:sends("<a " .. SM .. " h='1'/>")
		for i = 2, 5 do says(i) end
		for i = 2, 5 do hears(i) end
		called:receives("<r " .. SM .. "/>") -- four are more than three
		called:sends("<a " .. SM .. " h='5'/>")
		romeo:settles()
		local from = server:log_position()
		called:vanishes()
		server:awaits_log("Ending outgoing stream", from)
		romeo:receives_nothing()
	end)

	it("and that breaks off gives back what it did not acknowledge, with the reason", function()
		says(1)
		enabled()
		hears(1)
		called:sends("<a " .. SM .. " h='1'/>")
		for i = 2, 4 do says(i) end
		hears(4)
		called:vanishes()
		for i = 2, 4 do
			local text = gets_back(i)
			assert.truthy(text:find("may or may not have arrived", 1, true), text)
		end
		romeo:receives_nothing()
	end)

	it("that breaks off is answered for by kind: requests and subscriptions, not presence and answers", function()
		says(1)
		enabled()
		romeo:sends "<presence to='nurse@verona.example'/>"
		romeo:sends "<presence to='nurse@verona.example' type='subscribe'/>"
		romeo:sends "<iq to='nurse@verona.example' type='get' id='q'><ping xmlns='urn:xmpp:ping'/></iq>"
		romeo:sends "<iq to='nurse@verona.example' type='result' id='r'/>"
		romeo:sends "<message to='nurse@verona.example' type='error'><error/></message>"
		called:awaits "<message xmlns='jabber:server' type='error'/>"
		called:vanishes()
		gets_back(1)
		romeo:awaits "<presence type='error' from='nurse@verona.example'/>"
		romeo:awaits "<iq type='error' id='q'/>"
		romeo:receives_nothing()
	end)

	it("may refuse: then what has left counts as arrived", function()
		says(1)
		is_called(true):sends(FAILED:format "feature-not-implemented")
		hears(1)
		local from = server:log_position()
		called:vanishes()
		server:awaits_log("Ending outgoing stream", from)
		romeo:receives_nothing()
	end)

	it("may know nothing of it", function()
		says(1)
		is_called(false)
		called:receives "<message xmlns='jabber:server' id='m1'/>"
		server:awaits(function() return server:ctl("s2s", "show"):find "| 0 %(" end, "nothing to be kept any more")
		local from = server:log_position()
		called:vanishes()
		server:awaits_log("Ending outgoing stream", from)
		romeo:receives_nothing()
	end)

	it("is asked a last time when we close, and waited for", function()
		says(1)
		enabled()
		hears(1)
		server:ctl("s2s", "close", "verona.example")
		called:awaits("<r " .. SM .. "/>")
		says(2) -- waits for the next stream
		romeo:settles()
		assert.is_nil(called.footer)
		called:sends("<a " .. SM .. " h='1'/>")
		called:awaits "<error xmlns='http://etherx.jabber.org/streams'/>"
		called:sends "</stream:stream>"
		called:sees_the_end()
		enabled()
		hears(2)
		called:sends("<a " .. SM .. " h='1'/>")
	end)

	it("is asked a last time when we stop too, and waited for", function()
		start "s2s_timeout = 30"
		says(1)
		enabled()
		hears(1)
		server:signal(15)
		called:awaits("<r " .. SM .. "/>")
		loop.await(function() return romeo.closed end, "users to be gone")
		assert.is_nil(called.footer)
		called:sends("<a " .. SM .. " h='1'/>")
		called:awaits "<error xmlns='http://etherx.jabber.org/streams'/>"
		called:sends "</stream:stream>"
		called:sees_the_end()
	end)

	it("that closes first gives back what it did not acknowledge", function()
		says(1)
		enabled()
		hears(1)
		says(2)
		hears(2)
		called:sends("<a " .. SM .. " h='1'/></stream:stream>")
		gets_back(2)
		romeo:receives_nothing()
	end)

	it("may not acknowledge more than it was sent; what it got comes back", function()
		says(1)
		enabled()
		hears(1)
		called:sends("<a " .. SM .. " h='2'/>")
		local high = called:awaits("<error xmlns='http://etherx.jabber.org/streams'/>")
			:child("handled-count-too-high", "urn:xmpp:sm:3")
		assert.same({ "2", "1" }, { high.attr.h, high.attr["send-count"] })
		gets_back(1)
	end)

	it("and that does not read keeps what never left for the next connection, in order", function()
		says(0)
		enabled()
		hears(0)
		called:unwatch() -- reads no more
		local body, n = ("x"):rep(50000), 70
		for i = 1, n do says(i, body) end
		romeo:settles()
		called:vanishes()
		enabled()
		local got = {}
		loop.await(function()
			for _, stanza in ipairs(called.inbox) do
				if stanza.name == "message" then table.insert(got, tonumber(stanza.attr.id:match "%d+")) end
			end
			called:forgets()
			return got[#got] == n
		end, "the last message")
		called:sends(("<a %s h='%d'/>"):format(SM, #got))
		-- What had left for the dead connection has come back; of each message there is one fate.
		local first = got[1]
		for i, id in ipairs(got) do assert.equal(first + i - 1, id) end
		for i = 0, first - 1 do gets_back(i) end
		romeo:receives_nothing()
		assert.is_true(first > 1, "nothing had left")
	end)

	it("and that does not answer in time is left", function()
		server:stop()
		verona:close()
		start "smacks_max_ack_delay = 1"
		says(1)
		enabled()
		hears(1)
		called:awaits("<r " .. SM .. "/>")
		called:sees_the_end()
		local text = gets_back(1)
		assert.truthy(text:find("not acknowledged in time", 1, true), text)
	end)

	it("and that never answers whether it wants to is left", function()
		start "smacks_max_ack_delay = 1"
		says(1)
		is_called(true)
		hears(1)
		called:sees_the_end()
		gets_back(1)
	end)

	it("gets messages again where the admin prefers that", function()
		start "smacks_s2s_resend = true"
		says(1)
		enabled()
		hears(1)
		romeo:sends "<iq to='nurse@verona.example' type='get' id='q'><ping xmlns='urn:xmpp:ping'/></iq>"
		called:awaits "<iq xmlns='jabber:server'/>"
		called:vanishes()
		romeo:awaits "<iq type='error' id='q'/>"
		enabled()
		hears(1)
		called:sends("<a " .. SM .. " h='1'/>")
		romeo:receives_nothing()
	end)

	it("owes no more than so many answers", function()
		start "smacks_s2s_max_queue_size = 3"
		says(1)
		enabled()
		says(2)
		says(3)
		hears(3)
		says(4)
		assert.truthy(gets_back(4, "resource-constraint"))
		called:sends("<a " .. SM .. " h='3'/>")
		server:awaits(function() return server:ctl("s2s", "show"):find "| 0%s*\n" end, "no stanza to be on its way")
		says(5)
		hears(5)
		called:sends("<a " .. SM .. " h='4'/>")
	end)

	it("is not asked where the admin does not want it", function()
		start "smacks_enabled_s2s = false"
		says(1)
		called = verona:accepts()
		loop.await(function() return called.header end, "a stream header")
		called:sends_raw("<?xml version='1.0'?><stream:stream xmlns='jabber:server' from='verona.example' id='x' "
			.. "version='1.0' xmlns:db='jabber:server:dialback' xmlns:stream='http://etherx.jabber.org/streams'>"
			.. FEATURES:format("<sm " .. SM .. "/>"))
		called:awaits("<result " .. DB .. "/>")
		called:sends("<result " .. DB .. " from='verona.example' to='montague.example' type='valid'/>")
		called:receives "<message xmlns='jabber:server' id='m1'/>"
	end)
end)
