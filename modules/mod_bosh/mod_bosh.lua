--- XMPP over HTTP requests (BOSH: XEP-0124, XEP-0206): web clients log in at /http-bind.
-- @option bosh_max_wait              seconds, 60: the longest a request is held without an answer
-- @option bosh_max_inactivity        seconds, 60: without a request, then the session ends
-- @option bosh_max_pause             seconds, 120: that a client may ask for instead
-- @option bosh_max_polling           seconds, 5: between empty requests of a client that does not let them be held
-- @option bosh_max_sessions_per_ip   number, 100: that have not logged in, of an address or the /64 of an IPv6 address
-- @option max_unauthenticated        number, 2000: sessions that have not logged in, of everybody
-- @option consider_bosh_secure       boolean, false: count requests as secure that come without TLS to us
-- @option bosh_origins               set, {}: origins ("https://chat.example") whose pages may connect, with our own
-- @option cross_domain_bosh          boolean or set: an older name; true lets every page connect
-- @option c2s_timeout                period, 30 seconds: to log in and bind a resource
-- @option c2s_stanza_size_limit      bytes, 262144: of a request after login
-- @hooks  none        @fires http-message        @stores none
-- @spec   spec/e2e/web_bosh_spec.lua, spec/e2e/web_greedy_spec.lua
--
-- Here: what a request says, and what becomes of it. What is answered, and when, is bind.lib.lua's.
--
-- Always true: requests are worked on in the order of their rid, each once, however often it comes.

module:depends("http")

local new_set = require "prosody.util.set".new
local monotonic = require "prosody.util.time".monotonic
local native = require "couplet.native"
local web = require "prosody.net.xmpp_web"

local NS_XBOSH = "urn:xmpp:xbosh"
local RID_MAX = 9007199254740991 -- XEP-0124 14.1: what every language can count to
local HOLD_MAX = 2
local UNAUTHED_BYTES, UNAUTHED_STANZAS = 64 * 1024, 8
local WRAPPER_BYTES = 4096
local ORIGIN_OPTIONS = { "bosh_origins", "cross_domain_bosh" }

local wait_max = module:get_option_integer("bosh_max_wait", 60, 1)
local inactivity = module:get_option_integer("bosh_max_inactivity", 60, 1)
local pause_max = module:get_option_integer("bosh_max_pause", 120, 1)
local polling = module:get_option_integer("bosh_max_polling", 5, 0)
local stanza_bytes = module:get_option_integer("c2s_stanza_size_limit", 256 * 1024, 10000)

local body = module:require "body"
local binds = module:require "bind" ({ body = body }, {
	inactivity = inactivity,
	login = module:get_option_period("c2s_timeout", "30 seconds"),
	per_ip = module:get_option_integer("bosh_max_sessions_per_ip", 100, 1),
	all = module:get_option_integer("max_unauthenticated", 2000, 0),
})
local entrance = web.entrance(module, {
	name = "bosh", path = "/http-bind", title = "BOSH", origin_options = ORIGIN_OPTIONS,
	is_considered_secure = module:get_option_boolean("consider_bosh_secure", false),
})

-- The session's side

local carrier = {}

function carrier.send(session, text)
	local bind = session.bosh
	if bind.is_ended then return false end
	if not bind:queue_text(text) then
		session:close({ condition = "resource-constraint", text = "You are not reading what is sent to you" })
		return false
	end
	return true
end

-- XEP-0124 17.2: some conditions of streams are conditions of the binding; the others are told as what they are.
local shared_conditions = new_set { "host-unknown", "improper-addressing", "system-shutdown", "policy-violation",
	"internal-server-error" }

function carrier.close(session, condition, text)
	local bind = session.bosh
	if not condition then
		bind:finish({})
	elseif shared_conditions:contains(condition) then
		bind:finish({ condition = condition })
	else
		bind:finish({ condition = "remote-stream-error" }, tostring(web.stream_error(condition, text)))
	end
end

-- Working on requests: { rid, attr, elements, response, is_restart }

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

-- What remains to be done of a request once its elements were handed on.
local function finish_request(bind)
	local attr = bind.current.attr
	bind.current = nil
	if bind.session.username then bind:is_known() end
	if attr.type == "terminate" then
		bind:finish({})
		native.end_session(bind.session, "closed by the client")
		return
	end
	local pause = tonumber(attr.pause)
	if pause then
		if pause < 1 or pause > pause_max then return bind:fail("policy-violation") end
		bind.pause = pause
		while bind.held[1] do bind:answer_oldest() end
	end
	bind:schedule()
end

-- XEP-0124 12: a client that polls must not do so too often.
local function is_too_eager(bind, request)
	if not bind.is_polling then return false end
	local is_empty = not request.elements[1] and not request.attr.type and not request.attr.pause
		and not request.is_restart
	local now = monotonic()
	local is_too_soon = is_empty and bind.polled_at and now - bind.polled_at < polling and bind.is_last_answer_empty
	bind.polled_at = is_empty and now or nil
	return is_too_soon
end

local function start_request(bind, request)
	bind.rid, bind.current, bind.pause = request.rid, request, nil
	bind:hold_request(request.rid, request.response)
	if is_too_eager(bind, request) then return bind:fail("policy-violation") end
	if not bind.session.username and #request.elements > UNAUTHED_STANZAS then return bind:fail("policy-violation") end
	if request.is_restart then
		bind.awaits_restart = nil
		web.send_features(bind.session)
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

