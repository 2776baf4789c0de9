--- What XMPP over WebSocket and over BOSH have in common: which host, which page may come, what a browser that comes
-- without a page is told, which features.
local st = require "prosody.util.stanza"

local hosts = prosody.hosts
local ipairs, require, setmetatable = ipairs, require, setmetatable
local s_lower, s_match = string.lower, string.match

local _M = {}
local _ENV = nil

local NS_STREAMS, NS_STREAM_ERRORS = "http://etherx.jabber.org/streams", "urn:ietf:params:xml:ns:xmpp-streams"

--- The host that a client names, if it takes clients that come this way (module_name). Else nil, condition, text.
function _M.find_host(to, module_name)
	if not to then
		return nil, "improper-addressing", "Say which host you want, in the attribute 'to'"
	end
	local name = require "prosody.util.jid".prep(to)
	local host = name and hosts[name]
	if not host then
		return nil, "host-unknown", "This server does not serve that host"
	elseif host.type ~= "local" or not require "prosody.core.modulemanager".is_loaded(name, module_name) then
		return nil, "host-unknown", "This host does not accept clients this way"
	end
	return name
end

--- Sends <stream:features/>, if the session lasts that long.
function _M.send_features(session)
	local features = st.stanza("stream:features", { ["xmlns:stream"] = NS_STREAMS })
	hosts[session.host].events.fire_event("stream-features", { origin = session, session = session, features = features })
	if not session.destroyed then
		session.send(features)
	end
end

--- A stream error, as an element that stands alone. condition nil: none.
function _M.stream_error(condition, text)
	if not condition then
		return nil
	end
	local element = st.stanza("stream:error", { ["xmlns:stream"] = NS_STREAMS })
		:tag(condition, { xmlns = NS_STREAM_ERRORS }):up()
	if text then
		element:text_tag("text", text, { xmlns = NS_STREAM_ERRORS, ["xml:lang"] = "en" })
	end
	return element
end

--- The origins of these options of a module: a set, or true for all.
function _M.named_origins(module, options)
	local set = require "prosody.util.set".new()
	for _, name in ipairs(options) do
		local value = module:get_option(name)
		if value == true then
			return true
		elseif value then
			set:include(module:get_option_set(name))
		end
	end
	return set
end

local entrance = {}
local entrance_mt = { __index = entrance, __name = "entrance" }

--- Where the clients of a module come in. options: name and path, as the module provides them; title, for people;
-- origin_options, the names of the options that list origins; is_considered_secure, without TLS to us.
function _M.entrance(module, options)
	local self = setmetatable({
		_module = module, _name = options.name, _path = options.path, _title = options.title,
		_origin_options = options.origin_options, _is_considered_secure = options.is_considered_secure,
		_origins = nil, -- known once the ports are
	}, entrance_mt)
	module:hook_global("config-reloaded", function () self._origins = nil end)
	return self
end

--- True or nil.
function entrance:is_secure(request)
	return request.secure or self._is_considered_secure or nil
end

local function is_named(self, origin)
	local module = self._module
	if not self._origins then
		self._origins = _M.named_origins(module, self._origin_options)
		for _, mode in ipairs { "external", "internal" } do
			if self._origins == true then break end
			local url = module:http_url(self._name, self._path, mode)
			self._origins:add(s_match(url, "^(https?://[^/]+)"))
		end
	end
	return self._origins == true or self._origins:contains(origin)
end

--- May this request open a session? A page's may when its origin is the host that it asks, one of our own addresses, or
-- named in the options (SECURITY E5, E6); no origin: no page. A refusal is logged.
function entrance:admits(request)
	local origin = request.headers.origin
	local host = origin and s_match(s_lower(origin), "^https?://([^/]+)$")
	if not origin or (host and request.host and host == s_lower(request.host)) or is_named(self, origin) then
		return true
	end
	self._module:log("info", "A page of %s may not connect; %s lists those that may", origin, self._origin_options[1])
	return false
end

--- The page for people who look at the address; nil when nothing makes pages.
function entrance:describe(event)
	return self._module:fire_event("http-message", {
		response = event.response, title = self._title,
		message = "This is where chat clients connect. Enter this address into one; a browser shows nothing else here.",
		warning = not self:is_secure(event.request)
			and "This connection is not secure, so nobody can log in over it." or nil,
	})
end

return _M
