--- Chat in a browser: Converse.js, ready for the host, at /conversejs. Needs nothing else than this line:
--
--     modules_enabled = { ..., "conversejs" }
--
-- and Converse.js itself, which `make conversejs` fetches from npm and `make install` installs.
-- @option conversejs_resources      path: the folder with converse.min.js, when it is not the one we install
-- @option conversejs_options        table, {}: settings of Converse (https://conversejs.org/docs/configuration), over
--                                   ours; websocket_url = false leaves only BOSH
-- @option conversejs_name           string, site_name or "HOST chat": what page and tab are called
-- @option site_name                 string: what the server calls itself
-- @option conversejs_short_name     string, "Chat": under the icon on a phone
-- @option conversejs_tags           list of strings, {}: more lines of HTML for the head, with URLs of this site only
-- @option conversejs_html_template  path: a page of the admin's own, in the place of ours; {dist}/ is where Converse is
-- @option allow_registration        boolean, false: with register_ibr, people may make accounts here too
-- @hooks  none        @fires none        @stores none
-- @spec   spec/interop/browser_spec.lua, spec/e2e/web_conversejs_spec.lua
--
-- Always true: no script of another site runs in the page and no page of another site may frame it. Pictures, sound and
-- uploads may come from and go to any https address, since that is where people in a chat have them.

module:depends("http")
module:depends("websocket")
module:depends("bosh")

local escape = require "prosody.util.stanza".xml_escape
local files = require "prosody.net.http.files"
local interpolation = require "prosody.util.interpolation"
local json = require "prosody.util.json"
local modulemanager = require "prosody.core.modulemanager"
local wire = require "net.http.wire"

-- Converse.js

-- What tells this build from others; nil when there is none.
local function version_of(path)
	local file, facts = wire.open(path, "converse.min.js")
	if file then file:close() end
	return file and facts.kind == "file" and (facts.tag:gsub("%W", "")) or nil
end

local function find_resources()
	local configured = module:get_option_path("conversejs_resources")
	local places = configured and { configured } or {
		prosody.paths.source .. "/conversejs", -- make install
		prosody.paths.source .. "/build/conversejs", -- make conversejs, in the source tree
	}
	for _, place in ipairs(places) do
		local version = version_of(place)
		if version then return place, version end
	end
	error(("there is no converse.min.js in %s: run \"make conversejs\" (and \"make install\"), or set "
		.. "conversejs_resources to the folder that has it"):format(table.concat(places, " or ")), 0)
end

local resources, version = find_resources()
local dist = "dist/" .. version

-- Under a path that changes with the build, so that browsers may keep files for good and never mix two builds.
local serve_file = files.serve { path = resources, directory_index = false, precompressed = true }
local function serve_dist(event, path)
	local own = path:match("^/?" .. version .. "/(.*)$")
	event.response.headers.cache_control = own and "public, max-age=31536000, immutable" or "no-cache"
	return serve_file(event, own or path)
end

-- What our page says to it

local function loaded(name) return modulemanager.is_loaded(module.host, name) end

-- Read when the page is: ports and modules may have come since.
local function settings()
	local base = module:http_url("conversejs", "/conversejs"):gsub("/*$", "/")
	local is_anonymous = loaded "auth_anonymous"
	local all = {
		assets_path = base:match "^%a+://[^/]*(/.*)$" .. dist .. "/",
		websocket_url = module:http_url("websocket", "/xmpp-websocket"):gsub("^http", "ws"),
		bosh_service_url = module:http_url("bosh", "/http-bind"),
		discover_connection_methods = false, -- they are these
		authentication = is_anonymous and "anonymous" or "login",
		auto_login = is_anonymous,
		allow_registration = not is_anonymous and loaded "register_ibr"
			and module:get_option_boolean("allow_registration", false),
		registration_domain = module.host, domain_placeholder = module.host,
		default_domain = module.host, locked_domain = not is_anonymous and module.host or nil,
		jid = is_anonymous and module.host or nil,
		view_mode = "fullscreen",
		show_background = false,
		autocomplete_providers_url = "", xmpp_providers_url = "", -- lists it would fetch from another site
		allow_url_history_change = false,
	}
	for name, value in pairs(module:get_option("conversejs_options", {})) do all[name] = value end
	return all
end

local function script()
	return ("window.converse.initialize(%s);\n"):format(json.encode(settings()))
end

local function read(path)
	local file, err = module:load_resource(path)
	if not file then error(("conversejs_html_template: %s"):format(err), 0) end
	local text = file:read("a")
	file:close()
	return text
end

local name = module:get_option_string("conversejs_name",
	module:get_option_string("site_name", module.host .. " chat"))
local page = interpolation.new("%b{}", escape)(read(module:get_option_path("conversejs_html_template") or "page.html"),
	{ name = name, dist = dist, tags = table.concat(module:get_option_array("conversejs_tags", {}), "\n") })
local style, setting = read "page.css", read "page.js"

-- So that a phone can keep it among its apps.
local manifest = json.encode {
	name = name, short_name = module:get_option_string("conversejs_short_name", "Chat"),
	start_url = "./", scope = "./", display = "standalone", background_color = "#397491", theme_color = "#397491",
	icons = {
		{ src = dist .. "/images/logo/conversejs-filled-192.png", sizes = "192x192", type = "image/png" },
		{ src = dist .. "/images/logo/conversejs-filled-512.png", sizes = "512x512", type = "image/png" },
	},
}

-- 'wasm-unsafe-eval' is for the arithmetic of OMEMO, which is WebAssembly; inline styles are Converse's way to place
-- and colour things. blob: and data: are pictures and sounds that it has decrypted itself.
local function policy()
	local all = settings()
	local own = {}
	for _, name_of in ipairs { "websocket_url", "bosh_service_url" } do
		local origin = tostring(all[name_of]):match "^%a+://[%w.:%[%]-]+"
		if origin then table.insert(own, origin) end
	end
	return table.concat({
		"default-src 'self'", "script-src 'self' 'wasm-unsafe-eval'", "worker-src 'self' blob:",
		"style-src 'self' 'unsafe-inline'", "img-src 'self' https: data: blob:", "media-src 'self' https: data: blob:",
		"connect-src 'self' https: " .. table.concat(own, " "), "object-src 'none'", "frame-src 'none'",
		"base-uri 'none'", "form-action 'self'", "frame-ancestors 'none'",
	}, "; ")
end

local function serve(content_type, body)
	return function (event)
		local headers = event.response.headers
		headers.content_type = content_type
		headers.content_security_policy = policy()
		headers.x_content_type_options = "nosniff"
		headers.referrer_policy = "no-referrer"
		headers.permissions_policy = "geolocation=(self), microphone=(self), camera=()"
		headers.cache_control = "no-cache"
		return type(body) == "function" and body() or body
	end
end

local serve_page = serve("text/html; charset=utf-8", page)

-- Passwords need TLS: whoever came without it is sent to where it is. A proxy has the same name outside, and did TLS.
local function page_over_tls(event)
	local request, url = event.request, module:http_url("conversejs", "/conversejs"):gsub("/*$", "/")
	local authority = url:match "^https://([^/]+)"
	if request.secure or not authority or authority == request.headers.host then return serve_page(event) end
	event.response.headers.location = url
	return 302
end

module:provides("http", {
	name = "conversejs",
	title = name,
	route = {
		["GET /"] = page_over_tls,
		["GET /start.js"] = serve("text/javascript; charset=utf-8", script),
		["GET /page.js"] = serve("text/javascript; charset=utf-8", setting),
		["GET /page.css"] = serve("text/css; charset=utf-8", style),
		["GET /manifest.json"] = serve("application/manifest+json", manifest),
		["GET /dist/*"] = serve_dist,
	},
})
