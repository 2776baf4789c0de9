--- XMPP over WebSocket (RFC 7395, RFC 6455): web clients log in at /xmpp-websocket.
-- @option consider_websocket_secure       boolean, false: count connections as secure that come without TLS to us
-- @option websocket_origins               set, {}: origins ("https://chat.example") whose pages may connect; ours may
-- @option cross_domain_websocket          boolean or set: an older name; true lets every page connect
-- @option websocket_frame_fragment_limit  number, 8: fragments of a message
-- @option c2s_timeout                     period, 30 seconds: to log in and bind a resource
-- @option c2s_idle_timeout                period, 5 minutes: silence before a ping; as long again, and it is over. A
--                                         minute of silence in the middle of a message is the end, too
-- @option c2s_stanza_size_limit           bytes, 262144: of a message after login
-- @option c2s_unauthed_stanza_size_limit  bytes, 8192: before login
-- @hooks  none        @fires http-message        @stores none
-- @spec   spec/e2e/web_websocket_spec.lua, spec/e2e/web_frames_spec.lua, spec/e2e/web_greedy_spec.lua
--
-- Always true: one element per message; no extension; an element goes the same way, under the same limits, as on TCP.

module:depends("http")

local base64 = require "prosody.util.encodings".base64
local frames = require "prosody.net.websocket.frames"
local contains_token = require "prosody.util.http".contains_token
local monotonic = require "prosody.util.time".monotonic
local native = require "couplet.native"
local new_id = require "prosody.util.id".medium
local server = require "prosody.net.http.server"
local sha1 = require "prosody.util.hashes".sha1
local st = require "prosody.util.stanza"
local web = require "prosody.net.xmpp_web"

local NS_FRAMING = "urn:ietf:params:xml:ns:xmpp-framing"
local GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" -- RFC 6455 1.3
local PINGS_MAX, PINGS_SECONDS = 10, 10

local fragments_max = module:get_option_integer("websocket_frame_fragment_limit", 8, 1)
local login_seconds = module:get_option_period("c2s_timeout", "30 seconds")
local idle_seconds = module:get_option_period("c2s_idle_timeout", "5 minutes")
local stanza_bytes = module:get_option_integer("c2s_stanza_size_limit", 256 * 1024, 10000)
local unauthed_bytes = module:get_option_integer("c2s_unauthed_stanza_size_limit", 8192, 1024)

local entrance = web.entrance(module, {
	name = "websocket", path = "/xmpp-websocket", title = "WebSocket",
	origin_options = { "websocket_origins", "cross_domain_websocket" },
	is_considered_secure = module:get_option_boolean("consider_websocket_secure", false),
})

-- Sockets: { conn, frames (native.websocket), session, ip, secure, was_opened, is_opening, is_closed, awaits_pong }.
-- While a stream is open, its stanzas go between connection and session without coming here.

local sockets = {} -- conn -> socket

local function write_text(socket, text)
	return not socket.is_closed and socket.conn:write(frames.text(text))
end

-- The end, said on all levels that were reached: stream error, <close/>, close frame.
local function close_socket(socket, code, reason)
	if socket.is_closed then return end
	socket.is_closed = true
	socket.timer:stop()
	socket.conn:write(frames.close(code, reason))
	socket.conn:close(reason ~= "" and reason or "closed")
end

local function say_goodbye(socket, condition, text)
	if socket.is_closed then return end
	if condition and not socket.was_opened then -- RFC 7395 3.5: an error needs a stream to stand in
		socket.was_opened = true
		write_text(socket, tostring(st.stanza("open", { xmlns = NS_FRAMING, version = "1.0", id = new_id(),
			from = module.host })))
	end
	local element = web.stream_error(condition, text)
	if element then write_text(socket, tostring(element)) end
	if socket.was_opened then write_text(socket, tostring(st.stanza("close", { xmlns = NS_FRAMING }))) end
	close_socket(socket, 1000, condition or "")
end

