local ctl = require "spec.support.ctl"
local Server = require "spec.support.server"

for _, storage in ipairs { "internal", "sql" } do
	describe("coupletctl, without a server, on " .. storage .. " storage,", function ()
		local place

		before_each(function ()
			place = ctl.place(('storage = %q\nVirtualHost "capulet.example"'):format(storage))
		end)
		after_each(function () place:remove() end)

		it("makes, changes and deletes accounts", function ()
			assert.same({ "", 0 }, { place:run("register", "romeo", "capulet.example", "juliet") })
			local output, code = place:run("register", "Romeo", "capulet.example", "other")
			assert.equal(1, code)
			assert.equal("That user already exists\n", output)
			assert.same({ "", 0 }, { place:run("passwd", "romeo@capulet.example", { input = "rosaline\n" }) })
			assert.same({ "", 0 }, { place:run("adduser", "paris@capulet.example", { input = "rose\n" }) })
			assert.equal(1, select(2, place:run("adduser", "paris@capulet.example", { input = "rose\n" })))
			assert.same({ "", 0 }, { place:run("unregister", "romeo", "capulet.example") })
			assert.equal(1, select(2, place:run("unregister", "romeo", "capulet.example")))
			assert.equal(1, select(2, place:run("passwd", "romeo@capulet.example", { input = "x\n" })))
			assert.same({ "", 0 }, { place:run("deluser", "paris@capulet.example") })
			assert.same({ "", 0 }, { place:run("register", "romeo", "capulet.example", "again") })
		end)
	end)
end

describe("coupletctl, without a server,", function ()
	local place

	setup(function () place = ctl.place 'storage = "internal"\nVirtualHost "capulet.example"' end)
	teardown(function () place:remove() end)

	it("refuses what is no account", function ()
		for _, words in ipairs {
			{ "adduser" }, { "adduser", "romeo" }, { "adduser", "@capulet.example" }, { "adduser", "romeo@nowhere.example" },
			{ "passwd" }, { "deluser" }, { "register", "romeo" }, { "register", "ro meo", "capulet.example", "x" },
			{ "unregister", "romeo" }, { "deluser", "nobody@capulet.example" },
		} do
			local output, code = place:run(table.unpack(words))
			assert.same({ table.concat(words, " "), 1 }, { table.concat(words, " "), code })
			assert.is_nil(output:find("traceback", 1, true))
		end
	end)

	it("takes no empty password", function ()
		assert.equal(1, select(2, place:run("adduser", "empty@capulet.example", { input = "\n" })))
		assert.equal(1, select(2, place:run("adduser", "empty@capulet.example", { input = "" })))
		assert.equal(1, select(2, place:run("register", "empty", "capulet.example", "")))
		assert.is_nil(place:read "data/capulet%2eexample/accounts/empty.dat")
	end)

	it("keeps no password, and keeps what it writes from others", function ()
		assert.equal(0, select(2, place:run("register", "romeo", "capulet.example", "secretword")))
		local record = place:read "data/capulet%2eexample/accounts/romeo.dat"
		assert.is_nil(record:find("secretword", 1, true))
		assert.matches('"stored_key"', record)
		local find <close> = io.popen(("find %s/data -type f -perm /007"):format(place.folder))
		assert.equal("", find:read "a")
	end)

	it("writes accounts that open when the server runs", function ()
		local server = Server.start { config = 'storage = "internal"' }
		server:ctl("register", "before", "localhost", "secret")
		server:ends()
		assert.equal(0, select(2, server:ctl("register", "between", "localhost", "secret")))
		server:run()
		for _, name in ipairs { "before", "between" } do
			local client = server:client { user = name, password = "secret", tls = "direct" }:connect()
			client:opens_stream_with_features()
			assert.is_true(client:authenticates())
		end
		server:stop()
	end)
end)

describe("coupletctl, while the server runs,", function ()
	local server

	setup(function () server = Server.start {} end)
	teardown(function () server:stop() end)
	after_each(function () server:forget_clients() end)

	local function may_in(user, password)
		local client = server:client { user = user, tls = "direct" }:connect()
		client:opens_stream_with_features()
		return (client:authenticates(nil, { password = password }))
	end

	it("lets it make, change and delete accounts", function ()
		assert.same({ "", 0 }, { server:ctl("register", "romeo", "localhost", 'ju"li\\et') })
		assert.is_true(may_in("romeo", 'ju"li\\et'))
		local output, code = server:ctl("register", "romeo", "localhost", "x")
		assert.same({ "That user already exists\n", 1 }, { output, code })
		local romeo = server:client { user = "romeo", password = 'ju"li\\et' }
		romeo:logs_in()
		assert.same({ "", 0 }, { server:ctl("deluser", "romeo@localhost") })
		romeo:sees_the_end()
		assert.is_nil(may_in("romeo", 'ju"li\\et'))
	end)
end)
