--- What a request is answered with: <body/>, in a response of its own (XEP-0124 6, 7).

local native = require "couplet.native"
local xml_escape = require "prosody.util.stanza".xml_escape

local NS_BIND, NS_STREAMS = "http://jabber.org/protocol/httpbind", "http://etherx.jabber.org/streams"

local body = { xmlns = NS_BIND }

--- attributes: name -> value; payload: XML, or nil.
function body.text(attributes, payload)
	local parts = { "<body xmlns='", NS_BIND, "'" }
	for name, value in pairs(attributes or {}) do
		table.insert(parts, (" %s='%s'"):format(name, xml_escape(tostring(value))))
	end
	if payload == nil or payload == "" then
		table.insert(parts, "/>")
	else
		table.insert(parts, " xmlns:stream='" .. NS_STREAMS .. "'>")
		table.insert(parts, payload)
		table.insert(parts, "</body>")
	end
	return table.concat(parts)
end

--- What it says may have been decided in an earlier turn, by what is not durable yet: it waits for that.
function body.send(response, text)
	native.hold_for()
	response.headers.content_type = "text/xml; charset=utf-8"
	response.headers.cache_control = "no-store"
	response.on_destroy = nil
	response:send(text)
end

--- Answers a request that belongs to no session (any more). True, for who handles it.
function body.refuse(response, condition)
	body.send(response, body.text { type = "terminate", condition = condition })
	return true
end

return body
