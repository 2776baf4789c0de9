--- Connections of the HTTP server: requests are read one after the other and handed on; what peers may take of us is
-- bounded (bytes of heads and bodies, time for each, requests on one connection).
--
-- Always true: a request is not begun before the one before it is answered; what comes meanwhile waits, and the
-- connection is paused. A body that was not read ends the connection with its answer.

local handling = require "prosody.net.http.server.handling"
local log = require "prosody.util.logger".init("http")
local native = require "couplet.native"
local responses = require "prosody.net.http.server.response"
local wire = require "net.http.wire"

local pairs, pcall, tostring = pairs, pcall, tostring
local math_huge, s_lower, t_concat = math.huge, string.lower, table.concat

local handle, wants_streaming = handling.handle, handling.wants_streaming
local destroy, new_response, pump = responses.destroy, responses.new, responses.pump
local stop_source = responses.stop_source

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

local states = {} -- conn -> state
local process

-- In the phases "head", "idle" and "body" the timer matters; while a handler works ("busy") it may run out unheard.
local function arm(state, phase, seconds)
	state.phase = phase
	state.timer:restart(seconds)
end

local function drop_body(state)
	local sink = state.sink
	state.parts, state.sink = nil, nil
	if sink and sink.close then
		pcall(sink.close, sink)
	end
end

-- The peer was wrong: an answer outside of any handler, and the end.
local function refuse(state, status, reason)
	if state.is_closed then
		return
	end
	log("debug", "%s: refused with %d: %s", state.conn:ip(), status, reason)
	local response = state.response
	drop_body(state)
	if not (response and response.has_begun) then
		local is_head_request = state.request and state.request.method == "HEAD"
		responses.send_refusal(state.conn, status, reason, is_head_request)
	end
	state.is_closed = true
	state.timer:stop()
	stop_source(state)
	destroy(response)
	state.conn:close(reason)
end

local function not_stored(state, why)
	log("error", "The body of %s %s could not be stored: %s", state.request.method, state.request.path, tostring(why))
	refuse(state, 500, "The server could not store what was sent")
end

local function pass_to_sink(state, bytes)
	local ok, written, err = pcall(state.sink.write, state.sink, bytes)
	if not ok or not written then
		not_stored(state, not ok and written or err)
	end
end

-- The sink's own file has taken that many bytes by now.
local function on_poured(state, bytes)
	state.body_bytes = bytes
	local sink = state.sink
	if sink.poured then
		local ok, err = pcall(sink.poured, sink, bytes)
		if not ok then
			not_stored(state, err)
		end
	end
end

-- A handler that wants bodies as they come is asked when the head is here, with body = false. It may answer (no), or
-- set request.body_sink; then it is asked again when all is written. A sink has :write(bytes), or file, one of
-- util.incoming, which is filled without any string of Lua (:poured(bytes so far) is then told now and again); :close
-- is called when the body does not come to its end.
local function begin_streaming(state, request, response)
	request.body, request.partial = false, true
	handle(request, response)
	if state.is_closed or response.finished or response.has_begun then
		return -- answered: what else comes is not read
	end
	state.sink = request.body_sink
	if not state.sink then
		request.body = nil
	elseif state.sink.file then
		state.reader:pour(state.sink.file, POUR_STEP)
	end
end

-- What the connection and, if there is one, the proxy say of who asks.
local function add_facts(state, request)
	local conn = state.conn
	request.conn, request.ip, request.secure = conn, state.ip, state.secure
	if state.is_proxied == nil then
		state.is_proxied = options.is_proxy and options.is_proxy(request) or false
	end
	if state.is_proxied then
		request.ip, request.secure = options.peer_facts(request)
	end
end

local function begin_request(state, request)
	state.n_requests = state.n_requests + 1
	state.request = request
	add_facts(state, request)
	local response = new_response(state, request, state.n_requests < options.requests_max)
	state.response = response
	return response
end

-- A request without a body, which is most of them.
local function whole_request(state, request)
	local response = begin_request(state, request)
	request.body = ""
	state.phase = "busy"
	log("debug", "%s %s", request.method, request.path)
	handle(request, response)
end

local function begin_body(state, request)
	local response = begin_request(state, request)
	state.is_reading, state.parts, state.n_parts, state.sink = true, nil, 0, nil
	state.body_bytes, state.mark_bytes = 0, 0
	local length = request.content_length or 0
	local encoding = request.headers.content_encoding
	if encoding and s_lower(encoding) ~= "identity" then -- nothing here unpacks what might be a bomb
		return refuse(state, 415, "Bodies must not be compressed")
	end
	local is_streaming = wants_streaming(request)
	local limit = is_streaming and math_huge or options.body_size_limit
	state.reader:limit_body(limit)
	if length > limit then
		return refuse(state, 413, "The body is larger than what is accepted here")
	end
	if is_streaming then
		begin_streaming(state, request, response)
		if response.finished or response.has_begun then
			return
		end
		if not state.sink then
			state.reader:limit_body(options.body_size_limit)
		end
	end
	if request.expects_continue and not state.reader:has_rest() then
		state.conn:write("HTTP/1.1 100 Continue\r\n\r\n")
	end
	arm(state, "body", options.body_seconds)
