--- Connections of the HTTP server. Requests are read by the core (net.http.wire's channels: limits, deadlines, one
-- request at a time, bodies); here they become requests and responses for handlers.
--
-- Always true: a request is not begun before the one before it is answered. A body that was not read ends the
-- connection with its answer.

local handling = require "prosody.net.http.server.handling"
local log = require "prosody.util.logger".init("http")
local native = require "couplet.native"
local responses = require "prosody.net.http.server.response"
local wire = require "net.http.wire"

local pairs, pcall, setmetatable, tostring = pairs, pcall, setmetatable, tostring
local math_huge, s_lower = math.huge, string.lower

local fail, handle, wants_streaming = handling.fail, handling.handle, handling.wants_streaming
local destroy, pump, response_mt = responses.destroy, responses.pump, responses.mt
local stop_sink, stop_source = responses.stop_sink, responses.stop_source
local request_mt = wire.request_mt

local _M = {}
local _ENV = nil

local POUR_STEP = 1024 * 1024 -- bytes of an upload after which its module hears of it

local options = {
	body_size_limit = 1024 * 1024,
	head_seconds = 10,     -- to send a whole head
	idle_seconds = 30,     -- between two requests
	body_seconds = 10,     -- how often the speed of a body is looked at
	body_bytes_per_second = 500,
	requests_max = 100,    -- on one connection
	is_proxy = nil,        -- function (request): are its headers believed? Asked once per connection
	peer_facts = nil,      -- function (request) -> ip, is_secure: what such a proxy says of its client
}
_M.options = options

-- State of a connection: conn, channel, ip, secure, response (to the request in progress), source (of its rest),
-- sink (of the body in progress).
local states = {} -- conn -> state

-- What the connection and, if there is one, the proxy say of who asks.
local function add_facts(state, request)
	if not state.ip then -- TLS, if there is any, stands by now
		state.ip, state.secure = state.conn:ip(), state.conn:ssl()
		request.ip, request.secure = state.ip, state.secure
	end
	if state.is_proxied == nil then
		state.is_proxied = options.is_proxy and options.is_proxy(request) or false
	end
	if state.is_proxied then
		request.ip, request.secure = options.peer_facts(request)
	end
end

local function begin(state, method, path, head, body)
	local conn = state.conn
	local request = setmetatable({
		method = method, path = path, head = head, conn = conn, ip = state.ip, secure = state.secure, body = body,
	}, request_mt)
	if state.is_proxied ~= false then
		add_facts(state, request)
	end
	local response = setmetatable({
		state = state, request = request, conn = conn, headers = {},
		is_head_request = method == "HEAD" or nil, -- else there is nothing to keep
	}, response_mt)
	state.response = response
	return request, response
end

-- The peer was wrong: an answer outside of any handler, and the end.
local function refuse(state, status, reason)
	log("debug", "%s: refused with %d: %s", state.conn:ip(), status, reason)
	state.channel:stop()
	stop_sink(state)
	responses.send_refusal(state, status, reason)
	stop_source(state)
	destroy(state.response)
	state.conn:close(reason)
end

local function not_stored(state, why)
	local request = state.response.request
	log("error", "The body of %s %s could not be stored: %s", request.method, request.path, tostring(why))
	refuse(state, 500, "The server could not store what was sent")
end

-- A handler that wants bodies as they come is asked when the head is here, with body = false. It may answer (no), or
-- set request.body_sink; then it is asked again when all is written. A sink has :write(bytes), or file, one of
-- util.incoming, which is filled without any string of Lua (:poured(bytes so far) is then told now and again); :close
-- is called when the body does not come to its end.
local function take_streaming(state, request, response, host)
	request.body, request.partial = false, true
	handle(request, response, host)
	if response.finished or response.has_begun then
		return -- answered: what else comes is not read
	end
	local sink = request.body_sink
	state.sink = sink
	if not sink then
		request.body = nil
		state.channel:take(options.body_size_limit)
	elseif sink.file then
		state.channel:take(math_huge, sink.file, POUR_STEP)
	else
		state.channel:take(math_huge, "pieces")
	end
end

local handlers = {}

-- Most requests are this: one without a body.
function handlers.request(state, method, path, host, head)
	local request, response = begin(state, method, path, head, "")
	handle(request, response, host)
end

function handlers.head(state, method, path, host, head)
	local request, response = begin(state, method, path, head, nil)
	state.host = host
	local encoding = request.headers.content_encoding
	if encoding and s_lower(encoding) ~= "identity" then -- nothing here unpacks what might be a bomb
		return refuse(state, 415, "Bodies must not be compressed")
	elseif wants_streaming(request, host) then
		return take_streaming(state, request, response, host)
	end
	state.channel:take(options.body_size_limit)
end

function handlers.body(state, text)
	local response = state.response
	local request = response.request
	request.body, request.partial, state.sink = text, nil, nil
	handle(request, response, state.host)
end

function handlers.piece(state, bytes)
	local ok, written, err = pcall(state.sink.write, state.sink, bytes)
	if not ok or not written then
		not_stored(state, not ok and written or err)
	end
end

function handlers.poured(state, bytes)
	local sink = state.sink
	if sink.poured then
		local ok, err = pcall(sink.poured, sink, bytes)
		if not ok then
			not_stored(state, err)
		end
	end
end

handlers.unstored, handlers.refused = not_stored, refuse

-- What ran has died, of an error or because it took too long: the request is answered all the same.
function handlers.failed(state)
	local response = state.response
	if response then
		log("info", "That was the handler of %s %s", response.request.method, response.request.path)
		if not response.finished then
			fail(response)
		end
	end
end

local server = wire.server(handlers)

--- One of the options above.
function _M.set_option(name, value)
	options[name] = value
	server:set(options)
end
server:set(options)

--- A number for response.site: what is answered under it is counted apart.
function _M.site()
	return server:site()
end

--- What was answered there; see lua_http_server.c.
function _M.figures(site)
	return server:figures(site)
end

local listener = {}
_M.listener = listener

function listener.onconnect(conn)
	local state = { conn = conn }
	state.channel = server:serve(conn, state)
	states[conn] = state
end

-- What somebody else has read before this connection was ours; all that comes later goes to the channel.
function listener.onincoming(conn, bytes)
	local state = states[conn]
	if state and bytes then
		state.channel:push(bytes)
	end
end

function listener.ondrain(conn)
	local state = states[conn]
	if state then
		pump(state)
		local response = state.response
		if response and not response.finished and response.on_drain then
			response:on_drain()
		end
	end
end

-- One of the others has died.
function listener.onfailed(conn)
	local state = states[conn]
	if not state or not state.response then
		conn:close("the server has failed")
	else
		handlers.failed(state)
	end
end

function listener.ondisconnect(conn)
	local state = states[conn]
	if not state then
		return
	end
	states[conn] = nil
	state.channel:release()
	stop_source(state)
	stop_sink(state)
	destroy(state.response)
	state.response = nil
end

--- The connection speaks another protocol from now on: sends 101 with response.headers and hands the connection to
-- new_listener, which gets onincoming with what has come already.
function _M.upgrade(response, new_listener)
	local state = response.state
	local conn = state.conn
	responses.switch_protocols(response)
	local rest = state.channel:release()
	states[conn], state.response = nil, nil
	conn:setlistener(new_listener)
	if rest ~= "" then
		native.defer(function ()
			new_listener.onincoming(conn, rest)
		end)
	end
end

--- How many connections are alive now.
function _M.count()
	local n = 0
	for _ in pairs(states) do n = n + 1 end
	return n
end

return _M
