-- A browser, Debian's Chromium driven by playwright-core (npm), on what the server serves to people: Converse.js over
-- WebSocket and over BOSH, and the page of the host. Screenshots are left in build/screenshots, to be looked at.

local certs = require "spec.support.certs"
local lfs = require "lfs"
local outside = require "spec.support.outside"
local Server = require "spec.support.server"

describe("In a browser", function()
	local server

	setup(function()
		outside.needs_npm()
		assert(lfs.attributes "build/conversejs/converse.min.js", "Converse.js is not there: make conversejs")
	end)
	after_each(function() server:stop() end)

	-- options: config, hosts, components
	local function play(scenario, options)
		server = Server.start {
			with_http = true, outside_clients = true,
			more_modules = { "conversejs", "http_landing", "register_ibr", "server_contact_info" },
			hosts = options.hosts, components = options.components,
			config = 'contact_info = { support = "xmpp:help@localhost", abuse = "mailto:abuse@localhost" }\n'
				.. (options.config or ""),
		}
		for _, user in ipairs { "romeo", "juliet" } do server:register(user, "secret") end
		server:awaits_log "Activated service 'https'"
		local said = outside.run({ "node", "spec/interop/browser_client.mjs", scenario, tostring(server.https_port),
			certs.path "server.crt", lfs.currentdir() .. "/build/screenshots" }, { seconds = 400 })
		assert(said:find "%f[^\n\0]PASS\n", said .. server:tail())
	end

	it("two people chat and share files with Converse.js over WebSocket, at a desk and on a phone", function()
		play("websocket", { hosts = { localhost = 'modules_enabled = { "http_file_share" }' } })
	end)

	it("two people chat and share files with Converse.js over BOSH", function()
		-- Files go to another site here, as far as a browser is concerned.
		play("bosh", { components = 'Component "upload.localhost" "http_file_share"',
			config = "conversejs_options = { websocket_url = false }" })
	end)

	it("guests come in without a question, and people make accounts", function()
		play("newcomers", { config = "allow_registration = true",
			hosts = { localhost = "", ["guests.localhost"] = 'authentication = "anonymous"' } })
	end)

	it("the page of the host can be read by everybody, and leads to the chat", function() play("landing", {}) end)
end)
