--- What XMPP over WebSocket and over BOSH have in common: which host, which page may come, which features.
local st = require "prosody.util.stanza"

local hosts = prosody.hosts
local ipairs, require, type = ipairs, require, type
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

--- <stream:features/> for the session.
function _M.features(session)
	local features = st.stanza("stream:features", { ["xmlns:stream"] = NS_STREAMS })
	hosts[session.host].events.fire_event("stream-features", { origin = session, session = session, features = features })
	return features
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

--- May a page of this origin (nil: no browser, or not from a page) open sessions? Its own host may, so may those in
-- allowed (a set, or true for all).
function _M.is_allowed_origin(request, allowed)
	local origin = request.headers.origin
	if not origin or allowed == true then
		return true
	end
	local host = s_match(s_lower(origin), "^https?://([^/]+)$")
	if host and request.host and host == s_lower(request.host) then
		return true
	end
	return type(allowed) == "table" and allowed:contains(origin)
end

--- The option of that name as is_allowed_origin wants it; host_urls: our own addresses, whose origins may come too.
function _M.origins(module, names, host_urls)
	local set = require "prosody.util.set".new()
	for _, name in ipairs(names) do
		local value = module:get_option(name)
		if value == true then
			return true
		elseif value then
			set:include(module:get_option_set(name))
		end
	end
	for _, url in ipairs(host_urls) do
		set:add(s_match(url, "^(https?://[^/]+)"))
	end
	return set
end

return _M
