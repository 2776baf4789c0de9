-- Users of two servers meet, over every path on which servers can prove themselves (RFC 6120 13.7, XEP-0178, XEP-0220,
-- XEP-0288, XEP-0368).

local federation = require "spec.support.federation"

-- What each path must show to the admin (s2s:explain), and how many streams it takes.
local paths = {
	{
		name = "certificates (SASL EXTERNAL)", streams = 2, told = "SASL EXTERNAL",
		options = { },
	},
	{
		name = "certificates over direct TLS", streams = 2, told = "with direct TLS",
		options = { direct_tls = true },
	},
	{
		name = "dialback over TLS", streams = 2, told = "our dialback key is sent",
		options = {
			more_modules = { "dialback" }, certificates = { montague = "montague_self", capulet = "capulet_self" },
			config = "s2s_secure_auth = false",
		},
	},
	{
		name = "dialback towards a server with a good certificate, which is enough for it", streams = 2,
		told = "SASL EXTERNAL", options = { more_modules = { "dialback" } },
	},
	{
		name = "one stream for both directions, by certificates", streams = 1, told = "both directions",
		options = { more_modules = { "s2s_bidi" } },
	},
	{
		name = "one stream for both directions, by dialback", streams = 1, told = "both directions", dials_back = true,
		options = {
			more_modules = { "s2s_bidi", "dialback" },
			certificates = { montague = "montague_self", capulet = "capulet_self" }, config = "s2s_secure_auth = false",
		},
	},
}

local function count_streams(server)
	local said = server:ctl("shell", "s2s", "show")
	return tonumber(said:match "(%d+) streams? between servers")
end

for _, path in ipairs(paths) do
	describe("Users of two servers, connected by " .. path.name .. ",", function()
		local pair, romeo, juliet

		setup(function()
			pair = federation.pair(path.options)
			romeo, juliet = pair.montague:person "romeo", pair.capulet:person "juliet"
		end)
		teardown(function() pair:stop() end)

		it("chat both ways", function()
			romeo:sends "<message to='juliet@capulet.example' type='chat'><body>art thou there?</body></message>"
			juliet:receives_exactly(("<message from='%s' to='juliet@capulet.example' type='chat' xml:lang='{any}'>"
				.. "<body>art thou there?</body></message>"):format(romeo.jid):gsub(" xml:lang='{any}'", ""))
			juliet:sends(("<message to='%s' type='chat'><body>ay me</body></message>"):format(romeo.jid))
			romeo:receives(("<message from='%s' type='chat'><body>ay me</body></message>"):format(juliet.jid))
		end)

		it("ask each other's servers and clients", function()
			assert.equal("result", romeo:asks("<iq type='get' to='capulet.example'><ping xmlns='urn:xmpp:ping'/></iq>")
				.attr.type)
			assert.equal("result", juliet:asks("<iq type='get' to='montague.example'><ping xmlns='urn:xmpp:ping'/></iq>")
				.attr.type)
			local reply = romeo:asks "<iq type='get' to='capulet.example'><query xmlns='no:such:thing'/></iq>"
			assert.truthy(reply:at("error", "service-unavailable"))
		end)

		it("subscribe, see presence come and go", function()
			romeo:sends "<presence to='juliet@capulet.example' type='subscribe'/>"
			juliet:awaits "<presence from='romeo@montague.example' type='subscribe'/>"
			juliet:sends "<presence to='romeo@montague.example' type='subscribed'/>"
			romeo:awaits "<presence from='juliet@capulet.example' type='subscribed'/>"
			romeo:awaits(("<presence from='%s'/>"):format(juliet.jid))
			juliet:sends "<presence><show>away</show></presence>"
			romeo:awaits(("<presence from='%s'><show>away</show></presence>"):format(juliet.jid))
		end)

		it("keep their order, however many messages there are", function()
			romeo:forgets()
			for i = 1, 200 do
				juliet:sends(("<message to='%s'><body>%d</body></message>"):format(romeo.jid, i))
			end
			for i = 1, 200 do
				assert.equal(tostring(i), romeo:awaits "<message/>":child("body"):text())
			end
		end)

		it("are told when an account is not there", function()
			romeo:sends "<message to='nobody@capulet.example' id='m1'><body>hello?</body></message>"
			local error = romeo:awaits "<message type='error' id='m1' from='nobody@capulet.example'/>"
			assert.truthy(error:at("error", "service-unavailable"))
		end)

		it("need " .. path.streams .. " streams, and the admin can read how it went", function()
			if path.dials_back then
				-- Who is in charge of the key is asked on a stream of its own (XEP-0288 2).
				assert.is_true(count_streams(pair.montague) <= 2)
			else
				assert.equal(path.streams, count_streams(pair.montague))
			end
			local told = pair.montague:ctl("s2s", "explain", "capulet.example")
			assert.truthy(told:find("connecting to 127.0.0.1 port", 1, true), told)
			assert.truthy(told:find(path.told, 1, true), told)
			assert.truthy(told:find("ready:", 1, true), told)
		end)
	end)
end

describe("Hosts of one server", function()
	it("talk with each other without a stream (SECURITY C9)", function()
		local server = federation.alone { hosts = { ["montague.example"] = "", ["capulet.example"] = "" } }
		finally(function() server:stop() end)
		local romeo = server:person("romeo", { host = "montague.example" })
		local juliet = server:person("juliet", { host = "capulet.example" })
		romeo:sends "<message to='juliet@capulet.example'><body>near</body></message>"
		juliet:receives "<message><body>near</body></message>"
		assert.is_nil(server:log():find("connecting to", 1, true))
	end)
end)
