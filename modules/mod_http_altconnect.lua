--- Where web clients connect (XEP-0156): /.well-known/host-meta and host-meta.json with the addresses of WebSocket and
-- BOSH, as far as they are served. With altconnect_ips, host-meta.json says all there is to know of how to connect
-- (XEP-0487), Direct TLS included.
-- @option altconnect_links  list of { rel =, href = }, {}: more links to name
-- @option altconnect_ips    list, none: the addresses under which the outside reaches this server. Those who understand
--                           XEP-0487 then ask DNS for nothing, so they must be right
-- @option altconnect_ttl    seconds, 3600: how long all this may be remembered
-- @option altconnect_pins   list, none: base64 SHA-256 of public keys, one of which a certificate must have (RFC 7469)
-- @hooks  none        @fires none        @stores none
-- @spec   spec/e2e/web_altconnect_spec.lua

module:depends("http")

local array = require "prosody.util.array"
local json = require "prosody.util.json"
local modulemanager = require "prosody.core.modulemanager"
local st = require "prosody.util.stanza"

local portmanager = require "prosody.core.portmanager"

local ips = module:get_option_array("altconnect_ips")
local ttl_seconds = module:get_option_period("altconnect_ttl", 3600)
local pins = module:get_option_array("altconnect_pins")

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
	return { content_type = content_type, access_control_allow_origin = "*",
		cache_control = "max-age=" .. math.floor(ttl_seconds) }
end

local function port_of(service)
	for _, ports in pairs(portmanager.get_active_services():get(service) or {}) do
		local port = next(ports)
		if port then return port end
	end
end

-- XEP-0487 2.1. What is nearest to the wire goes first; a web client takes what it can.
local direct = {
	{ service = "c2s_direct_tls", rel = "urn:xmpp:alt-connections:tls" },
	{ service = "s2s_direct_tls", rel = "urn:xmpp:alt-connections:s2s-tls" },
}

local function add_everything(meta)
	for _, link in ipairs(meta.links) do link.priority = 20 end
	for _, each in ipairs(direct) do
		local port = port_of(each.service)
		if port then table.insert(meta.links, { rel = each.rel, port = port, priority = 10 }) end
	end
	for _, link in ipairs(meta.links) do
		link.weight, link.sni, link.ips = 50, module.host, array(ips)
		local name = link.href and link.href:match "^%a+://([^/:]+)"
		if name then link.sni = name end
	end
	meta.xmpp = { ttl = math.floor(ttl_seconds), ["public-key-pins-sha-256"] = pins and array(pins) or nil }
end

local function host_meta()
	local meta = st.stanza("XRD", { xmlns = "http://docs.oasis-open.org/ns/xri/xrd-1.0" })
	for _, link in ipairs(links()) do meta:tag("Link", link):up() end
	return { headers = headers("application/xrd+xml"), body = "<?xml version='1.0'?>\n" .. tostring(meta) .. "\n" }
end

local function host_meta_json(event)
	local meta = { links = array(links()) }
	-- XEP-0487 2.2: only what came over TLS may say where to go.
	if ips and event.request.secure then add_everything(meta) end
	return { headers = headers("application/json"), body = json.encode(meta) }
end

module:provides("http", {
	name = "altconnect",
	default_path = "/.well-known",
	route = {
		["GET /host-meta"] = host_meta,
		["GET /host-meta.json"] = host_meta_json,
	},
})