local function fail(socket, condition, text)
	module:log("debug", "%s: %s: %s", socket.ip, condition, text)
	if socket.session then
		socket.session:close({ condition = condition, text = text })
	end
	say_goodbye(socket, condition, text)
end

local carrier = {}

function carrier.close(session, condition, text)
	say_goodbye(session.websocket, condition, text)
end

-- What of a connection stands in the fields of its session.
local function set_fields(session, socket, streamid)
	session.websocket, session.conn, session.streamid = socket, socket and socket.conn, streamid
	session.ip, session.secure = socket and socket.ip, socket and socket.secure
	session.reset_stream = socket and function ()
		socket.is_opening = true
		socket.frames:carry(session, false)
	end or nil
	session.carrier = socket and carrier or nil
	if socket then socket.session = session end
end

-- The session goes on without this connection (XEP-0198).
function carrier.leave(session, condition, text)
	local socket = session.websocket
	set_fields(session, nil)
	socket.session = nil
	if condition then say_goodbye(socket, condition, text) else close_socket(socket, 1001, text or "") end
end

function carrier.move(from, to)
	local socket, streamid = from.websocket, from.streamid
	set_fields(from, nil)
	set_fields(to, socket, streamid)
end

-- What comes in

local function bytes_max(socket)
	return socket.session and socket.session.username and stanza_bytes or unauthed_bytes
end

-- RFC 7395 3.3.2, 3.7: <open/> begins a stream, again after SASL.
local function handle_open(socket, element)
	local host, condition, text = web.find_host(element.attr.to, "websocket")
	if not host then return fail(socket, condition, text) end
	if (element.attr.version or ""):sub(1, 2) ~= "1." then
		return fail(socket, "unsupported-version", "Only XMPP 1.0 is supported")
	end
	local session = socket.session
	if not session then
		session = native.carried_session(host, carrier)
		set_fields(session, socket)
	elseif session.host ~= host then -- a login is for the host it was made on
		return fail(socket, "not-authorized", "A restarted stream must be to the same host")
	end
	session.streamid = new_id()
	socket.is_opening, socket.was_opened = false, true
	socket.frames:limit(bytes_max(socket))
	socket.frames:carry(session, true)
	write_text(socket, tostring(st.stanza("open", { xmlns = NS_FRAMING, from = host, id = session.streamid,
		version = "1.0", ["xml:lang"] = "en" })))
	web.send_features(session)
end

local function handle_close(socket)
	if socket.session then native.end_session(socket.session, "closed by the client") end
	say_goodbye(socket)
end

-- <open/>, <close/>, and what is sent while there is no stream.
local function handle_element(socket, element)
	if element.attr.xmlns == NS_FRAMING then
		if element.name == "open" then
			if socket.is_opening then return handle_open(socket, element) end
			return fail(socket, "policy-violation", "The stream is open already")
		elseif element.name == "close" then
			return handle_close(socket)
		end
		return fail(socket, "unsupported-stanza-type", "There is <open/> and <close/>")
	end
	fail(socket, socket.session and "not-authorized" or "invalid-namespace", "A stream begins with <open/>")
end

-- A ping now and then is how clients find out that we are there; a flood of them is something else.
local function handle_ping(socket, payload)
	local now = monotonic()
	if now - socket.pings_since > PINGS_SECONDS then socket.pings, socket.pings_since = 0, now end
	socket.pings = socket.pings + 1
	if socket.pings > PINGS_MAX then
		if socket.session then native.end_session(socket.session, "too many pings") end
		return close_socket(socket, 1008, "Too many pings")
	end
	socket.conn:write(frames.pong(payload))
end

local function end_socket(socket, code, why)
	if socket.session then native.end_session(socket.session, why) end
	close_socket(socket, code, why)
end

-- The connection is no more; with stream management the session may be (RFC 7395 3.6).
local function lose_socket(socket, code, why)
	if socket.session then native.lost_session(socket.session, why) end
	close_socket(socket, code, why)
end

