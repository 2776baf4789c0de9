--- Links: what carries stanzas from one of our hosts to one other domain. A link waits for its first stanza, finds
-- out where to connect, tries one place after the other, has itself believed, and from then on the core sends by it
-- (native.s2s_prove). While it comes up, stanzas wait in order; if it does not, they go back to their senders.
--
-- Always true: a link has one session at most; every stanza given to `send` is sent once, or answered with an error
-- once (if it is one that is answered), and of those to one domain none overtakes another; what waits is bounded, per
-- link and for all together; a domain that could not be reached is left alone for a while, longer each time; nobody
-- waits for thousands of others to be answered, or for a hundred links to begin or to fail: all that is done in slices.

local jid = require "prosody.util.jid"
local native = require "couplet.native"
local s2smanager = require "prosody.core.s2smanager"
local texts = require "prosody.util.texts"
local time = require "prosody.util.time"
local xml = require "prosody.util.xml"
local random_bytes = require "prosody.util.random".bytes

local QUEUE_BYTES = 256 * 1024      -- of one link (SECURITY C8); for all together, see answers.lib.lua
local ATTEMPT_SECONDS = 55          -- from the first question to DNS until stanzas flow
local MIN_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS = 5, 300
local QUICK_SECONDS, MAX_QUICK = 5, 3 -- links that break sooner with stanzas on them, so many in a row, are none
local MAX_VERIFIES = 50             -- questions about dialback keys that wait or are not answered
local MAX_LINKS = 20000             -- and no more are remembered
local SWEEP_SECONDS = 300

local hosts = prosody.hosts
local policy, targets, certificates, story, limits, race, answers, slices

local links = {}   -- our host -> domain -> link
local n_links = 0
local is_stopping = false

local link = {}
local link_mt = { __index = link }

local function get(ours, theirs) return links[ours] and links[ours][theirs] end

local function get_or_new(ours, theirs)
	local known = get(ours, theirs)
	if known then return known end
	if n_links >= MAX_LINKS then return nil end
	local new = setmetatable({
		ours = ours, theirs = theirs, queue = texts.new(), cost = 0, verifies = {}, n_verifies = 0, failures = 0,
		not_before = 0,
	}, link_mt)
	links[ours] = links[ours] or {}
	links[ours][theirs] = new
	n_links = n_links + 1
	return new
end

function link:note(...)
	if self.story then self.story:note(...) end
end

-- A link that does nothing and remembers nothing of use is not kept.
local function forget_if_idle(self)
	if self.is_trying or self.session or self.cost > 0 or time.monotonic() < self.not_before then return end
	if get(self.ours, self.theirs) == self then
		links[self.ours][self.theirs] = nil
		n_links = n_links - 1
	end
end

-- Failures are remembered for a while after they have ceased to matter, so that the waits grow.
local function sweep()
	local now = time.monotonic()
	for _, of_host in pairs(links) do
		for _, one in pairs(of_host) do
			if one.not_before + SWEEP_SECONDS < now then forget_if_idle(one) end
		end
	end
	return SWEEP_SECONDS
end

-- Stanzas that wait

local function bounce_queue(self, failure)
	local queue = self.queue
	self.queue, self.cost = texts.new(), 0
	answers.later(self.ours, queue, failure)
end

local function too_much(self)
	self.too_much = self.too_much or { type = "wait", condition = "resource-constraint",
		text = ("Too much is waiting for %s already"):format(self.theirs) }
	return self.too_much
end

-- One may be bigger than all may be.
local function enqueue(self, stanza)
	local cost = answers.put(self.queue, stanza, self.cost > 0 and QUEUE_BYTES - self.cost or math.huge)
	if not cost then return answers.give(self.ours, stanza, too_much(self)) end
	self.cost = self.cost + cost
end

-- Before what waits already. It comes from a stream, which had limits of its own.
local function enqueue_first(self, queue)
	self.cost = self.cost + answers.count(queue)
	queue:move(self.queue)
	self.queue = queue
	self.has_returned = true
end

