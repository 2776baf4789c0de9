--- In-band registration (XEP-0077): strangers make themselves an account, when the admin allows it.
-- @option allow_registration              boolean, false: without it nothing is offered and everything refused
-- @option c2s_require_encryption          boolean, true: only inside TLS
-- @option require_encryption              boolean, true: default of the former
-- @option registration_instructions       string: what the form says
-- @option additional_registration_fields  set, {}: further fields of XEP-0077 that must be filled in ("email", "name")
-- @hooks  stream-features, stanza/iq/jabber:iq:register:query
-- @fires  user-registering, user-registered        @stores account_details
-- @spec   spec/modules/mod_register_ibr_spec.lua
--
-- `user-registering` gets { username, password, host, ip, session, additional, allowed = true }. A hook that sets
-- allowed to false refuses; it may set `reason`, or `error_type` and `error_condition`.

local nodeprep = require "prosody.util.encodings".stringprep.nodeprep
local st = require "prosody.util.stanza"
local usermanager = require "prosody.core.usermanager"

local xmlns_register = "jabber:iq:register"

local host = module.host
local is_allowed = module:get_option_boolean("allow_registration", false)
local require_encryption = module:get_option_boolean("c2s_require_encryption",
	module:get_option_boolean("require_encryption", true))
local instructions = module:get_option_string("registration_instructions",
	"Choose a username and password for use with this service.")
local account_details = module:open_store("account_details")

-- The fields XEP-0077 14.1 defines; others need a data form, and a module of their own.
local defined_fields = {}
for _, name in ipairs { "nick", "name", "first", "last", "email", "address", "city", "state", "zip", "phone", "url",
	"date", "misc", "text" } do
	defined_fields[name] = true
end

local fields = {}
for name in module:get_option_set("additional_registration_fields", {}):items() do
	if defined_fields[name] then
		table.insert(fields, name)
	else
		module:log("warn", "additional_registration_fields: there is no field %q in XEP-0077", name)
	end
end
table.sort(fields)

local function add_feature(event)
	local session, features = event.origin, event.features
	if not is_allowed or session.type ~= "c2s_unauthed" or (require_encryption and not session.secure) then return end
	features:tag("register", { xmlns = "http://jabber.org/features/iq-register" }):up()
end

local function send_form(session, stanza)
	local reply = st.reply(stanza):query(xmlns_register)
	reply:text_tag("instructions", instructions)
	reply:tag("username"):up():tag("password"):up()
	for _, name in ipairs(fields) do reply:tag(name):up() end
	session.send(reply)
	return true
end

-- Gives the wish of a filled-in form, or nil and an error.
local function read_form(session, query)
	local username = nodeprep(query:get_child_text("username") or "")
	local password = query:get_child_text("password")
	if not username or username == "" then
		return nil, { type = "modify", condition = "not-acceptable", text = "The requested username is invalid." }
	elseif not password or password == "" then
		return nil, { type = "modify", condition = "not-acceptable", text = "A password is needed." }
	end
	local additional = {}
	for _, name in ipairs(fields) do
		local value = query:get_child_text(name)
		if not value or value == "" then
			return nil, { type = "modify", condition = "not-acceptable", text = ("The field %q is needed."):format(name) }
		end
		additional[name] = value
	end
	return { username = username, password = password, host = host, ip = session.ip, session = session,
		additional = additional, allowed = true }
end

-- Makes the account. True, or nil and an error.
local function register(session, user)
	module:fire_event("user-registering", user)
	if not user.allowed then
		session.log("info", "Registration of %s refused: %s", user.username, user.reason or "no reason given")
		return nil, { type = user.error_type or "modify", condition = user.error_condition or "not-acceptable",
			text = user.reason or "User registration is not acceptable" }
	end
	if usermanager.user_exists(user.username, host) then
		return nil, { type = "cancel", condition = "conflict", text = "The requested username already exists." }
	end
	local ok, err = usermanager.create_user(user.username, user.password, host)
	if not ok then
		module:log("error", "Account %s was not made: %s", user.username, err)
		return nil, { type = "wait", condition = "internal-server-error", text = "The account could not be made." }
	end
	user.additional.registered = os.time()
	ok, err = account_details:set(user.username, user.additional)
	if not ok then -- an account half made is none
		module:log("error", "The details of account %s were not saved: %s", user.username, err)
		usermanager.delete_user(user.username, host)
		return nil, { type = "wait", condition = "internal-server-error", text = "The account could not be made." }
	end
	return true
end

local function handle_register(event)
	local session, stanza = event.origin, event.stanza
	if session.type ~= "c2s_unauthed" then return end
	local query, err = stanza.tags[1]
	if not is_allowed then
		err = { type = "cancel", condition = "service-unavailable" } -- XEP-0077 3.1
	elseif require_encryption and not session.secure then
		err = { type = "modify", condition = "policy-violation", text = "Use STARTTLS before you register." }
	elseif stanza.attr.type == "get" then
		return send_form(session, stanza)
	elseif query:get_child("remove") then
		err = { type = "wait", condition = "unexpected-request" } -- XEP-0077 3.2: nobody has said who they are
	elseif session.has_registered then
		err = { type = "cancel", condition = "not-acceptable", text = "You have registered already." }
	else
		local user
		user, err = read_form(session, query)
		if user then
			local ok
			ok, err = register(session, user)
			if session.destroyed then return true end
			if ok then
				session.has_registered = true
				session.send(st.reply(stanza))
				module:log("info", "User account created: %s@%s", user.username, host)
				module:fire_event("user-registered", { username = user.username, host = host, source = "mod_register",
					session = session })
				return true
			end
		end
	end
	session.send(st.error_reply(stanza, err.type, err.condition, err.text)) -- without the form: it holds a password
	return true
end

module:hook("stream-features", add_feature)
module:hook("stanza/iq/" .. xmlns_register .. ":query", handle_register)