local handlers = {
	element = handle_element, unfit = fail, ping = handle_ping,
	pong = function () end,
	binary = function (socket) end_socket(socket, 1003, "Only text is understood here") end,
	close = function (socket, code) lose_socket(socket, code, "closed by the client") end,
	failed = end_socket,
}

local function read(socket)
	while not socket.is_closed do
		local kind, a, b = socket.frames:next()
		if kind == "more" then break end
		handlers[kind](socket, a, b)
	end
end

local listener = {}

-- data: what had come before the connection spoke WebSocket; else frames has it.
function listener.onincoming(conn, data)
	local socket = sockets[conn]
	if not socket or socket.is_closed then return end
	if data and not socket.frames:push(data) then return listener.onfull(conn) end
	read(socket)
end

function listener.onfull(conn)
	local socket = sockets[conn]
	if socket then end_socket(socket, 1009, "Too much at once") end
end

-- A handler has died: the client is told, and may come again.
function listener.onfailed(conn)
	local socket = sockets[conn]
	if socket then fail(socket, "internal-server-error") end
end

function listener.onreadtimeout(conn)
	local socket = sockets[conn]
	if not socket or socket.is_closed then return end
	if socket.frames:is_partial() then return lose_socket(socket, 1008, "The end of a message did not come") end
	local bytes_in = conn:counts()
	if socket.awaits_pong == bytes_in then return lose_socket(socket, 1001, "No answer to a ping") end
	socket.awaits_pong = bytes_in
	conn:write(frames.ping())
end

function listener.ondisconnect(conn, reason)
	local socket = sockets[conn]
	if not socket then return end
	sockets[conn] = nil
	socket.is_closed = true
	socket.timer:stop()
	socket.frames:close()
	if socket.session then native.lost_session(socket.session, reason or "disconnected") end
end

local function start(event)
	local request, conn = event.request, event.request.conn
	local socket = {
		conn = conn, is_opening = true,
		ip = request.ip, secure = entrance:is_secure(request), pings = 0, pings_since = monotonic(),
	}
	sockets[conn] = socket
	socket.timer = native.timer(login_seconds, function ()
		if not (socket.session and socket.session.full_jid) then
			fail(socket, "connection-timeout", "Logging in took too long")
		end
	end)
	server.upgrade(event.response, listener)
	socket.frames = native.websocket(conn, frames.reader(unauthed_bytes, fragments_max), idle_seconds)
	module:log("debug", "WebSocket from %s", socket.ip)
	return true
end

-- RFC 6455 4.2
local function handle_request(event)
	local headers, response = event.request.headers, event.response
	if not contains_token(headers.upgrade or "", "websocket") then
		response.status_code = 426
		response.headers.upgrade = "websocket"
		return entrance:describe(event) or 426
	end
	if not entrance:admits(event.request) then return 403 end
	local key = headers.sec_websocket_key
	local nonce = key and base64.decode(key)
	if headers.sec_websocket_version ~= "13" then
		response.headers.sec_websocket_version = "13"
		return 426
	elseif event.request.httpversion ~= "1.1" or not contains_token(headers.connection or "", "upgrade")
		or not nonce or #nonce ~= 16 then
		return 400
	elseif not contains_token(headers.sec_websocket_protocol or "", "xmpp") then
		return { status_code = 400, message = "The subprotocol must be xmpp" }
	end
	response.headers.upgrade = "websocket"
	response.headers.sec_websocket_accept = base64.encode(sha1(key .. GUID))
	response.headers.sec_websocket_protocol = "xmpp"
	return start(event)
end

function module.unload()
	for _, socket in pairs(sockets) do
		if socket.session then
			socket.session:close({ condition = "system-shutdown", text = "The service is being restarted" })
		end
		close_socket(socket, 1001, "The service is being restarted")
	end
end

module:provides("http", {
	name = "websocket",
	default_path = "/xmpp-websocket",
	shares_path = true, -- the host is what <open/> says
	route = { ["GET"] = handle_request },
})
