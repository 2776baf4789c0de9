--- Responses of the HTTP server: their heads, and bodies as text, as files, in chunks.
--
-- response: request, conn, status_code, headers, finished, on_destroy (called when the connection ends before the
-- answer), :send(body), :send_file(file), :write_headers(), :write(bytes), :done(). The methods but write are those of
-- the server's table, which modules may wrap.
--
-- Always true: a response is begun once; what the connection does not take yet is not made yet (a source is asked for
-- more when it has drained). A header that cannot stand in a head is never sent: the client gets 500 in its place.

local codes = require "prosody.net.http.codes"
local log = require "prosody.util.logger".init("http")
local wire = require "net.http.wire"

local getmetatable, pcall, select = getmetatable, pcall, select
local setmetatable, type, xpcall = setmetatable, type, xpcall
local os_date, os_time, traceback = os.date, os.time, debug.traceback
local s_format, s_sub = string.format, string.sub

local _M = {}
local _ENV = nil

-- Enough is on its way; the rest waits until the connection has drained (the core's soft limit).
local QUEUE_ENOUGH = 256 * 1024
local PIECE = 64 * 1024

local methods = {}
local response_mt = { __index = methods, __name = "http-response" }
_M.methods = methods

-- Heads

local now_text, now_second
local function date()
	local second = os_time()
	if second ~= now_second then
		now_second, now_text = second, os_date("!%a, %d %b %Y %H:%M:%S GMT", second)
	end
	return now_text
end

local function has_no_body(status)
	return status == 204 or status == 304 or status < 200
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

--- The bytes of an answer outside of any handler: the peer was wrong, and the connection ends.
function _M.refusal(status, reason, is_head_request)
	local body = codes[status] .. "\n" .. reason .. "\n"
	local head = wire.response_head(codes[status], {
		connection = "close", content_type = "text/plain; charset=utf-8", content_length = #body, date = date(),
	})
	return is_head_request and head or head .. body
end

--- The head as bytes, for those who write it themselves.
function _M.prepare_header(response)
	begin_response(response)
	return head_of(response)
end

-- Bodies: a source has send(conn) -> true (there is more), false (that was all), nil (it has failed), and close().

--- Forgets what was still to be sent.
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

--- Is it what wire.open gives?
local function is_native_file(value)
	local mt = type(value) == "userdata" and getmetatable(value)
	return type(mt) == "table" and mt.__name == "couplet.http.file"
end

--- Sends the answer: its head and this body. Functions of this table may be wrapped by modules (mod_http_logging).
function _M.send(response, body)
	if response.finished or response.has_begun then
		return false
	end
	if body ~= nil and type(body) ~= "string" then
		return response:send_file(body)
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
--- The answer is complete.
function _M.finish(response)
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
		state.answered(state, response)
	end
end

--- More of a body that was begun with :write_headers. false: the connection takes no more now, or has ended.
function methods:write(bytes)
	if self.finished or bytes == "" then
		return not self.finished
	elseif self.is_head_request then
		return true
	end
	return self.state.conn:write(self.is_chunked and chunk(bytes) or bytes)
end

_M.stop_source, _M.pump, _M.is_file = stop_source, pump, is_native_file

--- The response to a request on a connection: state has conn, is_reading, and answered(state, response), called when it
-- is complete.
function _M.new(state, request, is_persistent)
	return setmetatable({
		state = state, request = request, conn = state.conn,
		status_code = 200, headers = {}, finished = false,
		is_head_request = request.method == "HEAD",
		persistent = request.keeps_alive and is_persistent,
	}, response_mt)
end

--- The connection has ended: whoever still works on the response hears of it.
function _M.destroy(response)
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

--- The head of an answer that hands the connection to another protocol.
function _M.switch_protocols(response)
	response.status_code, response.has_begun = 101, true
	response.headers.date = date()
	response.headers.connection = "Upgrade"
	response.conn:write(head_of(response))
	response.finished = true
end

return _M
