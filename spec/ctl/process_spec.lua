local ctl = require "spec.support.ctl"
local Server = require "spec.support.server"

describe("coupletctl", function ()
	local place

	before_each(function ()
		place = ctl.place(([[
			run_as_root = true
			log = { info = "couplet.log" }
			interfaces = { "127.0.0.1" }
			c2s_require_encryption = false
			c2s_ports = { %d }; s2s_ports = {}
			modules_enabled = { "saslauth"; "admin_shell" }
			VirtualHost "capulet.example"
		]]):format(Server.free_port()))
	end)
	after_each(function ()
		place:run "stop"
		place:remove()
	end)

	local function pid() return (place:read "data/prosody.pid" or ""):match "%d+" end

	it("starts the server, tells that it runs, and stops it", function ()
		local output, code = place:run "status"
		assert.same({ "Couplet is not running\n", 1 }, { output, code })
		output, code = place:run "start"
		assert.equal(0, code, output)
		assert.is_truthy(output:find("Couplet is running with PID " .. pid(), 1, true), output)
		output, code = place:run "status"
		assert.same({ ("Couplet is running with PID %s\n"):format(pid()), 0 }, { output, code })
		assert.matches("already running", (place:run "start"))
		output, code = place:run "stop"
		assert.same({ "Couplet has ended\n", 0 }, { output, code })
		assert.equal(1, select(2, place:run "status"))
		assert.equal(1, select(2, place:run "stop"))
	end)

	it("restarts it, running or not", function ()
		assert.equal(0, select(2, place:run "restart"))
		local before = pid()
		assert.equal(0, select(2, place:run "restart"))
		assert.not_equal(before, pid())
	end)

	it("lets it read its configuration again", function ()
		assert.equal(1, select(2, place:run "reload"))
		assert.equal(0, select(2, place:run "start"))
		assert.equal(0, select(2, place:run "reload"))
		assert.equal(0, select(2, place:run "status"))
	end)

	it("does not take a stale pidfile for a server", function ()
		place:file("data/prosody.pid", "999999999\n")
		assert.equal(1, select(2, place:run "status"))
		place:file("data/prosody.pid", "nonsense")
		assert.equal(1, select(2, place:run "status"))
	end)

	it("says when it cannot be started", function ()
		place:file("prosody.cfg.lua", 'run_as_root = true\nlog = { info = "couplet.log" }\ndata_path = "data"\n'
			.. 'c2s_ports = { "x" }; s2s_ports = {}\nmodules_enabled = { "saslauth" }\nVirtualHost "capulet.example"')
		local output, code = place:run "start"
		assert.equal(1, code)
		assert.matches("did not start", output)
	end)
end)
