local Server = require "spec.support.server"
local loop = require "spec.support.loop"

-- Whoever sends faster than allowed is read more slowly, and nothing is lost.
describe("mod_limits", function ()
	local server

	setup(function ()
		server = Server.start {
			more_modules = { "limits" },
			config = [[
				limits = { c2s = { rate = "20kb/s", burst = "1s" } }
				unlimited_jids = { "escalus@localhost" }
			]],
		}
	end)
	teardown(function () server:stop() end)

	-- Seconds until so many times 4 kB that somebody sends to himself have been through the server.
	local function seconds_for(user, times, who)
		who = who or server:person(user)
		local body = ("x"):rep(4000)
		local begun = loop.now()
		for _ = 1, times do
			who:sends(("<message to='%s@localhost' type='normal'><body>%s</body></message>"):format(user, body))
		end
		for _ = 1, times do
			who:awaits "<message><body>{any}</body></message>"
		end
		return loop.now() - begun
	end

	it("slows down who sends too fast", function ()
		assert.is_true(seconds_for("romeo", 10) > 0.5)
	end)

	it("does not slow down who is exempt and has come back over another connection (XEP-0198)", function ()
		local old = server:person "escalus"
		old:sends "<enable xmlns='urn:xmpp:sm:3' resume='true'/>"
		local id = old:awaits "<enabled xmlns='urn:xmpp:sm:3'/>".attr.id
		local who = server:client { user = "escalus" }:enters()
		who:sends(("<resume xmlns='urn:xmpp:sm:3' previd='%s' h='0'/>"):format(id))
		who:awaits "<resumed xmlns='urn:xmpp:sm:3'/>"
		assert.is_true(seconds_for("escalus", 500, who) < 50)
		who:leaves()
	end)

	it("does not slow down who is exempt", function ()
		assert.is_true(seconds_for("escalus", 500) < 50) -- at the others' rate it would be 99
	end)
end)

describe("mod_limits with a bad option", function ()
	it("says so and goes on with the default", function ()
		local server = Server.start { more_modules = { "limits" }, config = "limits = { c2s = { rate = \"fast\" } }" }
		finally(function () server:stop() end)
		server:expects_error "limits:"
		server:awaits_log "10kb/s"
		server:person "romeo"
	end)
end)
