--- XMPP over HTTP requests (BOSH: XEP-0124, XEP-0206): web clients log in at /http-bind.
-- @option bosh_max_wait              seconds, 60: the longest a request is held without an answer
-- @option bosh_max_inactivity        seconds, 60: without a request, then the session ends
-- @option bosh_max_pause             seconds, 120: that a client may ask for instead
-- @option bosh_max_polling           seconds, 5: between empty requests of a client that does not let them be held
-- @option bosh_max_sessions_per_ip   number, 100: of those that have not logged in
-- @option consider_bosh_secure       boolean, false: count requests as secure that come without TLS to us
-- @option bosh_origins               set, {}: origins ("https://chat.example") whose pages may connect, with our own
-- @option cross_domain_bosh          boolean or set: an older name; true lets every page connect
-- @option c2s_timeout                period, 30 seconds: to log in and bind a resource
-- @option c2s_stanza_size_limit      bytes, 262144: of a request after login
-- @hooks  none        @fires http-message        @stores none
-- @spec   spec/e2e/web_bosh_spec.lua, spec/e2e/web_greedy_spec.lua
--
-- Always true: requests are worked on in the order of their rid, each once, however often it comes; the answer to a
-- request is kept until it cannot be asked for again. What is sent leaves with the oldest request that is held.

module:depends("http")

local new_set = require "prosody.util.set".new
local monotonic = require "prosody.util.time".monotonic
local native = require "couplet.native"
local new_id = require "prosody.util.id".long
local st = require "prosody.util.stanza"
local web = require "prosody.net.xmpp_web"
local xml_escape = st.xml_escape

local NS_BIND, NS_XBOSH = "http://jabber.org/protocol/httpbind", "urn:xmpp:xbosh"
local NS_STREAMS = "http://etherx.jabber.org/streams"
local RID_MAX = 9007199254740991 -- XEP-0124 14.1: what every language can count to
local HOLD_MAX = 2
local UNAUTHED_BYTES, UNAUTHED_STANZAS, QUEUE_BYTES = 64 * 1024, 8, 4 * 1024 * 1024
local WRAPPER_BYTES = 4096

local wait_max = module:get_option_integer("bosh_max_wait", 60, 1)
local inactivity = module:get_option_integer("bosh_max_inactivity", 60, 1)
local pause_max = module:get_option_integer("bosh_max_pause", 120, 1)
local polling = module:get_option_integer("bosh_max_polling", 5, 0)
local sessions_per_ip = module:get_option_integer("bosh_max_sessions_per_ip", 100, 1)
local is_considered_secure = module:get_option_boolean("consider_bosh_secure", false)
local login_seconds = module:get_option_period("c2s_timeout", "30 seconds")
local stanza_bytes = module:get_option_integer("c2s_stanza_size_limit", 256 * 1024, 10000)

local allowed_origins -- known once the ports are
local function origins()
	if not allowed_origins then
		allowed_origins = web.origins(module, { "bosh_origins", "cross_domain_bosh" }, {
			module:http_url("bosh", "/http-bind"), module:http_url("bosh", "/http-bind", "internal"),
		})
	end
	return allowed_origins
end
module:hook_global("config-reloaded", function () allowed_origins = nil end)

-- A bind is a BOSH session: { sid, session, ip, hold, wait, requests, is_polling, rid (the last one worked on),
-- held = list of { rid, response (nil: its connection broke), since }, early = rid -> request that came too soon,
-- answers = rid -> text, queue = list of texts, n_bytes, todo = elements that wait }
local binds = {}  -- sid -> bind
local lasts = {}  -- sid -> what to say to who still asks: why it ended
local waiting = {} -- ip -> sessions that have not logged in

-- Answers