-- The first of those that wait is sent, or answered.
local function flush_first(self, session)
	local text = self.queue:first()
	local stanza, failure = xml.parse(text), nil
	if session.peer_max_bytes and #text > session.peer_max_bytes then
		failure = limits.failure(self.theirs, session.peer_max_bytes)
	elseif stanza and not session.sends2s(stanza) then
		failure = { type = "wait", condition = "resource-constraint",
			text = ("%s does not read what it is sent"):format(self.theirs) }
	end
	self.cost = self.cost - answers.cost(text)
	if failure then
		local queue = texts.new()
		queue:move(self.queue, 1)
		answers.later(self.ours, queue, failure)
	else
		answers.drop(self.queue, text)
	end
end

-- May what waits still be sent on that session?
local function may_flush(self, session)
	return self.flushing == session and not session.destroyed and not native.s2s_is_leaving(self.ours, self.theirs)
end

local function flush_all(self)
	local session = self.flushing
	while session and self.cost > 0 and may_flush(self, session) do flush_first(self, session) end
	self.flushing = nil
end

-- Sends what waits, over several turns when it is much; the core sends nothing by that session until then, so nothing
-- is overtaken.
local function flush_queue(self, session)
	if self.cost == 0 then return end
	self.flushing = session
	native.s2s_hold(session, self.ours, self.theirs, true)
	slices.add(function ()
		if may_flush(self, session) then
			if self.cost > 0 then flush_first(self, session) end
			if self.cost > 0 then return true end
			native.s2s_hold(session, self.ours, self.theirs, false)
		end
		if self.flushing == session then self.flushing = nil end
	end)
end

-- Questions about dialback keys

local function answer_verifies(self, kind, text)
	local verifies = self.verifies
	self.verifies, self.n_verifies = {}, 0
	for _, verify in pairs(verifies) do verify.callback(kind, text) end
end

local function send_verify(self, verify)
	verify.sent_on = self.session
	self.session.sends2s(verify.stanza)
end

local function flush_verifies(self)
	for _, verify in pairs(self.verifies) do
		if verify.sent_on ~= self.session then send_verify(self, verify) end
	end
end

-- Coming up

local function stop_race(self)
	if self.race then
		self.race:stop()
		self.race = nil
	end
end

-- It did not work. text: a sentence for those who wait. is_absent: nobody knows such a domain.
local function fail(self, text, is_absent)
	self.is_trying, self.is_ready, self.session = nil, nil, nil
	if self.timer then
		self.timer:stop()
		self.timer = nil
	end
	stop_race(self)
	local wait = math.min(MIN_BACKOFF_SECONDS * 2 ^ self.failures, MAX_BACKOFF_SECONDS)
	wait = wait * (0.75 + random_bytes(1):byte() / 512)
	self.failures = math.min(self.failures + 1, 10)
	self.not_before = time.monotonic() + wait
	self.failure = {
		type = is_absent and "cancel" or "wait", condition = is_absent and "remote-server-not-found"
			or "remote-server-timeout", text = text,
	}
	self:note("gave up: %s. Not before %.0f s from now is %s tried again", text, wait, self.theirs)
	module:log("info", "%s cannot talk to %s: %s", self.ours, self.theirs, text)
	bounce_queue(self, self.failure)
	answer_verifies(self, "error", text)
end

-- One target: connects, and with a direct TLS one begins the handshake. Gives the session.
local function connect(self, target)
	local context, has_certificate = certificates.context(self.ours)
	if not context then return nil, "Our own TLS is not set up: " .. tostring(has_certificate) end
	self:note("connecting to %s port %d%s%s", target.address, target.port, target.direct_tls and " with direct TLS" or "",
		target.name and (" (%s)"):format(target.name) or "")
	-- The domain for SNI, not the server's name, whatever the DNS proves: XEP-0368 2, and what everybody looks for.
	local session, err = native.connect_s2s {
		from_host = self.ours, to_host = self.theirs, address = target.address, port = target.port,
		tls = target.direct_tls and context or nil, sni = policy.dns_name(self.theirs),
	}
	if not session then return nil, err end
	session.link, session.tls_context, session.has_certificate = self, context, has_certificate
	session.target = target
	s2smanager.add(session)
	return session
