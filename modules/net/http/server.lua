--- The HTTP/1.1 server (RFC 9110, RFC 9112): connections, requests and responses. Which path is whose is decided by
-- events, "GET host/path" (net.http.routes): mod_http adds them for modules that provide "http".
--
-- A handler gets { request =, response = } and answers with a body (text, a file, anything with :read), a status
-- (number), a table { status_code =, headers =, body = }, a promise of any of these, or true: then it will call
-- response:send() itself, later.
--
-- request: method, path (decoded), url = { path, query }, headers (names in lower case with "_"), body, httpversion,
-- host, conn, ip, secure. response: status_code, headers, finished, on_destroy (called when the connection ends before
-- the answer), :send(body), :send_file(file), :write_headers(), :write(bytes), :done().
--
-- Always true: one response per request, in their order; a request is not begun before the one before it is answered. A
-- body that was not read ends the connection with its answer. What peers may take of us is bounded: bytes of heads and
-- bodies, time for each, and what waits to be sent.

local codes = require "prosody.net.http.codes"
local is_error = require "prosody.util.error".is_error
local is_promise = require "prosody.util.promise".is_promise
local log = require "prosody.util.logger".init("http")
local native = require "couplet.native"
local routes = require "prosody.net.http.routes"
local wire = require "net.http.wire"

local getmetatable, ipairs, pairs, pcall, select = getmetatable, ipairs, pairs, pcall, select
local setmetatable, tostring, type, xpcall = setmetatable, tostring, type, xpcall
local io_type, math_huge = io.type, math.huge
local os_date, os_time, traceback = os.date, os.time, debug.traceback
local t_concat = table.concat
local s_format, s_lower, s_match, s_sub = string.format, string.lower, string.match, string.sub

local _M = {}
local _ENV = nil

local events = routes.new()
_M._events = events

