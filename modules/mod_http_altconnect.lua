--- Where web clients connect (XEP-0156): /.well-known/host-meta and host-meta.json with the addresses of WebSocket and
-- BOSH, as far as they are served.
-- @option altconnect_links  list of { rel =, href = }, {}: more links to name
-- @hooks  none        @fires none        @stores none
-- @spec   spec/e2e/web_altconnect_spec.lua

module:depends("http")

local array = require "prosody.util.array"
local json = require "prosody.util.json"
local modulemanager = require "prosody.core.modulemanager"
local st = require "prosody.util.stanza"

local services = {
	{ module = "websocket", rel = "urn:xmpp:alt-connections:websocket", path = "/xmpp-websocket", is_socket = true },
	{ module = "bosh", rel = "urn:xmpp:alt-connections:xbosh", path = "/http-bind" },
}

local function links()
	local list = {}
	for _, service in ipairs(services) do
		if modulemanager.is_loaded(module.host, service.module) then
			local url = module:http_url(service.module, service.path)
			if service.is_socket then url = url:gsub("^http", "ws") end
			table.insert(list, { rel = service.rel, href = url })
		end
	end
	for _, link in ipairs(module:get_option_array("altconnect_links", {})) do
		table.insert(list, { rel = link.rel, href = link.href })
	end
	return list
end

-- Read by pages of any origin (XEP-0156 2): there is no secret in it.
local function headers(content_type)
	return { content_type = content_type, access_control_allow_origin = "*", cache_control = "max-age=3600" }
end

local function host_meta()
	local meta = st.stanza("XRD", { xmlns = "http://docs.oasis-open.org/ns/xri/xrd-1.0" })
	for _, link in ipairs(links()) do meta:tag("Link", link):up() end
	return { headers = headers("application/xrd+xml"), body = "<?xml version='1.0'?>\n" .. tostring(meta) .. "\n" }
end

local function host_meta_json()
	return { headers = headers("application/json"), body = json.encode({ links = array(links()) }) }
end

module:provides("http", {
	name = "altconnect";
	default_path = "/.well-known";
	route = {
		["GET /host-meta"] = host_meta;
		["GET /host-meta.json"] = host_meta_json;
	};
})
