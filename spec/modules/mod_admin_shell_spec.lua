local adminstream = require "prosody.util.adminstream"
local fake_native = require "spec.support.fake_native"

local host = "capulet.example"

describe("mod_admin_shell", function ()
	local world, callbacks

	local function start(before)
		world = fake_native.start { config = [[
			storage = "memory"
			admins = { "nurse@capulet.example" }
			modules_disabled = { "presence", "message", "iq", "offline", "c2s", "s2s", "s2s_auth_certs" }
			modules_enabled = { "admin_shell" }
			Component "rooms.capulet.example" "house"
			VirtualHost "capulet.example"
				authentication = "internal_plain"
		]] }
		world.module("house", "")
		if before then before() end
		for _, name in ipairs { "storagemanager", "modulemanager", "usermanager", "rostermanager", "sessionmanager",
			"portmanager" } do
			world.load(name)
		end
		world.load "hostmanager".activate_all()
		callbacks = world.listeners[world.directory .. "/data/prosody.sock"].listener
		assert.is_true(world.load "modulemanager".is_loaded("*", "admin_shell"))
	end
	after_each(function () world.stop() end)

	-- Types a line; answers questions with those given. Gives ok, the result's text, and what was printed.
	local function type_line(text, ...)
		local answers = { ... }
		local printed, result = {}, nil
		local conn = {}
		local feed
		local reader = adminstream.new_reader(function (message)
			if message.type == "repl-output" then
				table.insert(printed, message.text)
			elseif message.type == "repl-question" then
				table.insert(printed, (message.secret and "secret " or "") .. message.text)
				local answer = table.remove(answers, 1)
				feed(adminstream.encode { type = "repl-answer", text = answer })
			elseif message.type == "repl-result" then
				result = message
			end
		end)
		function conn:write(bytes) return reader(bytes) end -- luacheck: ignore 212/self
		function conn:close() callbacks.ondisconnect(self) end
		feed = function (bytes) callbacks.onincoming(conn, bytes) end
		callbacks.onconnect(conn)
		-- Commands may wait, as they do in the server, where callbacks run on coroutines.
		local async = require "prosody.util.async"
		async.once(function () feed(adminstream.encode { type = "repl-input", text = text, width = 200 }) end)
		assert.is_table(result, "no result for " .. text)
		return result.ok, result.text, printed
	end

	local function answer_to(text)
		local ok, answer = type_line(text)
		return { ok, answer }
	end

	it("understands commands as words and as Lua", function ()
		start()
		for _, line in ipairs { "host list", "host:list()", "host:list", "  host   list  ", "host.list(host)" } do
			local ok, text, printed = type_line(line)
			assert.same({ line, true, "OK: 2 hosts" }, { line, ok, text })
			assert.same({ "capulet.example", "rooms.capulet.example (component)" }, printed)
		end
	end)

	it("evaluates Lua with the server in reach", function ()
		start()
		assert.same({ true, "Result: 3" }, answer_to "> 1 + 2")
		assert.same({ true, "Result: capulet.example" }, answer_to '> hosts["capulet.example"].host')
		assert.same({ true }, answer_to "> local x = 1")
		local _, _, printed = type_line '> print("a", 1)'
		assert.same({ "a\t1" }, printed)
		assert.is_true((type_line "> x = 5"))
		assert.is_nil(rawget(_G, "x"))
	end)

	it("says what is wrong", function ()
		start()
		for line, what in pairs {
			["nonsense"] = "no command", ["user"] = "help user", ["user nonsense"] = "no command user nonsense",
			["user list"] = "HOST is needed", ["user list a b c d"] = "Too many", ['user list "a'] = "quotation mark",
			["user create a@capulet.example pw --nonsense"] = "no such option", ["> error('bang')"] = "bang",
			["> ("] = "neither", ["user:list("] = "neither", ["server shutdown x notanumber"] = "must be a number",
			["user list nowhere.example"] = "no host", ["help nonsense"] = "no help",
		} do
			local ok, text = type_line(line)
			assert.is_false(ok, line)
			assert.is_truthy(text:find(what, 1, true), line .. ": " .. text)
		end
	end)

	it("helps", function ()
		start()
		local ok, _, printed = type_line "help"
		assert.is_true(ok)
		assert.matches("user%s+Accounts", table.concat(printed, "\n"))
		_, _, printed = type_line "help user"
		assert.matches("user create JID %[PASSWORD%] %[%-%-role VALUE%]", table.concat(printed, "\n"))
		_, _, printed = type_line "help user delete"
		assert.same(2, #printed - 2)
		assert.is_true((type_line "help roles"))
		assert.is_true((type_line "help console"))
	end)

	it("looks after accounts", function ()
		start()
		local usermanager = world.load "usermanager"
		assert.same({ true, "OK: romeo@capulet.example was made" }, answer_to "user create Romeo@capulet.example juliet")
		assert.is_true(usermanager.test_password("romeo", host, "juliet"))
		assert.is_false((type_line "user create romeo@capulet.example again"))
		assert.is_true((type_line 'user password romeo@capulet.example "two words"'))
		assert.is_true(usermanager.test_password("romeo", host, "two words"))
		local _, text, printed = type_line "user list capulet.example"
		assert.equal("OK: 1 account", text)
		assert.same({ "romeo@capulet.example" }, printed)
		assert.is_true((type_line "user disable romeo@capulet.example"))
		assert.is_nil((usermanager.test_password("romeo", host, "two words")))
		assert.is_true((type_line "user enable romeo@capulet.example"))
		assert.is_true((type_line "user delete romeo@capulet.example"))
		assert.is_nil((usermanager.user_exists("romeo", host)))
		assert.is_false((type_line "user delete romeo@capulet.example"))
		assert.is_false((type_line "user create romeo@elsewhere.example x"))
		assert.is_false((type_line "user create notajid x"))
	end)

	it("asks for passwords that were not given, without showing them", function ()
		start()
		local usermanager = world.load "usermanager"
		local ok, _, printed = type_line("user create romeo@capulet.example", "juliet", "juliet")
		assert.is_true(ok)
		assert.same({ "secret Password: ", "secret Once more: " }, printed)
		assert.is_true(usermanager.test_password("romeo", host, "juliet"))
		assert.is_false((type_line("user password romeo@capulet.example", "one", "two")))
		assert.is_false((type_line("user password romeo@capulet.example", "")))
		assert.is_true(usermanager.test_password("romeo", host, "juliet"))
	end)

	it("gives and shows roles", function ()
		start()
		assert.is_true((type_line "user create romeo@capulet.example juliet --role prosody:admin"))
		local _, _, printed = type_line "user role romeo@capulet.example"
		assert.same({ "prosody:admin" }, printed)
		assert.is_true((type_line "user set_role romeo@capulet.example prosody:member"))
		_, _, printed = type_line 'user:roles("romeo@capulet.example")'
		assert.same({ "prosody:member" }, printed)
		_, _, printed = type_line "role list capulet.example"
		assert.is_truthy(table.concat(printed, " "):find("prosody:admin", 1, true))
		assert.is_false((type_line "user set_role romeo@capulet.example nonsense"))
	end)

	it("shows and ends the sessions of clients", function ()
		start()
		local romeo = world.online("romeo", host, "orchard")
		romeo.ip, romeo.secure, romeo.conn = "192.0.2.1", true, { ssl_info = function () return { protocol = "TLSv1.3",
			cipher = "TLS_AES_256_GCM_SHA384" } end }
		local juliet = world.online("juliet", host, "balcony")
		local _, text, printed = type_line "c2s show"
		assert.equal("OK: 2 client sessions", text)
		assert.matches("juliet@capulet.example/balcony", printed[2])
		assert.matches("romeo@capulet.example/orchard.*192.0.2.1.*yes", printed[3])
		_, text = type_line "c2s show romeo@capulet.example"
		assert.equal("OK: 1 client session", text)
		_, _, printed = type_line "c2s show_tls romeo@capulet.example/orchard"
		assert.matches("TLSv1.3", printed[2])
		assert.is_false((type_line "c2s show romeo nonsense"))
		assert.same({ true, "OK: 2 client sessions" }, answer_to "c2s count")
		assert.is_false((type_line "c2s close tybalt@capulet.example"))
		assert.is_true((type_line 'c2s close romeo@capulet.example "Go to sleep"'))
		assert.equal("Go to sleep", romeo.closed.text)
		assert.is_nil(juliet.closed)
		assert.is_true((type_line "c2s closeall"))
		assert.is_truthy(juliet.closed)
	end)

	it("loads, reloads and unloads modules", function ()
		start(function () world.module("ball", "function module.unload() end") end)
		local modulemanager = world.load "modulemanager"
		assert.is_true((type_line "module load ball capulet.example"))
		assert.is_true(modulemanager.is_loaded(host, "ball"))
		assert.is_false((type_line "module load ball capulet.example"))
		assert.is_true((type_line "module reload ball"))
		local _, _, printed = type_line "module info ball"
		assert.matches("mod_ball.lua", table.concat(printed, "\n"))
		_, _, printed = type_line "module list capulet.example"
		assert.matches("    ball", table.concat(printed, "\n"))
		assert.is_true((type_line "module unload ball"))
		assert.is_false(modulemanager.is_loaded(host, "ball"))
		assert.is_false((type_line "module reload ball"))
		assert.is_false((type_line "module load nonsense"))
		assert.is_false((type_line "module load ball nowhere.example"))
	end)

	it("serves and stops serving hosts", function ()
		start()
		assert.is_true((type_line "host deactivate capulet.example"))
		assert.is_nil(world.prosody.hosts[host])
		assert.is_true((type_line "host activate capulet.example"))
		assert.is_table(world.prosody.hosts[host])
		assert.is_false((type_line "host activate capulet.example"))
		assert.is_false((type_line "host deactivate nowhere.example"))
	end)

	it("tells about the server, its configuration and its events", function ()
		start()
		assert.same({ true, "OK: test" }, answer_to "server version")
		assert.is_true((type_line "server uptime"))
		assert.is_true((type_line "server memory"))
		assert.is_true((type_line "port list"))
		assert.same({ true, "OK: memory" }, answer_to "config get storage")
		assert.same({ true, "OK: internal_plain" }, answer_to "config get capulet.example authentication")
		assert.is_false((type_line "config get nonsense"))
		local _, _, printed = type_line "debug events"
		assert.matches("admin/repl%-input", table.concat(printed, "\n"))
	end)

	it("shuts the server down and reloads its configuration", function ()
		start()
		local why, code
		world.prosody.shutdown = function (...) why, code = ... end
		assert.is_true((type_line 'server shutdown "New kernel" 3'))
		assert.same({ "New kernel", 3 }, { why, code })
		world.prosody.reload_config = function () return true end
		assert.is_true((type_line "config reload"))
		world.prosody.reload_config = function () return nil, "line 3" end
		local ok, text = type_line "config reload"
		assert.is_false(ok)
		assert.matches("line 3", text)
	end)

	it("has the commands that modules bring, on the host that is meant", function ()
		start(function () world.module("garden", [[
			module:add_item("shell-command", {
				section = "garden"; section_desc = "Flowers"; name = "water"; desc = "Waters a garden";
				args = { { name = "jid"; type = "string" }; { name = "litres"; type = "number" } };
				host_selector = "jid"; flags = { value_params = { with = true } };
				handler = function (self, jid, litres, options)
					self.session.print(module.host, jid, litres, options and options.with);
					return true, "done";
				end;
			})
		]]) end)
		assert.is_false((type_line "garden water a@capulet.example 1"))
		local modulemanager = world.load "modulemanager"
		assert(modulemanager.load(host, "garden"))
		local ok, text, printed = type_line "garden water rose@capulet.example 2.5 --with can"
		assert.same({ true, "OK: done" }, { ok, text })
		assert.same({ "capulet.example\trose@capulet.example\t2.5\tcan" }, printed)
		printed = select(3, type_line 'garden:water("rose@capulet.example", 1)')
		assert.same({ "capulet.example\trose@capulet.example\t1\tnil" }, printed)
		ok, text = type_line "garden water rose@rooms.capulet.example 1"
		assert.is_false(ok)
		assert.matches("not there on rooms", text)
		assert.is_true(modulemanager.unload(host, "garden"))
		assert.is_false((type_line "garden water a@capulet.example 1"))
		assert.is_false((type_line "help garden"))
	end)

	it("has the commands of modules that know the older way", function ()
		start(function () world.module("older", [[
			module:set_global()
			local env = module:shared("/*/admin_shell/env")
			env.older = {}
			function env.older:greet(name) self.session.print("hello " .. name); return true, "greeted" end
		]]) end)
		assert(world.load "modulemanager".load("*", "older"))
		for _, line in ipairs { 'older:greet("romeo")', "older greet romeo" } do
			local ok, text, printed = type_line(line)
			assert.same({ true, "OK: greeted", { "hello romeo" } }, { ok, text, printed })
		end
	end)
end)
