-- go-sendxmpp (Debian), a client for scripts in Go: what cron jobs and monitoring use.

local certs = require "spec.support.certs"
local outside = require "spec.support.outside"

describe("go-sendxmpp", function()
	local server

	setup(function() server = outside.server() end)
	teardown(function() server:stop() end)
	after_each(function() server:forget_clients() end)

	-- Go takes its authorities from SSL_CERT_FILE, so certificates are checked.
	local function send(text, port, direct)
		local path = server.folder .. "/message"
		local file = assert(io.open(path, "w"))
		file:write(text)
		file:close()
		local argv = {
			"go-sendxmpp", "-u", "romeo@localhost", "-p", "secret", "-j", "localhost:" .. port, "-m", path,
		}
		if direct then table.insert(argv, "-t") end
		table.insert(argv, "juliet@localhost")
		return outside.run(argv, { env = { SSL_CERT_FILE = certs.path "ca.crt", HOME = server.folder } })
	end

	for name, direct in pairs { STARTTLS = false, ["direct TLS"] = true } do
		it("delivers a message over " .. name, function()
			local juliet = server:client { user = "juliet" }:logs_in():appears()
			local said, code = send("backup done <ok> & well", direct and server.direct_port or server.port, direct)
			assert.equal(0, code, said)
			local message = juliet:awaits "<message><body>{any}</body></message>"
			assert.equal("romeo@localhost", message.attr.from:match "^[^/]*")
			assert.equal("backup done <ok> & well", (message:child("body"):text():gsub("%s+$", "")))
		end)
	end
end)
