-- Guessing passwords (SECURITY B11): an address gets few tries, however many connections it opens.

local sha = require "spec.support.sha"
local Server = require "spec.support.server"

local NS_SASL = "urn:ietf:params:xml:ns:xmpp-sasl"

describe("Somebody who guesses passwords", function()
	local server

	setup(function()
		server = Server.start {}
		server:register("romeo", "secret")
	end)
	teardown(function() server:stop() end)
	after_each(function() server:forget_clients() end)

	local function stranger(from_ip)
		local client = server:client { user = "romeo", tls = "direct", from_ip = from_ip }:connect()
		client:opens_stream_with_features()
		return client
	end

	it("gets 20 tries from all connections of an address together, and locks nobody out elsewhere", function()
		local clients, evaluated = {}, 0
		for i = 1, 40 do clients[i] = stranger() end
		for i, client in ipairs(clients) do
			client:sends(("<auth xmlns='%s' mechanism='PLAIN'>%s</auth>"):format(NS_SASL,
				sha.base64(("\0romeo\0guess%d"):format(i))))
		end
		for _, client in ipairs(clients) do
			local condition = client:next_stanza():child().name
			assert.is_true(condition == "not-authorized" or condition == "temporary-auth-failure", condition)
			if condition == "not-authorized" then evaluated = evaluated + 1 end
		end
		assert.equal(20, evaluated)

		local late = stranger()
		local ok, condition = late:authenticates("PLAIN", { password = "secret" })
		assert.is_nil(ok)
		assert.equal("temporary-auth-failure", condition)
		assert.is_true((stranger "127.0.0.2":authenticates(nil, { password = "secret" })))
	end)
end)
