--- HTTP Strict Transport Security (RFC 6797): browsers are told to use HTTPS only, and those that came without it are
-- sent there.
-- @option hsts_header        string, "max-age=31556952": the policy (RFC 6797 6.1)
-- @option hsts_redirect      boolean, true: send requests without TLS to HTTPS
-- @hooks  none        @fires none        @stores none
-- @spec   spec/e2e/web_pages_spec.lua
--
-- Only what hosts serve is redirected: what the server serves under any name (health, figures) is read by machines of
-- the admin's own.

module:set_global()

local http = module:depends("http")
local server = require "prosody.net.http.server"

local policy = module:get_option_string("hsts_header", "max-age=31556952")
local redirects = module:get_option_boolean("hsts_redirect", true)

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
	local origin = host and http.secure_origin(host)
	if not origin then return fire(name, data) end
	response.headers.location = origin .. "/" .. request.target:match "^/*(.*)$"
	-- RFC 9110 15.4: 308 keeps the method, 301 is understood by the oldest clients.
	return (request.method == "GET" or request.method == "HEAD") and 301 or 308
end)