end

local function start(self)
	local may, why = policy.may_talk(self.theirs)
	self.story = story.begin(self.ours, "to", self.theirs)
	if not may then
		self:note("%s", why)
		self.is_trying = nil
		self.failure = { type = "cancel", condition = "not-allowed", text = why }
		bounce_queue(self, self.failure)
		return answer_verifies(self, "error", why)
	end
	self.is_trying, self.refusal = true, nil
	self.timer = native.timer(ATTEMPT_SECONDS, function ()
		self.timer = nil
		local session, err = self.session, self.race.err
		fail(self, ("%s did not answer in time%s"):format(self.theirs, err and " (" .. err .. ")" or ""))
		if session then session:close("connection-timeout") end
	end)
	local function note(...) self:note(...) end
	self.race = race.new {
		targets = targets.new(self.theirs, note), note = note,
		connect = function (target) return connect(self, target) end,
		failed = function (err, had_target, may_be_there)
			local text = had_target and "Could not connect to %s: %s" or "%s was not found: %s"
			local failed_race = self.race
			slices.add(function ()
				if self.race == failed_race then fail(self, text:format(self.theirs, err), not may_be_there) end
			end)
		end,
	}
	self.race:go()
end

local function begin(self)
	if self.is_trying or self.session or native.s2s_is_leaving(self.ours, self.theirs) then return true end
	if time.monotonic() < self.not_before then return false end
	-- In another turn: who sends may be in the middle of something.
	self.is_trying = true
	slices.add(function ()
		if hosts[self.ours] and links[self.ours] and links[self.ours][self.theirs] == self then start(self) end
	end)
	return true
end

-- A stanza waits until the link is up, or is answered when that will not be.
function link:send(stanza)
	if begin(self) then
		enqueue(self, stanza)
	else
		answers.give(self.ours, stanza, self.failure)
	end
end

-- Asks the domain about a dialback key (XEP-0220 2.3): stanza is the <db:verify/>. callback("valid" | "invalid" |
-- "error", text) is called once.
function link:verify(stanza, callback)
	local id = stanza.attr.id
	if self.verifies[id] or self.n_verifies >= MAX_VERIFIES then
		return callback("error", "Too many questions to " .. self.theirs .. " are open")
	elseif not begin(self) then
		return callback("error", self.failure.text)
	end
	local verify = { stanza = stanza, callback = callback }
	self.verifies[id], self.n_verifies = verify, self.n_verifies + 1
	if self.session and self.is_ready then send_verify(self, verify) end
end

-- What the session tells

--- The connection is up.
function link:connected(session)
	if not self.race or not self.race:connected(session) then return end
	self.session, self.is_ready = session, nil
	s2smanager.add(session) -- the slower ones were there too
	self:note("connected to %s port %d", session.conn:ip(), session.conn:port())
end

--- TLS is on: whose certificate is it? Gives whether the session may go on.
function link:secured(session)
	local info = session.conn:ssl_info() or {}
	self:note("TLS: %s, %s%s", info.protocol or "?", info.cipher or "?",
		info.alpn and info.alpn ~= "" and ", " .. info.alpn or "")
	local is_valid, text, is_refused = certificates.prove(session, self.theirs)
	self:note("%s", text)
	if not is_valid and (is_refused or policy.needs_certificate(self.theirs)) then
		self:refuse(session, ("%s could not prove that it is %s: %s"):format(session.conn:ip(), self.theirs, text))
		return false
	end
	return true
end

--- The session cannot be used: ends it. The next target is tried; the sentence is what senders read when it was the
-- last.
function link:refuse(session, text, condition)
	self:note("%s", text)
	self.refusal = text
	session:close(condition or "policy-violation")
end

--- Features came under TLS, or TLS is not needed: questions about dialback keys may be asked.
function link:ready()
	if not self.is_ready then
		self.is_ready = true
		flush_verifies(self)
	end
