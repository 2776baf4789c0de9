--- A page about the host, at its web address: what this server is, how to join, which apps there are, whom to ask.
-- @option site_name        string, the host: what the page calls the server
-- @option landing_title    string, site_name: the same, for this page alone
-- @option landing_text     string or list of strings: paragraphs about this server, in the place of our own
-- @option landing_clients  list of { name =, url =, platforms = }: the apps to recommend, in the place of our list
-- @option landing_template path: a page of the admin's own, in the place of ours
-- @option allow_registration  boolean, false: with register_ibr, people are told that their app makes the account
-- @hooks  none        @fires none        @stores none
-- @spec   spec/e2e/web_pages_spec.lua
--
-- It says what is true at the moment it is read: registration, chat in the browser and contacts are named when the
-- modules for it are loaded (register_ibr, conversejs, server_contact_info), other servers if s2s is.
-- http_paths = { landing = "/about" } puts it elsewhere.
-- Always true: it works without scripts and asks no other site for anything; values are escaped.

module:depends("http")

local escape = require "prosody.util.stanza".xml_escape
local interpolation = require "prosody.util.interpolation"
local modulemanager = require "prosody.core.modulemanager"

local function read(path)
	local file, err = module:load_resource(path)
	if not file then error(("landing_template: %s"):format(err), 0) end
	local text = file:read("a")
	file:close()
	return text
end

local render = interpolation.new("%b{}", escape)
local page = read(module:get_option_path("landing_template") or "page.html")
local style, icon = read "page.css", read "icon.svg"

local title = module:get_option_string("landing_title", module:get_option_string("site_name", module.host))
local texts = module:get_option("landing_text")
if type(texts) == "string" then texts = { texts } end

local clients = module:get_option_array("landing_clients", {
	{ name = "Conversations", url = "https://conversations.im/", platforms = "Android" },
	{ name = "Monal", url = "https://monal-im.org/", platforms = "iPhone, iPad, Mac" },
	{ name = "Gajim", url = "https://gajim.org/", platforms = "Windows, Linux, Mac" },
	{ name = "Dino", url = "https://dino.im/", platforms = "Linux" },
})

local kinds = { -- of contacts, in the order people look for them
	{ "support", "Help" }, { "admin", "Admin" }, { "abuse", "Report abuse" }, { "security", "Security" },
	{ "feedback", "Feedback" }, { "sales", "Sales" }, { "status", "Status" },
}

-- Only addresses that a browser may safely follow become links; text is what people read of them.
local function contact_of(label, uri)
	local scheme, rest = uri:match "^(%a+):/*(.+)$"
	local is_link = scheme == "xmpp" or scheme == "mailto" or scheme == "https" or scheme == "http"
	return { label = label, href = is_link and uri or nil, text = is_link and rest:gsub("%?.*$", "") or uri }
end

local function contacts()
	local info = modulemanager.get_module(module.host, "server_contact_info")
	local list = {}
	for _, kind in ipairs(info and info.addresses and kinds or {}) do
		for _, uri in ipairs(info.addresses[kind[1]] or {}) do
			table.insert(list, contact_of(kind[2], uri))
		end
	end
	return list[1] and list or nil
end

local function is_loaded(name) return modulemanager.is_loaded(module.host, name) end

local function about()
	return {
		title = title, host = module.host, base = module:http_url(nil, "/"):gsub("/*$", "/"):match "^%a+://[^/]*(/.*)$",
		texts = texts, no_texts = not texts,
		can_register = is_loaded "register_ibr" and module:get_option_boolean("allow_registration", false),
		is_public = is_loaded "auth_anonymous",
		is_federated = is_loaded "s2s" or modulemanager.is_loaded("*", "s2s"),
		web_chat = is_loaded "conversejs" and module:http_url("conversejs"):gsub("/*$", "/") or nil,
		clients = clients, contacts = contacts(),
	}
end

local function add_headers(response, content_type)
	local headers = response.headers
	headers.content_type = content_type
	headers.x_content_type_options = "nosniff"
	headers.referrer_policy = "no-referrer"
	headers.content_security_policy =
		"default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
end

local function serve(content_type, body, cache_control)
	return function (event)
		add_headers(event.response, content_type)
		event.response.headers.cache_control = cache_control
		return type(body) == "function" and body() or body
	end
end

module:provides("http", {
	name = "landing",
	default_path = "/",
	route = {
		["GET /"] = serve("text/html; charset=utf-8", function () return render(page, about()) end, "no-cache"),
		["GET /landing.css"] = serve("text/css; charset=utf-8", style, "max-age=3600"),
		["GET /landing.svg"] = serve("image/svg+xml", icon, "max-age=86400"),
	},
})
