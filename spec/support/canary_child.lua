-- Run as a process by spec.support.canary: one user who pings the server every 2 ms, or as soon as the last ping was
-- answered when that took longer. Arguments: host, port, user, password, "direct" or "none". Reads "begin" and "end",
-- one a line; answers "ready", "began" and, to the latter, how many pings there were between, and of the seconds they
-- took the median, the 99th percentile and the most.

package.path = "./?.lua;" .. package.path
dofile "spec/support/helper.lua"

local client = require "spec.support.client"
local loop = require "spec.support.loop"

local PACE_SECONDS = 0.002

local host, port, user, password, tls = table.unpack(arg)
local one = client.new { host = host, port = tonumber(port), user = user, password = password, tls = tls }
one:logs_in()
one.parser, one.raw = nil, ""

local took, is_counting, sent_at, n, is_over = {}, false, nil, 0, false

local function percentile(of, share) return of[math.min(#of, 1 + math.floor(#of * share))] or 0 end

local function say(text)
	io.stdout:write(text, "\n")
	io.stdout:flush()
end

local commands = {}

function commands.begin()
	took, is_counting = {}, true
	say "began"
end

commands["end"] = function()
	is_counting = false
	table.sort(took)
	say(("%d %.6f %.6f %.6f"):format(#took, percentile(took, 0.5), percentile(took, 0.99), took[#took] or 0))
end

loop.watch({ getfd = function() return 0 end }, function()
	local line = io.stdin:read "l"
	if not line then
		is_over = true
	else
		commands[line]()
	end
end)

local function ping()
	n, one.raw, sent_at = n + 1, "", loop.now()
	one:queues_raw(("<iq type='get' to='%s' id='ping%d'><ping xmlns='urn:xmpp:ping'/></iq>"):format(host, n))
end

local function is_answered() return one.raw:find(("ping%d'"):format(n), 1, true) end

say "ready"
while not is_over and not one.closed do
	ping()
	while not is_over and not one.closed and not is_answered() do loop.turn(1) end
	local now = loop.now()
	if is_counting then took[#took + 1] = now - sent_at end
	while not is_over and loop.now() < sent_at + PACE_SECONDS do loop.turn(sent_at + PACE_SECONDS - loop.now()) end
end