local function body_text(attributes, payload)
	local parts = { "<body xmlns='", NS_BIND, "'" }
	for name, value in pairs(attributes or {}) do
		table.insert(parts, (" %s='%s'"):format(name, xml_escape(tostring(value))))
	end
	if payload == nil or payload == "" then
		table.insert(parts, "/>")
	else
		table.insert(parts, " xmlns:stream='" .. NS_STREAMS .. "'>")
		table.insert(parts, payload)
		table.insert(parts, "</body>")
	end
	return table.concat(parts)
end

local function send(response, text)
	response.headers.content_type = "text/xml; charset=utf-8"
	response.headers.cache_control = "no-store"
	response.on_destroy = nil
	response:send(text)
end

local function refuse(response, condition, payload)
	send(response, body_text({ type = "terminate", condition = condition }, payload))
	return true
end

-- Answers the oldest held request; if its connection broke, the answer waits for the client to ask again.
local function answer_oldest(bind, attributes, payload)
	local held = table.remove(bind.held, 1)
	local text = body_text(attributes, payload)
	bind.answers[held.rid] = text
	bind.answers[held.rid - bind.requests] = nil
	bind.last_answer_empty = payload == nil or payload == ""
	if held.response then send(held.response, text) end
end

local function take_queue(bind)
	local payload = table.concat(bind.queue)
	bind.queue, bind.n_bytes = {}, 0
	return payload
end

local function has_live(bind)
	for _, held in ipairs(bind.held) do
		if held.response then return true end
	end
	return false
end

local function forget(bind, last)
	binds[bind.sid] = nil
	bind.is_ended = true
	bind.timer:stop()
	bind.deadline:stop()
	if bind.is_counted then
		bind.is_counted = false
		local n = waiting[bind.ip] - 1
		waiting[bind.ip] = n > 0 and n or nil
	end
	if last then
		local sid = bind.sid
		lasts[sid] = last
		module:add_timer(inactivity, function () lasts[sid] = nil end)
	end
end

-- Tells the client and forgets the bind. The session is ended by whoever calls.
local function finish(bind, attributes, payload)
	if bind.is_ended then return end
	attributes.type = "terminate"
	local all = take_queue(bind) .. (payload or "")
	local last = body_text(attributes, all)
	local is_told = false
	for _, held in ipairs(bind.held) do
		if held.response then
			send(held.response, not is_told and last or body_text())
			is_told = true
		end
	end
	bind.held = {}
	for _, request in pairs(bind.early) do send(request.response, body_text()) end
	bind.early = {}
	forget(bind, not is_told and last)
end

local function fail(bind, condition, payload)
	module:log("debug", "BOSH session %s of %s ends: %s", bind.sid:sub(1, 6), bind.ip, condition)
	finish(bind, { condition = condition }, payload)
	native.end_session(bind.session, condition)
end

-- What is to be sent leaves; requests beyond `hold` are answered; the timer is set for what comes next.
local function settle(bind)
	bind.is_scheduled = false
	if bind.is_ended then return end
	while bind.held[1] and not bind.held[1].response and has_live(bind) do
		answer_oldest(bind) -- lower than one that lives: it gets nothing when it is asked for again
	end
	if bind.queue[1] and has_live(bind) then answer_oldest(bind, nil, take_queue(bind)) end
	while #bind.held > bind.hold do answer_oldest(bind) end
	if has_live(bind) then
		bind.timer:restart(math.max(0.01, bind.held[1].since + bind.wait - monotonic()))
	elseif bind.timer_for ~= "inactivity" or bind.was_answered then
		bind.timer:restart(bind.pause or inactivity)
	end
	bind.timer_for = has_live(bind) and "wait" or "inactivity"
	bind.was_answered = false
end

-- Together with all else that happens in this turn.
local function schedule(bind)
	if bind.is_scheduled or bind.is_ended then return end
	bind.is_scheduled = true
	native.defer(function () settle(bind) end)
end

