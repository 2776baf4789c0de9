--- Errors as values: what went wrong, in the words of a stanza error (RFC 6120 8.3), and what helps to find out why.
-- Always true: an error has `type` and `condition`, an `instance_id` that names this one occurrence in logs, and a
-- `context` table that never leaves the server.
local random_id = require "prosody.util.id".short
local error, getmetatable, ipairs, pairs, setmetatable, tostring, type =
	error, getmetatable, ipairs, pairs, setmetatable, tostring, type
local s_format = string.format
local traceback = debug.traceback
local t_unpack = table.unpack

local _ENV = nil

local error_mt = { __name = "error" }

function error_mt:__tostring()
	return s_format("error<%s:%s:%s>", self.type, self.condition, self.text or "")
end

local function is_error(value)
	return getmetatable(value) == error_mt
end

local settings = { auto_inject_traceback = false }

--- configure { auto_inject_traceback = true }: errors remember where they were made.
local function configure(options)
	for key, value in pairs(options) do
		if settings[key] == nil then
			error("unknown setting of util.error: " .. tostring(key), 2)
		end
		settings[key] = value
	end
end

-- One of the registry, or a table like one.
local function find_template(e, registry)
	local template = registry and registry[e]
	if template then
		return template
	elseif type(e) == "table" then
		return e
	end
	return {}
end

--- Makes an error. e is a key of `registry` (a table of tables like the following), or a table { type =, condition =,
-- text =, code =, extra = { namespace =, condition =, tag =, ... } }. An error is given back as it is. context: any
-- table; source: who says so.
local function new(e, context, registry, source)
	if is_error(e) then
		return e
	end
	local template = find_template(e, registry)
	context = context or template.context or {}
	if settings.auto_inject_traceback and context.traceback == nil then
		context.traceback = traceback("error stack", 2)
	end
	return setmetatable({
		instance_id = random_id(),
		type = template.type or "cancel",
		condition = template.condition or "undefined-condition",
		text = template.text,
		code = template.code,
		context = context,
		extra = template.extra,
		source = source,
	}, error_mt)
end

-- An entry may be short: { type, condition, text, application-condition }. The last needs a namespace.
local function expand(entry, namespace)
	if entry[1] == nil then
		return entry
	end
	local extra = entry[4]
	if type(extra) == "string" then
		extra = namespace and { namespace = namespace, condition = extra } or nil
	end
	return { type = entry[1], condition = entry[2], text = entry[3], extra = extra }
end

--- For functions that give nil and an error in their second result: makes that error one of ours.
-- The original is in context.wrapped_error, and only there: it may say things that are nobody's business.
local function coerce(ok, err, ...)
	if ok or is_error(err) then
		return ok, err, ...
	end
	return ok, new({}, { wrapped_error = err }), ...
end

--- init(source[, namespace], registry): new, coerce, wrap and is_error for one module and its list of errors.
-- registry: name -> { type =, condition =, text =, extra = } or { type, condition, text, application-condition }.
local function init(source, namespace, registry)
	if type(namespace) == "table" then
		namespace, registry = nil, namespace
	end
	local expanded = {}
	for name, entry in pairs(registry) do
		expanded[name] = expand(entry, namespace)
	end

	local function new_from(e, context)
		return new(e, context, expanded, source)
	end

	--- nil, "name" -> nil, the error of that name
	local function coerce_from(ok, err, ...)
		if ok or is_error(err) then
			return ok, err, ...
		end
		if expanded[err] then
			return ok, new_from(err), ...
		end
		return ok, new_from({}, { wrapped_error = err }), ...
	end

	--- Throws what coerce would give.
	local function wrap(ok, err, ...)
		local results = { coerce_from(ok, err, ...) }
		if results[1] then
			return t_unpack(results)
		end
		error(results[2], 0)
	end

	return {
		source = source,
		namespace = namespace,
		registry = expanded,
		new = new_from,
		coerce = coerce_from,
		wrap = wrap,
		is_error = is_error,
		is_err = is_error,
	}
end

--- The error a stanza of type "error" carries.
local function from_stanza(stanza, context, source)
	local kind, condition, text, extra_tag = stanza:get_error()
	local error_tag = stanza:get_child("error")
	context = context or {}
	context.stanza = stanza
	context.by = error_tag and error_tag.attr.by or stanza.attr.from

	local extra = extra_tag and { namespace = extra_tag.attr.xmlns, condition = extra_tag.name, tag = extra_tag }
	local condition_tag = error_tag and condition
		and error_tag:get_child(condition, "urn:ietf:params:xml:ns:xmpp-stanzas")
	-- RFC 6120 8.3.3.5, 8.3.3.15: these two may say where else to go.
	if condition_tag and (condition == "gone" or condition == "redirect") then
		extra = extra or {}
		extra.uri = condition_tag:get_text()
	end
	return new({
		type = kind or "cancel",
		condition = condition or "undefined-condition",
		text = text,
		extra = extra or nil,
	}, context, nil, source)
end

local conditions = {}
for _, condition in ipairs {
	"bad-request", "conflict", "feature-not-implemented", "forbidden", "gone", "internal-server-error",
	"item-not-found", "jid-malformed", "not-acceptable", "not-allowed", "not-authorized", "policy-violation",
	"recipient-unavailable", "redirect", "registration-required", "remote-server-not-found",
	"remote-server-timeout", "resource-constraint", "service-unavailable", "subscription-required",
	"undefined-condition", "unexpected-request",
} do
	conditions[condition] = true
end

return {
	new = new,
	init = init,
	coerce = coerce,
	is_error = is_error,
	is_err = is_error,
	from_stanza = from_stanza,
	configure = configure,
	conditions = conditions, -- the conditions RFC 6120 defines, as a table of true
}
