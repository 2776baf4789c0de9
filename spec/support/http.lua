--- An HTTP client for scenarios, on bytes: what is sent is what the test says, what comes is taken apart here, with
-- nothing of the code under test.
--
--	local conn = http.connect(server)            the plain port; http.connect(server, { tls = true }) the other
--	conn:sends "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
--	local response = conn:response()             { status =, headers = {lower-case-name =}, body = }
--	http.get(server, "/path", { header = "value" })

local client = require "spec.support.client"
local loop = require "spec.support.loop"

local http = {}
local conn = {}
conn.__index = conn

function http.connect(server, options)
	options = options or {}
	if server.serves_http ~= server.process then -- its other ports were there first
		server:awaits_log "Activated service 'https'"
		server.serves_http = server.process
	end
	local all = {
		host = "localhost", ip = "127.0.0.1", name = "a browser", tls = options.tls and "direct" or "none",
		port = options.tls and server.https_port or server.http_port, alpn = options.alpn,
	}
	for key, value in pairs(options) do
		if key ~= "tls" then all[key] = value end
	end
	local inner = client.new(all):connect()
	table.insert(server.clients, inner)
	return setmetatable({ client = inner }, conn)
end

function conn:sends(bytes)
	if not self.client.closed then self.client:sends_raw(bytes) end
	return self
end

function conn:raw() return self.client.raw or "" end

--- Waits for so many bytes and takes them.
function conn:takes(n, what)
	loop.await(function() return #self:raw() >= n or self.client.closed end, function()
		return ("%s: %d bytes of %d came: %q"):format(what or "bytes", #self:raw(), n, self:raw():sub(1, 200))
	end, nil, 2)
	local bytes = self:raw():sub(1, n)
	self.client.raw = self:raw():sub(n + 1)
	return bytes
end

local function take_line(self)
	local line
	loop.await(function()
		line = self:raw():match "^(.-)\r\n"
		return line or self.client.closed
	end, function() return ("a line of a response; there is %q"):format(self:raw():sub(1, 200)) end, nil, 3)
	if not line then error("the connection ended: " .. tostring(self.client.closed), 3) end
	self.client.raw = self:raw():sub(#line + 3)
	return line
end

local function read_body(self, response, method)
	local headers = response.headers
	if method == "HEAD" or response.status == 204 or response.status == 304 or response.status < 200 then return "" end
	if headers["transfer-encoding"] == "chunked" then
		local parts = {}
		repeat
			local size = tonumber(take_line(self), 16)
			parts[#parts + 1] = self:takes(size)
			assert(self:takes(2) == "\r\n")
		until size == 0
		response.chunks = #parts - 1
		return table.concat(parts)
	elseif headers["content-length"] then
		return self:takes(tonumber(headers["content-length"]), "a body")
	end
	self:ends()
	return self:takes(#self:raw())
end

--- The next response to a request of that method.
function conn:response(method)
	local version, status = take_line(self):match "^HTTP/(1%.1) (%d%d%d) "
	assert(version, "no status line")
	local response = { status = tonumber(status), headers = {} }
	while true do
		local line = take_line(self)
		if line == "" then break end
		local name, value = line:match "^([^:%s]+): (.*)$"
		assert(name, line)
		name = name:lower()
		assert(not response.headers[name], "twice: " .. name)
		response.headers[name] = value
	end
	response.body = read_body(self, response, method)
	return response
end

--- Waits until the server has closed.
function conn:ends(seconds)
	loop.await(function() return self.client.closed end, "the server to close the connection", seconds, 2)
	return self
end

function conn:is_open()
	loop.turn(0)
	return not self.client.closed
end

function conn:vanishes() self.client:vanishes() end

--- A whole exchange on a connection of its own.
function http.request(server, method, path, headers, body, options)
	local lines = { ("%s %s HTTP/1.1"):format(method, path) }
	if not (headers and headers.Host) then lines[2] = "Host: localhost" end
	for name, value in pairs(headers or {}) do lines[#lines + 1] = name .. ": " .. value end
	if body then lines[#lines + 1] = "Content-Length: " .. #body end
	local c = http.connect(server, options)
	c:sends(table.concat(lines, "\r\n") .. "\r\n\r\n" .. (body or ""))
	local response = c:response(method)
	if not c.client.closed then c:vanishes() end
	return response
end

function http.get(server, path, headers, options) return http.request(server, "GET", path, headers, nil, options) end

return http