local function on_timer(bind)
	if bind.is_ended then return end
	if bind.timer_for == "wait" and has_live(bind) then
		answer_oldest(bind)
		bind.was_answered = true
		return settle(bind)
	end
	module:log("debug", "BOSH session %s of %s sends no requests any more", bind.sid:sub(1, 6), bind.ip)
	forget(bind)
	native.end_session(bind.session, "no requests any more")
end

-- The session's side

local carrier = {}

function carrier.send(session, text)
	local bind = session.bosh
	if bind.is_ended then return false end
	bind.n_bytes = bind.n_bytes + #text
	if bind.n_bytes > QUEUE_BYTES then
		session:close({ condition = "resource-constraint", text = "You are not reading what is sent to you" })
		return false
	end
	table.insert(bind.queue, text)
	schedule(bind)
	return true
end

function carrier.close(session, condition, text)
	local bind = session.bosh
	if not condition then return finish(bind, {}) end
	-- XEP-0124 17.2: some conditions of streams are conditions of the binding; the others are told as what they are
	local known = condition == "host-unknown" or condition == "improper-addressing" or condition == "system-shutdown"
		or condition == "policy-violation" or condition == "internal-server-error"
	finish(bind, { condition = known and condition or "remote-stream-error" },
		not known and tostring(web.stream_error(condition, text)) or nil)
end

-- Hands on elements until one must wait. True when all went.
local function hand_on(bind)
	while bind.todo[1] do
		if bind.is_ended then return true end
		local element = bind.todo[1]
		if bind.awaits_restart then
			bind.session:close({ condition = "not-authorized", text = "Restart the stream after login" })
			return true
		end
		if native.receive(bind.session, element) == false then return false end
		table.remove(bind.todo, 1)
	end
	return true
end

local function send_features(bind)
	local features = web.features(bind.session)
	if not bind.session.destroyed then bind.session.send(features) end
end

-- What remains to be done of a request once its elements were handed on.
local function finish_request(bind)
	local request = bind.current
	bind.current = nil
	local attr = request.attr
	if bind.session.username and bind.is_counted then
		bind.is_counted = false
		local n = waiting[bind.ip] - 1
		waiting[bind.ip] = n > 0 and n or nil
	end
	if attr.type == "terminate" then
		finish(bind, {})
		native.end_session(bind.session, "closed by the client")
		return
	end
	local pause = tonumber(attr.pause)
	if pause then
		if pause < 1 or pause > pause_max then return fail(bind, "policy-violation") end
		bind.pause = pause
		while bind.held[1] do answer_oldest(bind) end
		bind.was_answered = true
	end
	schedule(bind)
end

-- XEP-0124 12: a client that polls must not do so too often.
local function is_too_eager(bind, request)
	if not bind.is_polling then return false end
	local is_empty = not request.elements[1] and not request.attr.type and not request.attr.pause
		and not request.is_restart
	local now = monotonic()
	local is_too_soon = is_empty and bind.polled_at and now - bind.polled_at < polling and bind.last_answer_empty
	bind.polled_at = is_empty and now or nil
	return is_too_soon
end

local function start_request(bind, request)
	bind.rid, bind.current, bind.pause = request.rid, request, nil
	table.insert(bind.held, { rid = request.rid, response = request.response, since = monotonic() })
	if is_too_eager(bind, request) then return fail(bind, "policy-violation") end
	if not bind.session.username and #request.elements > UNAUTHED_STANZAS then return fail(bind, "policy-violation") end
	if request.is_restart then
		bind.awaits_restart = nil
		send_features(bind)
	end
	bind.todo = request.elements
end

-- Works on requests in their order, as far as they are here and nothing waits.
local function work(bind)
	if bind.is_working then return end
	bind.is_working = true
	while not bind.is_ended do
		if not bind.current then
			local request = bind.early[bind.rid + 1]
			if not request then break end
			bind.early[request.rid] = nil
			start_request(bind, request)
		end
		if bind.is_ended or not hand_on(bind) then break end
		if not bind.is_ended then finish_request(bind) end
	end
	bind.is_working = false
