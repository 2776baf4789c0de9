-- A module that takes too much while it handles a stanza is ended; whoever sent the stanza hears of it, however they
-- are connected, and everybody else goes on.

local bosh = require "spec.support.bosh"
local Server = require "spec.support.server"
local support = require "spec.support.web"
local websocket = require "spec.support.websocket"

local greedy_module = [[
module:hook("message/host", function(event)
	if not event.stanza:get_child "body" then return end
	local all = {}
	while true do all[#all + 1] = ("x"):rep(60 << 20) end
end, 10)
]]

describe("A handler that takes too much", function()
	local server

	setup(function()
		server = Server.start { with_http = true, more_modules = { "websocket", "bosh", "greedy" },
			plugins = { greedy = greedy_module } }
		server:expects_error "interrupted"
		server:register("romeo", "secret")
	end)
	teardown(function() server:stop() end)
	after_each(function() server:forget_clients() end)

	local greedy = "<message xmlns='jabber:client' to='localhost' id='g'><body>x</body></message>"
	local ping = support.ping

	it("ends nobody's WebSocket: its sender gets an error, and goes on", function()
		local ws = assert(websocket.connect(server, { tls = true })):logs_in("romeo", "secret", "web")
		ws:sends(greedy)
		local answer = ws:receives()
		assert.equal("error", answer.attr.type)
		assert.truthy(answer:at("error", "internal-server-error"))
		ws:sends(ping)
		assert.equal("result", ws:receives().attr.type)
	end)

	it("ends a BOSH session in order: the request fails, the next one hears why, another session is served", function()
		local function romeo() return assert(bosh.new(server, { tls = true }):logs_in("romeo", "secret", "web")) end
		local web = romeo()
		assert.equal(500, web:sends(greedy).conn:response().status)
		local body = web:asks(ping)
		assert.same({ "terminate", "internal-server-error" }, { body.attr.type, body.attr.condition })
		web = romeo()
		assert.equal("result", web:asks(ping):at("iq").attr.type)
		web:asks("", { type = "terminate" })
	end)
end)
