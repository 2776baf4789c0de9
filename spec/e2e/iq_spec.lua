-- Questions and answers (RFC 6120 8.2.3, RFC 6121 8.5).

local Server = require "spec.support.server"

local NS_ERROR = "urn:ietf:params:xml:ns:xmpp-stanzas"

describe("An iq", function()
	local server, romeo, juliet

	setup(function() server = Server.start {} end)
	teardown(function() server:stop() end)
	before_each(function()
		romeo = server:person("romeo", { resource = "orchard" })
		juliet = server:person("juliet", { resource = "balcony" })
	end)
	after_each(function() server:forget_clients() end)

	local function fails(iq, condition)
		local reply = romeo:asks(iq)
		assert.equal("error", reply.attr.type, tostring(reply))
		local element = reply:at("error"):child(nil, NS_ERROR)
		assert.equal(condition, element and element.name)
		return reply
	end

	for name, to in pairs { ["the server"] = "localhost", ["the own account"] = "romeo@localhost",
		["an account"] = "juliet@localhost", ["nobody's account"] = "nobody@localhost",
		["a resource that is not there"] = "juliet@localhost/tomb" } do
		for _, kind in ipairs { "get", "set" } do
			it(("%s of something unknown to %s is service-unavailable"):format(kind, name), function()
				local reply = fails(("<iq type='%s' to='%s'><q xmlns='urn:example:unknown'/></iq>"):format(kind, to),
					"service-unavailable")
				assert.is_true(reply.attr.from == to or to == "romeo@localhost" and not reply.attr.from)
			end)
		end
	end

	it("without 'to' is for the own account (RFC 6120 10.3.3)", function()
		local reply = fails("<iq type='get'><q xmlns='urn:example:unknown'/></iq>", "service-unavailable")
		assert.is_true(reply.attr.from == nil or reply.attr.from == "romeo@localhost")
	end)

	it("reaches a resource, and the answer comes back", function()
		romeo:sends "<iq type='get' to='juliet@localhost/balcony' id='q1'><q xmlns='urn:example:q'/></iq>"
		juliet:receives [[
			<iq type='get' from='romeo@localhost/orchard' to='juliet@localhost/balcony' id='q1'>
				<q xmlns='urn:example:q'/>
			</iq>]]
		juliet:sends "<iq type='result' to='romeo@localhost/orchard' id='q1'><q xmlns='urn:example:q'>42</q></iq>"
		romeo:receives [[
			<iq type='result' from='juliet@localhost/balcony' id='q1'><q xmlns='urn:example:q'>42</q></iq>]]
	end)

	it("that answers nothing anybody asked is dropped", function()
		for _, to in ipairs { "localhost", "juliet@localhost", "nobody@localhost", "juliet@localhost/tomb" } do
			for _, kind in ipairs { "result", "error" } do
				romeo:sends(("<iq type='%s' to='%s' id='x'/>"):format(kind, to))
			end
		end
		juliet:receives_nothing(romeo)
		romeo:receives_nothing()
	end)

	it("of an unknown type is a bad request (8.2.3)", function()
		fails("<iq type='ask' to='localhost'><q xmlns='urn:example:q'/></iq>", "bad-request")
	end)

	it("without a question or with two is a bad request (8.2.3)", function()
		fails("<iq type='get' to='localhost'/>", "bad-request")
		fails("<iq type='get' to='localhost'><a xmlns='urn:x'/><b xmlns='urn:x'/></iq>", "bad-request")
	end)

	it("without an id is refused in a way that harms nobody else (8.1.3)", function()
		romeo:sends "<iq type='get' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>"
		local answer = romeo:next_stanza()
		assert.is_true(answer:is "error" or answer.attr.type == "error", tostring(answer))
		juliet:settles()
	end)

	it("to something that is no JID is jid-malformed", function()
		fails("<iq type='get' to='@localhost'><ping xmlns='urn:xmpp:ping'/></iq>", "jid-malformed")
	end)

	it("to a host we cannot reach is an error, not silence", function()
		local reply = romeo:asks "<iq type='get' to='nowhere.invalid'><ping xmlns='urn:xmpp:ping'/></iq>"
		assert.equal("error", reply.attr.type)
		assert.equal("nowhere.invalid", reply.attr.from)
	end)

	describe("made odd in every way", function()
		local questions = {
			"<query xmlns='jabber:iq:roster'><item jid='a@b' name='n'><group>g</group></item></query>",
			"<query xmlns='jabber:iq:register'><username>u</username><password>p</password></query>",
			"<query xmlns='jabber:iq:private'><x xmlns='urn:x'/></query>",
			"<query xmlns='http://jabber.org/protocol/disco#info' node='n'/>",
			"<query xmlns='http://jabber.org/protocol/disco#items' node='n'/>",
			"<query xmlns='jabber:iq:version'/>", "<query xmlns='jabber:iq:last'/>", "<time xmlns='urn:xmpp:time'/>",
			"<vCard xmlns='vcard-temp'><FN>n</FN></vCard>", "<ping xmlns='urn:xmpp:ping'/>",
			"<block xmlns='urn:xmpp:blocking'><item jid='a@b'/></block>",
			"<unblock xmlns='urn:xmpp:blocking'><item jid='a@b'/></unblock>", "<blocklist xmlns='urn:xmpp:blocking'/>",
			"<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>r</resource></bind>",
			"<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/>",
			"<command xmlns='http://jabber.org/protocol/commands' node='n' action='execute'/>",
		}

		-- The question with one attribute or child dropped, doubled, or made nonsense.
		local function variants(text)
			local all = { text }
			for attribute in text:gmatch "%s[%w:]+='[^']*'" do
				if not attribute:find "xmlns" then
					local plain = attribute:gsub("%p", "%%%0")
					all[#all + 1] = text:gsub(plain, "", 1)
					all[#all + 1] = text:gsub("='[^']*'", function(v) return attribute:find(v, 1, true) and "=''" end)
					all[#all + 1] = text:gsub(plain, (attribute:gsub("='[^']*'", "='&lt;@@&#10;/'"):gsub("%%", "%%%%")), 1)
				end
			end
			local inside = text:match "^<[^>]*[^/]>(.*)</[^>]*>$"
			if inside then
				local open, close = text:match "^<[^>]*>", text:match "</[^>]*>$"
				all[#all + 1] = open .. close
				all[#all + 1] = open .. inside .. inside .. close
				all[#all + 1] = open .. "text" .. inside .. "<odd xmlns='urn:odd'/>" .. close
				all[#all + 1] = open .. inside:gsub("(>)[^<]+(<)", "%1%2") .. close
				all[#all + 1] = open .. inside:gsub(">", "><deeper/>", 1):gsub("/><deeper/>", "/>") .. close
			end
			return all
		end

		for _, question in ipairs(questions) do
			it("gets exactly one answer: " .. question:match "xmlns='([^']*)'", function()
				for _, to in ipairs { "", "to='localhost'", "to='romeo@localhost'", "to='juliet@localhost'" } do
					for _, kind in ipairs { "get", "set" } do
						for _, variant in ipairs(variants(question)) do
							-- Removing the own account, which is what some of these ask for, has a scenario of its own.
							if not variant:find "<remove" then
								local reply = romeo:asks(("<iq type='%s' %s>%s</iq>"):format(kind, to, variant))
								assert.is_true(reply.attr.type == "result" or reply.attr.type == "error")
							end
						end
					end
				end
				juliet:settles()
				server.accounts = nil -- passwords may have changed
				romeo:asks [[<iq type='set' to='localhost'><query xmlns='jabber:iq:register'>
					<username>romeo</username><password>secret</password></query></iq>]]
				server.accounts = { ["romeo@localhost"] = true, ["juliet@localhost"] = true }
			end)
		end
	end)
end)
