--- Streams to and from other servers, for modules: which there are, and what is heard when one ends.
--
-- prosody.hosts[h].s2sout[name] is the stream from host h to another domain, prosody.incoming_s2s holds those that
-- came in. The streams are the core's, opened by mod_s2s; a transport written in Lua may bring tables of its own
-- (new_incoming, new_outgoing). A session that has ended stays usable: it answers as a closed stream does, so who
-- still holds it does no harm.

local logger = require "prosody.util.logger"
local native = require "couplet.native"
local new_id = require "prosody.util.id".short

local prosody = _G.prosody
local hosts = prosody.hosts
local os_time, pairs, setmetatable, tostring, type = os.time, pairs, setmetatable, tostring, type

local _M = {}
local _ENV = nil

--- A session for a connection that another server opened.
function _M.new_incoming(conn)
	local session = {
		conn = conn, type = "s2sin_unauthed", direction = "incoming", notopen = true,
		hosts = {}, conntime = os_time(), ip = conn and conn.ip and conn:ip() or nil,
		log = logger.init("s2sin" .. new_id()),
	}
	prosody.incoming_s2s[session] = true
	return session
end

--- A session for a stream that a host of ours is going to open to another domain.
function _M.new_outgoing(from_host, to_host)
	local session = {
		from_host = from_host, to_host = to_host, host = from_host,
		type = "s2sout_unauthed", direction = "outgoing", notopen = true,
		hosts = {}, log = logger.init("s2sout" .. new_id()),
	}
	hosts[from_host].s2sout[to_host] = session
	return session
end

--- A stream of the core is to be found in the tables from now on.
function _M.add(session)
	session.conntime = session.conntime or os_time()
	session.hosts = session.hosts or {}
	if session.direction == "incoming" then
		prosody.incoming_s2s[session] = true
	elseif hosts[session.from_host] then
		hosts[session.from_host].s2sout[session.to_host] = session
	end
end

--- A session's stream is no more: it leaves the tables, and who wants to hear of it does. reason: why;
-- bounce_reason goes to the senders of what was still waiting.
function _M.ended(session, reason, bounce_reason)
	local log = session.log or logger.init("s2s")
	log("debug", "Ending %s stream %s -> %s: %s", tostring(session.direction), tostring(session.from_host),
		tostring(session.to_host), tostring(reason or "no reason given"))
	session.destruction_reason = reason
	local event = { session = session, reason = reason, bounce_reason = bounce_reason or reason }
	if session.direction == "outgoing" then
		local host = hosts[session.from_host]
		if host and host.s2sout[session.to_host] == session then
			host.s2sout[session.to_host] = nil
		end
		if session.bounce_sendq then
			session:bounce_sendq(bounce_reason or reason)
		end
		(host or prosody).events.fire_event("s2sout-destroyed", event)
	else
		prosody.incoming_s2s[session] = nil
		local host = hosts[session.to_host]
		;(host or prosody).events.fire_event("s2sin-destroyed", event)
	end
end

local function refuse()
	return false
end

local ended_methods = {
	send = refuse, sends2s = refuse, close = refuse, open_stream = refuse,
	log = logger.init("s2s"),
}
local ended_mt = { __index = ended_methods }

-- Leaves only what tells who it was.
local function put_to_rest(session)
	local kept = {
		type = session.type, id = session.id, from_host = session.from_host, to_host = session.to_host,
		host = session.host, direction = session.direction, destruction_reason = session.destruction_reason,
	}
	for key in pairs(session) do
		session[key] = nil
	end
	for key, value in pairs(kept) do
		session[key] = value
	end
	session.destroyed = true
	return setmetatable(session, ended_mt)
end

--- Ends a session at once, without a word to the other side. Ending it twice does nothing.
function _M.destroy_session(session, reason, bounce_reason)
	if session.destroyed then
		return false
	elseif type(session) ~= "table" then
		native.end_session(session, reason and tostring(reason) or nil) -- mod_s2s hears of it, and calls `ended`
		return true
	end
	_M.ended(session, reason, bounce_reason)
	put_to_rest(session)
	return true
end

return _M
