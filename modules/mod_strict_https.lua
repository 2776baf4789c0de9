--- HTTP Strict Transport Security (RFC 6797): browsers are told to use HTTPS only, and those that came without it are
-- sent there.
-- @option hsts_header        string, "max-age=31556952": the policy (RFC 6797 6.1)
-- @option hsts_redirect      boolean, true: send requests without TLS to HTTPS
-- @option http_external_url  string: where the outside reaches a host; its https address is where requests are sent
-- @hooks  none        @fires none        @stores none
-- @spec   spec/e2e/web_pages_spec.lua
--
-- Only what hosts serve is redirected: what the server serves under any name (health, figures) is read by machines of
-- the admin's own.

module:set_global()
module:depends("http")

local portmanager = require "prosody.core.portmanager"
local server = require "prosody.net.http.server"

local policy = module:get_option_string("hsts_header", "max-age=31556952")
local redirects = module:get_option_boolean("hsts_redirect", true)

local function https_port()
	for _, ports in pairs(portmanager.get_active_services():get("https") or {}) do
		local port = next(ports)
		if port then return port end
	end
end

-- The origin that serves the host with TLS, nil when none does. name: the host as the request has it.
local function secure_origin(name)
	local host = prosody.hosts[name]
	local external = host and module:context(name):get_option_string("http_external_url")
		or module:get_option_string("http_external_url")
	if external then return external:match "^https://[^/]+" end
	local port = https_port()
	return port and ("https://%s%s"):format(name, port == 443 and "" or ":" .. port)
end

-- "METHOD host/path" -> host; "METHOD /path" is served on all hosts.
local function host_of(event_name) return event_name:match "^%u+ ([^/]+)/" end

module:wrap_object_event(server._events, false, function (fire, name, data)
	local request, response = data.request, data.response
	if request.secure then
		-- RFC 6797 7.2: never without TLS, where anybody could have written it.
		response.headers.strict_transport_security = policy
		return fire(name, data)
	end
	local host = redirects and host_of(name)
	local origin = host and secure_origin(host)
	if not origin then return fire(name, data) end
	local target = request.target:gsub("^%a+://[^/]*", "") -- RFC 9112 3.2.2
	response.headers.location = origin .. "/" .. target:match "^/*(.*)$"
	-- RFC 9110 15.4: 308 keeps the method, 301 is understood by the oldest clients.
	return (request.method == "GET" or request.method == "HEAD") and 301 or 308
end)
