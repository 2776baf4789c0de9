--- Stream limits (XEP-0478) between servers: ours are told, theirs are kept to. A stanza that is too big for the other
-- side goes back to who sent it; sent, it would cost everybody the stream. Before the other side takes a stream of ours
-- for idle, a space tells it that we are there (RFC 6120 4.6.1); closing one that is not used is for our own
-- s2s_idle_timeout to decide.

local native = require "couplet.native"

local xmlns_limits = "urn:xmpp:stream-limits:0"

local EARLY = 0.8                                   -- of the time after which a stream is taken for idle
local MIN_IDLE_SECONDS, MAX_IDLE_SECONDS = 1, 86400 -- who closes sooner does not want to be talked with

local limits = {}
local max_bytes, idle_seconds

function limits.load(options) max_bytes, idle_seconds = options.s2s_stanza_size, options.s2s_idle end

--- Adds what we take to an element: stream features, or <bidi/> (XEP-0288). The bytes are those of stanzas, which only
-- come when a domain is proven; before that less is taken.
function limits.tell(element)
	element:tag("limits", { xmlns = xmlns_limits })
		:text_tag("max-bytes", ("%d"):format(max_bytes))
		:text_tag("idle-seconds", ("%d"):format(idle_seconds)):up()
end

-- A whole number out of a child of <limits/>, nil when there is none.
local function read_number(told, name)
	local digits = told and told:get_child_text(name)
	return digits and digits:match("^%d+$") and math.tointeger(tonumber(digits))
end

-- Every so many seconds a space is sent, as long as the session lives and once a domain is proven: before that, streams
-- are restarted, and nothing may stand before a header.
local function keep_alive(session, seconds)
	if session.keepalive then session.keepalive:stop() end
	session.keepalive = native.timer(seconds, function ()
		if session.destroyed then return end
		if session.type == "s2sout" or session.type == "s2sin" then session.sends2s(" ") end
		session.keepalive:restart(seconds)
	end)
end

--- Reads what the other side of a session takes, out of the same elements, and keeps to it.
function limits.read(session, element)
	local told = element:get_child("limits", xmlns_limits)
	local bytes, idle = read_number(told, "max-bytes"), read_number(told, "idle-seconds")
	if bytes and bytes >= 1 then
		session.peer_max_bytes = math.min(bytes, 0xffffffff)
		native.s2s_limit(session, session.peer_max_bytes)
		session.log("debug", "The other side takes stanzas of up to %d bytes", bytes)
	end
	if idle and idle >= MIN_IDLE_SECONDS then
		keep_alive(session, math.min(idle, MAX_IDLE_SECONDS) * EARLY)
		session.log("debug", "The other side takes the stream for idle after %d seconds without a byte", idle)
	end
end

--- The answer to a stanza that is too big: what error replies say.
function limits.failure(domain, bytes)
	return { type = "modify", condition = "policy-violation",
		text = ("The server %s takes stanzas of up to %d bytes"):format(domain, bytes) }
end

return limits
