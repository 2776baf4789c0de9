local ctl = require "spec.support.ctl"

describe("coupletctl", function ()
	local place

	setup(function () place = ctl.place 'VirtualHost "capulet.example"' end)
	teardown(function () place:remove() end)

	it("lists its commands", function ()
		local output, code = place:run "--help"
		assert.equal(0, code)
		for _, name in ipairs { "adduser JID", "passwd JID", "deluser JID", "register USER HOST", "unregister USER HOST",
			"start", "stop", "restart", "reload", "status", "check", "cert", "shell", "about", "version" } do
			assert.is_truthy(output:find("\n  " .. name, 1, true), name)
		end
	end)

	it("has help for each command", function ()
		for _, name in ipairs { "adduser", "passwd", "deluser", "register", "unregister", "start", "stop", "restart",
			"reload", "status", "check", "cert", "shell", "about", "version" } do
			local output, code = place:run(name, "--help")
			assert.equal(0, code)
			assert.is_truthy(output:find("Usage: coupletctl " .. name, 1, true), name)
		end
	end)

	it("refuses what it does not know", function ()
		for _, words in ipairs { { "nonsense" }, { "--nonsense" }, { "check", "nonsense" }, { "cert", "nonsense" }, {} } do
			local _, code = place:run(table.unpack(words))
			assert.equal(1, code)
		end
	end)

	it("shows its version and where things are", function ()
		local output, code = place:run "version"
		assert.equal(0, code)
		assert.matches("^Couplet %d", output)
		output, code = place:run "about"
		assert.equal(0, code)
		assert.is_truthy(output:find(place.folder .. "/prosody.cfg.lua", 1, true))
		assert.is_truthy(output:find(place.folder .. "/data", 1, true))
	end)

	it("uses no colours where nobody sees them", function ()
		assert.is_nil((place:run "--help"):find("\27", 1, true))
	end)

	it("says which configuration is missing", function ()
		local output, code = place:run("--config", "/nonexistent.cfg.lua", "status", { config = false })
		assert.equal(1, code)
		assert.is_truthy(output:find("/nonexistent.cfg.lua", 1, true))
		assert.is_nil(output:find("traceback", 1, true))
	end)

	it("runs the commands that modules bring", function ()
		local other = ctl.place 'plugin_paths = { "mine" }\nVirtualHost "capulet.example"'
		other:file("mine/mod_hello.lua", [[
			function module.command(args)
				print("hello " .. table.concat(args, " "), prosody.process_type)
				return tonumber(args[2])
			end
		]])
		local output, code = other:run("mod_hello", "romeo", "7")
		assert.same({ "hello romeo 7\tprosodyctl\n", 7 }, { output, code })
		assert.equal(0, select(2, other:run("mod_hello", "romeo")))
		other:file("mine/mod_mute.lua", "")
		output, code = other:run "mod_mute"
		assert.equal(1, code)
		assert.matches("no command", output)
		assert.equal(1, select(2, other:run "mod_nonsense"))
		assert.matches('no command "chekc". Did you mean check%?', (other:run "chekc"))
		assert.matches('no command "nonsense". coupletctl %-%-help', (other:run "nonsense"))
		other:remove()
	end)
end)
