--- HTTP for modules: what they provide as "http" is served on a host and a path of its own, on the ports http (5280,
-- only this machine unless http_interfaces says otherwise) and https (5281, with the certificates of the hosts).
-- @option http_host             string, the host itself: the name under which a host's modules are reached
-- @option http_default_host     string, none: the host that answers requests for names nobody has
-- @option http_paths            table: module -> path; "$host" stands for the host
-- @option http_external_url     string: how the outside reaches us, when there is a proxy in front
-- @option http_max_content_size bytes, 1048576: of a body (modules that take uploads have limits of their own)
-- @option trusted_proxies       set, {}: addresses and networks whose X-Forwarded-* is believed
-- @option http_legacy_x_forwarded  boolean, true: believe X-Forwarded-*; else Forwarded (RFC 7239)
-- @option http_cors_override    table: module -> { enabled =, origins = {...} }, in the place of what the module says
-- @hooks  item-added/http-provider, item-removed/http-provider, config-reloaded, stats-update
-- @fires  none        @stores none
-- @spec   spec/e2e/web_routes_spec.lua, spec/e2e/web_http_spec.lua, spec/interop/nginx_spec.lua
--
-- Always true: a module is reached on its host's name only; a header of a client changes neither its address nor
-- whether it counts as secure, unless the connection is one of a trusted proxy.

module:set_global()

local api = require "prosody.core.moduleapi"
local http_util = require "prosody.util.http"
local ip_util = require "prosody.util.ip"
local pton = require "prosody.util.net".pton
local portmanager = require "prosody.core.portmanager"
local figures = require "prosody.net.http.figures"
local server = require "prosody.net.http.server"
local statsmanager = require "prosody.core.statsmanager"

local normalize_path = http_util.normalize_path
local default_ports = { http = 80, https = 443 }

-- Paths and URLs

local function app_path(host_module, app_name, default_path)
	local paths = host_module:get_option("http_paths", {})
	local path = paths[app_name] or default_path or "/" .. app_name
	path = path:gsub("%$(%w+)", { host = host_module.host })
	path = normalize_path(path)
	return path == "/" and "" or path
end

-- The port a service is on; nil when it is not.
local function active_port(service)
	for _, ports in pairs(portmanager.get_active_services():get(service) or {}) do
		local port = next(ports)
		if port then return port end
	end
end

-- The origin of a name on our own ports; nil when nothing serves that scheme.
local function own_origin(scheme, name)
	local port = active_port(scheme)
	return port and ("%s://%s%s"):format(scheme, name, port == default_ports[scheme] and "" or ":" .. port)
end

-- What is in front of us, without a slash at its end; nil when nothing is.
local function external_base(host_module)
	local external = host_module:get_option_string("http_external_url")
	return external and external:gsub("/+$", "") or nil
end

--- The URL under which the outside reaches a path of this module (or of another one, by its app_name). mode "internal":
-- on our own ports, whatever is in front of them.
function api:http_url(app_name, default_path, mode)
	app_name = app_name or (self.name:gsub("^http_", ""))
	local path = app_path(self, app_name, default_path)
	local name = self:get_option_string("http_host", self.host)
	local base = mode ~= "internal" and external_base(self) or own_origin("https", name) or own_origin("http", name)
	if not base then
		module:log("warn", "Nothing serves HTTP, so %s has no URL; set http_ports or https_ports", app_name)
		base = "http://disabled.invalid"
	end
	return base .. (path == "" and "/" or path)
end

local sites = {} -- name under which hosts are reached -> list of their modules here

-- luacheck: globals secure_origin

--- "https://name:port" at which the outside reaches who is reached by that name; nil when TLS does not.
function secure_origin(name)
	for _, host_module in ipairs(sites[name] or { module }) do
		local external = external_base(host_module)
		if external then return external:match "^https://[^/]+" end
	end
	return own_origin("https", name)
end

-- CORS: a page of another origin may call this module from a browser. Only where the module says so.

local function cors_of(item, overrides)
	local cors = item.cors
	if type(overrides[item.name]) == "table" then
		cors = overrides[item.name]
	elseif type(overrides[item.name]) == "boolean" then
		cors = { enabled = overrides[item.name] }
	end
	return type(cors) == "table" and cors.enabled and cors or nil
end

local function is_allowed_origin(cors, origin)
	local origins = cors.origins or cors.origin
	if origins == nil or origins == "*" then return true end
	if type(origins) ~= "table" then return origins == origin end
	if origins.contains then return origins:contains(origin) or origins:contains("*") end
	for _, each in ipairs(origins) do
		if each == origin or each == "*" then return true end
	end
	return false
end

