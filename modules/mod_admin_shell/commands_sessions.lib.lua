--- c2s and s2s in the admin's shell: who is connected.

local human_io = require "prosody.util.human.io"
local jid = require "prosody.util.jid"
local native = require "couplet.native"

local function kind_of(session)
	return session.type and session.type:sub(1, 3) == "c2s" and "c2s" or nil
end

-- Does the session belong to what was asked for? pattern: a JID, a part of one, or nothing.
local function is_meant(session, pattern)
	if not pattern or pattern == "" then return true end
	local full = session.full_jid
	local bare = session.username and session.username .. "@" .. session.host or session.host
	if not bare then return false end
	if pattern == full or pattern == bare or pattern == session.host then return true end
	return not pattern:find("/", 1, true) and (full or bare):find(pattern, 1, true) ~= nil
end

local function each_client(pattern)
	local found = {}
	for session in native.sessions() do
		if kind_of(session) and is_meant(session, pattern) then table.insert(found, session) end
	end
	table.sort(found, function (a, b) return (a.full_jid or a.host or "") < (b.full_jid or b.host or "") end)
	return found
end

local function tls_of(session)
	local info = session.secure and session.conn and session.conn.ssl_info and session.conn:ssl_info()
	if not info then return session.secure and "yes" or "no" end
	return ("%s %s"):format(info.protocol or "?", info.cipher or "?")
end

-- Connected, with stream management (XEP-0198), or away, for how long and with how many stanzas waiting?
local function state_of(session)
	local counts = native.sm_counts(session)
	if not session.hibernating then return counts and "here, sm" or "here" end
	return ("away %ds: %d"):format(os.time() - session.hibernating, counts.unacked)
end

local columns = {
	state = { title = "State", width = 13, get = state_of },
	jid = { title = "JID", width = "3p", get = function (session) return session.full_jid or session.host or "-" end },
	host = { title = "Host", width = "1p", get = function (session) return session.host end },
	user = { title = "User", width = "1p", get = function (session) return session.username end },
	resource = { title = "Resource", width = "1p", get = function (session) return session.resource end },
	ip = { title = "IP address", width = "2p", get = function (session) return session.ip end },
	type = { title = "Type", width = 12, get = function (session) return session.type end },
	secure = { title = "TLS", width = 3, get = function (session) return session.secure and "yes" or "no" end },
	tls = { title = "TLS", width = "3p", get = tls_of },
	priority = { title = "Priority", width = 8, align = "right", get = function (session) return session.priority end },
	presence = { title = "Presence", width = 8, get = function (session)
		local presence = session.presence
		return presence and (presence:get_child_text("show") or "online") or "-"
	end },
	id = { title = "Stream", width = 26, get = function (session) return session.streamid end },
}

local function show(self, pattern, names)
	local chosen = {}
	for name in (names or "jid ip secure priority presence state"):gmatch("[^%s,]+") do
		local column = columns[name]
		if not column then return nil, ("There is no column %q; try: help columns"):format(name) end
		table.insert(chosen, {
			title = column.title,
			width = column.width,
			align = column.align,
			mapper = function (_, session) return column.get(session) or "" end,
		})
	end
	local row = human_io.table(chosen, self.session.width)
	self.session.print(row())
	local count = 0
	for _, session in ipairs(each_client(pattern)) do
		self.session.print(row(session))
		count = count + 1
	end
	return true, ("%d client session%s"):format(count, count == 1 and "" or "s")
end

local function count(_, host)
	local n = #each_client(host)
	return true, ("%d client session%s"):format(n, n == 1 and "" or "s")
end

local function close_all(sessions, condition, text)
	for _, session in ipairs(sessions) do
		session:close({ condition = condition, text = text })
	end
	return true, ("%d session%s closed"):format(#sessions, #sessions == 1 and "" or "s")
end

local function close(_, address, text)
	local wanted = jid.prep(address)
	if not wanted then return nil, ("%s is not a JID"):format(address) end
	local _, _, resource = jid.split(wanted)
	local doomed = {}
	for _, session in ipairs(each_client()) do
		if session.full_jid == wanted or (not resource and session.full_jid and jid.bare(session.full_jid) == wanted) then
			table.insert(doomed, session)
		end
	end
	if not doomed[1] then return nil, ("%s has no session"):format(wanted) end
	return close_all(doomed, "policy-violation", text or "Closed by the administrator")
end

local function add(name, desc, args, handler)
	module:add_item("shell-command", { section = "c2s", section_desc = "Sessions of clients", name = name, desc = desc,
		args = args, handler = handler })
end

add("show", "Lists the sessions of clients, all or those of a JID or host",
	{ { name = "jid", type = "string" }, { name = "columns", type = "string" } }, show)
add("show_tls", "Lists them with their TLS version and cipher", { { name = "jid", type = "string" } },
	function (self, pattern) return show(self, pattern, "jid ip tls") end)
add("count", "Counts them", { { name = "host", type = "string" } }, count)
add("close", "Ends the session of a full JID, or all of a bare JID",
	{ { name = "jid", type = "string", required = true }, { name = "text", type = "string" } }, close)
add("closeall", "Ends the sessions of all clients", { { name = "text", type = "string" } },
	function (_, text) return close_all(each_client(), "policy-violation", text or "Closed by the administrator") end)
