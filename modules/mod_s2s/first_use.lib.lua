--- Trust on first use: of the domains the admin lists (s2s_trust_on_first_use), the certificate that is seen first is
-- believed and remembered, whoever made it; from then on only that one is. For networks without an authority.
--
-- Always true: what is believed was written down before; a certificate that has changed is refused until the admin
-- forgets the old one. Names of the local network (in .local, bare, private addresses) are not first met from outside
-- it. A certificate that an authority vouches for needs none of this and leaves no trace. Each host of ours remembers
-- for itself, at most MAX_KNOWN domains.

local classify = require "prosody.util.address".classify
local datetime = require "prosody.util.datetime"
local time = require "prosody.util.time"

local hosts = prosody.hosts

local MAX_KNOWN = 1000 -- per host: a pattern such as "*.lan" lets strangers choose the names

local policy
local memories = {} -- our host -> { store =, known = { domain -> { sha256 =, first_seen = } }, n = }

local first_use = {}

-- What a host of ours remembers; nil and why when that cannot be read.
local function memory_of(host)
	local memory = memories[host]
	if memory then return memory end
	local store, err = module:context(host):open_store("s2s_first_use")
	if not store then return nil, err end
	local known
	known, err = store:get()
	if not known and err then return nil, err end
	memory = { store = store, known = known or {}, n = 0 }
	for _ in pairs(memory.known) do memory.n = memory.n + 1 end
	memories[host] = memory
	return memory
end

-- Writes an entry (nil: none) down. true, or nil and why not; then nothing has changed.
local function remember(memory, domain, entry)
	local before = memory.known[domain]
	memory.known[domain] = entry
	local ok, err = memory.store:set(nil, next(memory.known) and memory.known or nil)
	if not ok then
		memory.known[domain] = before
		return nil, err
	end
	memory.n = memory.n + (entry and 1 or 0) - (before and 1 or 0)
	return true
end

local function readable(sha256) return (sha256:upper():gsub("%x%x", "%0:"):sub(1, -2)) end

-- Can only somebody in the local network have that name?
local function is_local_name(domain)
	local kind = classify(domain:match("^%[(.*)%]$") or domain)
	if kind then return kind ~= "global" end
	return domain:find("%.local$") ~= nil or not domain:find(".", 1, true)
end

-- true and a sentence, or false and why not.
local function judge(session, domain, sha256)
	local host = session.host
	local memory, err = memory_of(host)
	if not memory then return false, ("the certificates seen before cannot be read: %s"):format(err) end
	local entry = memory.known[domain]
	if entry and entry.sha256 == sha256 then
		return true, ("the certificate is the one first seen on %s"):format(datetime.date(entry.first_seen))
	elseif entry then
		return false, ("the certificate has changed since %s. It is now %s. If that is right, accept it with: "
			.. "coupletctl s2s forget %s"):format(datetime.date(entry.first_seen), readable(sha256), domain)
	elseif session.direction == "incoming" and is_local_name(domain) and classify(session.ip) == "global" then
		return false, ("%s is not in the local network, where alone there can be a %s"):format(session.ip, domain)
	elseif memory.n >= MAX_KNOWN then
		return false, ("%d domains are known already; make room with: coupletctl s2s forget DOMAIN"):format(memory.n)
	end
	local ok
	ok, err = remember(memory, domain, { sha256 = sha256, first_seen = math.floor(time.now()) })
	if not ok then return false, ("the certificate could not be remembered: %s"):format(err) end
	module:log("info", "%s trusts %s on first use: its certificate is %s", host, domain, readable(sha256))
	return true, ("the certificate is trusted on first use: %s"):format(readable(sha256))
end

-- After those that look at the chain.
local function on_check(event)
	local session, domain, cert = event.session, event.host, event.cert
	if not cert or not policy.trusts_on_first_use(domain) then return end
	if session.cert_chain_status == "valid" and session.cert_identity_status == "valid" then return end
	local is_trusted, text = judge(session, domain, cert:digest("sha256"))
	if not is_trusted then
		session.cert_chain_status, session.cert_problem = "invalid", text
		return
	end
	session.cert_chain_status, session.cert_identity_status, session.cert_problem = "valid", "valid", nil
	session.cert_proof = text
end

--- Hooks on a host of ours.
function first_use.add_host(host_module) host_module:hook("s2s-check-certificate", on_check, -10) end

--- The next certificate of the domain is its first again. Gives of how many hosts of ours it was known; nil and why
-- when that could not be written down.
function first_use.forget(domain)
	local n = 0
	for host in pairs(hosts) do
		local memory = memory_of(host)
		if memory and memory.known[domain] then
			local ok, err = remember(memory, domain, nil)
			if not ok then return nil, err end
			n = n + 1
		end
	end
	return n
end

--- All that is known: a list of { ours =, theirs =, fingerprint =, first_seen = }, in order.
function first_use.list()
	local list = {}
	for host in pairs(hosts) do
		local memory = memory_of(host)
		for domain, entry in pairs(memory and memory.known or {}) do
			table.insert(list, { ours = host, theirs = domain, fingerprint = readable(entry.sha256),
				first_seen = datetime.date(entry.first_seen) })
		end
	end
	table.sort(list, function (a, b)
		if a.theirs ~= b.theirs then return a.theirs < b.theirs end
		return a.ours < b.ours
	end)
	return list
end

--- The library, for the policy that mod_s2s has loaded.
return function (the_policy)
	policy = the_policy
	return first_use
end