-- Enough is on its way; the rest waits until the connection has drained (the core's soft limit).
local QUEUE_ENOUGH = 256 * 1024
local PIECE = 64 * 1024

local options = {
	body_size_limit = 1024 * 1024,
	head_seconds = 10,     -- to send a whole head
	idle_seconds = 30,     -- between two requests
	body_seconds = 10,     -- how often the speed of a body is looked at
	body_bytes_per_second = 500,
	requests_max = 100,    -- on one connection
	peer_facts = nil,      -- function (request) -> ip, is_secure: what a trusted proxy says of its client
}

local hosts = {}     -- host -> true
local default_host
local states = {}    -- conn -> state
local streaming = setmetatable({}, { __mode = "k" }) -- handler -> true: it wants bodies as they come

-- Responses

local now_text, now_second
local function date()
	local second = os_time()
	if second ~= now_second then
		now_second, now_text = second, os_date("!%a, %d %b %Y %H:%M:%S GMT", second)
	end
	return now_text
end

local process, next_request

local function has_no_body(status)
	return status == 204 or status == 304 or status < 200
end

local function destroy(response)
	if response and not response.finished then
		response.finished = true
		local on_destroy = response.on_destroy
		response.on_destroy = nil
		if on_destroy then
			local ok, err = xpcall(on_destroy, traceback, response)
			if not ok then
				log("error", "What a module does when a connection ends has failed: %s", err)
			end
		end
	end
end

-- The bytes of the head. A header that cannot stand there is the module's mistake: the client gets 500 and none of it.
local function head_of(response)
	local ok, head = pcall(wire.response_head, codes[response.status_code], response.headers)
	if ok then
		return head
	end
	log("error", "The answer to %s %s cannot be sent: %s", response.request.method, response.request.path, head)
	response.persistent, response.is_broken = false, true
	response.status_code = 500
	return wire.response_head(codes[500], { connection = "close", content_length = 0, date = date() })
end

local function begin_response(response)
	local request, headers = response.request, response.headers
	response.has_begun = true
	if response.state.is_reading then -- what comes is the rest of a body that nobody wants
		response.persistent = false
	end
	if not response.persistent then
		headers.connection = "close"
	elseif request.httpversion == "1.0" then
		headers.connection = "keep-alive"
	end
	headers.date = headers.date or date()
end

local function stop_source(state)
	local source = state.source
	state.source = nil
	if source and source.close then
		source.close()
	end
end

-- Sends what the source of a response has, as much as the connection should hold now.
local function pump(state)
	while state.source and not state.is_closed do
		if select(3, state.conn:counts()) > QUEUE_ENOUGH then
			return
		end
		local source = state.source
		local more = source.send(state.conn)
		if more == false then
			stop_source(state)
			source.response:done()
		elseif more == nil then
			stop_source(state)
			state.conn:close("the rest of a response could not be had")
		end
	end
end

local function start_source(response, source)
	source.response = response
	response.state.source = source
	pump(response.state)
end

local function text_source(text)
	local at = 1
	return { send = function (conn)
		conn:write(s_sub(text, at, at + PIECE - 1))
		at = at + PIECE
		return at <= #text
	end }
end

local function file_source(file, offset, count)
	return {
		close = function () file:close() end,
		send = function (conn)
			local sent, err = conn:send_file(file, offset, count)
			if not sent then
				log("debug", "A file was not sent to its end: %s", err)
				return nil
			end
			offset, count = offset + sent, count - sent
			return count > 0
		end,
	}
end

local function chunk(bytes)
	return s_format("%x\r\n", #bytes) .. bytes .. "\r\n"
end

local function reader_source(file, is_chunked)
	return {
		close = function () if file.close then file:close() end end,
		send = function (conn)
			local bytes = file:read(PIECE)
			if not bytes or bytes == "" then
				if is_chunked then
					conn:write("0\r\n\r\n")
				end
				return false
			end
			return conn:write(is_chunked and chunk(bytes) or bytes) or nil
		end,
	}
end

local function is_native_file(value)
	local mt = type(value) == "userdata" and getmetatable(value)
	return type(mt) == "table" and mt.__name == "couplet.http.file"
end

local methods = {}
local response_mt = { __index = methods, __name = "http-response" }

--- Sends the answer: its head and this body. Functions of this table may be wrapped by modules (mod_http_logging).
function _M.send_response(response, body)
	if response.finished or response.has_begun then
		return false
	end
	if body ~= nil and type(body) ~= "string" then
		return _M.send_file(response, body)
	end
	body = body or response.body or ""
	local headers = response.headers
	begin_response(response)
	if not has_no_body(response.status_code) then
		headers.content_length = #body
	end
	local head = head_of(response)
	local conn = response.state.conn
	if response.is_head_request or response.is_broken or has_no_body(response.status_code) or body == "" then
		conn:write(head)
	elseif #body <= PIECE then
		conn:write(head .. body)
	else
		conn:write(head)
		start_source(response, text_source(body))
		return true
	end
	response:done()
	return true
end

--- Sends the answer with the bytes of a file: what wire.open gave (count bytes from offset), or anything with :read and
-- :close. Takes the file.
function _M.send_file(response, file, offset, count)
	if response.finished or response.has_begun then
		if file.close then file:close() end
		return false
	end
	local source
	begin_response(response)
	if is_native_file(file) then
		source = file_source(file, offset or 0, count)
		response.headers.content_length = count
	else
		local is_chunked = not response.headers.content_length and response.request.httpversion ~= "1.0"
		if is_chunked then
			response.headers.transfer_encoding = "chunked"
		elseif not response.headers.content_length then
			response.persistent, response.headers.connection = false, "close"
		end
		source = reader_source(file, is_chunked)
	end
	response.state.conn:write(head_of(response))
	if response.is_head_request or response.is_broken or has_no_body(response.status_code) or count == 0 then
		source.close()
		response:done()
		return true
	end
	start_source(response, source)
	return true
end

--- Sends the head now; the body follows with :write, and :done ends it. Without content_length it goes in chunks.
function _M.write_headers(response)
	if response.finished or response.has_begun then
		return false
	end
	begin_response(response)
	if not response.headers.content_length and not has_no_body(response.status_code) then
		if response.request.httpversion == "1.0" then
			response.persistent, response.headers.connection = false, "close"
		else
			response.is_chunked, response.headers.transfer_encoding = true, "chunked"
		end
	end
	response.state.conn:write(head_of(response))
	return true
end
_M.send_head_response = _M.write_headers

--- The head as bytes, for those who write it themselves.
function _M.prepare_header(response)
	begin_response(response)
	return head_of(response)
end

--- The answer is complete.
function _M.finish_response(response)
	if response.finished then
		return
	end
	local state = response.state
	if response.is_chunked and not response.is_head_request then
		state.conn:write("0\r\n\r\n")
	end
	response.finished = true
	response.on_destroy = nil
	if state.response == response then
		next_request(state, response)
	end
end

-- Looked up at each call, since modules put their own in the place of these.
function methods:send(body) return _M.send_response(self, body) end
function methods:send_file(file, offset, count) return _M.send_file(self, file, offset, count) end
function methods:write_headers() return _M.write_headers(self) end
function methods:done() return _M.finish_response(self) end

--- More of a body that was begun with :write_headers. false: the connection takes no more now, or has ended.
function methods:write(bytes)
	if self.finished or bytes == "" then
		return not self.finished
	elseif self.is_head_request then
		return true
	end
	return self.state.conn:write(self.is_chunked and chunk(bytes) or bytes)
end

local function new_response(state, request)
	return setmetatable({
		state = state, request = request, conn = state.conn,
		status_code = 200, headers = {}, finished = false,
		is_head_request = request.method == "HEAD",
		persistent = request.keeps_alive and state.n_requests < options.requests_max,
	}, response_mt)
end

-- Answers

local answer

local function error_page(response, code, message, err)
	response.status_code = code
	local body = events.fire_event("http-error", {
		request = response.request, response = response, code = code, message = message, error = err,
		private_message = err and err.context and err.context.private_message or nil,
	})
	if response.finished then
		return
	elseif body == nil then
		response.headers.content_type = response.headers.content_type or "text/plain; charset=utf-8"
		body = codes[code] .. (message and "\n" .. message or "") .. "\n"
	end
	response:send(body)
end

local function answer_table(response, result)
	for name, value in pairs(result.headers or {}) do
		response.headers[name] = value
	end
	local code = result.status_code or result.code or response.status_code
	response.status_code = code
	if result.body == nil and code >= 400 then
		return error_page(response, code, result.message)
	end
	response:send(result.body or "")
end

--- Makes a response of what a handler gave.
function answer(response, result)
	if response.finished or response.has_begun or result == true then
		return
	end
	local kind = type(result)
	if result == nil or result == false then
		error_page(response, 404)
	elseif kind == "number" then
		if result >= 400 then
			error_page(response, result)
		else
			response.status_code = result
			response:send("")
		end
	elseif is_promise(result) then
		result:next(function (value)
			answer(response, value)
		end, function (err)
			if is_error(err) then
				answer(response, err)
			else
				log("error", "A promised answer to %s %s has failed: %s", response.request.method, response.request.path,
					tostring(err))
				answer(response, 500)
			end
		end)
	elseif is_error(result) then
		error_page(response, type(result.code) == "number" and result.code or 500, result.text, result)
	elseif kind == "string" or io_type(result) == "file" or is_native_file(result) then
		response:send(result)
	elseif kind == "table" then
		answer_table(response, result)
	else
		log("error", "%s %s was answered with a %s", response.request.method, response.request.path, kind)
		error_page(response, 500)
	end
end

-- Requests

local known_methods = { "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT" }

-- The host part of Host, if it is served; else the default one.
local function host_of(request)
	local host = request.host
	if host then
		host = s_lower(s_match(host, "^(.-):%d*$") or host)
		if hosts[host] then
			return host
		end
	end
	return default_host
end

-- The name of the event somebody hears of: on the host, or on all of them ("GET /path").
local function event_name(request, method, host)
	local name = host and method .. " " .. host .. request.path
	if name and events.find(name) then
		return name
	end
	name = method .. " " .. request.path
	return events.find(name) and name or nil
end

local function find_event(request)
	local host = host_of(request)
	return event_name(request, request.method, host)
		or request.method == "HEAD" and event_name(request, "GET", host) or nil
end

local function allowed_methods(request)
	local allowed, host = {}, host_of(request)
	for _, method in ipairs(known_methods) do
		if event_name(request, method, host) or method == "HEAD" and event_name(request, "GET", host) then
			allowed[#allowed + 1] = method
		end
	end
	return allowed[1] and t_concat(allowed, ", ") or nil
end

local function unanswered(request, response)
	local allow = allowed_methods(request)
	if not allow then
		return 404
	elseif request.method == "OPTIONS" then
		response.headers.allow = allow
		return 204
	elseif find_event(request) then
		return 404 -- there is a handler of this method, and it has nothing there
	end
	response.headers.allow = allow
	return 405
end

local function fire(request, response)
	local name = find_event(request)
	local result
	if name then
		local data = { request = request, response = response }
		result = events.fire_event(name, data)
		if result == nil and response.is_head_request and s_sub(name, 1, 5) == "HEAD " then
			name = event_name(request, "GET", host_of(request))
			result = name and events.fire_event(name, data)
		end
	end
	if result == nil and not response.finished and not response.has_begun then
		return unanswered(request, response)
	end
	return result
end

local function handle(request, response)
	local ok, result = xpcall(fire, traceback, request, response)
	if not ok then
		log("error", "%s %s: %s", request.method, request.path, tostring(result))
		result = 500
	end
	if response.finished or response.has_begun then
		return
	end
	ok, result = xpcall(answer, traceback, response, result)
	if not ok then
		log("error", "%s %s: %s", request.method, request.path, tostring(result))
		response.state.conn:close("an answer has failed")
	end
end

-- Connections

local function arm(state, phase, seconds)
	state.phase = phase
	if seconds then
		state.timer:restart(seconds)
	else
		state.timer:stop()
	end
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
		local body = codes[status] .. "\n" .. reason .. "\n"
		local head = wire.response_head(codes[status], {
			connection = "close", content_type = "text/plain; charset=utf-8", content_length = #body, date = date(),
		})
		local is_head = state.request and state.request.method == "HEAD"
		state.conn:write(is_head and head or head .. body)
	end
	state.is_closed = true
	state.timer:stop()
	stop_source(state)
	destroy(response)
	state.conn:close(reason)
end

local function pass_to_sink(state, bytes)
	local ok, written, err = pcall(state.sink.write, state.sink, bytes)
	if not ok or not written then
		log("error", "The body of %s %s could not be stored: %s", state.request.method, state.request.path,
			tostring(not ok and written or err))
		refuse(state, 500, "The server could not store what was sent")
	end
end

-- A handler that wants bodies as they come is asked when the head is here, with body = false. It may answer (no), or
-- set request.body_sink, an object with :write; then it is asked again when all is written.
local function begin_streaming(state, request, response)
	request.body, request.partial = false, true
	handle(request, response)
	if state.is_closed or response.finished or response.has_begun then
		return -- answered: what else comes is not read
	end
	state.sink = request.body_sink
	if not state.sink then
		request.body = nil
	end
end

local function wants_streaming(request)
	local name = find_event(request)
	return name ~= nil and events.any(name, function (handler) return streaming[handler] end)
end

local function begin_request(state, request)
	local conn = state.conn
	state.n_requests = state.n_requests + 1
	state.request, state.is_reading = request, true
	state.parts, state.n_parts, state.sink = nil, 0, nil
	state.body_bytes, state.mark_bytes = 0, 0
	request.conn, request.ip, request.secure = conn, conn:ip(), conn:ssl()
	if options.peer_facts then
		request.ip, request.secure = options.peer_facts(request, state)
	end
	local response = new_response(state, request)
	state.response = response
	local length = request.content_length or 0
	local has_body = request.is_chunked or length > 0
	if not has_body then
		return
	end
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
		conn:write("HTTP/1.1 100 Continue\r\n\r\n")
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
	arm(state, "busy")
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
-- what comes meanwhile is kept by the reader.
local function process_input(state)
	while not state.is_closed and (state.is_reading or not state.response) do
		local kind, a, b = state.reader:next()
		if kind == "more" then
			break
		elseif kind == "head" then
			begin_request(state, a)
		elseif kind == "body" then
			add_body(state, a)
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
	process_input(state)
	state.is_processing = false
	if state.is_closed then
		return
	end
	if not state.response and state.phase ~= "head" and state.phase ~= "idle" then
		arm(state, "idle", options.idle_seconds)
	end
	if not state.response and state.phase == "idle" and not state.reader:is_idle() then
		arm(state, "head", options.head_seconds)
	end
end

-- After an answer: the next request, which may be here already, or the end.
function next_request(state, response)
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
	local state = { conn = conn, reader = wire.reader(), n_requests = 0, phase = "head" }
	states[conn] = state
	state.timer = native.timer(options.head_seconds, function () on_timeout(state) end)
end

function listener.onincoming(conn, data)
	local state = states[conn]
	if not state or state.is_closed then
		return
	end
	if not state.reader:push(data) then
		return refuse(state, 400, "Too much was sent before it was asked for")
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
	response.status_code, response.has_begun = 101, true
	response.headers.date = date()
	response.headers.connection = "Upgrade"
	conn:write(head_of(response))
	response.finished = true
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

-- For mod_http and others

function _M.add_handler(event, handler, priority)
	return events.add_handler(event, handler, priority)
end

function _M.remove_handler(event, handler)
	return events.remove_handler(event, handler)
end

function _M.fire_event(event, ...)
	return events.fire_event(event, ...)
end

--- The handler is asked when the head of a request is here, before its body.
function _M.set_streaming(handler)
	streaming[handler] = true
end

--- Requests to this host are its own; those to hosts nobody added are for the default host.
function _M.add_host(host)
	hosts[host] = true
end

function _M.remove_host(host)
	hosts[host] = nil
end

function _M.set_default_host(host)
	default_host = host
end

function _M.set_option(name, value)
	options[name] = value
end

function _M.get_option(name)
	return options[name]
end

--- Opens a port that portmanager does not know of. Gives the listener, or nil and an error.
function _M.listen_on(port, interface, tls)
	return native.listen { interface = interface or "*", port = port, listener = listener, tls = tls,
		direct_tls = tls ~= nil }
end

--- T: connections alive now.
function _M.count()
	local n = 0
	for _ in pairs(states) do n = n + 1 end
	return n
end

return _M
