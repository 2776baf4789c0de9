-- profanity (Debian), a client with a screen, in a terminal of tmux. Its library of Debian 12 knows no channel binding.

local certs = require "spec.support.certs"
local outside = require "spec.support.outside"
local proxy = require "spec.support.proxy"

describe("profanity", function()
	local server, screen

	setup(function() server = outside.server() end)
	teardown(function() server:stop() end)
	after_each(function()
		if screen then screen:close() end
		screen = nil
		server:forget_clients()
	end)

	local ways = {
		{ name = "STARTTLS", mode = "force", port = function() return server.port end },
		{ name = "direct TLS", mode = "legacy", port = function() return server.direct_port end },
	}

	local function begins(authority)
		if screen then screen:close() end
		screen = outside.terminal("profanity", { SSL_CERT_FILE = authority or certs.path "ca.crt" })
		screen:shows "Profanity"
	end

	local function connects(way, user, password)
		screen:types(("/connect %s@localhost server 127.0.0.1 port %d tls %s"):format(user, way.port(), way.mode))
		screen:shows "Enter password"
		screen:types(password)
	end

	local function enters(way, user, password)
		begins()
		connects(way, user or "romeo", password or "secret")
		screen:shows "logged in successfully"
	end

	for _, way in ipairs(ways) do
		describe("over " .. way.name, function()
			it("logs in by SCRAM-SHA-256 and talks both ways", function()
				local juliet = server:client { user = "juliet", resource = "balcony" }:logs_in():appears()
				local position = server:log_position()
				enters(way)
				assert.same({ "SCRAM-SHA-256" }, outside.mechanisms(server, position))
				screen:types "/msg juliet@localhost art thou there?"
				local message = juliet:awaits "<message type='chat'><body>art thou there?</body></message>"
				juliet:sends(("<message to='%s' type='chat'><body>ay me</body></message>"):format(message.attr.from))
				screen:shows "ay me"
			end)

			it("asks before it trusts the certificate of a stranger, and does not log in without a yes", function()
				local position = server:log_position()
				begins(outside.strange_authority())
				connects(way, "romeo", "secret")
				screen:shows "TLS certificate verification failed"
				screen:shows "Couplet spec authority"
				screen:types "/tls deny"
				screen:shows "Login failed"
				assert.same({}, outside.mechanisms(server, position))
			end)

			it("says so when the password is wrong", function()
				local position = server:log_position()
				begins()
				connects(way, "romeo", "wrong")
				screen:shows "Login failed"
				assert.same({}, outside.mechanisms(server, position))
			end)
		end)
	end

	it("makes a contact, sees its presence change and answers its request", function()
		local juliet = server:client { user = "juliet", resource = "balcony" }:logs_in():appears()
		enters(ways[2])
		screen:types "/roster add juliet@localhost Juliet"
		screen:shows "Roster item added"
		screen:types "/sub request juliet@localhost"
		juliet:awaits "<presence from='romeo@localhost' type='subscribe'/>"
		juliet:sends "<presence to='romeo@localhost' type='subscribed'/>"
		screen:shows "Juliet (balcony) is online"
		juliet:sends "<presence><show>away</show><status>at the tomb</status></presence>"
		screen:shows "is away"
		juliet:sends "<presence to='romeo@localhost' type='subscribe'/>"
		screen:shows "Received authorization request from juliet@localhost"
		screen:types "/sub allow juliet@localhost"
		juliet:awaits "<presence from='romeo@localhost' type='subscribed'/>"
		juliet:awaits "<presence from='romeo@localhost/{any}'/>"
	end)

	it("resumes its session when its connection breaks, and shows what was sent meanwhile (XEP-0198)", function()
		local juliet = server:client { user = "juliet", resource = "balcony" }:logs_in():appears()
		local between = proxy.start(server.port)
		finally(function() between:stop() end)
		local position = server:log_position()
		begins()
		screen:types "/reconnect 1"
		connects({ mode = "force", port = function() return between.port end }, "romeo", "secret")
		screen:shows "logged in successfully"
		server:awaits_log("the session can be resumed", position)
		juliet:sends "<message to='romeo@localhost' type='chat'><body>first</body></message>"
		screen:shows "<< chat message"
		between:go_down()
		juliet:sends "<message to='romeo@localhost' type='chat'><body>second</body></message>"
		juliet:settles()
		between:come_up()
		server:awaits_log("is resumed by", position)
		juliet:sends "<message to='romeo@localhost' type='chat'><body>third</body></message>"
		screen:types "/win 2"
		screen:shows "third"
		for _, word in ipairs { "first", "second", "third" } do
			assert.equal(1, select(2, screen:screen():gsub(word, "")), word)
		end
	end)

	it("shows what was sent while away, after a restart of the server", function()
		local juliet = server:client { user = "juliet" }:logs_in()
		juliet:sends "<message to='nurse@localhost' type='chat'><body>where is my lord?</body></message>"
		juliet:asks "<iq type='get' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>"
		server:restart()
		enters(ways[1], "nurse")
		screen:shows "<< chat message: juliet@localhost"
		screen:types "/win 2"
		screen:shows "where is my lord?"
	end)

	it("changes its password, and logs in with the new one", function()
		enters(ways[1])
		screen:types "/changepassword"
		screen:shows "Enter password"
		screen:types "changed"
		screen:shows "Confirm password"
		screen:types "changed"
		screen:shows "Password successfully changed"
		enters(ways[2], "romeo", "changed")
		server:ctl("passwd", "romeo@localhost", "secret")
	end)
end)
