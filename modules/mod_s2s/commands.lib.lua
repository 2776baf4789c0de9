--- s2s in the admin's shell: which streams there are, closing them, and why a domain cannot be reached.

local human_io = require "prosody.util.human.io"
local jid = require "prosody.util.jid"
local native = require "couplet.native"

local links, story, first_use

local function each_stream(domain)
	local found = {}
	for session in native.sessions() do
		if session.type:sub(1, 3) == "s2s" then
			local matches = not domain or session.from_host == domain or session.to_host == domain
			for _, pair in ipairs(native.s2s_pairs(session)) do
				matches = matches or pair.ours == domain or pair.theirs == domain
			end
			if matches then table.insert(found, session) end
		end
	end
	table.sort(found, function (a, b)
		return (a.to_host or "") .. (a.from_host or "") < (b.to_host or "") .. (b.from_host or "")
	end)
	return found
end

local function tls_of(session)
	local info = session.secure and session.conn and session.conn:ssl_info()
	return info and ("%s %s"):format(info.protocol, info.cipher) or "no"
end

local function pairs_of(session)
	local texts = {}
	for _, pair in ipairs(native.s2s_pairs(session)) do
		local arrow = pair["in"] and pair.out and "<->" or pair.out and "->" or "<-"
		table.insert(texts, ("%s %s %s"):format(pair.ours, arrow, pair.theirs))
	end
	return texts[1] and table.concat(texts, ", ") or "nothing yet"
end

-- Stanzas the other side has not acknowledged, or that have not left yet if it acknowledges none.
local function unacked_of(session)
	local counts = native.sm_counts(session)
	if not counts then return "" end
	return counts.out and tostring(counts.unacked) or ("%d (not acknowledged)"):format(counts.kept)
end

local columns = {
	{ title = "From", width = "2p", mapper = function (_, s) return s.from_host or "?" end },
	{ title = "To", width = "2p", mapper = function (_, s) return s.to_host or "?" end },
	{ title = "IP address", width = "2p", mapper = function (_, s) return s.ip or "" end },
	{ title = "Proven", width = "4p", mapper = function (_, s) return pairs_of(s) end },
	{ title = "TLS", width = "3p", mapper = function (_, s) return tls_of(s) end },
	{ title = "On the way", width = "1p", mapper = function (_, s) return unacked_of(s) end },
}

local function show(self, domain)
	local row = human_io.table(columns, self.session.width)
	self.session.print(row())
	local found = each_stream(domain and jid.prep(domain))
	for _, session in ipairs(found) do self.session.print(row(session)) end
	return true, ("%d stream%s between servers"):format(#found, #found == 1 and "" or "s")
end

local function close(_, domain)
	local name = jid.prep(domain)
	if not name then return nil, ("%s is not a domain"):format(domain) end
	local found = each_stream(name)
	for _, session in ipairs(found) do
		session:close({ condition = "reset", text = "Closed by the administrator" }) -- RFC 6120 4.9.3.16
	end
	links.forget_failures(name)
	return true, ("%d stream%s closed"):format(#found, #found == 1 and "" or "s")
end

local function explain(self, domain)
	local name = jid.prep(domain)
	if not name then return nil, ("%s is not a domain"):format(domain) end
	local lines = story.tell(name)
	if not lines then
		return true, ("There was no attempt to talk with %s since the server started"):format(name)
	end
	for _, line in ipairs(lines) do self.session.print(line) end
	return true
end

local known_columns = {
	{ title = "Host", width = "1p", mapper = function (_, one) return one.ours end },
	{ title = "Trusts", width = "1p", mapper = function (_, one) return one.theirs end },
	{ title = "Since", width = 10, mapper = function (_, one) return one.first_seen end },
	{ title = "SHA-256 of the certificate", width = 95, mapper = function (_, one) return one.fingerprint end },
}

local function known(self)
	local row = human_io.table(known_columns, math.max(self.session.width or 0, 150))
	local list = first_use.list()
	if list[1] then self.session.print(row()) end
	for _, one in ipairs(list) do self.session.print(row(one)) end
	return true, ("%d domain%s trusted on first use"):format(#list, #list == 1 and " was" or "s were")
end

local function forget(_, domain)
	local name = jid.prep(domain)
	if not name then return nil, ("%s is not a domain"):format(domain) end
	local n, err = first_use.forget(name)
	if not n then return nil, ("The certificate of %s could not be forgotten: %s"):format(name, err) end
	links.forget_failures(name)
	if n == 0 then return true, ("No certificate of %s was known"):format(name) end
	return true, ("The certificate of %s is forgotten; the next one that it shows is trusted"):format(name)
end

local function add(name, desc, args, handler)
	module:add_item("shell-command", { section = "s2s", section_desc = "Streams to and from other servers", name = name,
		desc = desc, args = args, handler = handler })
end

return function (parts)
	links, story, first_use = parts.links, parts.story, parts.first_use
	add("show", "Lists the streams, all or those of a domain", { { name = "domain", type = "string" } }, show)
	add("close", "Closes the streams with a domain; the next stanza opens a new one at once",
		{ { name = "domain", type = "string", required = true } }, close)
	add("explain", "Tells the last attempt to talk with a domain step by step",
		{ { name = "domain", type = "string", required = true } }, explain)
	add("known", "Lists the certificates that are trusted since they were seen first (s2s_trust_on_first_use)", {}, known)
	add("forget", "Forgets the certificate of a domain: the next one that it shows is trusted",
		{ { name = "domain", type = "string", required = true } }, forget)
end