end

function carrier.resumed(session)
	work(session.bosh)
end

-- Requests

-- The connection broke: the request is held without one, until the client sends it again.
local function watch(bind, rid, response)
	response.on_destroy = function ()
		for _, held in ipairs(bind.held) do
			if held.rid == rid and held.response == response then held.response = nil end
		end
		local early = bind.early[rid]
		if early and early.response == response then bind.early[rid] = nil end
		bind.was_answered = true
		schedule(bind)
	end
end

-- XEP-0124 14.3
local function repeat_answer(bind, rid, response)
	for _, held in ipairs(bind.held) do
		if held.rid == rid then
			if held.response then -- the client gave up on it: RFC-conform clients never read this
				send(held.response, body_text({ type = "error" }))
			end
			held.response, held.since = response, monotonic()
			watch(bind, rid, response)
			schedule(bind)
			return true
		end
	end
	local text = bind.answers[rid]
	if not text then
		fail(bind, "item-not-found")
		return refuse(response, "item-not-found")
	end
	send(response, text)
	bind.was_answered = true
	schedule(bind)
	return true
end

local function elements_of(body)
	local elements = {}
	for i, element in ipairs(body.tags) do elements[i] = element end
	return elements
end

local function is_true(value) return value == "true" or value == "1" end

local function handle_next(bind, body, response)
	if bind.is_working then -- what worked on the request before has died: of an error, or ended by the watchdog
		fail(bind, "internal-server-error")
		return refuse(response, "internal-server-error")
	end
	local rid = math.tointeger(tonumber(body.attr.rid))
	if bind.secure and not (response.request.secure or is_considered_secure) then
		return refuse(response, "item-not-found") -- its sid must have been seen by somebody
	end
	if not rid or rid < 1 or rid > RID_MAX or rid > bind.rid + bind.requests then
		fail(bind, "item-not-found")
		return refuse(response, "item-not-found")
	elseif body.attr.stream then
		fail(bind, "bad-request")
		return refuse(response, "bad-request")
	elseif rid <= bind.rid then
		return repeat_answer(bind, rid, response)
	end
	local before = bind.early[rid]
	if before then send(before.response, body_text({ type = "error" })) end
	bind.early[rid] = {
		rid = rid, attr = body.attr, elements = elements_of(body), response = response,
		is_restart = is_true(body.attr[NS_XBOSH .. "\1restart"]),
	}
	watch(bind, rid, response)
	work(bind)
	schedule(bind)
	return true
end

local function on_login_deadline(bind)
	if bind.is_ended or bind.session.full_jid then return end
	bind.session:close({ condition = "connection-timeout", text = "Logging in took too long" })
end

local function bounded(text, default, max)
	local number = math.tointeger(tonumber(text)) or default
	return math.max(0, math.min(number, max))
end

