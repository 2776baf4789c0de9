-- What strangers may take of our ports (SECURITY table 2): so many connections at a time from one address, so many that
-- have not logged in. Programs of this machine are free of it unless the configuration says otherwise, as here.

local http = require "spec.support.http"
local loop = require "spec.support.loop"
local Server = require "spec.support.server"

describe("A port", function()
	local server

	setup(function()
		server = Server.start { with_http = true, more_modules = { "websocket" }, config = [[
			unlimited_ips = { "127.0.0.9" }
			trusted_proxies = { "127.0.0.8" }
			max_accepts_per_second_per_ip = 0
			max_accepts_per_second = 0
			c2s_max_connections_per_ip = 3
			c2s_max_unauthenticated_per_ip = 2
			http_max_connections_per_ip = 3
		]] }
		server:register("romeo")
	end)
	teardown(function() server:stop() end)
	after_each(function() server:forget_clients() end)

	local function stranger(ip)
		return server:client { user = "romeo", from_ip = ip }:connect()
	end

	local function is_served(client)
		client:opens_stream_with_features()
		return true
	end

	local function is_sent_away(client)
		loop.await(function() return client.closed end, "the server to close the connection")
		return true
	end

	it("takes so many connections of an address that have not logged in, and closes others at once", function()
		local first, second = stranger "127.0.0.2", stranger "127.0.0.2"
		assert.is_true(is_served(first) and is_served(second))
		assert.is_true(is_sent_away(stranger "127.0.0.2"))
		assert.is_true(is_served(stranger "127.0.0.3"))
		assert.truthy(server:awaits_log "max_unauthenticated_per_ip")
	end)

	it("takes another one when somebody has logged in or left", function()
		local known = server:client { user = "romeo", from_ip = "127.0.0.4" }:connect()
		known:logs_in()
		local leaver = stranger "127.0.0.4"
		assert.is_true(is_served(leaver) and is_served(stranger "127.0.0.4"))
		assert.is_true(is_sent_away(stranger "127.0.0.4")) -- the third of an address that may have three
		leaver:vanishes()
		server:awaits(function() return pcall(is_served, stranger "127.0.0.4") end, "the place to become free")
	end)

	it("takes so many connections of an address in all", function()
		for i = 1, 3 do
			local known = server:client { user = "romeo", from_ip = "127.0.0.5", resource = "r" .. i }:connect()
			known:logs_in()
		end
		assert.is_true(is_sent_away(stranger "127.0.0.5"))
	end)

	it("has limits of its own for HTTP", function()
		local conns = {}
		for i = 1, 3 do
			conns[i] = http.connect(server, { from_ip = "127.0.0.6" })
			conns[i]:sends "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
			assert.equal(404, conns[i]:response().status)
		end
		http.connect(server, { from_ip = "127.0.0.6" }):ends()
		conns[1]:vanishes()
		loop.await(function()
			local conn = http.connect(server, { from_ip = "127.0.0.6" })
			conn:sends "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
			loop.await(function() return conn.client.closed or #conn:raw() > 0 end, "an answer or an end")
			return #conn:raw() > 0
		end, "a place that became free")
	end)

	it("takes any number from addresses the configuration names, and from our own proxies", function()
		for _, ip in ipairs { "127.0.0.8", "127.0.0.9" } do
			for _ = 1, 6 do assert.is_true(is_served(stranger(ip))) end
		end
	end)
end)
