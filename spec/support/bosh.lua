--- A BOSH client for scenarios; nothing of the code under test.
--
--	local web = bosh.new(server, { tls = true })      web:creates { to = "localhost" }
--	local answer = web:asks("<presence xmlns='jabber:client'/>")        waits for the answer to this request
--	local asked = web:sends("...")    asked.conn:response()             does not

local http = require "spec.support.http"
local web = require "spec.support.web"
local xml = require "spec.support.xml"

local bosh = {}
local client = {}
client.__index = client

local NS = "http://jabber.org/protocol/httpbind"

function bosh.new(server, options)
	options = options or {}
	return setmetatable({ server = server, options = options, rid = options.rid or math.random(1 << 40) }, client)
end

--- One POST on a connection of its own. Gives { conn, rid, text }.
function client:posts(text, headers)
	local all = { Host = "localhost", ["Content-Type"] = "text/xml; charset=utf-8", ["Content-Length"] = #text }
	for name, value in pairs(headers or self.options.headers or {}) do all[name] = value end
	local lines = { "POST /http-bind HTTP/1.1" }
	for name, value in pairs(all) do
		if value then lines[#lines + 1] = name .. ": " .. value end
	end
	local conn = http.connect(self.server, { tls = self.options.tls, trickle = self.options.trickle,
		port = self.options.port, from_ip = self.options.from_ip })
	conn:sends(table.concat(lines, "\r\n") .. "\r\n\r\n" .. text)
	return { conn = conn, text = text }
end

function client:body(attributes, payload)
	local parts = { ("<body xmlns='%s'"):format(NS) }
	for name, value in pairs(attributes) do
		if value then parts[#parts + 1] = (" %s='%s'"):format(name, value) end
	end
	parts[#parts + 1] = ">" .. (payload or "") .. "</body>"
	return table.concat(parts)
end

function bosh.answer(asked)
	local response = asked.conn:response()
	assert(response.status == 200, "status " .. response.status)
	assert(response.headers["content-type"] == "text/xml; charset=utf-8")
	local body = xml.parse(response.body)
	assert(body.name == "body" and body.ns == NS, response.body)
	asked.conn:vanishes()
	return body, response.body
end

--- The next request, with its rid.
function client:sends(payload, attributes)
	self.rid = self.rid + 1
	local all = { rid = self.rid, sid = self.sid }
	for name, value in pairs(attributes or {}) do all[name] = value end
	local asked = self:posts(self:body(all, payload))
	asked.rid = self.rid
	return asked
end

function client:asks(payload, attributes) return bosh.answer(self:sends(payload, attributes)) end

--- The same request once more.
function client:repeats(asked)
	local again = self:posts(asked.text)
	again.rid = asked.rid
	return again
end

function client:creates(attributes)
	local all = { rid = self.rid, to = "localhost", wait = 60, hold = 1, ver = "1.6", content = "text/xml; charset=utf-8",
		["xmlns:xmpp"] = "urn:xmpp:xbosh", ["xmpp:version"] = "1.0", ["xml:lang"] = "en" }
	for name, value in pairs(attributes or {}) do all[name] = value end
	local body, text = bosh.answer(self:posts(self:body(all)))
	self.sid = body.attr.sid
	return body, text
end

function client:restarts()
	return self:asks("", { ["xmlns:xmpp"] = "urn:xmpp:xbosh", ["xmpp:restart"] = "true", to = "localhost" })
end

--- attributes: of the first request.
function client:logs_in(user, password, resource, attributes)
	self:creates(attributes)
	local answer = self:asks(web.auth(user, password))
	while not answer[1] do answer = self:asks() end -- for who polls there is no answer yet
	if not answer:child "success" then return nil, answer end
	self:restarts()
	answer = self:asks(web.bind(resource))
	self.jid = answer:at("iq", "bind", "jid"):text()
	return self
end

return bosh
