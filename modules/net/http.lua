--- Requests to web servers, in the words of Prosody's net.http:
--	http.request(url, { headers = { Accept = "text/plain" } }, function (body, code, response) ... end)
--	http.request(url, options):next(function (response) ... end)          without a callback: a promise
-- response: code, httpversion, headers (names in lower case with "_"), body, request. Without an answer the callback
-- gets one of net.http.errors' words, 0 and the request; the promise is rejected with that error.
--
-- Options of a request, or of all requests of http.new(options):
--	method, headers, body           GET without a body, POST with one
--	timeout, connect_timeout        seconds: of the whole (60), until the connection stands (10)
--	body_size_limit                 bytes of the answer's body (10 MiB)
--	redirects                       how many are followed by GET and HEAD (0: a redirect is the answer)
--	insecure                        true: do not verify the server's certificate
--	ssl                             { cafile =, certificate =, key = }: whom to trust, and what to show
--	block_private                   true: never to this machine or a private network, whatever a name or redirect says
--	streaming_handler               function (response): the head is here; what it sets as response.body_sink (anything
--	                                with :write(bytes), true when it is well) gets the body as it comes, and `timeout`
--	                                is then the longest silence. Handler and sink may wait.
--
-- Always true: certificates are verified unless it says insecure. A request ends with one call of its callback, from
-- the loop, or was taken back by destroy_request. What users of the server write is never fetched by modules of ours;
-- who wants to, uses block_private.

local http_errors = require "prosody.net.http.errors"
local log = require "prosody.util.logger".init("http")
local native = require "couplet.native"
local new_id = require "prosody.util.id".short
local promise = require "prosody.util.promise"
local util_events = require "prosody.util.events"
local util_http = require "prosody.util.http"

local ipairs, next, pairs, pcall, rawget, require = ipairs, next, pairs, pcall, rawget, require
local setmetatable, tonumber, tostring, type = setmetatable, tonumber, tostring, type
local t_pack, t_unpack = table.pack, table.unpack
local s_find, s_gsub, s_lower, s_match, s_upper = string.find, string.gsub, string.lower, string.match, string.upper
local prosody = rawget(_G, "prosody")

local _ENV = nil

local HEAD_BYTES, BODY_BYTES = 64 * 1024, 10 * 1024 * 1024
local TIMEOUT_SECONDS, CONNECT_TIMEOUT_SECONDS = 60, 10
local IDLE_SECONDS = 120 -- then curl, its connections and its memory of certificates are let go
local USER_AGENT = "Couplet/" .. tostring(native.version or "0")
local default_ports = { http = 80, https = 443 }

-- Engines: curl and what runs in it. A pool has one, and another one for requests that must not reach private networks,
-- since connections are used again.

local engines = {}     -- engine -> true
local pump

local function close_engine(engine)
	engines[engine] = nil
	engine.pool._engines[engine.is_public_only] = nil
	engine.idle_timer:stop()
	engine.watch:close()
	engine.handle:close()
end

local function open_engine(pool, is_public_only)
	local found, curl = pcall(require, "couplet.curl")
	if not found then
		return nil, "this server was built without libcurl"
	end
	local handle, err = curl.new(is_public_only)
	if not handle then
		return nil, err
	end
	local engine = { pool = pool, is_public_only = is_public_only, handle = handle, requests = {} }
	engine.watch = native.watch(handle:fd(), function ()
		handle:process()
		pump(engine)
	end)
	engine.idle_timer = native.timer(IDLE_SECONDS, function ()
		if not next(engine.requests) then
			close_engine(engine)
		end
	end)
	pool._engines[is_public_only] = engine
	engines[engine] = true
	return engine
end

local function engine_for(pool, is_public_only)
	local engine = pool._engines[is_public_only]
	if engine then
		return engine
	end
	return open_engine(pool, is_public_only)
end

-- The end of a request

local function forget(request)
	local engine = request._engine
	request._engine = nil
	if engine and engines[engine] then
		engine.handle:cancel(request._number)
		engine.requests[request._number] = nil
		if not next(engine.requests) then
			engine.idle_timer:restart(IDLE_SECONDS)
		end
	end
end

local function drop_sink(request)
	local sink = request.response and request.response.body_sink
	if sink and sink.close then
		pcall(sink.close, sink)
	end
end

