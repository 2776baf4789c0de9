--- Stream limits (XEP-0478) between servers: ours are told, theirs are kept to. A stanza that is too big for the other
-- side goes back to who sent it; sent, it would cost everybody the stream.

local native = require "couplet.native"

local xmlns_limits = "urn:xmpp:stream-limits:0"

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

--- Reads what the other side of a session takes, out of the same elements.
function limits.read(session, element)
	local told = element:get_child("limits", xmlns_limits)
	local digits = told and told:get_child_text("max-bytes")
	local bytes = digits and digits:match("^%d+$") and math.tointeger(tonumber(digits))
	if not bytes or bytes < 1 then return end
	session.peer_max_bytes = math.min(bytes, 0xffffffff)
	native.s2s_limit(session, session.peer_max_bytes)
	session.log("debug", "The other side takes stanzas of up to %d bytes", bytes)
end

--- The answer to a stanza that is too big: what error replies say.
function limits.failure(domain, bytes)
	return { type = "modify", condition = "policy-violation",
		text = ("The server %s takes stanzas of up to %d bytes"):format(domain, bytes) }
end

return limits
