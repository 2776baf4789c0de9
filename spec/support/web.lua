--- What scenarios over WebSocket and over BOSH have in common: the server with its people, and what clients say.

local mime = require "mime"
local Server = require "spec.support.server"

local web = {}

--- A server with these modules (list) on localhost and montague.example, where romeo and juliet are on localhost;
-- config: more lines.
function web.start(modules, config)
	local server = Server.start {
		with_http = true, more_modules = modules, config = config,
		hosts = { localhost = "", ["montague.example"] = "" },
	}
	server:register("romeo", "secret")
	server:register("juliet", "secret")
	return server
end

--- Juliet on TCP, on her balcony.
function web.juliet(server)
	return server:client { user = "juliet", resource = "balcony" }:logs_in():appears()
end

--- Cuts off everybody; after a while the server has nothing of them.
function web.leaves_nothing(server)
	server:forget_clients()
	server:is_alone_with(0)
end

function web.auth(user, password)
	return ("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>%s</auth>"):format(
		mime.b64(("\0%s\0%s"):format(user, password)))
end

function web.bind(resource)
	return ("<iq xmlns='jabber:client' type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
		.. "<resource>%s</resource></bind></iq>"):format(resource)
end

function web.message(to, text)
	return ("<message xmlns='jabber:client' to='%s' type='chat'><body>%s</body></message>"):format(to, text)
end

web.ping = "<iq xmlns='jabber:client' type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>"

return web
