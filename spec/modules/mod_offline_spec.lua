-- Which messages wait for somebody who is away, and how many (XEP-0160, XEP-0334).

local Server = require "spec.support.server"

describe("mod_offline", function()
	local server, romeo

	setup(function()
		server = Server.start { config = "offline_max_messages = 3", more_modules = { "offline" } }
		server:person("juliet"):leaves()
	end)
	teardown(function() server:stop() end)
	before_each(function() romeo = server:person "romeo" end)
	after_each(function() server:forget_clients() end)

	local function sends(inside, kind)
		romeo:sends(("<message to='juliet@localhost' type='%s'>%s</message>"):format(kind or "chat", inside))
		romeo:settles()
	end

	-- What waited for Juliet: the messages, without the stamp.
	local function waiting()
		local juliet = server:person "juliet"
		juliet:settles()
		local found = {}
		for _, stanza in ipairs(juliet.inbox) do
			if stanza.name == "message" then
				assert.truthy(stanza:child("delay", "urn:xmpp:delay"))
				found[#found + 1] = stanza
			end
		end
		juliet.inbox = {}
		juliet:leaves()
		return found
	end

	before_each(function() waiting() end)

	for _, case in ipairs {
		{ "what has a body", "<body>x</body>", true },
		{ "what has a body, of type normal", "<body>x</body>", true, "normal" },
		{ "what has some other payload", "<received xmlns='urn:xmpp:receipts' id='1'/>", true },
		{ "a body with a chat state", "<body>x</body><active xmlns='http://jabber.org/protocol/chatstates'/>", true },
		{ "nothing but a chat state", "<composing xmlns='http://jabber.org/protocol/chatstates'/>", false },
		{ "nothing but a thread and a chat state",
			"<thread>t</thread><gone xmlns='http://jabber.org/protocol/chatstates'/>", false },
		{ "a chat state that asks to be kept", "<composing xmlns='http://jabber.org/protocol/chatstates'/>"
			.. "<store xmlns='urn:xmpp:hints'/>", true },
		{ "what asks not to be stored", "<body>x</body><no-store xmlns='urn:xmpp:hints'/>", false },
		{ "what asks not to be stored for long", "<body>x</body><no-permanent-store xmlns='urn:xmpp:hints'/>", false },
		{ "a headline", "<body>x</body>", false, "headline" },
	} do
		local what, inside, is_kept, kind = table.unpack(case)
		it(("%s %s"):format(is_kept and "keeps" or "does not keep", what), function()
			sends(inside, kind)
			assert.equal(is_kept and 1 or 0, #waiting())
		end)
	end

	it("keeps so many and no more, and says so to who sends the next", function()
		for i = 1, 3 do sends(("<body>%d</body>"):format(i)) end
		romeo:sends "<message to='juliet@localhost' type='chat' id='m4'><body>4</body></message>"
		local refusal = romeo:awaits "<message type='error' id='m4' from='juliet@localhost'/>"
		assert.truthy(refusal:child("error"):child "service-unavailable")
		local kept = waiting()
		for i = 1, 3 do assert.equal(tostring(i), kept[i]:child("body"):text()) end
		assert.equal(3, #kept)
		sends "<body>5</body>"
		assert.equal(1, #waiting())
	end)

	it("is announced by the host", function()
		local info = romeo:asks "<iq type='get' to='localhost'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
		local found = false
		for _, feature in ipairs(info:child("query"):children "feature") do
			found = found or feature.attr.var == "msgoffline"
		end
		assert.is_true(found)
	end)
end)
