--- From a request to whoever answers it, and from what he gave to a response.
--
-- Who answers is decided by events, "GET host/path" (net.http.routes). Always true: a request gets one answer, also
-- when its handler fails or gives something that is none.

local codes = require "prosody.net.http.codes"
local is_error = require "prosody.util.error".is_error
local is_promise = require "prosody.util.promise".is_promise
local log = require "prosody.util.logger".init("http")
local is_file = require "net.http.wire".is_file
local routes = require "prosody.net.http.routes"

local ipairs, pairs, setmetatable = ipairs, pairs, setmetatable
local tostring, type, xpcall = tostring, type, xpcall
local io_type, traceback, t_concat = io.type, debug.traceback, table.concat

local _M = {}
local _ENV = nil

local events = routes.new()
local find, fire_found = events.find, events.fire_found
_M.events = events

local hosts = {}     -- host -> true
local default_host
local streaming = setmetatable({}, { __mode = "k" }) -- handler -> true: it wants bodies as they come

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
	if kind == "string" then
		response:send(result)
	elseif result == nil or result == false then
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
	elseif io_type(result) == "file" or is_file(result) then
		response:send(result)
	elseif kind == "table" then
		answer_table(response, result)
	else
		log("error", "%s %s was answered with a %s", response.request.method, response.request.path, kind)
		error_page(response, 500)
	end
end

-- Requests

local function report(err)
	log("error", "%s", traceback(err))
end

local known_methods = { "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT" }

-- Those who hear of it, on the host or on all of them, and under which method and host they do.
local function find_event(method, host, path)
	local listeners = host and find(method, host, path)
	if listeners then
		return listeners, method, host
	end
	listeners = find(method, "", path)
	if not listeners and method == "HEAD" then
		return find_event("GET", host, path)
	end
	return listeners, method, ""
end

local function allowed_methods(host, path)
	local allowed = {}
	for _, method in ipairs(known_methods) do
		if find_event(method, host, path) then
			allowed[#allowed + 1] = method
		end
	end
	return allowed[1] and t_concat(allowed, ", ") or nil
end

local function unanswered(request, response, host)
	local allow = allowed_methods(host, request.path)
	if not allow then
		return 404
	elseif request.method == "OPTIONS" then
		response.headers.allow = allow
		return 204
	elseif find_event(request.method, host, request.path) then
		return 404 -- there is a handler of this method, and it has nothing there
	end
	response.headers.allow = allow
	return 405
end

-- The host whose modules are asked; nil when there is none, and only those that answer for all are.
local function host_of(name)
	return hosts[name] and name or default_host
end

--- Has the request answered, now or later. name: of the host that is meant.
function _M.handle(request, response, name)
	local host, path = hosts[name] and name or default_host, request.path
	local listeners, method, place = find_event(request.method, host, path)
	local result
	if listeners then
		local data = { request = request, response = response }
		result = fire_found(listeners, data, method, place, path)
		if result == nil and method == "HEAD" then
			listeners, method, place = find_event("GET", host, path)
			result = listeners and fire_found(listeners, data, method, place, path)
		end
	end
	if result == nil and not response.has_begun then
		result = unanswered(request, response, host)
	end
	answer(response, result)
end

--- The handler has failed: 500, if nothing was said yet.
function _M.fail(response)
	local conn = response.conn
	if response.has_begun or not xpcall(error_page, report, response, 500) then
		conn:close("an answer has failed")
	end
end

--- Does somebody want the body of the request as it comes?
function _M.wants_streaming(request, name)
	local listeners = find_event(request.method, host_of(name), request.path)
	for _, listener in ipairs(listeners or {}) do
		if streaming[listener.handler] then return true end
	end
	return false
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

return _M