-- XEP-0124 7, XEP-0206 3
local function create(event, body)
	local request, response, attr = event.request, event.response, body.attr
	local rid = math.tointeger(tonumber(attr.rid))
	if not rid or rid < 1 or rid > RID_MAX then return refuse(response, "bad-request") end
	local host, condition = web.find_host(attr.to, "bosh")
	if not host then return refuse(response, condition) end
	if (waiting[request.ip] or 0) >= sessions_per_ip then
		module:log("info", "%s has too many BOSH sessions that have not logged in", request.ip)
		return refuse(response, "policy-violation")
	end
	local bind = {
		sid = new_id(), ip = request.ip, secure = request.secure or is_considered_secure or nil,
		wait = bounded(attr.wait, wait_max, wait_max), hold = bounded(attr.hold, 1, HOLD_MAX),
		rid = rid, held = {}, early = {}, answers = {}, queue = {}, n_bytes = 0, todo = {}, is_counted = true,
	}
	bind.is_polling = bind.hold == 0 or bind.wait == 0
	if bind.is_polling then bind.hold = 0 end
	bind.requests = bind.hold + 1
	binds[bind.sid] = bind
	waiting[bind.ip] = (waiting[bind.ip] or 0) + 1
	local session = native.carried_session(host, carrier)
	bind.session = session
	session.bosh, session.ip, session.secure, session.streamid = bind, bind.ip, bind.secure, bind.sid
	session.reset_stream = function () bind.awaits_restart = true end
	bind.timer = native.timer(inactivity, function () on_timer(bind) end)
	bind.timer_for = "inactivity"
	bind.deadline = native.timer(login_seconds, function () on_login_deadline(bind) end)
	module:log("debug", "BOSH session %s of %s for %s", bind.sid:sub(1, 6), bind.ip, host)
	table.insert(bind.held, { rid = rid, response = response, since = monotonic() })
	watch(bind, rid, response)
	send_features(bind)
	if bind.is_ended then return true end
	answer_oldest(bind, {
		sid = bind.sid, from = host, wait = bind.wait, hold = bind.hold, requests = bind.requests,
		inactivity = inactivity, maxpause = pause_max, polling = bind.is_polling and polling or nil, ver = "1.6",
		secure = bind.secure and "true" or nil, ["xmpp:version"] = "1.0", ["xmpp:restartlogic"] = "true",
		["xmlns:xmpp"] = NS_XBOSH,
	}, take_queue(bind))
	bind.was_answered = true
	settle(bind)
	return true
end

-- How much of a body is read depends on who sends it: its sid is looked for before it is parsed, and must then be it.
local function parse(text)
	local hint = text:match("^[^>]-%ssid%s*=%s*['\"]([%w_%-]+)['\"]")
	local bind = hint and binds[hint]
	local is_authed = bind ~= nil and bind.session.username ~= nil
	local bytes = is_authed and stanza_bytes + WRAPPER_BYTES or UNAUTHED_BYTES
	if #text > bytes then return nil, "policy-violation" end
	local body = native.parse(text, bytes, is_authed)
	if not body or body.name ~= "body" or body.attr.xmlns ~= NS_BIND or (is_authed and body.attr.sid ~= hint) then
		return nil, "bad-request"
	end
	return body
end

local function handle_post(event)
	local request, response = event.request, event.response
	if not web.is_allowed_origin(request, origins()) then
		module:log("info", "A page of %s may not connect; bosh_origins lists those that may", request.headers.origin)
		return 403
	elseif not (request.headers.content_type or ""):lower():match("^text/xml%f[^%w]") then
		return 415 -- what a page may send anywhere without being asked is never this
	end
	local body, condition = parse(request.body)
	if not body then return refuse(response, condition) end
	local sid = body.attr.sid
	if not sid then return create(event, body) end
	local bind = binds[sid]
	if bind then return handle_next(bind, body, response) end
	if lasts[sid] then
		send(response, lasts[sid])
		return true
	end
	return refuse(response, "item-not-found")
end

local function handle_get(event)
	local response = event.response
	return module:fire_event("http-message", {
		response = response, title = "BOSH",
		message = "This is where chat clients connect. Enter this address into one; a browser shows nothing else here.",
		warning = not (event.request.secure or is_considered_secure)
			and "This connection is not secure, so nobody can log in over it." or nil,
	}) or "This is where chat clients connect.\n"
end

function module.unload()
	for _, bind in pairs(binds) do
		bind.session:close({ condition = "system-shutdown", text = "The service is being restarted" })
	end
end

local cors_origins = new_set()
for _, name in ipairs { "bosh_origins", "cross_domain_bosh" } do
	local value = module:get_option(name)
	if value == true then cors_origins:add("*") elseif value then cors_origins:include(module:get_option_set(name)) end
end

module:provides("http", {
	default_path = "/http-bind";
	route = { ["GET"] = handle_get; ["POST"] = handle_post };
	cors = { enabled = not cors_origins:empty(); origins = cors_origins };
})
