--- One select loop for everything a test drives: clients, and the output of servers. Nothing here sleeps; waiting ends
-- with an event or at a deadline, and the deadline is an error that says what was waited for.

local process = require "process"
local socket = require "socket"

local loop = { deadline_seconds = tonumber(os.getenv "COUPLET_DEADLINE") or 60 }

local watched = {} -- by object: { on_readable, on_writable, wants_write }

--- Watches anything with getfd(). on_writable is called only while :set_wants_write(true).
function loop.watch(object, on_readable, on_writable)
	watched[object] = { on_readable = on_readable, on_writable = on_writable, wants_write = false }
end

function loop.forget(object) watched[object] = nil end

function loop.wants_write(object, does) if watched[object] then watched[object].wants_write = does end end

loop.now = process.monotonic

--- One pass: waits at most `seconds` for something to happen.
function loop.turn(seconds)
	local read, write = {}, {}
	for object, watch in pairs(watched) do
		read[#read + 1] = object
		if watch.wants_write then write[#write + 1] = object end
	end
	local readable, writable = socket.select(read, write, seconds)
	for _, object in ipairs(writable or {}) do
		if watched[object] and watched[object].wants_write then watched[object].on_writable() end
	end
	for _, object in ipairs(readable or {}) do
		if watched[object] then watched[object].on_readable() end
	end
end

--- Turns until is_done() is true. At the deadline raises what() at the caller's caller.
function loop.await(is_done, what, seconds, level)
	local deadline = loop.now() + (seconds or loop.deadline_seconds)
	while not is_done() do
		local left = deadline - loop.now()
		if left <= 0 then
			error(("waited %g s for %s"):format(seconds or loop.deadline_seconds,
				type(what) == "function" and what() or what), (level or 1) + 1)
		end
		loop.turn(left)
	end
end

--- As await, but gives false at the deadline.
function loop.try_await(is_done, seconds)
	local deadline = loop.now() + seconds
	while not is_done() do
		local left = deadline - loop.now()
		if left <= 0 then return false end
		loop.turn(left)
	end
	return true
end

return loop
