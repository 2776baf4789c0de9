--- BOSH sessions, from the side of HTTP: which requests are held, what they were answered, what waits to be sent, when
-- that leaves, and the end.
--
-- A bind has: sid, ip, secure, session; hold, wait, requests and is_polling, as agreed on; rid, of the request that was
-- worked on last; held, a list of { rid, response (nil: its connection broke), since }, in the order of their rid;
-- early, rid -> a request that waits for those before it; answers, rid -> text. What it does with the elements of
-- requests is mod_bosh's.
--
-- Always true: what is sent leaves with the oldest request whose connection lives, once; its answer is kept until its
-- rid has left the window, and given again to who asks again. Whatever a stranger can make has a limit: sessions, and
-- what is remembered of those that have ended.

local cache = require "prosody.util.cache"
local ip_util = require "prosody.util.ip"
local monotonic = require "prosody.util.time".monotonic
local native = require "couplet.native"
local new_id = require "prosody.util.id".long

local QUEUE_BYTES = 4 * 1024 * 1024
local LASTS, LAST_BYTES = 1000, 16 * 1024

-- parts: body (body.lib.lua). limits: inactivity, login (seconds), per_ip and all (of those that have not logged in; 0:
-- no limit).
return function (parts, limits)
	local body = parts.body
	local binds = {} -- sid -> bind
	local lasts = cache.new(LASTS) -- sid -> { text, until }: why it ended, for who still asks
	local strangers, n_strangers = {}, 0 -- source -> how many of its binds have not logged in

	local bind = {}
	local bind_mt = { __index = bind, __name = "bind" }

	-- An address, or the /64 of an IPv6 address: as for connections (net/listener.h).
	local function source_of(ip)
		local address = not ip:find(".", 1, true) and ip_util.new_ip(ip)
		return address and tostring(ip_util.truncate(address, 64)) or ip
	end

	-- Answers

	--- Answers the oldest held request; if its connection broke, the answer waits for the client to ask again.
	function bind:answer_oldest(attributes, payload)
		local held = table.remove(self.held, 1)
		local text = body.text(attributes, payload)
		self.answers[held.rid] = text
		self.answers[held.rid - self.requests] = nil
		self.is_last_answer_empty = payload == nil or payload == ""
		self.was_answered = true
		if held.response then body.send(held.response, text) end
	end

	--- Text that is to be sent; false when too much waits already.
	function bind:queue_text(text)
		self.batch = native.newest_batch()
		self.n_bytes = self.n_bytes + #text
		if self.n_bytes > QUEUE_BYTES then return false end
		table.insert(self.queue, text)
		self:schedule()
		return true
	end

	--- What waits to be sent.
	function bind:take_queue()
		local payload = table.concat(self.queue)
		self.queue, self.n_bytes = {}, 0
		return payload
	end

	local function has_live(self)
		for _, held in ipairs(self.held) do
			if held.response then return true end
		end
		return false
	end

	--- Holds a request. When its connection breaks it is held without one, until the client sends it again.
	function bind:hold_request(rid, response)
		table.insert(self.held, { rid = rid, response = response, since = monotonic() })
	end

	--- To be called for each response, held or early.
	function bind:watch(rid, response)
		response.on_destroy = function ()
			for _, held in ipairs(self.held) do
				if held.rid == rid and held.response == response then held.response = nil end
			end
			local early = self.early[rid]
			if early and early.response == response then self.early[rid] = nil end
			self.was_answered = true
			self:schedule()
		end
	end

	--- XEP-0124 14.3: a request that came before. Answers it or holds it in the place of the first; false when its answer
	-- is not kept any more.
	function bind:repeat_request(rid, response)
		for _, held in ipairs(self.held) do
			if held.rid == rid then
				if held.response then -- the client gave up on it: RFC-conform clients never read this
					body.send(held.response, body.text { type = "error" })
				end
				held.response, held.since = response, monotonic()
				self:watch(rid, response)
				self:schedule()
				return true
			end
		end
		local text = self.answers[rid]
		if not text then return false end
		body.send(response, text)
		self.was_answered = true
		self:schedule()
		return true
	end

	--- Something that was written is lost: who may have heard of it, or is about to, must not.
	local function drop_lost()
		for _, one in pairs(binds) do
			if one.batch and not native.is_over(one.batch) then
				one.queue, one.n_bytes, one.answers = {}, 0, {}
				one:fail("internal-server-error")
			end
		end
	end
	module:hook_global("storage-output-lost", drop_lost)

	-- Time

	--- What is to be sent leaves; requests beyond `hold` are answered; the timer is set for what comes next.
	function bind:settle()
		self.is_scheduled = false
		if self.is_ended then return end
		while self.held[1] and not self.held[1].response and has_live(self) do
			self:answer_oldest() -- lower than one that lives: it gets nothing when it is asked for again
		end
		if self.queue[1] and has_live(self) then self:answer_oldest(nil, self:take_queue()) end
		while #self.held > self.hold do self:answer_oldest() end
		local is_live = has_live(self)
		if is_live then
			self.timer:restart(math.max(0.01, self.held[1].since + self.wait - monotonic()))
		elseif self.timer_for ~= "inactivity" or self.was_answered then
			self.timer:restart(self.pause or limits.inactivity)
		end
		self.timer_for = is_live and "wait" or "inactivity"
		self.was_answered = false
	end

	--- Settles at the end of the turn, together with all else that happens in it.
	function bind:schedule()
		if self.is_scheduled or self.is_ended then return end
		self.is_scheduled = true
		native.defer(function () self:settle() end)
	end

	-- The end

	--- It has logged in.
	function bind:is_known()
		if not self.source then return end
		local n = strangers[self.source] - 1
		strangers[self.source] = n > 0 and n or nil
		n_strangers = n_strangers - 1
		self.source = nil
	end

	local function forget(self)
		binds[self.sid] = nil
		self.is_ended = true
		self.timer:stop()
		self.deadline:stop()
		self:is_known()
	end

	--- Tells the client and forgets the bind. The session is ended by whoever calls.
	function bind:finish(attributes, payload)
		if self.is_ended then return end
		attributes.type = "terminate"
		local last = body.text(attributes, self:take_queue() .. (payload or ""))
		local is_told = false
		for _, held in ipairs(self.held) do
			if held.response then
				body.send(held.response, not is_told and last or body.text())
				is_told = true
			end
		end
		self.held = {}
		for _, request in pairs(self.early) do body.send(request.response, body.text()) end
		self.early = {}
		forget(self)
		if not is_told then
			if #last > LAST_BYTES then last = body.text(attributes, payload) end
			lasts:set(self.sid, { text = last, expires = monotonic() + limits.inactivity })
		end
	end

	--- Something is wrong: both ends hear of it.
	function bind:fail(condition)
		module:log("debug", "BOSH session %s of %s ends: %s", self.sid:sub(1, 6), self.ip, condition)
		self:finish({ condition = condition })
		native.end_session(self.session, condition)
	end

	local function on_timer(self)
		if self.is_ended then return end
		if self.timer_for == "wait" and has_live(self) then
			self:answer_oldest()
			return self:settle()
		end
		module:log("debug", "BOSH session %s of %s sends no requests any more", self.sid:sub(1, 6), self.ip)
		forget(self)
		native.end_session(self.session, "no requests any more")
	end

	local function on_deadline(self)
		if self.is_ended or self.session.full_jid then return end
		self.session:close({ condition = "connection-timeout", text = "Logging in took too long" })
	end

	-- All of them

	local all = {}

	--- The bind of a session that begins; agreed: ip, secure, rid, wait, hold. Nil and why when there are too many.
	function all.new(agreed)
		local source = source_of(agreed.ip)
		if (strangers[source] or 0) >= limits.per_ip then
			return nil, ("%s has too many BOSH sessions that have not logged in"):format(source)
		elseif limits.all > 0 and n_strangers >= limits.all then
			return nil, "There are too many BOSH sessions that have not logged in"
		end
		strangers[source], n_strangers = (strangers[source] or 0) + 1, n_strangers + 1
		local is_polling = agreed.hold == 0 or agreed.wait == 0
		local hold = is_polling and 0 or agreed.hold
		local self = setmetatable({
			sid = new_id(), ip = agreed.ip, secure = agreed.secure, source = source,
			wait = agreed.wait, hold = hold, requests = hold + 1, is_polling = is_polling,
			rid = agreed.rid, held = {}, early = {}, answers = {}, queue = {}, n_bytes = 0, todo = {},
			timer_for = "inactivity",
		}, bind_mt)
		self.timer = native.timer(limits.inactivity, function () on_timer(self) end)
		self.deadline = native.timer(limits.login, function () on_deadline(self) end)
		binds[self.sid] = self
		return self
	end

	--- The bind with that sid, or nil.
	function all.find(sid)
		return binds[sid]
	end

	--- What remains to be said of one that has ended, or nil.
	function all.last_words(sid)
		local last = lasts:get(sid)
		return last and last.expires > monotonic() and last.text or nil
	end

	--- Closes all sessions, with a stream error.
	function all.close(err)
		for _, one in pairs(binds) do one.session:close(err) end
	end

	return all
end
