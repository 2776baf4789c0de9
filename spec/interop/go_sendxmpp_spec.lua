-- go-sendxmpp (Debian), a client for scripts in Go: what cron jobs and monitoring use. Debian 12's knows PLAIN only. Go
-- takes its authorities from SSL_CERT_FILE.

local certs = require "spec.support.certs"
local outside = require "spec.support.outside"

describe("go-sendxmpp", function()
	local server

	setup(function() server = outside.server() end)
	teardown(function() server:stop() end)
	after_each(function() server:forget_clients() end)

	local ways = {
		{ name = "STARTTLS", port = function() return server.port end, options = {} },
		{ name = "direct TLS", port = function() return server.direct_port end, options = { "-t" } },
	}

	-- Its command line for that user and way; more: further arguments.
	local function command(way, user, password, more)
		local argv = { "go-sendxmpp", "-u", user .. "@localhost", "-p", password, "-j", "localhost:" .. way.port() }
		table.move(way.options, 1, #way.options, #argv + 1, argv)
		return table.move(more, 1, #more, #argv + 1, argv)
	end

	local function environment(authority)
		return { SSL_CERT_FILE = authority or certs.path "ca.crt", HOME = server.folder }
	end

	-- Romeo sends the text to that user. Gives what the program said and its exit code.
	local function send(way, user, text, options)
		options = options or {}
		local path = server.folder .. "/message"
		local file <close> = assert(io.open(path, "w"))
		file:write(text)
		file:flush()
		return outside.run(command(way, "romeo", options.password or "secret", { "-m", path, user .. "@localhost" }),
			{ env = environment(options.authority) })
	end

	for _, way in ipairs(ways) do
		describe("over " .. way.name, function()
			it("delivers a message, logged in by PLAIN", function()
				local juliet = server:client { user = "juliet" }:logs_in():appears()
				local position = server:log_position()
				local said, code = send(way, "juliet", "backup done <ok> & well")
				assert.equal(0, code, said)
				local message = juliet:awaits "<message><body>{any}</body></message>"
				assert.equal("romeo@localhost", message.attr.from:match "^[^/]*")
				assert.equal("backup done <ok> & well", (message:child("body"):text():gsub("%s+$", "")))
				assert.same({ "PLAIN" }, outside.mechanisms(server, position))
			end)

			it("does not log in when it does not trust the certificate", function()
				local position = server:log_position()
				local said, code = send(way, "juliet", "x", { authority = outside.strange_authority() })
				assert.equal(1, code)
				assert.truthy(said:find("certificate signed by unknown authority", 1, true), said)
				assert.same({}, outside.mechanisms(server, position))
			end)

			it("says so when the password is wrong", function()
				local position = server:log_position()
				local said, code = send(way, "juliet", "x", { password = "wrong" })
				assert.equal(1, code)
				assert.truthy(said:find("auth failure", 1, true), said)
				assert.same({}, outside.mechanisms(server, position))
			end)

			it("listens: prints what waited for it and what comes meanwhile", function()
				local said, code = send(way, "nurse", "while you were away")
				assert.equal(0, code, said)
				local nurse = outside.start(command(way, "nurse", "secret", { "-l" }), { env = environment() })
				nurse:says "while you were away"
				local juliet = server:client { user = "juliet" }:logs_in()
				juliet:sends "<message to='nurse@localhost' type='chat'><body>come hither, nurse</body></message>"
				nurse:says "come hither, nurse"
				nurse:stop()
			end)
		end)
	end
end)
