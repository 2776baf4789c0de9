-- Sessions of clients: who may come back to which, for how long, and who hears of it. Fields of a session (as in
-- Prosody): smacks, resumption_token, hibernating (since when, seconds), hibernating_watchdog (ends it).

local native = require "couplet.native"
local sha256 = require "prosody.util.hashes".sha256
local new_id = require "prosody.util.id".medium -- 144 bits
local st = require "prosody.util.stanza"
local time = require "prosody.util.time"
local watchdog = require "prosody.util.watchdog"
local xml = require "prosody.util.xml"

local unacked = module:require "unacked"

local xmlns_sm = "urn:xmpp:sm:3"
local FAILURES_MAX = 3 -- <resume/> on one stream

local hosts = prosody.hosts

local clients = {}

local by_host = {} -- host -> { module =, seconds =, max_away =, max_old =, old = store }

-- What a session has not had acknowledged, as stanzas: looked at only by who wants to know.
local queue_mt = {}
local function fill(queue)
	setmetatable(queue, nil)
	for _, text in ipairs((native.sm_kept(queue.session))) do table.insert(queue, (xml.parse(text))) end
	return queue
end
function queue_mt.__len(queue) return #fill(queue) end
function queue_mt.__index(queue, key) return fill(queue)[key] end
function queue_mt.__pairs(queue) return pairs(fill(queue)) end

local function tell(session, event, more)
	local data = { origin = session, queue = setmetatable({ session = session }, queue_mt) }
	for key, value in pairs(more or {}) do data[key] = value end
	by_host[session.host].module:fire_event(event, data)
end

-- ---- sessions that are no more ----

-- Section 5 allows to tell how much of such a session was handled, so that the client need not send it twice.
local function remember_h(settings, session)
	local old, err = settings.old:get(session.username)
	if err then
		session.log("warn", "The ids of ended sessions could not be read: %s", err)
		return
	end
	old = old or {}
	old[session.resumption_token] = { h = native.sm_handled(session), t = os.time() }
	local ids = {}
	for id in pairs(old) do table.insert(ids, id) end
	table.sort(ids, function (a, b) return (old[a].t or 0) > (old[b].t or 0) end)
	for i = settings.max_old + 1, #ids do old[ids[i]] = nil end
	local ok, why = settings.old:set(session.username, old)
	if not ok then session.log("warn", "The id of an ended session could not be stored: %s", why) end
end

local function recall_h(settings, username, id)
	local old = settings.old:get(username)
	local entry = old and old[id]
	return type(entry) == "table" and entry.h or nil
end

-- ---- <enable/> and <resume/> ----

local function is_true(text) return text == "true" or text == "1" end

--- Counting begins. { id =, max = seconds, attributes = of <enabled/> }; id and max only if it can be resumed. nil: it
-- was on before, or this transport can do no such thing.
function clients.enable(session, stanza)
	local settings = by_host[session.host]
	local wished = math.tointeger(tonumber(stanza.attr.max))
	local seconds = settings and settings.seconds or 0
	if wished and wished >= 0 then seconds = math.min(seconds, wished) end
	local is_resumable = is_true(stanza.attr.resume) and seconds > 0 and settings.max_away > 0
	if not settings or not native.sm_accept(session, is_resumable) then return nil, "unexpected-request" end
	session.smacks = xmlns_sm
	if not is_resumable then return { attributes = { xmlns = xmlns_sm } } end
	local id = new_id()
	session.resumption_token, session.hibernation_seconds = id, seconds
	return { id = id, max = seconds,
		attributes = { xmlns = xmlns_sm, id = id, resume = "true", max = ("%d"):format(seconds) } }
end

-- The session of the same account with that id. Only hashes are compared: how long that takes tells nothing.
local function find(session, id)
	local user = hosts[session.host].sessions[session.username]
	local wanted = sha256(id)
	for _, other in pairs(user and user.sessions or {}) do
		if other.resumption_token and sha256(other.resumption_token) == wanted then return other end
	end
end

-- Its connection has come: says so and sends what it has not had.
local function finish(session)
	local h = native.sm_handled(session)
	if not h then return end -- it has ended
	session.handled_stanza_count = h
	native.sm_go_on(session, tostring(st.stanza("resumed", { xmlns = xmlns_sm, h = ("%d"):format(h),
		previd = session.resumption_token })))
	session.log("debug", "Resumed")
end

local function wake(session)
	session.hibernating = nil
	if session.hibernating_watchdog then
		session.hibernating_watchdog:cancel()
		session.hibernating_watchdog = nil
	end
end

