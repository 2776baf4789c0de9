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
local connection = require "prosody.net.http.server.connection"
local handling = require "prosody.net.http.server.handling"
local native = require "couplet.native"
local responses = require "prosody.net.http.server.response"

local options, events = connection.options, handling.events

local _M = {}
local _ENV = nil

_M._events = events
_M.listener, _M.upgrade, _M.count = connection.listener, connection.upgrade, connection.count

-- Sending. Modules may put functions of their own in the place of these (mod_http_logging), so the methods of responses
-- look them up at each call.
_M.send_response, _M.send_file, _M.finish_response = responses.send, responses.send_file, responses.finish
_M.write_headers, _M.send_head_response = responses.write_headers, responses.write_headers
_M.prepare_header = responses.prepare_header

local methods = responses.methods
function methods:send(body) return _M.send_response(self, body) end
function methods:send_file(file, offset, count) return _M.send_file(self, file, offset, count) end
function methods:write_headers() return _M.write_headers(self) end
function methods:done() return _M.finish_response(self) end

-- Handlers

function _M.add_handler(event, handler, priority)
	return events.add_handler(event, handler, priority)
end

function _M.remove_handler(event, handler)
	return events.remove_handler(event, handler)
end

function _M.fire_event(event, ...)
	return events.fire_event(event, ...)
end

_M.set_streaming, _M.add_host, _M.remove_host = handling.set_streaming, handling.add_host, handling.remove_host
_M.set_default_host = handling.set_default_host

_M.set_option = connection.set_option
_M.site, _M.figures = connection.site, connection.figures

function _M.get_option(name)
	return options[name]
end

--- Opens a port that portmanager does not know of. Gives the listener, or nil and an error.
function _M.listen_on(port, interface, tls)
	return native.listen { interface = interface or "*", port = port, listener = connection.listener, tls = tls,
		direct_tls = tls ~= nil }
end

return _M
