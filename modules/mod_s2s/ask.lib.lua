--- Several questions to the DNS at the same time, for code that can wait: handlers of events, commands of the shell.

local adns = require "prosody.net.adns"
local async = require "prosody.util.async"

--- Asks for records of that type of each name (the keys of a table) and waits for all. Gives name -> answer, and
-- name -> why there is none.
return function (names, qtype)
	local answers, errors, n = {}, {}, 0
	for _ in pairs(names) do n = n + 1 end
	if n == 0 then return answers, errors end
	local wait, done = async.waiter(n)
	for name in pairs(names) do
		adns.lookup(function (answer, err)
			answers[name], errors[name] = answer, err
			done()
		end, name, qtype)
	end
	wait()
	return answers, errors
end
