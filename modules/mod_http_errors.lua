--- Pages for errors and short messages of the web server, plain and readable on any screen.
-- @option http_errors_detailed      boolean, false: show what only an admin should know
-- @option http_errors_always_show   boolean, true: to browsers; false: never, the bare text instead
-- @hooks  http-error (of net.http.server), http-message        @fires none        @stores none
-- @spec   spec/e2e/web_http_spec.lua

module:set_global()

local codes = require "prosody.net.http.codes"
local server = require "prosody.net.http.server"

local is_detailed = module:get_option_boolean("http_errors_detailed", false)
local is_shown = module:get_option_boolean("http_errors_always_show", true)

local explanations = {
	[400] = "Your browser sent a request that could not be understood.",
	[401] = "You have to log in to see this page.",
	[403] = "You may not see this page.",
	[404] = "There is nothing at this address.",
	[405] = "This address does not work that way.",
	[429] = "You are asking too often. Please wait a moment.",
	[500] = "Something went wrong on the server. Its admin can find out what in the log.",
	[503] = "The service is not available now. Please try again later.",
}

local template = [[
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>%s</title>
<style>
:root { color-scheme: light dark }
body { font: 1.1rem/1.5 system-ui, sans-serif; max-width: 36rem; margin: 15vh auto; padding: 0 1.5rem }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0 0 1rem }
p { margin: 0 0 1rem; overflow-wrap: anywhere }
.warning { border-inline-start: .25rem solid #c60; padding-inline-start: 1rem }
</style>
</head>
<body>
<main>
<h1>%s</h1>
%s</main>
</body>
</html>
]]

local entities = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&#39;" }
local function escape(text)
	return (tostring(text):gsub("[&<>\"']", entities))
end

local function page(response, title, paragraphs)
	local parts = {}
	for _, paragraph in ipairs(paragraphs) do
		table.insert(parts, ("<p%s>%s</p>\n"):format(paragraph.class and ' class="' .. paragraph.class .. '"' or "",
			escape(paragraph.text)))
	end
	local headers = response.headers
	headers.content_type = "text/html; charset=utf-8"
	headers.content_security_policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
	headers.x_content_type_options = "nosniff"
	headers.referrer_policy = "no-referrer"
	return template:format(escape(title), escape(title), table.concat(parts))
end

local function wants_page(request)
	local accept = request and request.headers and request.headers.accept
	return accept ~= nil and accept:find("text/html", 1, true) ~= nil
end

module:hook_object_event(server, "http-error", function (event)
	if not is_shown or not wants_page(event.request) or event.response.headers.content_type then return end
	local paragraphs = { { text = explanations[event.code] or "The request was not answered." } }
	local err = event.error
	if event.message then table.insert(paragraphs, { text = event.message }) end
	if is_detailed and (event.private_message or err) then
		table.insert(paragraphs, { class = "warning", text = event.private_message or err })
	end
	return page(event.response, codes[event.code], paragraphs)
end)

-- What an address that is for programs says to people: { response =, title =, message =, warning = }.
local function show_message(event)
	local paragraphs = {}
	if event.message then table.insert(paragraphs, { text = event.message }) end
	if event.warning then table.insert(paragraphs, { class = "warning", text = event.warning }) end
	return page(event.response, event.title or "Couplet", paragraphs)
end

module:hook_object_event(server, "http-message", show_message)

function module.add_host(host_module)
	host_module:hook("http-message", show_message, -1)
end
