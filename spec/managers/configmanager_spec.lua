local fake = require "spec.support.fake_native"

describe("The configuration", function ()
	local world, config

	before_each(function ()
		world = fake.start()
		config = world.load("configmanager")
	end)
	after_each(function () world.stop() end)

	-- Loads a text; gives what load gives.
	local function load(text, name)
		return config.load(world.file(name or "prosody.cfg.lua", text))
	end

	local function loaded(text)
		local ok, kind, err = load(text)
		assert.is_true(ok, err)
		return kind
	end

	local function refusal(text)
		local ok, kind, err, failure = load(text)
		assert.is_nil(ok)
		assert.equal("parser", kind)
		return err, failure
	end

	describe("sections", function ()
		it("start global and follow the host lines", function ()
			loaded [[
				a = 1
				VirtualHost "capulet.example"
				a = 2
				Component "rooms.capulet.example" "muc"
				a = 3
			]]
			assert.equal(1, config.get("*", "a"))
			assert.equal(2, config.get("capulet.example", "a"))
			assert.equal(3, config.get("rooms.capulet.example", "a"))
		end)

		it("fall back to the global value, key by key", function ()
			loaded 'a = { 1, 2 } b = "x" VirtualHost "h.example" a = { 3 }'
			assert.same({ 3 }, config.get("h.example", "a"))
			assert.equal("x", config.get("h.example", "b"))
			assert.is_nil(config.rawget("h.example", "b"))
			assert.equal("x", config.getconfig()["h.example"].b)
			assert.equal("x", config.get("unknown.example", "b"))
			assert.is_nil(config.rawget("unknown.example", "b"))
		end)

		it("can be written with a table, after which the global one goes on", function ()
			loaded [[
				VirtualHost "h.example" { a = 1; b = { "x" } }
				c = 2
				Component "c.example" "muc" { d = 3 }
				Component "e.example" { component_secret = "s" }
				f = 4
			]]
			assert.equal(1, config.rawget("h.example", "a"))
			assert.equal(2, config.rawget("*", "c"))
			assert.equal("muc", config.rawget("c.example", "component_module"))
			assert.equal(3, config.rawget("c.example", "d"))
			assert.equal("component", config.rawget("e.example", "component_module"))
			assert.equal("s", config.rawget("e.example", "component_secret"))
			assert.equal(4, config.rawget("*", "f"))
		end)

		it("know all names of their commands", function ()
			loaded [[
				Host "a.example"  x = 1
				host "b.example"  x = 2
				component "c.example" "muc"  x = 3
			]]
			assert.same({ "a.example", "b.example", "c.example" }, config.hosts())
			assert.is_false(config.get("c.example", "load_global_modules"))
		end)

		it("are kept under the name by which addresses know them", function ()
			for written, prepared in pairs {
				["CAPULET.Example"] = "capulet.example", ["capulet.example."] = "capulet.example",
				["xn--bcher-kva.example"] = "bücher.example", ["BÜCHER.example"] = "bücher.example",
				["[::1]"] = "[::1]", ["[2001:DB8::0001]"] = "[2001:db8::1]", ["192.0.2.1"] = "192.0.2.1",
			} do
				loaded(('VirtualHost %q x = 1'):format(written))
				assert.same({ prepared }, config.hosts())
				assert.equal(1, config.rawget(prepared, "x"))
			end
		end)

		it("refuse one name as host and as component", function ()
			local err, failure = refusal 'VirtualHost "h.example"\nComponent "h.example" "muc"'
			assert.matches("already defined as a VirtualHost", err)
			assert.equal(2, failure.line)
		end)

		it("refuse what is no host name", function ()
			for _, name in ipairs { "\\0", "", "romeo@h.example", "h.example/x", "h..example", "h.example:5222" } do
				assert.matches("not a host name", (refusal(('VirtualHost "%s"'):format(name))))
			end
			assert.matches("needs a name in quotes", (refusal 'VirtualHost(nil)'))
		end)
	end)

	describe("values", function ()
		it("are computed by real Lua", function ()
			loaded [[
				local n = 3
				if n > 2 then size = ("%dd"):format(n) end
				list = { "a"; "b", "c" }
				map = { k = "v"; ["x y"] = 1 }
				kind = prosody.process_type
				upper = Lua.string.upper("x")
				_G.helper = 5
				five = helper
			]]
			assert.equal("3d", config.get("*", "size"))
			assert.same({ "a", "b", "c" }, config.get("*", "list"))
			assert.same({ k = "v", ["x y"] = 1 }, config.get("*", "map"))
			assert.equal("prosody", config.get("*", "kind"))
			assert.equal("X", config.get("*", "upper"))
			assert.equal(5, config.get("*", "five"))
			assert.is_nil(rawget(_G, "helper"))
		end)

		it("are copies, so the chunk cannot change them later", function ()
			loaded [[ local t = { "a" } x = t t[2] = "b" y = t ]]
			assert.same({ "a" }, config.get("*", "x"))
			assert.same({ "a", "b" }, config.get("*", "y"))
		end)

		it("come from the environment", function ()
			loaded "path = ENV_PATH nothing = ENV_COUPLET_SURELY_UNSET"
			assert.equal(os.getenv("PATH"), config.get("*", "path"))
			assert.is_nil(config.get("*", "nothing"))
		end)

		it("cannot harm the server's own libraries", function ()
			loaded [[ string.format = nil; table = nil; os.exit = nil; prosody.hosts = nil ]]
			assert.is_function(string.format)
			assert.is_function(os.exit)
			assert.is_table(prosody.hosts)
		end)

		it("come from files beside the configuration", function ()
			world.file("secret", "one\ntwo\r\nthree\n")
			loaded 'a = FileContents "secret" b = FileLine("secret") c = FileLines "secret"'
			assert.equal("one\ntwo\r\nthree\n", config.get("*", "a"))
			assert.equal("one", config.get("*", "b"))
			assert.same({ "one", "two", "three" }, config.get("*", "c"))
			assert.matches("no file .*/absent", (refusal 'a = FileContents "absent"'))
		end)

		it("tell where they were set", function ()
			local path = world.file("prosody.cfg.lua", 'a = 1\nVirtualHost "h.example"\n\nb = 2\n')
			assert(config.load(path))
			assert.same({ path, 1 }, { config.where("h.example", "a") })
			assert.same({ path, 4 }, { config.where("h.example", "b") })
			assert.equal(path .. ":4: ", config.place("h.example", "b"))
			assert.equal("", config.place("*", "b"))
			assert.same({}, { config.where("*", "b") })
			config.set("h.example", "b", 3)
			assert.same({}, { config.where("h.example", "b") })
			assert.equal(3, config.get("h.example", "b"))
		end)
	end)

	it("may begin with the mark of an editor", function ()
		loaded '\u{feff}a = "\u{feff}"'
		assert.equal("\u{feff}", config.get("*", "a"))
	end)

	it("is text, not a compiled program", function ()
		local err = refusal(string.dump(function () end))
		assert.matches("binary chunk", err)
	end)

	it("gives an option that may be one value or several as a list", function ()
		loaded 'one = 5 several = { 5, 6 }'
		assert.same({ 5 }, config.as_list(config.get("*", "one")))
		assert.same({ 5, 6 }, config.as_list(config.get("*", "several")))
		assert.is_nil(config.as_list(config.get("*", "none")))
	end)

	describe("options read back", function ()
		it("grow by append and by a call", function ()
			loaded [[
				modules_enabled = { "a" }
				modules_enabled:append { "b" }
				modules_enabled { "c" }
				storage = { x = 1 }
				storage:append { y = 2 }
				size = 4
				twice = size * 2
				copy = modules_enabled
				plain = { modules_enabled:values() }
				n = #modules_enabled
			]]
			assert.same({ "a", "b", "c" }, config.get("*", "modules_enabled"))
			assert.same({ x = 1, y = 2 }, config.get("*", "storage"))
			assert.equal(8, config.get("*", "twice"))
			assert.same({ "a", "b", "c" }, config.get("*", "copy"))
			assert.same({ "a", "b", "c" }, config.get("*", "plain"))
			assert.equal(3, config.get("*", "n"))
		end)

		it("are made when they were not there", function ()
			local warnings = loaded 'admins { "me@h.example" }'
			assert.same({ "me@h.example" }, config.get("*", "admins"))
			assert.same({}, warnings)
		end)

		it("start from the global value in a host's section, and leave that as it is", function ()
			loaded [[
				modules_enabled = { "a" }
				VirtualHost "h.example"
				modules_enabled:append { "b" }
			]]
			assert.same({ "a" }, config.get("*", "modules_enabled"))
			assert.same({ "a", "b" }, config.get("h.example", "modules_enabled"))
		end)
	end)

	describe("warnings", function ()
		it("name an option set twice and both places", function ()
			local warnings = loaded "a = 1\na = 2\n"
			assert.equal(1, #warnings)
			assert.matches("prosody.cfg.lua:2: Duplicate option 'a'.*prosody.cfg.lua:1", warnings[1])
			assert.equal(2, config.get("*", "a"))
		end)

		it("name a host that stands twice, and keep the options of both", function ()
			local warnings = loaded 'VirtualHost "h.example"\na = 1\nVirtualHost "H.example"\nb = 2\n'
			assert.equal(1, #warnings)
			assert.matches('prosody.cfg.lua:3: VirtualHost "h.example" stands here for the second time.*cfg.lua:1', warnings[1])
			assert.same({ 1, 2 }, { config.rawget("h.example", "a"), config.rawget("h.example", "b") })
		end)

		it("say how true and false are written", function ()
			for word, meant in pairs { yes = "true", On = "true", True = "true", no = "false", OFF = "false" } do
				assert.matches("means nothing here; write " .. meant, loaded("a = " .. word)[1])
				assert.is_nil(config.get("*", "a"))
			end
		end)

		it("say that a bare word may lack its quotes", function ()
			local warnings = loaded "authentication = internal_hashed"
			assert.matches("you may be missing quotes: \"internal_hashed\"", warnings[1])
			assert.is_nil(config.get("*", "authentication"))
		end)
	end)

	describe("includes", function ()
		it("have a section of their own and are found beside the including file", function ()
			world.file("conf.d/one.cfg.lua", 'inner = 1 VirtualHost "one.example" x = 1')
			loaded [[
				VirtualHost "h.example"
				Include "conf.d/one.cfg.lua"
				y = 2
			]]
			assert.equal(1, config.rawget("*", "inner"))
			assert.equal(1, config.rawget("one.example", "x"))
			assert.equal(2, config.rawget("h.example", "y"))
		end)

		it("take patterns, in order of name, without hidden files", function ()
			for _, name in ipairs { "b.cfg.lua", "a.cfg.lua", ".hidden.cfg.lua", "c.txt" } do
				world.file("conf.d/" .. name, ("order:append { %q }"):format(name))
			end
			loaded 'order = {} include "conf.d/*.cfg.lua" Include "conf.d/nothing-*.lua"'
			assert.same({ "a.cfg.lua", "b.cfg.lua" }, config.get("*", "order"))
		end)

		it("nest, each relative to its own file", function ()
			world.file("conf.d/outer.lua", 'Include "deep/inner.lua"')
			world.file("conf.d/deep/inner.lua", "found = true")
			loaded 'Include "conf.d/outer.lua"'
			assert.is_true(config.get("*", "found"))
			assert.matches("deep/inner.lua$", (config.where("*", "found")))
		end)

		it("fail when the file is not there or the loop never ends", function ()
			assert.matches("there is no file .*absent.lua", (refusal 'Include "absent.lua"'))
			assert.matches("without end", (refusal 'Include "prosody.cfg.lua"'))
			assert.matches("last part of the path", (refusal 'Include "*/x.lua"'))
		end)

		it("name the file in which an error is", function ()
			local path = world.file("broken.lua", "x = 1\ny = { 1\n")
			local _, failure = refusal 'Include "broken.lua"'
			assert.equal(path, failure.file)
			assert.matches("never closed", failure.mend)
		end)

		it("run scripts with globals of their own", function ()
			world.file("script.lua", "made = 1 return 7")
			loaded 'x = RunScript "script.lua"'
			assert.equal(7, config.get("*", "x"))
			assert.is_nil(config.get("*", "made"))
			assert.is_nil(rawget(_G, "made"))
		end)
	end)

	describe("mistakes", function ()
		-- What people write, the line that is named, and a piece of the advice.
		local mistakes = {
			{ 'a = {\n"x"\n"y"\n}', 3, 'did you forget a comma after "x" on line 2%?' },
			{ 'a = { "x" "y" }', 1, 'did you forget a comma after "x"%?' },
			{ 'a = {\n"x";\n\nb = {\n1 }\nc = 2', 6, nil },
			{ 'a = "x\n', 1, "quote" },
			{ "a = { 1, 2\n", 2, "opened on line 1 is never closed" },
			{ "a = { 1, 2", 1, "is missing" },
			{ "a =", 1, "has no value" },
			{ 'allow_registration true', 1, "did you forget the = after allow_registration%?" },
			{ 'foo(1)', 1, "there is no command foo; to set the option write foo = " },
			{ 'x = example.com', 1, "lacks its quotes" },
			{ 'x = 10.0.0.1', 1, "belongs in quotes" },
			{ 'x = y .. "z"', 1, "lacks its quotes" },
			{ 'a = { 5222 5223 }', 1, "did you forget a comma after 5222%?" },
			{ 'a = { 1, 2, 1 1 }', 1, "did you forget a comma after 1%?" },
			{ 'a = { \u{201c}x\u{201d} }', 1, 'straight quotes: "text"' },
			{ 'a = { \u{2018}x\u{2019} }', 1, "straight quotes: 'text'" },
			{ '# a comment\na = 1', 1, "a comment begins with %-%-" },
			{ '// a comment\na = 1', 1, "a comment begins with %-%-" },
			{ 'a = 1\n// a comment\nb = 2', 3, "a comment begins with %-%-" },
			{ 'allow_registration: true', 1, "write = instead of : after allow_registration" },
			{ 'admins: { "me@h.example" }', 1, "write = instead of : after admins" },
			{ 'c2s-ports = { 1 }', 1, "write c2s_ports" },
			{ 'a = { "x" } }', 1, "there is a } too many" },
			{ 'a = {\n"x",\n"y"\n\nVirtualHost "h.example"', 5, "opened on line 1 is not closed before line 5: add a }" },
			{ 'VirtualHost h.example', 1, 'a name stands in quotes: VirtualHost "h.example"' },
			{ 'Virtualhost "h.example"', 1, "did you mean VirtualHost%?" },
			{ 'VirtualHsot "h.example"', 1, "did you mean VirtualHost%?" },
			{ 'if x then a = 1', 1, "add an end" },
			{ 'a = 1 end', 1, "an end too many" },
		}
		for _, mistake in ipairs(mistakes) do
			it(("are named with their line: %s"):format(mistake[1]:gsub("%s+", " ")), function ()
				local err, failure = refusal(mistake[1])
				assert.equal(mistake[2], failure.line)
				assert.matches("prosody.cfg.lua:" .. mistake[2] .. ": ", err)
				if mistake[3] then
					assert.matches(mistake[3], failure.mend)
				end
			end)
		end

		it("leave the old configuration in force", function ()
			loaded 'a = 1 VirtualHost "h.example"'
			refusal "a = 2\nb = {"
			refusal 'a = 3 error("stop")'
			assert.equal(1, config.get("*", "a"))
			assert.same({ "h.example" }, config.hosts())
		end)

		it("include a file that is not there", function ()
			local ok, kind, err = config.load(world.directory .. "/absent.lua")
			assert.is_nil(ok)
			assert.equal("file", kind)
			assert.matches("absent.lua", err)
		end)
	end)

	describe("credentials", function ()
		it("stop the server when there are none, but not a tool", function ()
			assert.matches("CREDENTIALS_DIRECTORY is not set", (refusal 'x = Credential "pw"'))
			prosody.process_type = "prosodyctl"
			assert.equal(1, #loaded 'x = Credential "pw"')
		end)
	end)
end)
