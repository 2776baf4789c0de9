--- A WebSocket client for scenarios, on frames; nothing of the code under test.
--
--	local ws = websocket.connect(server, { tls = true })
--	ws:sends "<open .../>"    ws:receives()    ws:logs_in("romeo", "secret", "orchard")

local http = require "spec.support.http"
local web = require "spec.support.web"
local xml = require "spec.support.xml"

local websocket = {}
local ws = {}
ws.__index = ws

local NS_FRAMING = "urn:ietf:params:xml:ns:xmpp-framing"

--- The request that asks for a WebSocket; headers replace ours, false leaves one out.
function websocket.request(headers, path)
	local all = {
		Host = "localhost", Connection = "Upgrade", Upgrade = "websocket", ["Sec-WebSocket-Version"] = "13",
		["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25jZQ==", ["Sec-WebSocket-Protocol"] = "xmpp",
	}
	for name, value in pairs(headers or {}) do all[name] = value end
	local lines = { ("GET %s HTTP/1.1"):format(path or "/xmpp-websocket") }
	for name, value in pairs(all) do
		if value then lines[#lines + 1] = name .. ": " .. value end
	end
	return table.concat(lines, "\r\n") .. "\r\n\r\n"
end

function websocket.frame(opcode, payload, how)
	how = how or {}
	local length = #payload
	local key = { 0x37, 0xfa, 0x21, 0x3d }
	local masked = {}
	for i = 1, length do masked[i] = string.char(payload:byte(i) ~ key[(i - 1) % 4 + 1]) end
	local mask_bit = how.mask == false and 0 or 0x80
	local size = length < 126 and string.char(mask_bit | length) or length < 65536
		and string.char(mask_bit | 126) .. (">I2"):pack(length) or string.char(mask_bit | 127) .. (">I8"):pack(length)
	return string.char((how.fin == false and 0 or 0x80) | opcode) .. size
		.. (how.mask == false and payload or string.char(table.unpack(key)) .. table.concat(masked))
end

function websocket.connect(server, options)
	options = options or {}
	local conn = http.connect(server, options)
	conn:sends(websocket.request(options.headers, options.path))
	local response = conn:response()
	if response.status ~= 101 then return nil, response end
	return setmetatable({ conn = conn, response = response }, ws)
end

function ws:sends_frame(opcode, payload, how)
	self.conn:sends(websocket.frame(opcode, payload, how))
	return self
end

function ws:sends(text) return self:sends_frame(1, text) end

--- The next frame: opcode, payload.
function ws:frame()
	local first, second = self.conn:takes(2, "a frame"):byte(1, 2)
	assert(first and first & 0xf0 == 0x80 and second < 128, "a server's frame is final and not masked")
	local length = second
	if second == 126 then length = (">I2"):unpack(self.conn:takes(2)) end
	if second == 127 then length = (">I8"):unpack(self.conn:takes(8)) end
	return first & 0x0f, self.conn:takes(length, "a payload")
end

--- The next message as an element.
function ws:receives()
	local opcode, payload = self:frame()
	assert(opcode == 1, ("opcode %d: %q"):format(opcode, payload))
	return xml.parse(payload), payload
end

--- Code and reason of the close frame, which is next.
function ws:closes()
	local opcode, payload = self:frame()
	assert(opcode == 8, ("opcode %d: %q"):format(opcode, payload))
	local code = payload ~= "" and (">I2"):unpack(payload) or nil
	self.conn:ends()
	return code, payload:sub(3)
end

function ws:opens(to)
	self:sends(("<open xmlns='%s' to='%s' version='1.0'/>"):format(NS_FRAMING, to or "localhost"))
	local open = self:receives()
	assert(open.name == "open" and open.ns == NS_FRAMING, open.name)
	return self:receives(), open
end

function ws:logs_in(user, password, resource, host)
	self:opens(host)
	self:sends(web.auth(user, password))
	local answer = self:receives()
	if answer.name ~= "success" then return nil, answer end
	self:opens(host)
	self:sends(web.bind(resource))
	self.jid = self:receives():at("bind", "jid"):text()
	return self
end

return websocket