-- Credentials are never allowed: a page of another origin could else act as whoever is logged in.
local function add_cors_headers(cors, event)
	local origin = event.request.headers.origin
	local headers = event.response.headers
	headers.vary = "Origin"
	if not origin or not is_allowed_origin(cors, origin) then return false end
	headers.access_control_allow_origin = (cors.origins or cors.origin) and origin or "*"
	return true
end

local function preflight(cors, methods)
	return function (event)
		if add_cors_headers(cors, event) then
			local headers = event.response.headers
			headers.access_control_allow_methods = methods
			headers.access_control_allow_headers = table.concat(cors.headers and cors.headers.items and cors.headers:items()
				or cors.headers or { "Content-Type" }, ", ")
			headers.access_control_max_age = "86400"
		end
		return 204
	end
end

-- Routes

local function event_name(host, method, path)
	return ("%s %s%s"):format(method, host or "", path)
end

-- What stands at the root has a path all the same.
local function whole_path(prefix, path)
	local whole = prefix .. path
	return whole == "" and "/" or whole
end

-- "GET /path" -> method and path; a bare "GET" is for the module's own path, with and without a slash at its end.
local function parse_route(key)
	local method, path = key:match("^(%u+)%s*(.*)$")
	if not method or path ~= "" and path:sub(1, 1) ~= "/" then return nil end
	return method, path
end

local function constant(value)
	return function () return value end
end

local function handler_of(value, prefix, path, cors, site)
	local handler = type(value) == "function" and value or constant(value)
	local is_wild = path:sub(-2) == "/*"
	local from = #prefix + #path -- the wildcard stands for what comes after this
	if cors then
		local inner = handler
		handler = function (event, rest)
			add_cors_headers(cors, event)
			return inner(event, rest)
		end
	end
	if not is_wild then
		return function (event)
			event.response.site = site
			return handler(event)
		end
	end
	return function (event)
		event.response.site = site
		return handler(event, event.request.path:sub(from))
	end
end

local function redirect_to_slash(event)
	local path, query = event.request.target:match("^([^?]*)(.*)$")
	return { status_code = 301, headers = { location = "/" .. path:match("^/*(.*)$") .. "/" .. query } }
end

-- host nil: on all hosts.
local function make_handlers(item, host, prefix, cors)
	local site = figures.site(host, item.name or "?")
	local handlers, methods = {}, {} -- lists of { event name, handler, priority }; path -> list of methods
	for key, value in pairs(item.route) do
		local method, path = parse_route(key)
		if not method then
			module:log("error", "%s: \"%s\" is no route; write \"GET /path\"", item.name, tostring(key))
		elseif value ~= false then
			local handler = handler_of(value, prefix, path, cors, site)
			if item.streaming_uploads then server.set_streaming(handler) end
			table.insert(handlers, { event_name(host, method, whole_path(prefix, path)), handler, 0 })
			methods[path] = methods[path] or {}
			table.insert(methods[path], method)
			if path == "" and prefix ~= "" then
				table.insert(handlers, { event_name(host, method, prefix .. "/"), handler, -1 })
			elseif (path == "/" or path == "/*") and prefix ~= "" and method == "GET" then
				table.insert(handlers, { event_name(host, method, prefix), redirect_to_slash, -1 })
			end
		end
	end
	for path, list in pairs(cors and methods or {}) do
		table.sort(list)
		local name = event_name(host, "OPTIONS", whole_path(prefix, path))
		table.insert(handlers, { name, preflight(cors, table.concat(list, ", ")), -1 })
	end
	return handlers
end

local taken = {} -- event name -> list of { item =, host_module = }, the first of which is asked first

-- Gives who is asked there before, on another host.
local function take_path(name, item, host_module)
	taken[name] = taken[name] or {}
	local first = taken[name][1]
	table.insert(taken[name], { item = item, host_module = host_module })
	return first and first.host_module ~= host_module and not (item.shares_path and first.item.shares_path) and first
end

local function leave_path(name, item)
	for i, entry in ipairs(taken[name] or {}) do
		if entry.item == item then table.remove(taken[name], i) end
	end
	if not next(taken[name] or {}) then taken[name] = nil end
end

