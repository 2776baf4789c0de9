--- Is the server well? GET /health answers 200 "OK", or 500 and the modules that have said that they are not (a module
-- says so with module:set_status("error", ...)). For load balancers and whatever wakes the admin.
-- @option health_allow_ips   set, {"127.0.0.1", "::1"}: addresses and networks that may ask
-- @option health_allow_cidr  network: one more
-- @hooks  none        @fires none        @stores none
-- @spec   spec/e2e/web_pages_spec.lua

module:set_global()
module:depends("http")

local allow = require "prosody.net.http.allow"
local modulemanager = require "prosody.core.modulemanager"

local may_ask = allow.new(module, "health_allow_ips",
	module:get_option_set("health_allow_ips", { "127.0.0.1", "::1" }), module:get_option_string("health_allow_cidr"))

-- "HOST: mod_x: what is wrong" of each module that is not well.
local function complaints()
	local list = {}
	local function look_at(host)
		for name, environment in pairs(modulemanager.get_modules(host)) do
			local kind, message = environment.module:get_status()
			if kind == "error" then
				table.insert(list, ("%s: mod_%s: %s"):format(host == "*" and "server" or host, name, message))
			end
		end
	end
	look_at "*"
	for host in pairs(prosody.hosts) do look_at(host) end
	table.sort(list)
	return list
end

module:provides("http", {
	route = {
		GET = function (event)
			if not may_ask(event.request) then return 403 end
			local headers = event.response.headers
			headers.content_type = "text/plain; charset=utf-8"
			headers.cache_control = "no-store"
			local list = complaints()
			if not list[1] then return "OK\n" end
			event.response.status_code = 500
			return table.concat(list, "\n") .. "\n"
		end,
	},
})
