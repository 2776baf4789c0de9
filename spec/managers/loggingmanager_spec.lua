local fake = require "spec.support.fake_native"

describe("The log", function ()
	local world, loggingmanager

	local function begin(config, is_verbose, is_daemon)
		world = fake.start { config = config }
		world.file("deep/x", "")
		loggingmanager = world.load("loggingmanager")
		loggingmanager.start(is_verbose, not is_daemon)
	end
	after_each(function () world.stop() end)

	-- The sinks in use: sorted "kind path levels".
	local function sinks()
		local list = {}
		for _, sink in pairs(world.sinks) do
			local levels = {}
			for _, level in ipairs { "debug", "info", "warn", "error" } do
				if sink.levels[level] then levels[#levels + 1] = level:sub(1, 1) end
			end
			local path = sink.path and sink.path:gsub("^" .. world.directory:gsub("%p", "%%%0") .. "/", "") .. " " or ""
			local kind = type(sink.to) == "function" and "function" or sink.to
			list[#list + 1] = ("%s %s%s"):format(kind, path, table.concat(levels))
		end
		table.sort(list)
		return list
	end

	local forms = {
		{ nil, "console iwe" },
		{ 'log = "couplet.log"', "file couplet.log iwe" },
		{ 'log = "*syslog"', "syslog iwe" },
		{ 'log = "*console"', "console iwe" },
		{ 'log = { debug = "a.log" }', "file a.log diwe" },
		{ 'log = { warn = "*syslog", error = "deep/../c.log" }', "file deep/../c.log e", "syslog we" },
		{ 'log = { { to = "console", levels = { min = "debug", max = "info" } } }', "console di" },
		{ 'log = { { levels = { "debug", "error" }, to = "file", filename = "b.log" }, info = "*console" }', "console iwe",
			"file b.log de" },
		{ 'log = { to = "file", filename = "c.log" }', "file c.log iwe" },
		{ 'log = { "*syslog" }', "syslog iwe" },
	}
	for _, form in ipairs(forms) do
		it("goes where it should: " .. (form[1] or "nothing said"), function ()
			begin(form[1])
			assert.same({ table.unpack(form, 2) }, sinks())
		end)
	end

	it("goes to syslog by default when nobody looks", function ()
		begin(nil, false, true)
		assert.same({ "syslog iwe" }, sinks())
	end)

	it("goes to the terminal too when asked on the command line", function ()
		begin('log = "a.log"', true)
		assert.same({ "console diwe", "file a.log iwe" }, sinks())
	end)

	it("says what is wrong with the option, and where", function ()
		begin [[log = {
			info = "/nowhere/at/all/x.log";
			loud = "x";
			{ to = "pigeon" };
			{ to = "console", levels = { min = "all" } };
		}]]
		assert.is_string(world.log_has("error", "prosody.cfg.lua:1: log: cannot open /nowhere/at/all/x.log"))
		assert.is_string(world.log_has("error", "log: loud = x is not understood"))
		assert.is_string(world.log_has("error", "there is no kind of log \"pigeon\""))
		assert.is_string(world.log_has("error", "\"all\" is no level"))
		assert.same({ "console iwe" }, sinks()) -- somebody must hear it
	end)

	it("follows a changed configuration", function ()
		begin 'log = "a.log"'
		world.configure 'log = { error = "b.log" }'
		loggingmanager.reload_logging()
		assert.same({ "file b.log e" }, sinks())
		assert.equal(2, world.reopened)
	end)

	it("takes kinds that modules bring", function ()
		begin 'log = { { to = "box", levels = { min = "warn" }, size = 3 } }'
		assert.is_string(world.log_has("error", "there is no kind of log \"box\""))
		local got
		loggingmanager.register_sink_type("box", function (settings)
			return function (name, level, format, ...) got = { settings.size, name, level, format:format(...) } end
		end)
		assert.same({ "function we" }, sinks())
		for _, sink in pairs(world.sinks) do sink.to("mod_x", "error", "100% full") end
		assert.same({ 3, "mod_x", "error", "100% full" }, got)
	end)
end)