local function serve_items(host_module, host)
	local served = {} -- item -> list of handlers
	local overrides = host_module:get_option("http_cors_override", {})

	local function removed(event)
		for _, handler in ipairs(served[event.item] or {}) do
			server.remove_handler(handler[1], handler[2])
			leave_path(handler[1], event.item)
		end
		served[event.item] = nil
	end

	local function added(event)
		local item = event.item
		local name = item.name or "?"
		if type(item.route) ~= "table" then
			host_module:log("error", "mod_%s provides http without a table of routes", item._provided_by or name)
			return
		end
		removed(event)
		local prefix = app_path(host_module, name, item.default_path)
		local handlers = make_handlers(item, host, prefix, cors_of(item, overrides))
		local before
		for _, handler in ipairs(handlers) do
			server.add_handler(handler[1], handler[2], handler[3])
			if handler[3] == 0 then before = take_path(handler[1], item, host_module) or before end
		end
		if before then -- hosts of one http_host share its paths
			host_module:log("warn", "'%s' of %s is not reached: at %s%s '%s' of %s answers. Give one of the two another path "
				.. "(http_paths = { %s = \"/...\" } below its host) or name (http_host)", name, host_module.host, host, prefix,
				before.item.name, before.host_module.host, name)
		end
		served[item] = handlers
		host_module:log("debug", "Serving '%s' at %s%s", name, host or "(all hosts)", prefix == "" and "/" or prefix)
	end

	host_module:handle_items("http-provider", added, removed)
	return function ()
		for item in pairs(served) do removed { item = item } end
	end
end

function module.add_host(host_module)
	host_module:depends("http_errors")
	local name = host_module:get_option_string("http_host", host_module.host):lower()
	sites[name] = sites[name] or {}
	table.insert(sites[name], host_module)
	server.add_host(name)
	local stop = serve_items(host_module, name)
	function host_module.unload()
		stop()
		for i, other in ipairs(sites[name]) do
			if other == host_module then table.remove(sites[name], i) end
		end
		if not sites[name][1] then
			sites[name] = nil
			server.remove_host(name)
		end
	end
end

local stop_global = serve_items(module, nil)

-- Proxies

local trusted, is_legacy_forwarded

local function read_proxies()
	trusted = {}
	for address in module:get_option_set("trusted_proxies", {}) do
		local ip, bits = ip_util.parse_cidr(address)
		if ip then
			table.insert(trusted, { ip = ip, bits = bits })
		else
			module:log("error", "trusted_proxies: \"%s\" is neither an address nor a network", tostring(address))
		end
	end
	is_legacy_forwarded = module:get_option_boolean("http_legacy_x_forwarded", true)
end

local function is_trusted(address)
	local ip = ip_util.new_ip(address)
	for _, range in ipairs(ip and trusted or {}) do
		if ip_util.match(ip, range.ip, range.bits) then return true end
	end
	return false
end

local function hops_of(headers)
	local hops = {}
	if is_legacy_forwarded then
		for address in (headers.x_forwarded_for or ""):gmatch("[^%s,]+") do table.insert(hops, address) end
		local proto = (headers.x_forwarded_proto or ""):match("([^%s,]+)%s*$")
		return hops, proto and proto:lower()
	end
	local parsed = headers.forwarded and http_util.parse_forwarded(headers.forwarded) or {}
	for _, hop in ipairs(parsed) do
		local address = (hop["for"] or "unknown"):gsub("^%[(.*)%]:?%d*$", "%1"):gsub("^(%d+%.%d+%.%d+%.%d+):%d+$", "%1")
		table.insert(hops, address)
	end
	local last = parsed[#parsed]
	return hops, last and last.proto and last.proto:lower()
end

local warned = false

local function is_proxy(request)
	if is_trusted(request.ip) then return true end
	if request.headers.x_forwarded_for and not warned then
		warned = true
		module:log("info", "%s sends X-Forwarded-For and is not believed; if it is your proxy, add it to trusted_proxies",
			request.ip)
	end
	return false
end

-- The client is the last hop that is not a proxy of ours.
local function peer_facts(request)
	local address, secure = request.ip, request.secure
	local hops, proto = hops_of(request.headers)
	for i = #hops, 1, -1 do
		if not pton(hops[i]) then break end
		address = hops[i]
		if not is_trusted(address) then break end
	end
	if proto then secure = proto == "https" end
	return address, secure
end

local function configure()
	read_proxies()
	server.set_option("body_size_limit", module:get_option_integer("http_max_content_size", 1024 * 1024, 0))
	server.set_option("is_proxy", is_proxy)
	server.set_option("peer_facts", peer_facts)
	server.set_default_host(module:get_option_string("http_default_host"))
end

configure()
module:hook("config-reloaded", configure)
module:hook("stats-update", figures.start(statsmanager.get_metric_registry()))

function module.unload()
	stop_global()
	server.set_option("is_proxy", nil)
end

module:provides("net", {
	name = "http",
	listener = server.listener,
	default_port = 5280,
	private = true,
	multiplex = { pattern = "^[A-Z]" },
})

module:provides("net", {
	name = "https",
	listener = server.listener,
	default_port = 5281,
	encryption = "ssl",
	ssl_config = { alpn = "http/1.1" },
	multiplex = { protocol = "http/1.1", pattern = "^[A-Z]" },
})