end

local function add_body(state, bytes)
	state.body_bytes = state.body_bytes + #bytes
	if state.sink then
		return pass_to_sink(state, bytes)
	end
	local n = state.n_parts + 1
	state.parts, state.n_parts = state.parts or {}, n
	state.parts[n] = bytes
end

local function end_request(state)
	local request, response = state.request, state.response
	state.is_reading = false
	if response.finished then -- answered before it was read
		return
	end
	state.phase = "busy"
	if state.sink then
		request.body, request.partial, state.sink = nil, nil, nil
	else
		request.body, request.partial = state.parts and t_concat(state.parts) or "", nil
	end
	state.parts = nil
	log("debug", "%s %s", request.method, request.path)
	handle(request, response)
end

-- What the reader has, until it wants more or an answer is waited for. A handler may wait: then this goes on later, and
-- what comes meanwhile is kept by the reader. True when the connection is idle.
local function process_input(state)
	while not state.is_closed and (state.is_reading or not state.response) do
		local kind, a, b = state.reader:next()
		if kind == "more" then
			return a
		elseif kind == "request" then
			whole_request(state, a)
		elseif kind == "head" then
			begin_body(state, a)
		elseif kind == "body" then
			add_body(state, a)
		elseif kind == "poured" then
			on_poured(state, a)
		elseif kind == "unstored" then
			not_stored(state, a)
		elseif kind == "end" then
			end_request(state)
		else
			refuse(state, a, b)
		end
	end
end

function process(state)
	if state.is_processing then
		return
	end
	state.is_processing = true
	local is_idle = process_input(state)
	state.is_processing = false
	if state.is_closed or state.response then
		return
	elseif not is_idle then
		if state.phase ~= "head" then
			arm(state, "head", options.head_seconds)
		end
	elseif state.phase ~= "idle" and state.n_requests > 0 then
		arm(state, "idle", options.idle_seconds)
	end
end

-- After an answer: the next request, which may be here already, or the end.
local function next_request(state, response)
	state.response = nil
	if state.is_closed then
		return
	end
	if not response.persistent then
		state.is_closed = true
		state.timer:stop()
		drop_body(state)
		state.conn:close("answered")
		return
	end
	state.request = nil
	state.phase = "answered"
	if state.is_paused then
		state.is_paused = false
		state.conn:resume()
	end
	process(state)
end

local function on_timeout(state)
	if state.is_closed then
		return
	elseif state.phase == "head" and not state.reader:is_idle() then
		refuse(state, 408, "The head of the request took too long")
	elseif state.phase == "head" or state.phase == "idle" then
		state.is_closed = true
		state.conn:close("idle")
	elseif state.phase == "body" then
		if state.sink and state.sink.file then
			state.body_bytes = state.sink.file:written()
		end
		if state.body_bytes - state.mark_bytes < options.body_bytes_per_second * options.body_seconds then
			return refuse(state, 408, "The body came too slowly")
		end
		state.mark_bytes = state.body_bytes
		state.timer:restart(options.body_seconds)
	end
end

local listener = {}
_M.listener = listener

function listener.onconnect(conn)
	local reader = wire.reader()
	local state = { conn = conn, reader = reader, n_requests = 0, phase = "head", answered = next_request }
	states[conn] = state
	reader:attach(conn)
	state.timer = native.timer(options.head_seconds, function () on_timeout(state) end)
end

-- The bytes are in the reader already.
function listener.onincoming(conn)
	local state = states[conn]
	if not state or state.is_closed then
		return
	end
	if not state.ip then -- TLS, if there is any, stands by now
		state.ip, state.secure = conn:ip(), conn:ssl()
	end
	if state.is_processing or state.response and not state.is_reading then
		if not state.is_paused then -- the answer comes first
			state.is_paused = true
			conn:pause()
		end
		return
	end
	process(state)
end

function listener.onfull(conn)
	local state = states[conn]
	if state then
		refuse(state, 400, "Too much was sent before it was asked for")
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

-- What ran has died, of an error of ours or because it took too long: the request is answered all the same.
function listener.onfailed(conn)
	local state = states[conn]
	if not state or state.is_closed then
		return
	end
	state.is_processing = false
	local response = state.response
	if response and not response.finished then
		handling.fail(response)
	else
		conn:close("the server has failed")
	end
end

function listener.ondisconnect(conn)
	local state = states[conn]
	if not state then
		return
	end
	states[conn] = nil
	state.is_closed = true
	state.timer:stop()
	stop_source(state)
	drop_body(state)
	destroy(state.response)
	state.response = nil
	if not state.is_processing then
		state.reader:close()
	end
end

--- The connection speaks another protocol from now on: sends 101 with response.headers and hands the connection to
-- new_listener, which gets onincoming with what has come already.
function _M.upgrade(response, new_listener)
	local state = response.state
	local conn = state.conn
	responses.switch_protocols(response)
	states[conn] = nil
	state.is_closed, state.response = true, nil
	state.timer:stop()
	conn:setlistener(new_listener)
	local rest = state.reader:rest()
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