end

--- The other side believes who we are: what waits is sent, and the core sends the rest.
function link:established(session)
	if not native.s2s_prove(session, self.ours, self.theirs, "out") then
		return self:refuse(session, "There are too many streams", "resource-constraint")
	end
	self.is_trying, self.failures, self.not_before, self.failure = nil, 0, 0, nil
	if self.timer then
		self.timer:stop()
		self.timer = nil
	end
	stop_race(self)
	self.session = session
	self.since = time.monotonic()
	hosts[self.ours].events.fire_event("s2sout-proven", { session = session }) -- who has to speak before stanzas do
	self:note("ready: %s believes that we are %s", self.theirs, self.ours)
	module:log("info", "%s talks to %s (%s)", self.ours, self.theirs, session.secure and "encrypted" or "not encrypted")
	self:ready()
	flush_queue(self, session)
end

--- A stream that came in may be used for what waits (XEP-0288); our own attempt goes on only for open questions.
function link:adopt(session) flush_queue(self, session) end

--- An answer to a question about a dialback key came on that session (XEP-0220 2.3, SECURITY C1): only there, once.
function link:verified(session, id, kind, text)
	local verify = self.verifies[id]
	if not verify or verify.sent_on ~= session then return false end
	self.verifies[id], self.n_verifies = nil, self.n_verifies - 1
	verify.callback(kind, text)
	return true
end

--- The session has ended.
function link:lost(session, reason)
	if self.is_trying then
		if self.session == session then self.session, self.is_ready = nil, nil end
		local refusal = self.refusal
		self.refusal = nil
		if self.race then self.race:lost(session, reason, refusal) end
		return
	elseif self.session ~= session then
		return
	end
	self:note("the stream ended: %s", reason)
	self.session, self.is_ready, self.flushing = nil, nil, nil
	answer_verifies(self, "error", ("The connection to %s was lost"):format(self.theirs))
	local is_quick = self.has_returned and time.monotonic() - self.since < QUICK_SECONDS
	self.n_quick, self.has_returned = is_quick and (self.n_quick or 0) + 1 or 0, nil
	if self.n_quick >= MAX_QUICK then
		self.n_quick = 0
		return fail(self, ("The connection to %s breaks again and again (%s)"):format(self.theirs, reason))
	end
	forget_if_idle(self)
end

-- Whatever carried its stanzas has ended: what waits starts anew.
local function go_on(self)
	if self.cost == 0 or begin(self) then return end
	bounce_queue(self, self.failure)
end

local function drop(self, text, condition)
	local session = self.session
	self.session, self.flushing = nil, nil
	if self.timer then self.timer:stop() end
	stop_race(self)
	self.is_trying = nil
	bounce_queue(self, { type = "wait", condition = "remote-server-timeout", text = text })
	answer_verifies(self, "error", text)
	if session then session:close({ condition = condition, text = text }) end
end

local M = { get = get }

--- Sends a stanza from a host of ours to a domain, or answers it when that cannot be.
function M.send(ours, theirs, stanza)
	if is_stopping then
		return answers.give(ours, stanza, { type = "wait", condition = "remote-server-timeout",
			text = "This server stops" })
	end
	local one = get_or_new(ours, theirs)
	if one then return one:send(stanza) end
	answers.give(ours, stanza, { type = "wait", condition = "resource-constraint",
		text = "This server talks with too many others at the moment" })
end

--- Asks a domain about a dialback key; see link:verify.
function M.verify(ours, theirs, stanza, callback)
	local one = get_or_new(ours, theirs)
	if one then return one:verify(stanza, callback) end
	callback("error", "This server talks with too many others at the moment")
end

-- What a sender reads of a stanza that went down with its stream.
local function loss(theirs, reason, is_doubtful)
	local text = "The connection to %s was lost (%s)"
	if is_doubtful then text = text .. " before this was confirmed: it may or may not have arrived" end
	return { type = "wait", condition = "remote-server-timeout", text = text:format(theirs, reason),
		is_doubtful = is_doubtful }
end