-- Calls back in a call of its own: the callback may wait, raise, ask again.
local function end_with(request, ...)
	local callback, results = request.callback, t_pack(...)
	request.has_ended, request.callback = true, nil
	forget(request)
	if callback then
		native.defer(function () callback(t_unpack(results, 1, results.n)) end)
	end
end

local function fail(request, word, text)
	if request.has_ended then
		return
	end
	log("debug", "Request %s: %s%s", request.id, word, text and " (" .. text .. ")" or "")
	drop_sink(request)
	end_with(request, word, 0, request)
end

local function succeed(request)
	local response = request.response
	log("debug", "Request %s: %d", request.id, response.code)
	request.http.events.fire_event("response", { http = request.http, request = request, response = response })
	end_with(request, response.body, response.code, response, request)
end

-- What comes

-- Runs what may wait: until it is done nothing else of this request is taken.
local function patiently(request, fn)
	local engine, number = request._engine, request._number
	engine.handle:hold(number, true)
	native.defer(function ()
		if request.has_ended then
			return
		end
		local ok, err = pcall(fn)
		if request.has_ended then
			return
		elseif not ok then
			log("error", "What handles the answer to request %s has failed: %s", request.id, tostring(err))
			return fail(request, "sink-failed")
		end
		engine.handle:hold(number, false)
		pump(engine)
	end)
end

-- headers["Content-Type"] is headers.content_type.
local headers_mt = {
	__index = function (headers, name)
		return type(name) == "string" and rawget(headers, (s_gsub(s_lower(name), "-", "_"))) or nil
	end,
}

local function on_head(request, code, version, headers)
	setmetatable(headers, headers_mt)
	local response = { code = code, httpversion = version, headers = headers, request = request }
	request.response = response
	if request._streaming_handler then
		patiently(request, function () request._streaming_handler(response) end)
	end
end

local function on_body(request, bytes)
	local response = request.response
	local sink = response.body_sink
	if not sink then
		if request._streaming_handler then -- it did not want the body bit by bit after all
			bytes = (response.body or "") .. bytes
			if #bytes > BODY_BYTES then
				return fail(request, "response-too-large")
			end
		end
		response.body = bytes
		return
	end
	patiently(request, function ()
		local ok, err = sink:write(bytes)
		if not ok and not request.has_ended then
			fail(request, "sink-failed", err and tostring(err))
		end
	end)
end

local function on_end(request)
	local response = request.response
	if not response.body_sink then
		response.body = response.body or ""
	end
	succeed(request)
end

local handlers = { head = on_head, body = on_body, ["end"] = on_end, failed = fail }

local function dispatch(engine, number, kind, ...)
	if not number then
		return false
	end
	local request = engine.requests[number]
	if request then
		handlers[kind](request, ...)
	end
	return true
end

function pump(engine)
	while engines[engine] and dispatch(engine, engine.handle:take()) do end
end

-- Requests

local request_methods = {}
local request_mt = { __index = request_methods, __name = "http-request" }

--- Ends it: the callback gets the reason (by default "cancelled"), 0 and the request.
function request_methods:cancel(reason)
	fail(self, reason or "cancelled")
end

--- Ends it without a word.
local function destroy_request(request)
	request.callback = nil
	fail(request, "cancelled")
end

local function parse_url(url)
	local scheme, authority, path = s_match(url, "^(%a+)://([^/?#]+)([^#]*)")
	scheme = scheme and s_lower(scheme)
	if not default_ports[scheme] or s_find(url, "[%c ]") then
		return nil
	end
	local host = s_match(authority, "([^@]*)$")
	local name, port = s_match(host, "^(.-):(%d+)$")
	return {
		scheme = scheme, host = name or host, port = tonumber(port) or default_ports[scheme],
		path = s_find(path, "^/") and path or "/" .. path,
	}
end

local function has_header(headers, wanted)
	for name in pairs(headers) do
		if s_lower(name) == wanted then
			return true
		end
	end
	return false
end

