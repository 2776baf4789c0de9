-- Stream management (XEP-0198) of clients of other people: their connection breaks, both sides go on talking, and when
-- it is back everything has arrived, once and in order.

local certs = require "spec.support.certs"
local loop = require "spec.support.loop"
local outside = require "spec.support.outside"
local proxy = require "spec.support.proxy"

local CUTS = 5

-- says_while_down: what it is told to say while there is no connection it says later; the others forget it themselves.
local clients = {
	{ name = "slixmpp", argv = function(port)
		return { "/usr/bin/python3", "spec/interop/slixmpp_resume.py", port, certs.path "ca.crt" }
	end },
	{ name = "aioxmpp", says_while_down = true, argv = function(port)
		return { "/usr/bin/python3", "spec/interop/aioxmpp_resume.py", port, certs.path "ca.crt" }
	end },
	{ name = "xmpp.js", prepare = outside.needs_npm, argv = function(port)
		return { "node", "spec/interop/xmppjs_resume.mjs", port }
	end },
}

for _, one in ipairs(clients) do
	describe(one.name .. " over a connection that breaks", function()
		local server, between, romeo, juliet

		setup(function()
			if one.prepare then one.prepare() end
			server = outside.server()
			between = proxy.start(server.port)
		end)
		teardown(function()
			if between then between:stop() end
			if server then server:stop() end
		end)
		before_each(function()
			romeo = server:client { user = "romeo", resource = "orchard" }:logs_in():appears()
			local from = server:log_position()
			juliet = outside.start(one.argv(tostring(between.port)), { env = { NODE_EXTRA_CA_CERTS = certs.path "ca.crt" } })
			juliet:says "IN"
			server:awaits_log("the session can be resumed", from)
			romeo:sends "<message to='juliet@localhost/balcony' type='chat'><body>hello</body></message>"
			juliet:says "HEARD hello" -- so it has <enabled/> too
		end)
		after_each(function()
			juliet.process:write "quit\n"
			juliet:ends(20)
			romeo:leaves()
		end)

		-- What it printed that begins so, without that.
		local function printed(word)
			local found = {}
			for line in juliet:said():gmatch "([^\n]*)\n" do
				local said, rest = line:match "^(%u+) ?(.*)$"
				if said == word and rest ~= "hello" then table.insert(found, rest) end
			end
			return found
		end

		local function awaits(word, n)
			loop.await(function() return #printed(word) >= n or juliet.ended end, function()
				return ("%d times %s; it said:\n%s\nThe server's log:\n%s"):format(n, word, juliet:said(), server:tail())
			end, 30, 2)
		end

		local function romeo_says(n)
			romeo:sends(("<message to='juliet@localhost' type='chat' id='r%d'><body>r%d</body></message>"):format(n, n))
		end

		local function romeo_hears(n) assert.equal("j" .. n, romeo:awaits("<message/>"):child("body"):text()) end

		local function juliet_says(n) juliet.process:write(("say j%d\n"):format(n)) end

		it("resumes, and has lost and doubled nothing", function()
			local said = 0
			for cut = 1, CUTS do
				local from = server:log_position()
				said = said + 1
				romeo_says(said)
				juliet_says(said)
				if cut % 2 == 0 then awaits("HEARD", said) end -- else in the middle of it
				if not one.says_while_down then romeo_hears(said) end
				between:go_down()
				said = said + 1
				romeo_says(said)
				if one.says_while_down then juliet_says(said) end
				romeo:settles()
				between:come_up()
				server:awaits_log("is resumed by", from)
				if not one.says_while_down then
					awaits("RESUMED", cut)
					juliet_says(said)
					romeo_hears(said)
				end
			end
			awaits("HEARD", said)
			local heard, expected = printed "HEARD", {}
			for n = 1, said do expected[n] = "r" .. n end
			assert.same(expected, heard)
			if one.says_while_down then
				for n = 1, said do romeo_hears(n) end
			end
			romeo:settles()
			for _, stanza in ipairs(romeo.inbox) do assert.not_equal("message", stanza.name) end
			assert.same({}, printed "ANEW")
		end)

		it("begins anew when its session is no more, and hears what waited", function()
			local from = server:log_position()
			between:go_down()
			romeo_says(1)
			romeo:settles()
			server:ctl("shell", "c2s:close(\"juliet@localhost/balcony\")")
			romeo_says(2)
			romeo:settles()
			between:come_up()
			awaits("HEARD", 2)
			assert.same({ "r1", "r2" }, printed "HEARD")
			assert.is_nil(server:log():find("is resumed by", from, true))
		end)
	end)
end