local function rid_of(attr)
	local rid = math.tointeger(tonumber(attr.rid))
	return rid and rid >= 1 and rid <= RID_MAX and rid or nil
end

local function elements_of(stanza)
	local elements = {}
	for i, element in ipairs(stanza.tags) do elements[i] = element end
	return elements
end

local function is_true(value) return value == "true" or value == "1" end

local function fail(bind, response, condition)
	bind:fail(condition)
	return body.refuse(response, condition)
end

local function handle_next(bind, stanza, response)
	local attr = stanza.attr
	if bind.is_working then -- what worked on the request before has died: of an error, or ended by the watchdog
		return fail(bind, response, "internal-server-error")
	end
	if bind.secure and not entrance:is_secure(response.request) then
		return body.refuse(response, "item-not-found") -- its sid must have been seen by somebody
	end
	local rid = rid_of(attr)
	if not rid or rid > bind.rid + bind.requests then
		return fail(bind, response, "item-not-found")
	elseif attr.stream then
		return fail(bind, response, "bad-request")
	elseif rid <= bind.rid then
		return bind:repeat_request(rid, response) or fail(bind, response, "item-not-found")
	end
	local before = bind.early[rid]
	if before then body.send(before.response, body.text { type = "error" }) end
	bind.early[rid] = {
		rid = rid, attr = attr, elements = elements_of(stanza), response = response,
		is_restart = is_true(attr[NS_XBOSH .. "\1restart"]),
	}
	bind:watch(rid, response)
	work(bind)
	bind:schedule()
	return true
end

local function bounded(text, default, max)
	local number = math.tointeger(tonumber(text)) or default
	return math.max(0, math.min(number, max))
end

-- XEP-0124 7, XEP-0206 3
local function create(event, stanza)
	local request, response, attr = event.request, event.response, stanza.attr
	local rid = rid_of(attr)
	if not rid then return body.refuse(response, "bad-request") end
	local host, condition = web.find_host(attr.to, "bosh")
	if not host then return body.refuse(response, condition) end
	local bind, why = binds.new {
		ip = request.ip, secure = entrance:is_secure(request), rid = rid,
		wait = bounded(attr.wait, wait_max, wait_max), hold = bounded(attr.hold, 1, HOLD_MAX),
	}
	if not bind then
		module:log("info", "%s", why)
		return body.refuse(response, "policy-violation")
	end
	local session = native.carried_session(host, carrier)
	bind.session = session
	session.bosh, session.ip, session.secure, session.streamid = bind, bind.ip, bind.secure, bind.sid
	session.reset_stream = function () bind.awaits_restart = true end
	module:log("debug", "BOSH session %s of %s for %s", bind.sid:sub(1, 6), bind.ip, host)
	bind:hold_request(rid, response)
	bind:watch(rid, response)
	web.send_features(session)
	if bind.is_ended then return true end
	bind:answer_oldest({
		sid = bind.sid, from = host, wait = bind.wait, hold = bind.hold, requests = bind.requests,
		inactivity = inactivity, maxpause = pause_max, polling = bind.is_polling and polling or nil, ver = "1.6",
		secure = bind.secure and "true" or nil, ["xmpp:version"] = "1.0", ["xmpp:restartlogic"] = "true",
		["xmlns:xmpp"] = NS_XBOSH,
	}, bind:take_queue())
	bind:settle()
	return true
end

-- How much of a body is read depends on who sends it: its sid is looked for before it is parsed, and must then be it.
local function parse(text)
	local hint = text:match("^[^>]-%ssid%s*=%s*['\"]([%w_%-]+)['\"]")
	local bind = hint and binds.find(hint)
	local is_authed = bind ~= nil and bind.session.username ~= nil
	local bytes = is_authed and stanza_bytes + WRAPPER_BYTES or UNAUTHED_BYTES
	if #text > bytes then return nil, "policy-violation" end
	local stanza = native.parse(text, bytes, is_authed)
	if not stanza or stanza.name ~= "body" or stanza.attr.xmlns ~= body.xmlns
		or (is_authed and stanza.attr.sid ~= hint) then
		return nil, "bad-request"
	end
	return stanza
end

local function handle_post(event)
	local request, response = event.request, event.response
	if not entrance:admits(request) then
		return 403
	elseif not (request.headers.content_type or ""):lower():match("^text/xml%f[^%w]") then
		return 415 -- what a page may send anywhere without being asked is never this
	end
	local stanza, condition = parse(request.body)
	if not stanza then return body.refuse(response, condition) end
	local sid = stanza.attr.sid
	if not sid then return create(event, stanza) end
	local bind = binds.find(sid)
	if bind then return handle_next(bind, stanza, response) end
	local last = binds.last_words(sid)
	if not last then return body.refuse(response, "item-not-found") end
	body.send(response, last)
	return true
end

local function handle_get(event)
	return entrance:describe(event) or "This is where chat clients connect.\n"
end

function module.unload()
	binds.close({ condition = "system-shutdown", text = "The service is being restarted" })
end

local cors_origins = web.named_origins(module, ORIGIN_OPTIONS)
if cors_origins == true then cors_origins = new_set { "*" } end

module:provides("http", {
	default_path = "/http-bind",
	shares_path = true, -- the host is what the request says
	route = { ["GET"] = handle_get, ["POST"] = handle_post },
	cors = { enabled = not cors_origins:empty(), origins = cors_origins },
})