local function fields_of(request)
	local fields = {}
	for name, value in pairs(request.headers) do
		for _, one in ipairs(type(value) == "table" and value or { value }) do
			fields[#fields + 1] = name .. ": " .. tostring(one)
		end
	end
	if not has_header(request.headers, "user-agent") then
		fields[#fields + 1] = "User-Agent: " .. USER_AGENT
	end
	return fields
end

-- Of the request, else of its pool, else ours.
local function option(request, name, default)
	local value = request.options[name]
	if value == nil then
		value = request.http.options[name]
	end
	if value == nil then
		return default
	end
	return value
end

local function warn_of_sslctx(request)
	local pool = request.http
	if not pool._has_warned and option(request, "sslctx") then
		pool._has_warned = true
		log("warn", "sslctx of a request to %s is not used; say ssl = { cafile =, certificate =, key = } instead",
			request.host)
	end
end

local function submit(request)
	local ssl, timeout = option(request, "ssl", {}), option(request, "timeout", TIMEOUT_SECONDS)
	local is_streamed = request._streaming_handler ~= nil
	local engine, err = engine_for(request.http, option(request, "block_private", false) and true or false)
	if not engine then
		return nil, err
	end
	warn_of_sslctx(request)
	local number
	number, err = engine.handle:start {
		url = request.url, method = request.method, body = request.body, fields = fields_of(request),
		head_bytes = HEAD_BYTES, body_bytes = option(request, "body_size_limit", is_streamed and -1 or BODY_BYTES),
		connect_seconds = option(request, "connect_timeout", CONNECT_TIMEOUT_SECONDS),
		total_seconds = is_streamed and 0 or timeout, silence_seconds = is_streamed and timeout or 0,
		redirects = option(request, "redirects", 0), streamed = is_streamed,
		unverified = option(request, "insecure", false),
		ca_file = ssl.cafile, certificate = ssl.certificate, key = ssl.key,
	}
	if not number then
		return nil, err
	end
	request._engine, request._number = engine, number
	engine.requests[number] = request
	return true
end

local function new_request(pool, url, options, callback)
	local request = setmetatable(parse_url(url) or { scheme = "?", host = "?" }, request_mt)
	request.http, request.url, request.options, request.callback = pool, url, options, callback
	request.id = options.id or new_id()
	request.body = options.body
	request.method = s_upper(options.method or request.body and "POST" or "GET")
	request.headers = options.headers or {}
	request._streaming_handler = options.streaming_handler
	return request
end

-- Pools

local pool_methods = {}
local pool_mt = { __index = pool_methods, __name = "http-pool" }

local function request_with_callback(pool, url, options, callback)
	local request = new_request(pool, url, options, callback)
	local instead = pool.events.fire_event("request", { http = pool, request = request, url = url })
	if instead ~= nil then
		return instead
	end
	-- Of the URL only where it leads: the rest may be a secret.
	log("debug", "Request %s: %s to %s://%s", request.id, request.method, request.scheme, request.host)
	if not request.path then
		fail(request, "invalid-url")
		return request
	end
	local ok, err = submit(request)
	if not ok then
		fail(request, "invalid-request", err)
	end
	return request
end

--- request(url[, options][, callback(body, code, response, request)]): gives the request, or without a callback a
-- promise of the response (its field request is the request).
function pool_methods:request(url, options, callback)
	if type(options) == "function" then
		options, callback = nil, options
	end
	options = options or {}
	if callback then
		return request_with_callback(self, url, options, callback)
	end
	local request
	local promised = promise.new(function (resolve, reject)
		request = request_with_callback(self, url, options, function (body, code, response)
			if code == 0 then
				reject(http_errors.new(body, { request = response }))
			else
				resolve(response)
			end
		end)
	end)
	promised.request = request
	return promised
end

--- Ends all its requests without a word, and closes its connections.
function pool_methods:close()
	for _, engine in pairs(self._engines) do
		for _, request in pairs(engine.requests) do
			destroy_request(request)
		end
		close_engine(engine)
	end
end

local function new(options)
	return setmetatable({ options = options or {}, events = util_events.new(), _engines = {} }, pool_mt)
end

-- The server's

local default = new()

if prosody then
	prosody.events.add_handler("server-cleanup", function ()
		for engine in pairs(engines) do
			engine.pool:close()
		end
	end)
end

return {
	new = new,
	default = default,
	request = function (url, options, callback) return default:request(url, options, callback) end,
	destroy_request = destroy_request,
	events = default.events,
	urlencode = util_http.urlencode,
	urldecode = util_http.urldecode,
	formencode = util_http.formencode,
	formdecode = util_http.formdecode,
	features = { sni = true },
}
