--- Looking up names without waiting, in the words of Prosody's net.adns:
--	adns.lookup(function (answer, err) ... end, "example.org", "TXT")
--	adns.resolver():lookup_promise("example.org", "TXT"):next(function (answer) ... end)
-- net.dns says what an answer is, net.unbound how it is found. There is one resolver, the server's.
local default = require "prosody.net.unbound".default

local _ENV = nil

return {
	lookup = function (callback, name, qtype, qclass) return default:lookup(callback, name, qtype, qclass) end,
	lookup_promise = function (name, qtype, qclass) return default:lookup_promise(name, qtype, qclass) end,
	cancel = function (query, call_it, reason) return default:cancel(query, call_it, reason) end,
	purge = function () return default:purge() end,
	--- An object with the same functions as methods.
	resolver = function () return default end,
}
