-- Accounts from inside (XEP-0077; SECURITY B15).

local Server = require "spec.support.server"

local CHANGE = [[<iq type='set' to='localhost'><query xmlns='jabber:iq:register'>
	<username>%s</username><password>%s</password></query></iq>]]

describe("An account", function()
	local server
	local n = 0
	local romeo

	setup(function() server = Server.start { more_modules = { "offline" } } end)
	teardown(function() server:stop() end)
	before_each(function()
		n = n + 1
		romeo = server:person("romeo" .. n)
	end)
	after_each(function() server:forget_clients() end)

	local function may_in(user, password)
		local client = server:client { user = user, tls = "direct" }:connect()
		client:opens_stream_with_features()
		return (client:authenticates(nil, { password = password }))
	end

	it("gets a new password from its owner (3.3)", function()
		assert.equal("result", romeo:asks(CHANGE:format(romeo.options.user, "new secret")).attr.type)
		assert.is_true(may_in(romeo.options.user, "new secret"))
		assert.is_nil(may_in(romeo.options.user, "secret"))
	end)

	it("keeps the new password through a crash", function()
		assert.equal("result", romeo:asks(CHANGE:format(romeo.options.user, "new secret")).attr.type)
		server:kill9()
		server:run()
		assert.is_true(may_in(romeo.options.user, "new secret"))
	end)

	it("does not get one from somebody else", function()
		server:register("victim" .. n, "secret")
		local reply = romeo:asks(CHANGE:format("victim" .. n, "stolen"))
		assert.equal("error", reply.attr.type)
		assert.is_true(may_in("victim" .. n, "secret"))
	end)

	it("needs a password that is one", function()
		local reply = romeo:asks(CHANGE:format(romeo.options.user, ""))
		assert.equal("error", reply.attr.type)
		assert.is_true(may_in(romeo.options.user, "secret"))
	end)

	it("can be given up, and then nothing of it is left (3.2)", function()
		local user = romeo.options.user
		romeo:asks "<iq type='set'><query xmlns='jabber:iq:private'><x xmlns='urn:x'>y</x></query></iq>"
		romeo:asks "<iq type='set'><query xmlns='jabber:iq:roster'><item jid='a@b'/></query></iq>"
		romeo:sends "<iq type='set' id='gone'><query xmlns='jabber:iq:register'><remove/></query></iq>"
		romeo:awaits "<iq type='result' id='gone'/>"
		romeo:sees_the_end()
		assert.is_nil(may_in(user, "secret"))
		local find <close> = io.popen(("find %s/data -name '%s*'"):format(server.folder, user))
		assert.equal("", find:read "a")
	end)

	it("cannot be made by strangers when the admin has not said so", function()
		local client = server:client { tls = "direct" }:connect()
		local features = client:opens_stream_with_features()
		assert.is_nil(features:child("register", "http://jabber.org/features/iq-register"))
		client:sends [[<iq type='set' id='new'><query xmlns='jabber:iq:register'>
			<username>thief</username><password>secret</password></query></iq>]]
		local answer = client:next_stanza()
		assert.is_false(answer:is "iq" and answer.attr.type == "result")
		assert.is_nil(may_in("thief", "secret"))
	end)
end)

describe("Registration that is open", function()
	local server

	setup(function()
		server = Server.start { config = "allow_registration = true; registration_throttle_max = 100" }
		server:register("romeo", "secret")
	end)
	teardown(function() server:stop() end)
	after_each(function() server:forget_clients() end)

	local function stranger()
		local client = server:client { tls = "direct" }:connect()
		return client, client:opens_stream_with_features()
	end

	local function register(client, user, password)
		return client:asks(([[<iq type='set'><query xmlns='jabber:iq:register'>
			<username>%s</username><password>%s</password></query></iq>]]):format(user, password))
	end

	it("is advertised and asks for a name and a password (3.1)", function()
		local client, features = stranger()
		assert.is_truthy(features:child("register", "http://jabber.org/features/iq-register"))
		local form = client:asks "<iq type='get'><query xmlns='jabber:iq:register'/></iq>"
		assert.is_truthy(form:at("query", "username"))
		assert.is_truthy(form:at("query", "password"))
	end)

	it("makes an account that can log in", function()
		local client = stranger()
		assert.equal("result", register(client, "benvolio", "peace").attr.type)
		client.options.user, client.options.password = "benvolio", "peace"
		assert.is_true(client:authenticates())
	end)

	it("makes no account twice", function()
		local reply = register(stranger(), "romeo", "other")
		assert.is_truthy(reply:at("error", "conflict"))
		local same = register(stranger(), "ROMEO", "other")
		assert.is_truthy(same:at("error", "conflict"))
	end)

	it("refuses names that cannot be one", function()
		for _, name in ipairs { "", "a@b", "a/b", "a b", ("x"):rep(1024) } do
			local reply = register(stranger(), name, "pw")
			assert.equal("error", reply.attr.type, name)
		end
	end)
end)