--- The connection of `session` goes on with the one it names: { session =, h =, id =, finish = } (finish sends
-- <resumed/> and what was not acknowledged, as soon as it can); or nil, a stanza error condition and maybe h.
function clients.resume(session, stanza)
	local id, settings = stanza.attr.previd, by_host[session.host]
	if session.type ~= "c2s" or session.full_jid or not settings or not native.sm_is_possible(session) then
		return nil, "unexpected-request"
	elseif not id or id == "" then
		return nil, "bad-request"
	end
	local old = find(session, id)
	if not old then return nil, "item-not-found", recall_h(settings, session.username, id) end
	local result, is_settled = native.sm_resume(old, session, stanza.attr.h)
	if result ~= "resumed" then return nil, "bad-request" end
	wake(old)
	tell(old, "smacks-hibernation-end", { origin = session, resumed = old })
	return { session = old, h = native.sm_handled(old), id = id, finish = function ()
		if is_settled then finish(old) else old.waits_for_settling = true end
	end }
end

--- Guessing ids has an end.
function clients.note_failure(session)
	session.failed_resumes = (session.failed_resumes or 0) + 1
	if session.failed_resumes >= FAILURES_MAX then
		session:close({ condition = "policy-violation", text = "Too many sessions that are not there" })
	end
end

-- A hook of an earlier stanza had to be waited for.
local function on_settled(event)
	local session = event.session
	if not session.waits_for_settling then return end
	session.waits_for_settling = nil
	finish(session)
end

-- ---- hibernating ----

-- Of one account only so many: those that are away for longest end.
local function make_room(session, max_away)
	local user = hosts[session.host].sessions[session.username]
	local away = {}
	for _, other in pairs(user and user.sessions or {}) do
		if other.hibernated_at and native.sm_is_hibernating(other) then table.insert(away, other) end
	end
	table.sort(away, function (a, b) return a.hibernated_at < b.hibernated_at end)
	for i = 1, #away - max_away do native.end_session(away[i], "too many sessions of this account are away") end
end

local function on_hibernated(event)
	local session = event.session
	local settings = by_host[session.host]
	session.hibernating, session.hibernated_at = os.time(), time.monotonic()
	session.hibernating_watchdog = watchdog.new(session.hibernation_seconds, function ()
		session.hibernating_watchdog = nil
		native.end_session(session, "connection lost")
	end)
	make_room(session, settings.max_away)
	if not session.destroyed then tell(session, "smacks-hibernation-start") end
end

local function on_queued(event)
	tell(event.session, "smacks-hibernation-stanza-queued", { stanza = event.stanza })
end

local function on_ack_delayed(event) tell(event.session, "smacks-ack-delayed") end

-- ---- endings ----

-- Its presence goes with it, and its priority says who else has got what it has.
local function before_end(event)
	local session = event.session
	if session.smacks then session.last_priority = session.priority end
end

local is_stopping

--- The server stops: nobody else gets what is left of a session any more, it is stored.
function clients.stop() is_stopping = true end

local function on_ended(event)
	local session = event.session
	if not session.smacks then return end
	local settings = by_host[session.host]
	wake(session)
	if session.resumption_token and event.error then remember_h(settings, session) end
	local texts, times = native.sm_kept(session)
	if #texts > 0 then
		session.log("debug", "%d stanzas were not acknowledged", #texts)
		unacked(settings.module, session, texts, times, is_stopping)
	end
end

-- ---- a host ----

local function offer(event)
	local session = event.origin
	if session.username and native.sm_is_possible(session) then event.features:tag("sm", { xmlns = xmlns_sm }):up() end
end

local function on_read_timeout(event)
	if not event.session.smacks then return nil end
	native.sm_ask(event.session)
	return true
end

function clients.add_host(module) -- luacheck: ignore 431
	by_host[module.host] = {
		module = module,
		seconds = math.floor(module:get_option_period("smacks_hibernation_time", "10 minutes")),
		max_away = module:get_option_integer("smacks_max_hibernated_sessions", 5, 0),
		max_old = module:get_option_integer("smacks_max_old_sessions", 10, 0),
		old = module:open_store("smacks_h"),
	}
	module:hook("stream-features", offer, 40)
	module:hook("sm-settled", on_settled)
	module:hook("sm-hibernated", on_hibernated)
	module:hook("sm-queued", on_queued)
	module:hook("sm-ack-delayed", on_ack_delayed)
	module:hook("pre-resource-unbind", before_end)
	module:hook("session-ended", on_ended)
	module:hook("c2s-read-timeout", on_read_timeout)
	module:hook("csi-client-inactive", function (event) native.sm_inactive(event.origin, true) end)
	module:hook("csi-client-active", function (event) native.sm_inactive(event.origin, false) end)
end

return clients
