-- profanity (Debian), a client with a screen, in a terminal of tmux.

local certs = require "spec.support.certs"
local outside = require "spec.support.outside"

describe("profanity", function()
	local server, screen

	setup(function() server = outside.server() end)
	teardown(function() server:stop() end)
	before_each(function()
		screen = outside.terminal("profanity", { SSL_CERT_FILE = certs.path "ca.crt" })
		screen:shows "Profanity"
	end)
	after_each(function()
		screen:close()
		server:forget_clients()
	end)

	local function enters(mode, port)
		screen:types(("/connect romeo@localhost server localhost port %d tls %s"):format(port, mode))
		screen:shows "Enter password"
		screen:types "secret"
		screen:shows "logged in successfully"
	end

	it("logs in over STARTTLS, the certificate checked, and talks both ways", function()
		local juliet = server:client { user = "juliet", resource = "balcony" }:logs_in():appears()
		enters("force", server.port)
		screen:types "/msg juliet@localhost art thou there?"
		local message = juliet:awaits "<message type='chat'><body>art thou there?</body></message>"
		juliet:sends(("<message to='%s' type='chat'><body>ay me</body></message>"):format(message.attr.from))
		screen:shows "ay me"
	end)

	it("logs in over direct TLS and makes a contact", function()
		local juliet = server:client { user = "juliet", resource = "balcony" }:logs_in():appears()
		enters("legacy", server.direct_port)
		screen:types "/roster add juliet@localhost Juliet"
		screen:shows "Roster item added"
		screen:types "/sub request juliet@localhost"
		juliet:awaits "<presence from='romeo@localhost' type='subscribe'/>"
		juliet:sends "<presence to='romeo@localhost' type='subscribed'/>"
		screen:shows "Juliet (balcony) is online"
	end)

	it("says so when the password is wrong", function()
		screen:types(("/connect romeo@localhost server localhost port %d tls force"):format(server.port))
		screen:shows "Enter password"
		screen:types "wrong"
		screen:shows "Login failed"
	end)
end)
