--- Who may read what is not for everybody (figures, health): new(module, option, ips, cidr) gives a function that says
-- whether a request comes from one of these addresses and networks.
--
-- Always true: a request that came through a proxy nobody told us of (trusted_proxies) is not allowed, since its
-- address is the proxy's, and that of a proxy on this machine would else open the door to all.
local any_of = require "prosody.util.ip".any_of

local ipairs, tostring = ipairs, tostring

local _ENV = nil

--- module: logs what is wrong. option: the name of the option, for that. ips: set of addresses and networks. cidr: one
-- more network, or nil.
local function new(module, option, ips, cidr)
	local list = { cidr }
	for entry in ips:items() do
		list[#list + 1] = tostring(entry)
	end
	local is_one, wrong = any_of(list)
	for _, text in ipairs(wrong) do
		module:log("error", "%s: \"%s\" is neither an address nor a network", option, text)
	end
	return function (request)
		local headers = request.headers
		if (headers.x_forwarded_for or headers.forwarded) and request.ip == request.conn:ip() then
			return false
		end
		return is_one(request.ip)
	end
end

return { new = new }
