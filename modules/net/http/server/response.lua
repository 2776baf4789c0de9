--- Responses of the HTTP server: their heads, and bodies as text, as files, in chunks.
--
-- response: request, conn, status_code, headers, finished, on_destroy (called when the connection ends before the
-- answer), :send(body), :send_file(file), :write_headers(), :write(bytes), :done(); state, that of the connection
-- (conn, channel, response); site, where it is counted. The methods but write are those of the server's table, which
-- modules may wrap.
--
-- Always true: a response is begun once; what the connection does not take yet is not made yet (a source is asked for
-- more when it has drained). A header that cannot stand in a head is never sent: the client gets 500 in its place.

local codes = require "prosody.net.http.codes"
local log = require "prosody.util.logger".init("http")
local wire = require "net.http.wire"

local assert, pcall, select, type, xpcall = assert, pcall, select, type, xpcall
local is_file = wire.is_file
local s_format, s_sub, traceback = string.format, string.sub, debug.traceback

local _M = {}
local _ENV = nil

-- Enough is on its way; the rest waits until the connection has drained (the core's soft limit).
local QUEUE_ENOUGH = 256 * 1024
local PIECE = 64 * 1024

local no_headers = {}
-- Also what a response is at first.
local methods = { status_code = 200, has_begun = false, finished = false, is_head_request = false }
local response_mt = { __index = methods, __name = "http-response" }
_M.methods, _M.mt = methods, response_mt

-- Heads

local function has_no_body(status)
	return status == 204 or status == 304 or status < 200
end

-- Does the connection end with this answer, because the module wants it so?
local function closes(response)
	return response.persistent == false or response.headers.connection == "close"
end

-- Sends the head, and these bytes behind it; is_whole: they are all of it. A header that cannot stand there is the
-- module's mistake: the client gets 500 and none of it. True when the response goes on as it was meant.
local function send_head(response, bytes, length, is_whole)
	local channel = response.state.channel
	response.has_begun = true
	local ok, err = channel:answer(codes[response.status_code], response.headers, bytes, length, closes(response),
		response.site, is_whole)
	if ok then
		return true
	end
	log("error", "The answer to %s %s cannot be sent: %s", response.request.method, response.request.path, err)
	response.status_code = 500
	channel:answer(codes[500], no_headers, "", 0, true, response.site, is_whole)
	return false
end

--- An answer outside of any handler: the peer was wrong, and the connection ends.
function _M.send_refusal(state, status, reason)
	local response = state.response
	if response and response.has_begun then
		return
	end
	local body = codes[status] .. "\n" .. reason .. "\n"
	local is_head_request = response and response.is_head_request
	state.channel:answer(codes[status], { content_type = "text/plain; charset=utf-8" }, is_head_request and "" or body,
		#body, true, response and response.site)
end

--- The head as bytes, for those who write it themselves. Raises when it cannot be.
function _M.prepare_header(response)
	response.has_begun = true
	local connection = response.state.channel:connection(closes(response))
	return assert(wire.head(codes[response.status_code], response.headers, nil, connection))
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

--- The body of the request does not come to its end: who takes it as it comes hears of it.
local function stop_sink(state)
	local sink = state.sink
	state.sink = nil
	if sink and sink.close then
		pcall(sink.close, sink)
	end
end

-- Sends what the source of a response has, as much as the connection should hold now.
local function pump(state)
	while state.source do
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

-- The response is complete, and the connection is about to hear of it.
local function forget(response)
	local state = response.state
	response.finished = true
	if response.on_destroy then
		response.on_destroy = nil
	end
	if state.response == response then
		state.response = nil
		if state.sink then
			stop_sink(state)
		end
	end
end

--- Sends the answer: its head and this body.
function _M.send(response, body)
	if response.finished or response.has_begun then
		return false
	end
	if body ~= nil and type(body) ~= "string" then
		return response:send_file(body)
	end
	body = body or response.body or ""
	local length = not has_no_body(response.status_code) and #body or nil
	if not length or response.is_head_request then
		body = ""
	end
	if #body <= PIECE then
		forget(response)
		send_head(response, body, length, true)
	elseif send_head(response, "", length) then
		start_source(response, text_source(body))
	else
		response:done()
	end
	return true
end

-- What wire.open gave. Most files leave in one go, and need no source.
local function send_native_file(response, file, offset, count)
	local conn = response.conn
	local has_body = send_head(response, "", count) and not response.is_head_request
		and not has_no_body(response.status_code)
	local sent = has_body and conn:send_file(file, offset, count) or 0
	if has_body and sent < count then
		return start_source(response, file_source(file, offset + sent, count - sent))
	end
	file:close()
	response:done()
end

-- Anything with :read and :close.
local function send_reader(response, file)
	local headers = response.headers
	local is_chunked = not headers.content_length and response.request.httpversion ~= "1.0"
	if is_chunked then
		headers.transfer_encoding = "chunked"
	elseif not headers.content_length then
		response.persistent = false
	end
	local source = reader_source(file, is_chunked)
	if send_head(response, "") and not response.is_head_request and not has_no_body(response.status_code) then
		return start_source(response, source)
	end
	source.close()
	response:done()
end

--- Sends the answer with the bytes of a file: what wire.open gave (count bytes from offset), or anything with :read and
-- :close. Takes the file.
function _M.send_file(response, file, offset, count)
	if response.finished or response.has_begun then
		if file.close then file:close() end
		return false
	elseif is_file(file) then
		send_native_file(response, file, offset or 0, count)
	else
		send_reader(response, file)
	end
	return true
end

--- Sends the head now; the body follows with :write, and :done ends it. Without content_length it goes in chunks.
function _M.write_headers(response)
	if response.finished or response.has_begun then
		return false
	end
	if not response.headers.content_length and not has_no_body(response.status_code) then
		if response.request.httpversion == "1.0" then
			response.persistent = false
		else
			response.is_chunked, response.headers.transfer_encoding = true, "chunked"
		end
	end
	if not send_head(response, "") then
		response:done()
	end
	return true
end

--- The answer is complete.
function _M.finish(response)
	if response.finished then
		return
	end
	local channel = response.state.channel
	if response.is_chunked and not response.is_head_request then
		response.conn:write("0\r\n\r\n")
	end
	forget(response)
	channel:done()
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

_M.stop_source, _M.stop_sink, _M.pump = stop_source, stop_sink, pump

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
	response.status_code, response.has_begun, response.finished = 101, true, true
	assert(response.state.channel:answer(codes[101], response.headers, "", nil, "Upgrade", response.site))
end

return _M
