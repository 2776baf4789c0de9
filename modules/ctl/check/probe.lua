--- One connection to an XMPP server, as a client or another server makes it: as far as TLS and the features behind it.
-- Always true: done is called once, in a turn of its own, within TIMEOUT_SECONDS.

local native = require "couplet.native"

local TIMEOUT_SECONDS, MAX_BYTES = 10, 64 * 1024
local xmlns_tls = "urn:ietf:params:xml:ns:xmpp-tls"
local content = { client = "jabber:client", server = "jabber:server" }

local methods = {}
local probe_mt = { __index = methods }

-- failure: a sentence, nil when all went well.
function methods:finish(failure)
	if self.is_over then return end
	self.is_over = true
	self.timer:stop()
	self.failure = failure
	if self.conn then self.conn:close() end
	native.defer(function () self.done(self) end)
end

--- Sends the header of a stream (RFC 6120 4.2), in the clear or inside TLS.
function methods:open_stream()
	self.received = ""
	self.conn:write(("<?xml version='1.0'?><stream:stream to='%s' version='1.0' xmlns='%s' "
		.. "xmlns:stream='http://etherx.jabber.org/streams'>"):format(self.host, content[self.kind]))
end

--- Begins TLS on the connection; asks for ALPN (XEP-0368) when it is direct.
function methods:start_tls()
	if not self.conn:starttls(self.context, self.host, self.is_direct and "xmpp-" .. self.kind or nil) then
		self:finish("TLS cannot be started")
	end
end

local function on_features(self)
	if self.is_secure then return self:finish() end
	if not self.received:find(xmlns_tls, 1, true) then return self:finish("STARTTLS is not offered") end
	self.received, self.waits_for = "", "proceed"
	self.conn:write(("<starttls xmlns='%s'/>"):format(xmlns_tls))
end

local function on_bytes(self, bytes)
	self.received = self.received .. bytes
	local received = self.received
	if self.waits_for == "proceed" then
		if received:find("<proceed[%s/>]") then
			self.waits_for = nil
			return self:start_tls()
		elseif received:find("<failure[%s/>]") then
			return self:finish("STARTTLS was refused")
		end
	elseif received:find("</[%w:]*features>") or received:find("<[%w:]*features%s*/>") then
		return on_features(self)
	end
	if received:find("<[%w:]*error[%s>]") then
		local condition = received:match("<([%w-]+)[^>]*urn:ietf:params:xml:ns:xmpp%-streams")
		self:finish(("the stream ended with %s"):format(condition or "an error"))
	elseif #received > MAX_BYTES then
		self:finish("it says too much that is not XMPP")
	end
end

local function on_secure(self)
	self.is_secure, self.tls = true, self.conn:ssl_info()
	self.is_trusted, self.why_not_trusted = self.conn:ssl_peerverify()
	self.chain = self.conn:ssl_peerchain_pem()
	self:open_stream()
end

--- Starts. options: address, port, host (the domain asked for), kind ("client" or "server"), is_direct (TLS from the
-- first byte), context (a client's, of native.tls_context), done(probe). Then the probe has failure (text or nil),
-- is_secure, tls (protocol, cipher), is_trusted or why_not_trusted, and chain (PEM).
local function start(options)
	local self = setmetatable(options, probe_mt)
	self.timer = native.timer(TIMEOUT_SECONDS, function ()
		self:finish(("no answer within %d seconds"):format(TIMEOUT_SECONDS))
	end)
	local err
	self.conn, err = native.connect(self.address, self.port, {
		onconnect = function () if not self.is_direct then self:open_stream() end end,
		onincoming = function (_, bytes) if not self.is_over then on_bytes(self, bytes) end end,
		onstatus = function (_, status)
			if status == "ssl-handshake-complete" and not self.is_over then on_secure(self) end
		end,
		ondisconnect = function (_, reason)
			self.conn = nil
			self:finish(reason or "the connection was closed")
		end,
	})
	if not self.conn then
		self:finish(err)
	elseif self.is_direct then
		self:start_tls()
	end
	return self
end

return { start = start }
