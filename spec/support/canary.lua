--- Does anybody notice? A user in a process of their own, who pings the server all the time and tells how long the
-- answers took. What the spec itself does meanwhile does not count.
--
--	local canary = require "spec.support.canary".start(server, "nurse")
--	local quiet = canary:notices(function() ... end)     { n =, median =, p99 =, longest = } in seconds
--	canary:stop()

local outside = require "spec.support.outside"

local canary = {}
canary.__index = canary

local library = {}

--- A user of that server (spec.support.server) pings from now on. options: tls ("direct" or "none").
function library.start(server, user, options)
	local tls = options and options.tls or "direct"
	server:register(user, "secret")
	local port = tls == "direct" and server.direct_port or server.port
	return library.watch(server:host(), port, user, "secret", tls)
end

--- The same for any server.
function library.watch(host, port, user, password, tls)
	local self = setmetatable({}, canary)
	self.program = outside.start { "lua5.4", "spec/support/canary_child.lua", host, tostring(port), user, password, tls }
	self.program:says "ready\n"
	return self
end

function canary:asks(word, answer)
	self.program.output = {}
	self.program.process:write(word .. "\n")
	self.program:says(answer)
end

--- What the user notices while fn runs.
function canary:notices(fn)
	self:asks("begin", "began\n")
	fn()
	self:asks("end", "\n")
	local n, median, p99, longest = self.program:said():match "(%d+) (%S+) (%S+) (%S+)\n"
	return { n = tonumber(n), median = tonumber(median), p99 = tonumber(p99), longest = tonumber(longest) }
end

--- How it was, as a line.
function library.tell(when, noticed)
	local text = "another user's ping %s: median %.2f ms, of a hundred 99 below %.1f ms, longest %.1f ms (%d pings)"
	return text:format(when, noticed.median * 1e3, noticed.p99 * 1e3, noticed.longest * 1e3, noticed.n)
end

function canary:stop()
	self.program.process:close_input()
	self.program:ends(10)
end

return library
