-- A file of somebody's data is damaged (storage = "internal"): the error stays with that user and that data, the log
-- names the file and the mend, and nothing writes over it.

local lfs = require "lfs"
local Server = require "spec.support.server"

describe("When a file is damaged", function()
	local server, romeo

	setup(function()
		server = Server.start { config = 'storage = "internal"', more_modules = { "offline" } }
		for _, text in ipairs { "the file stays as it is", "Error reading storage" } do server:expects_error(text) end
	end)
	teardown(function() server:stop() end)
	before_each(function() romeo = server:person "romeo" end)
	after_each(function() server:forget_clients() end)

	-- Connected and under TLS, but not logged in.
	local function arrives(user)
		local one = server:client { user = user }:connect()
		one:opens_stream_with_features()
		assert(one:starts_tls())
		one:opens_stream_with_features()
		return one
	end

	local function path_of(user, store, ext)
		return ("%s/data/localhost/%s/%s.%s"):format(server.folder, store, user, ext or "dat")
	end

	local function read(path)
		local file <close> = assert(io.open(path, "rb"))
		return file:read "a"
	end

	-- Cuts the last bytes off, as a full disk of another program's would. Gives what the file is now.
	local function damage(path)
		local text = read(path):sub(1, -5)
		local file <close> = assert(io.open(path, "wb"))
		file:write(text)
		return text
	end

	-- The log has told of the file and the mend since then, and the file is as it was.
	local function is_told_and_kept(path, text, position)
		server:awaits_log(path .. ": line ", position)
		server:awaits_log("mend it, put a copy from a backup in its place, or move it away", position)
		assert.equal(text, read(path))
	end

	it("its owner is told to try later, others notice nothing, and a mend helps at once", function()
		local juliet = server:person "juliet"
		juliet:asks "<iq type='set'><query xmlns='jabber:iq:roster'><item jid='romeo@localhost'/></query></iq>"
		juliet:leaves()
		local path, position = path_of("juliet", "roster"), server:log_position()
		local good = read(path)
		local bad = damage(path)
		server:restart() -- it had the roster in memory
		romeo = server:person "romeo"
		juliet = arrives "juliet"
		assert(juliet:authenticates())
		juliet:opens_stream_with_features()
		local answer = juliet:binds "balcony"
		assert.equal("wait", answer:child("error").attr.type)
		assert.truthy(answer:child("error"):child "internal-server-error")
		is_told_and_kept(path, bad, position)
		romeo:asks "<iq type='get'><query xmlns='jabber:iq:roster'/></iq>"

		local file <close> = assert(io.open(path, "wb"))
		file:write(good)
		file:close()
		juliet = server:person "juliet"
		local roster = juliet:asks "<iq type='get'><query xmlns='jabber:iq:roster'/></iq>"
		assert.equal("romeo@localhost", roster:child("query"):child("item").attr.jid)
	end)

	it("a login ends with temporary-auth-failure, not with a wrong password", function()
		server:person("nurse"):leaves()
		local path, position = path_of("nurse", "accounts"), server:log_position()
		local good = read(path)
		local bad = damage(path)
		for _, mechanism in ipairs { "SCRAM-SHA-256", "PLAIN" } do
			local _, condition = arrives("nurse"):authenticates(mechanism)
			assert.equal("temporary-auth-failure", condition)
		end
		is_told_and_kept(path, bad, position)
		local file <close> = assert(io.open(path, "wb"))
		file:write(good)
	end)

	it("asking for it and changing it are errors", function()
		romeo:asks "<iq type='set'><vCard xmlns='vcard-temp'><FN>Romeo</FN></vCard></iq>"
		local path, position = path_of("romeo", "vcard"), server:log_position()
		local bad = damage(path)
		for _, type in ipairs { "get", "set" } do
			local answer = romeo:asks(("<iq type='%s'><vCard xmlns='vcard-temp'/></iq>"):format(type))
			assert.equal("error", answer.attr.type)
			assert.truthy(answer:child("error"):child "internal-server-error")
		end
		is_told_and_kept(path, bad, position)
		assert(os.rename(path, path .. ".old"))
		assert.equal("result", romeo:asks("<iq type='set'><vCard xmlns='vcard-temp'><FN>R</FN></vCard></iq>").attr.type)
		assert.truthy(lfs.attributes(path))
	end)

	it("who writes to somebody away hears that it cannot be kept", function()
		server:person("juliet"):leaves()
		romeo:sends "<message to='juliet@localhost' type='chat'><body>one</body></message>"
		romeo:settles()
		local path, position = path_of("juliet", "offline", "list"), server:log_position()
		local file <close> = assert(io.open(path, "r+b"))
		file:write "garbage("
		file:close()
		local bad = read(path)
		romeo:sends "<message to='juliet@localhost' type='chat' id='m'><body>two</body></message>"
		romeo:awaits "<message type='error' id='m' from='juliet@localhost'/>"
		is_told_and_kept(path, bad, position)
		server:person("juliet"):leaves() -- she is let in all the same
		assert.equal(bad, read(path))
		assert(os.remove(path))
	end)
end)
