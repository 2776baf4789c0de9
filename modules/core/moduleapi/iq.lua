--- The module API's questions: an iq that is sent, and the promise of its answer.

local errors = require "prosody.util.error"
local jid = require "prosody.util.jid"
local promise = require "prosody.util.promise"

local error = error

local api = {}
local _ENV = nil

local IQ_TIMEOUT_SECONDS = 120

-- Answers come to whoever is in `from`: the host, an account or a session.
local function response_event_suffix(from, id)
	local node, _, resource = jid.split(from)
	return (resource and "full/" or node and "bare/" or "host/") .. id
end

-- Does the answer come from where the question went? A missing from or to means the account itself (RFC 6120 8.1.2.1).
local function is_answer(question, answer)
	local to = question.attr.to or jid.bare(question.attr.from)
	local from = answer.attr.from or jid.bare(answer.attr.to)
	return to == from
end

--- Sends an iq of type get or set and promises the event of its answer ({ stanza =, origin = }). Rejects with a
-- util.error: the error that was answered, a time-out after timeout seconds (120), or a second iq with the same id.
function api:send_iq(stanza, origin, timeout)
	if stanza.name ~= "iq" or stanza.attr.type ~= "get" and stanza.attr.type ~= "set" then
		error("send_iq expects an iq of type get or set", 2)
	end
	return promise.new(function (resolve, reject)
		local from = stanza.attr.from or origin and origin.full_jid or self.host
		local suffix = response_event_suffix(from, stanza.attr.id)
		local pending = self.pending_iqs
		if not pending then
			pending = {}
			self.pending_iqs = pending
		end
		if pending[suffix] then
			reject(errors.new({ type = "modify", condition = "conflict", text = "An iq with this id is on its way" }))
			return
		end
		pending[suffix] = true
		local timeout_task, on_result, on_error
		local function finish()
			pending[suffix] = nil
			self:unhook("iq-result/" .. suffix, on_result)
			self:unhook("iq-error/" .. suffix, on_error)
			timeout_task:stop()
		end
		function on_result(event)
			if is_answer(stanza, event.stanza) then
				finish()
				resolve(event)
				return true
			end
		end
		function on_error(event)
			if is_answer(stanza, event.stanza) then
				finish()
				reject(errors.from_stanza(event.stanza, event))
				return true
			end
		end
		self:hook("iq-result/" .. suffix, on_result, 1)
		self:hook("iq-error/" .. suffix, on_error, 1)
		timeout_task = self:add_timer(timeout or IQ_TIMEOUT_SECONDS, function ()
			finish()
			reject(errors.new({ type = "wait", condition = "remote-server-timeout", text = "There was no answer in time" }))
		end)
		self:send(stanza, origin)
	end)
end

return api
