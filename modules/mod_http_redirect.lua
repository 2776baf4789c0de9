--- Redirects on the web: pages that have moved, or a short way to one.
-- @option http_redirects  table, {}: path -> URL or path. "/old/*" stands for all below, and what the star stood for is
--                         put behind. Browsers remember it when written as { "https://new.example/", permanent = true }
-- @hooks  none        @fires none        @stores none
-- @spec   spec/e2e/web_pages_spec.lua
--
--     http_redirects = { ["/chat"] = "/conversejs/", ["/blog/*"] = "https://blog.example.org/" }
--
-- Always true: a redirect leads where the configuration says, whatever is asked for.

module:depends("http")

-- What a path may have as it is (RFC 3986 3.3); all else is escaped.
local function escape(path)
	return (path:gsub("[^%w%-._~/!$&'()*+,;=:@]", function (byte) return ("%%%02X"):format(byte:byte()) end))
end

local function redirect(target, is_permanent)
	return function (event, rest)
		local query = event.request.url.query
		-- No slash in front: "//evil.example/" would be another site.
		local location = rest and target .. escape(rest:match "^/*(.*)$") or target
		event.response.headers.location = query and rest and location .. "?" .. query or location
		return is_permanent and 301 or 302
	end
end

local routes = {}
for path, value in pairs(module:get_option("http_redirects", {})) do
	local target = type(value) == "table" and value[1] or value
	if type(target) == "string" and type(path) == "string" and path:find "^/" and target:find "^%a*:?/" then
		routes["GET " .. path] = redirect(target, type(value) == "table" and value.permanent)
	else
		module:log("error", "http_redirects: [%q] = %s should be a path and a URL or path", tostring(path), tostring(target))
	end
end

module:provides("http", { name = "redirect", default_path = "/", route = routes })