-- Gives a function from a stanza's text to the domains it went between: mostly a stream carries one pair of them.
local function pair_finder(session)
	local only, n = nil, 0
	for _, pair in ipairs(native.s2s_pairs(session)) do
		if pair.out then only, n = pair, n + 1 end
	end
	if n == 1 then return function () return only.ours, only.theirs end end
	return function (text)
		local stanza = xml.parse(text)
		if not stanza then return end
		return (select(2, jid.prepped_split(stanza.attr.from))), (select(2, jid.prepped_split(stanza.attr.to)))
	end
end

--- A stream has ended that carried stanzas of ours: those that never left go the next way, those that may have arrived
-- are answered (or, if the session's `resends` says so and they are messages, sent again), in their order.
function M.returned(session, reason)
	local queue, n_sent = native.sm_leftovers(session)
	local n = queue:count()
	if n == 0 then return end
	session.log("info", "%d stanzas may or may not have arrived, %d more never left", n_sent, n - n_sent)
	local find_pair = pair_finder(session)
	local again = {} -- link -> texts
	local lost -- those that are answered alike: { ours =, theirs =, is_doubtful =, queue = }
	local function answer_lost()
		if not lost then return end
		answers.count(lost.queue)
		answers.later(lost.ours, lost.queue, loss(lost.theirs, reason, lost.is_doubtful))
		lost = nil
	end
	for i = 1, n do
		local text = queue:first()
		local ours, theirs = find_pair(text)
		local is_doubtful = i <= n_sent
		local may_go = not is_stopping and (not is_doubtful or session.resends and text:find "^<message[ />]")
		local one = hosts[ours] and may_go and get_or_new(ours, theirs)
		if one then
			again[one] = again[one] or texts.new()
			again[one]:move(queue, 1)
		elseif hosts[ours] then
			if lost and (lost.ours ~= ours or lost.theirs ~= theirs or lost.is_doubtful ~= is_doubtful) then
				answer_lost()
			end
			lost = lost or { ours = ours, theirs = theirs, is_doubtful = is_doubtful, queue = texts.new() }
			lost.queue:move(queue, 1)
		else
			queue:drop()
		end
	end
	answer_lost()
	for one, its in pairs(again) do enqueue_first(one, its) end
end

--- After M.returned and link:lost: links that waited for the end of that stream begin.
function M.go_on(session)
	for _, pair in ipairs(native.s2s_pairs(session)) do
		local one = get(pair.ours, pair.theirs)
		if one and one.flushing == session then one.flushing = nil end
		if one then slices.add(function () go_on(one) end) end
	end
end

--- Ends all links of a host of ours.
function M.forget_host(ours, text, condition)
	local of_host = links[ours]
	links[ours] = nil
	for _, one in pairs(of_host or {}) do
		n_links = n_links - 1
		drop(one, text, condition or "undefined-condition")
	end
end

--- The server stops: while they are still there, senders hear what will not be sent any more.
function M.stop()
	is_stopping = true
	for _, of_host in pairs(links) do
		for _, one in pairs(of_host) do
			flush_all(one)
			bounce_queue(one, { type = "wait", condition = "remote-server-timeout", text = "This server stops" })
		end
	end
	answers.give_all()
end

--- What is not up may be tried again at once: the configuration or the certificates have changed, the admin asks, or
-- the domain was heard of. theirs: that domain; nil: all.
function M.forget_failures(theirs)
	local function forget(one)
		one.not_before, one.failures = 0, 0
		forget_if_idle(one)
	end
	for _, of_host in pairs(links) do
		if not theirs then
			for _, one in pairs(of_host) do forget(one) end
		elseif of_host[theirs] then
			forget(of_host[theirs])
		end
	end
end

--- The library, with what mod_s2s has loaded for it.
return function (parts)
	policy, targets, certificates, story = parts.policy, parts.targets, parts.certificates, parts.story
	limits, race, answers, slices = parts.limits, parts.race, parts.answers, parts.slices
	module:add_timer(SWEEP_SECONDS, sweep)
	return M
end
