--- An XMPP client for scenarios: LuaSocket, LuaSec and LuaExpat, nothing of the code under test.
--
-- Every call that waits has a deadline and says at the end what it saw instead. With COUPLET_TRICKLE=1 (or trickle =
-- true) every write is cut into single bytes, long ones also at random places, each an own write and TLS record.

local certs = require "spec.support.certs"
local loop = require "spec.support.loop"
local sha = require "spec.support.sha"
local socket = require "socket"
local ssl = require "ssl"
local xml = require "spec.support.xml"

local NS_SASL, NS_TLS = "urn:ietf:params:xml:ns:xmpp-sasl", "urn:ietf:params:xml:ns:xmpp-tls"
local NS_STREAM, NS_BIND = "http://etherx.jabber.org/streams", "urn:ietf:params:xml:ns:xmpp-bind"
local NS_STREAM_ERROR = "urn:ietf:params:xml:ns:xmpp-streams"
local BINDING_SIZE = 32
local CONTINUE = {} -- a SASL mechanism's answer without words

local client = {}
client.__index = client

local next_id = 0
local function new_id()
	next_id = next_id + 1
	return ("c%d"):format(next_id)
end

--- options: host (stream's to), ip ("127.0.0.1"), port, tls ("starttls" | "direct" | "none"), user, password, resource,
-- mechanism, certificate + key (files), ca_file, trickle, name (for messages), alpn, tls_protocol. Connects to nothing
-- yet.
function client.new(options)
	local self = setmetatable({
		options = options,
		name = options.name or options.user or "somebody",
		inbox = {}, -- stanzas and stream elements not yet looked at
		log = {},   -- the last things sent and seen, for messages
		output = "",
		trickle = options.trickle,
		binding = {},
	}, client)
	if self.trickle == nil then self.trickle = os.getenv "COUPLET_TRICKLE" == "1" end
	return self
end

function client:note(direction, text)
	text = #text > 400 and text:sub(1, 400) .. "..." or text
	table.insert(self.log, direction .. " " .. text:gsub("[%c\128-\255]", function(c)
		return ("\\x%02x"):format(c:byte())
	end))
	if #self.log > 30 then table.remove(self.log, 1) end
end

function client:story()
	return ("\n%s's last lines:\n\t%s"):format(self.name, table.concat(self.log, "\n\t"))
end

-- ---- bytes ----

function client:connect()
	local options = self.options
	local sock = assert((options.ip or ""):find(":", 1, true) and socket.tcp6() or socket.tcp4())
	sock:settimeout(0)
	sock:setoption("tcp-nodelay", true)
	if options.from_ip then assert(sock:bind(options.from_ip, 0)) end
	if options.receive_buffer then sock:setoption("recv-buffer-size", options.receive_buffer) end
	if options.send_buffer then sock:setoption("send-buffer-size", options.send_buffer) end
	self.socket = sock
	local ok, why = sock:connect(options.ip or "127.0.0.1", options.port)
	if not ok and why ~= "timeout" and why ~= "Operation already in progress" then
		error(("%s cannot connect to port %s: %s"):format(self.name, options.port, why), 2)
	end
	local connected = false
	loop.watch(sock, function() end, function() connected = true end)
	loop.wants_write(sock, true)
	loop.await(function() return connected end, "connecting to port " .. options.port, nil, 2)
	loop.wants_write(sock, false)
	self:watch()
	if options.tls == "direct" then self:handshake() end
	return self
end

function client:watch()
	loop.watch(self.socket, function() self:read() end, function() self:flush() end)
end

function client:unwatch()
	if self.socket then loop.forget(self.socket) end
end

function client:handshake(extra)
	local options = self.options
	self:unwatch()
	local context = {
		mode = "client", protocol = options.tls_protocol or "any", verify = { "peer" }, options = { "all", "no_sslv3" },
		cafile = options.ca_file or certs.path "ca.crt", certificate = options.certificate, key = options.key,
		ciphers = options.ciphers, alpn = options.alpn,
	}
	for key, value in pairs(extra or {}) do context[key] = value end
	local wrapped, why = ssl.wrap(self.socket, context)
	if not wrapped then error("TLS: " .. tostring(why), 2) end
	wrapped:settimeout(0)
	if options.sni ~= false then wrapped:sni(options.sni or options.host) end
	self.socket = wrapped
	local done, failure = false, nil
	local function step()
		local ok, what = wrapped:dohandshake()
		loop.wants_write(wrapped, what == "wantwrite")
		if ok then
			done = true
		elseif what ~= "wantread" and what ~= "wantwrite" and what ~= "timeout" then
			failure = what
		end
	end
	loop.watch(wrapped, step, step)
	step()
	loop.await(function() return done or failure end, self.name .. "'s TLS handshake", nil, 2)
	if failure then
		loop.forget(wrapped)
		self.closed = "TLS: " .. tostring(failure)
		return nil, failure
	end
	self.secure = true
	self:watch()
	return true
end

function client:read()
	local bytes, why, partial = self.socket:receive(65536)
	bytes = bytes or partial
	if bytes and #bytes > 0 then
		self.bytes_in = (self.bytes_in or 0) + #bytes
		self:note("<", bytes)
		if self.parser then
			local parser = self.parser
			local ok, problem = parser.feed(bytes)
			if not ok then
				self.broken = problem
				self:gone(problem)
				return
			end
		else
			self.raw = (self.raw or "") .. bytes
		end
	end
	if why and why ~= "timeout" and why ~= "wantread" and why ~= "wantwrite" then self:gone(why) end
end

function client:gone(why)
	self:unwatch()
	if self.socket then self.socket:close() end
	self.closed = self.closed or why or "closed"
end

-- Cuts for a trickled write: all single bytes while short; else the ends in single bytes and the middle at random.
local function pieces(bytes)
	local cut = {}
	local function singly(from, to)
		for i = from, to do cut[#cut + 1] = bytes:sub(i, i) end
	end
	if #bytes <= 400 then
		singly(1, #bytes)
	else
		singly(1, 100)
		local at, last = 101, #bytes - 100
		while at <= last do
			local size = math.random(1, math.max(2, #bytes // 20))
			cut[#cut + 1] = bytes:sub(at, math.min(at + size - 1, last))
			at = at + size
		end
		singly(last + 1, #bytes)
	end
	return cut
end

function client:flush()
	while self.output ~= "" and not self.closed do
		local sent, why, partial = self.socket:send(self.output)
		sent = sent or partial or 0
		self.output = self.output:sub(sent + 1)
		if why then
			if why ~= "timeout" and why ~= "wantwrite" and why ~= "wantread" then
				-- What the server said before it closed may still be unread: the end is seen by read().
				self.output = ""
				self.write_failed = why
			end
			break
		end
	end
	if not self.closed then loop.wants_write(self.socket, self.output ~= "") end
end

--- Sends bytes as they are, all of them, before it returns.
function client:sends_raw(bytes)
	if self.closed then error(("%s is not connected: %s%s"):format(self.name, self.closed, self:story()), 2) end
	self:note(">", bytes)
	for _, piece in ipairs(self.trickle and pieces(bytes) or { bytes }) do
		self.output = self.output .. piece
		self:flush()
		if self.output ~= "" then
			loop.await(function() return self.output == "" or self.closed end, self.name .. " to get rid of output", nil, 2)
		end
		if self.closed or self.write_failed then return end
	end
end

--- Hands bytes to the socket without waiting for the server to take them (for readers that never read).
function client:queues_raw(bytes)
	self.output = self.output .. bytes
	self:flush()
end

--- Sends one stanza, or several, written as XML.
function client:sends(text) self:sends_raw((text:gsub("^%s+", ""):gsub("%s+$", ""))) end

-- ---- streams ----

function client:new_parser()
	self.header, self.features = nil, nil
	local parser
	parser = xml.stream {
		header = function(element) if self.parser == parser then self.header = element end end,
		stanza = function(element) table.insert(self.inbox, element) end,
		footer = function() self.footer = true end,
	}
	self.parser = parser
end

--- The stream header; attributes override or, with false, leave out: { to=, version=, xmlns=, ["xml:lang"]=, from= }.
function client:header_text(attributes)
	local all = { to = self.options.host, version = "1.0", xmlns = "jabber:client", ["xmlns:stream"] = NS_STREAM }
	for name, value in pairs(attributes or {}) do all[name] = value end
	local names = {}
	for name, value in pairs(all) do
		if value then names[#names + 1] = ("%s='%s'"):format(name, xml.escape(value)) end
	end
	table.sort(names)
	return "<?xml version='1.0'?><stream:stream " .. table.concat(names, " ") .. ">"
end

--- Opens (or after TLS or SASL restarts) the stream and waits for the answer's header.
function client:opens_stream(attributes)
	self:new_parser()
	self:sends_raw(self:header_text(attributes))
	loop.await(function() return self.header or self.closed end, "a stream header" .. self:story(), nil, 2)
	return self.header
end

--- Opens the stream and waits for its features, which are given.
function client:opens_stream_with_features(attributes)
	self:opens_stream(attributes)
	self.features = self:next_stanza(2)
	if not self.features:is("features", NS_STREAM) then
		error(("%s expected stream features, not %s%s"):format(self.name, tostring(self.features), self:story()), 2)
	end
	return self.features
end

function client:starts_tls()
	self:sends_raw(("<starttls xmlns='%s'/>"):format(NS_TLS))
	local answer = self:next_stanza(2)
	if not answer:is("proceed", NS_TLS) then
		error(("%s expected <proceed/>, not %s"):format(self.name, tostring(answer)), 2)
	end
	self.parser = nil
	return self:handshake()
end

--- Names of the mechanisms in the features, as a set.
function client:mechanisms()
	local set = {}
	local list = self.features and self.features:child("mechanisms", NS_SASL)
	for _, mechanism in ipairs(list and list:children "mechanism" or {}) do
		set[mechanism:text()] = true
	end
	return set
end

-- Channel binding data of this connection: name, bytes.
function client:channel_binding(kind)
	if kind == "tls-exporter" then
		return self.socket:exportkeyingmaterial("EXPORTER-Channel-Binding", BINDING_SIZE, "")
	elseif kind == "tls-server-end-point" then
		return sha.from_hex(self.socket:getpeercertificate():digest "sha256")
	elseif kind == "tls-unique" then
		return self.socket:getfinished()
	end
end

-- One mechanism: a coroutine that yields what to send and is resumed with what came.
local sasl = {}

function sasl.PLAIN(_, options)
	coroutine.yield(("%s\0%s\0%s"):format(options.authzid or "", options.user, options.password))
end

function sasl.EXTERNAL(_, options)
	coroutine.yield(options.authzid or "")
end

function sasl.ANONYMOUS()
	coroutine.yield ""
end

local function scram(name, hash, kdf)
	return function(self, options)
		local plus = name:find "-PLUS$"
		local gs2 = plus and ("p=%s"):format(options.binding or (self.socket:info "protocol" == "TLSv1.3" and "tls-exporter"
			or "tls-server-end-point")) or options.gs2 or "n"
		local header = ("%s,%s,"):format(gs2, options.authzid and "a=" .. options.authzid or "")
		local nonce = options.nonce or sha.base64(sha.sha1(tostring(math.random()) .. os.time() .. new_id()))
		local first = ("n=%s,r=%s"):format(options.user:gsub("=", "=3D"):gsub(",", "=2C"), nonce)
		local challenge = coroutine.yield(header .. first)
		local server_nonce, salt, iterations = challenge:match "^r=([^,]+),s=([^,]+),i=(%d+)"
		assert(server_nonce, "SCRAM challenge not understood: " .. challenge)
		assert(server_nonce:sub(1, #nonce) == nonce and #server_nonce > #nonce, "server's nonce does not continue ours")
		self.scram_challenge = { salt = salt, iterations = tonumber(iterations) }
		local data = plus and (options.binding_data or assert(self:channel_binding(gs2:sub(3)))) or ""
		local final = ("c=%s,r=%s"):format(sha.base64(header .. data), server_nonce)
		local salted = sha.pbkdf2(kdf, options.password, sha.from_base64(salt), tonumber(iterations))
		local client_key = sha.hmac(hash, salted, "Client Key")
		local text = ("%s,%s,%s"):format(first, challenge, final)
		local proof = sha.xor(client_key, sha.hmac(hash, hash(client_key), text))
		local outcome = coroutine.yield(final .. ",p=" .. sha.base64(proof))
		if outcome ~= CONTINUE then
			local signature = sha.hmac(hash, sha.hmac(hash, salted, "Server Key"), text)
			assert(outcome == "v=" .. sha.base64(signature), "the server does not know the password: " .. tostring(outcome))
		end
	end
end

for _, plus in ipairs { "", "-PLUS" } do
	sasl["SCRAM-SHA-1" .. plus] = scram("SCRAM-SHA-1" .. plus, sha.sha1, "SHA1")
	sasl["SCRAM-SHA-256" .. plus] = scram("SCRAM-SHA-256" .. plus, sha.sha256, "SHA256")
end

local preference = {
	"SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN", "ANONYMOUS",
}

--- Authenticates (RFC 6120 6). extra overrides options (user, password, authzid, binding_data, ...). Gives true, or nil
-- and the condition of <failure/>.
function client:authenticates(mechanism, extra)
	local options = setmetatable(extra or {}, { __index = self.options })
	if not mechanism then
		local offered = self:mechanisms()
		for _, name in ipairs(preference) do
			if offered[name] then
				mechanism = name
				break
			end
		end
		if not mechanism then error(self.name .. " was offered no mechanism it knows" .. self:story(), 2) end
	end
	self.mechanism = mechanism
	local run = coroutine.wrap(sasl[mechanism] or sasl.PLAIN)
	local say = run(self, options)
	self:sends_raw(("<auth xmlns='%s' mechanism='%s'>%s</auth>"):format(NS_SASL, mechanism,
		say == "" and "=" or sha.base64(say)))
	while true do
		local answer = self:next_stanza(2)
		local text = answer:text()
		if answer:is("challenge", NS_SASL) then
			local reply = run(sha.from_base64(text))
			self:sends_raw(("<response xmlns='%s'>%s</response>"):format(NS_SASL, reply and sha.base64(reply) or ""))
		elseif answer:is("success", NS_SASL) then
			if text ~= "" and text ~= "=" then run(sha.from_base64(text)) end
			self.authenticated = true
			return true
		elseif answer:is("failure", NS_SASL) then
			return nil, answer:child().name, answer
		else
			error(("%s expected an answer of SASL, not %s%s"):format(self.name, tostring(answer), self:story()), 2)
		end
	end
end

--- Binds a resource (RFC 6120 7). resource false: let the server make one. Gives the reply.
function client:binds(resource)
	local id = new_id()
	self:sends_raw(("<iq type='set' id='%s'><bind xmlns='%s'>%s</bind></iq>"):format(id, NS_BIND,
		resource and ("<resource>%s</resource>"):format(xml.escape(resource)) or ""))
	local reply = self:reply_to(id, 2)
	local jid = reply:at("bind", "jid")
	if jid then
		self.jid = jid:text()
		self.bare = self.jid:match "^[^/]*"
		self.resource = self.jid:match "/(.*)$"
	end
	return reply
end

--- Everything up to the features that come after SASL: who is there is known, no resource is bound yet.
function client:enters()
	local options = self.options
	if not self.socket then self:connect() end
	self:opens_stream_with_features()
	if options.tls == nil or options.tls == "starttls" then
		local ok, why = self:starts_tls()
		if not ok then error(self.name .. "'s TLS failed: " .. tostring(why), 2) end
		self:opens_stream_with_features()
	end
	local ok, condition = self:authenticates(options.mechanism)
	if not ok then error(("%s may not in: %s%s"):format(self.name, condition, self:story()), 2) end
	self:opens_stream_with_features()
	return self
end

--- Everything up to the bound session.
function client:logs_in()
	self:enters()
	local reply = self:binds(self.options.resource)
	if not self.jid then error(("%s got no resource: %s"):format(self.name, tostring(reply)), 2) end
	return self
end

--- Sends initial presence and waits for its own to come back.
function client:appears(inside)
	self:sends(("<presence>%s</presence>"):format(inside or ""))
	self:awaits(("<presence from='%s'/>"):format(xml.escape(self.jid)))
	return self
end

-- ---- receiving ----

--- The next stanza or stream element, whatever it is.
function client:next_stanza(level)
	loop.await(function() return #self.inbox > 0 or self.closed end, function()
		return ("%s to receive something%s"):format(self.name, self:story())
	end, nil, (level or 1) + 1)
	if #self.inbox == 0 then
		error(("%s was disconnected (%s) while waiting%s"):format(self.name, self.closed, self:story()), (level or 1) + 1)
	end
	return table.remove(self.inbox, 1)
end

--- The next stanza must match the pattern (spec/support/xml.lua). Gives it.
function client:receives(pattern, exactly)
	local wanted = xml.parse(pattern)
	local stanza = self:next_stanza(2)
	if not xml.matches(wanted, stanza, exactly) then
		error(("%s expected\n\t%s\nbut received\n\t%s"):format(self.name, tostring(wanted), tostring(stanza)), 2)
	end
	return stanza
end

--- As receives, and there is nothing that the pattern does not mention.
function client:receives_exactly(pattern) return self:receives(pattern, true) end

--- The next stanzas match these patterns, in any order. Gives them in the order of the patterns.
function client:receives_all(patterns)
	local wanted, got = {}, {}
	for i, pattern in ipairs(patterns) do wanted[i] = xml.parse(pattern) end
	for _ = 1, #wanted do
		local stanza = self:next_stanza(2)
		local found
		for i, pattern in ipairs(wanted) do
			if not got[i] and xml.matches(pattern, stanza) then
				found = i
				break
			end
		end
		if not found then
			local open = {}
			for i, pattern in ipairs(wanted) do
				if not got[i] then open[#open + 1] = tostring(pattern) end
			end
			error(("%s expected one of\n\t%s\nbut received\n\t%s"):format(self.name, table.concat(open, "\n\t"),
				tostring(stanza)), 2)
		end
		got[found] = stanza
	end
	return table.unpack(got)
end

--- Waits for a stanza that matches, passing over others. Gives it.
function client:awaits(pattern, level)
	local wanted = xml.parse(pattern)
	local found
	loop.await(function()
		for i, stanza in ipairs(self.inbox) do
			if xml.matches(wanted, stanza) then
				found = table.remove(self.inbox, i)
				return true
			end
		end
		return self.closed
	end, function()
		return ("%s to receive %s%s"):format(self.name, tostring(wanted), self:story())
	end, nil, (level or 1) + 1)
	if not found then
		error(("%s was disconnected (%s) while waiting for %s%s"):format(self.name, self.closed, tostring(wanted),
			self:story()), (level or 1) + 1)
	end
	return found
end

-- The reply with that id, passing over others.
function client:reply_to(id, level)
	local found
	loop.await(function()
		for i, stanza in ipairs(self.inbox) do
			local kind = stanza.attr.type
			if stanza.name == "iq" and stanza.attr.id == id and (kind == "result" or kind == "error") then
				found = table.remove(self.inbox, i)
				return true
			end
		end
		return self.closed
	end, function()
		return ("%s to receive the reply to %s%s"):format(self.name, id, self:story())
	end, nil, (level or 1) + 1)
	if not found then
		error(("%s was disconnected (%s) before the reply%s"):format(self.name, self.closed, self:story()), (level or 1) + 1)
	end
	return found
end

--- Sends an iq (an id is added) and gives its reply.
function client:asks(iq, level)
	local id = iq:match "^%s*<iq[^>]-%sid='([^']*)'"
	if not id then
		id = new_id()
		iq = iq:gsub("^%s*<iq", "%0 id='" .. id .. "'", 1)
	end
	self:sends(iq)
	return self:reply_to(id, (level or 1) + 1)
end

--- A round trip: all that was sent to the server before has been handled there, and what that caused has arrived.
function client:settles(level)
	self:asks(("<iq type='get' to='%s'><ping xmlns='urn:xmpp:ping'/></iq>"):format(self.options.host), (level or 1) + 1)
end

--- Nothing has arrived, and nothing is on its way: shown by round trips of all `others`, then our own.
function client:receives_nothing(...)
	for _, other in ipairs { ... } do other:settles(2) end
	self:settles(2)
	if #self.inbox > 0 then
		error(("%s expected nothing but received\n\t%s"):format(self.name, tostring(self.inbox[1])), 2)
	end
end

--- Forgets what has arrived.
function client:forgets()
	self.inbox = {}
end

--- The server ends the stream with this error (nil: any), then the connection. Gives the error element.
function client:is_thrown_out(condition)
	local found
	loop.await(function()
		for _, stanza in ipairs(self.inbox) do
			if stanza:is("error", NS_STREAM) then found = stanza end
		end
		return found or self.closed
	end, function() return ("%s to be thrown out%s"):format(self.name, self:story()) end, nil, 2)
	if not found then
		error(("%s expected a stream error; it was disconnected without (%s)%s"):format(self.name, self.closed,
			self:story()), 2)
	end
	local is = found:child(nil, NS_STREAM_ERROR)
	if condition and not (is and is.name == condition) then
		error(("%s expected the stream error %s, not %s"):format(self.name, condition, tostring(found)), 2)
	end
	self:sees_the_end(2)
	return found
end

--- The server ends the connection.
function client:sees_the_end(level)
	loop.await(function() return self.closed end, function()
		return ("%s to see the end of the connection%s"):format(self.name, self:story())
	end, nil, (level or 1) + 1)
	if self.broken then error(self.broken, (level or 1) + 1) end
end

-- ---- leaving ----

--- Closes the stream in good order and waits for the server to do the same.
function client:leaves()
	if self.socket and not self.closed then
		if self.parser then
			self:sends_raw "</stream:stream>"
			loop.await(function() return self.footer or self.closed end, self.name .. "'s stream to end" .. self:story(), nil, 2)
		end
		self:gone "left"
	end
end

--- Cuts the connection without a word.
function client:vanishes() self:gone "vanished" end

return client
