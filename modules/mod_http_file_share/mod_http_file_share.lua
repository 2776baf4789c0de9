--- Sharing files over HTTP (XEP-0363 1.2): a client asks for a slot, uploads its file there and passes its address on.
-- For a component of its own (Component "upload.example.org" "http_file_share") or for a host.
-- @option http_file_share_size_limit          bytes, 10485760: of one file
-- @option http_file_share_daily_quota         bytes, ten times that: of one user in 24 hours
-- @option http_file_share_global_quota        bytes, none: of all files together
-- @option http_file_share_expires_after       period, 1 week: how long files are kept; "never"
-- @option http_file_share_purposes            table, {}: { profile = period, permanent = period }: how long files for
--                                             these purposes are kept; they are offered only then
-- @option http_file_share_allowed_file_types  list, {}: types that may be uploaded ("image/*"); empty: all
-- @option http_file_share_safe_file_types     list, {"image/*", "video/*", "audio/*", "text/plain"}: types a browser
--                                             may show; others it may only save. What can hold scripts must be named
-- @option http_file_share_access              set, {}: JIDs and hosts that may upload; empty: whose role permits it
--                                             (users of the host, for a component those of the host above it)
-- @option http_file_share_base_url            URL: of another service that takes the files
-- @option http_file_share_secret              string, random: signs slots; to be shared with that service
-- @option name                                string, "HTTP File Upload": what the component calls itself
-- @hooks  iq-get/host/urn:xmpp:http:upload:0:request, user-deleted
-- @fires  none
-- @stores uploads (archive, host level: a request per file), upload_stats (map, host level: total bytes); the files are
--         DATA/HOST/http_file_share/SLOT.bin
-- @spec   spec/modules/mod_http_file_share_spec.lua, spec/e2e/file_share_spec.lua, spec/interop/file_share_spec.lua
--
-- Always true: a slot takes one file, of exactly the size that was announced, within five minutes, from who has its
-- signed token. A file is found at its address only when all of it is on the disk, and is never changed.

module:depends "disco"

local dataforms = require "prosody.util.dataforms"
local datetime = require "prosody.util.datetime"
local jid = require "prosody.util.jid"
local jwt = require "prosody.util.jwt"
local random = require "prosody.util.random"
local st = require "prosody.util.stanza"
local units = require "prosody.util.human.units"
local urlencode = require "prosody.util.http".urlencode

local NS, NS_PURPOSE = "urn:xmpp:http:upload:0", "urn:xmpp:http:upload:purpose:0"
local SLOT_SECONDS = 300
local NAME_BYTES, TYPE_BYTES = 255, 127

local size_limit = module:get_option_integer("http_file_share_size_limit", 10 * 1024 * 1024, 1)
local base_url = module:get_option_string("http_file_share_base_url")
local secret = module:get_option_string("http_file_share_secret")
local allowed_types = module:get_option_set("http_file_share_allowed_file_types", {})
local safe_types = module:get_option_set("http_file_share_safe_file_types",
	{ "image/*", "video/*", "audio/*", "text/plain" })
local access = module:get_option_set("http_file_share_access", {})
local expires_after = module:get_option_period("http_file_share_expires_after", "1 week", 0)

-- Types, as RFC 9110 8.3.1 writes them, in lower case and without parameters; nil for what is none.
local function plain_type(text)
	local base = text and #text <= TYPE_BYTES and text:lower():match "^%s*([^;]-)%s*%f[;\0]"
	return base and base:match "^[%w!#$&^_.+-]+/[%w!#$&^_.+-]+$"
end

local function is_among(types, filetype)
	return types:contains(filetype) or types:contains((filetype:gsub("/.*$", "/*")))
end

-- A browser may run what is in these: "image/*" does not mean them.
local function may_hold_scripts(filetype)
	return filetype:find "xml" or filetype:find "html" or filetype:find "script" or filetype:find "xsl"
end

local function is_safe(filetype)
	return safe_types:contains(filetype) or is_among(safe_types, filetype) and not may_hold_scripts(filetype)
end

-- What files are for: purpose -> seconds they are kept

local retention = { message = expires_after, ephemeral = expires_after }
for purpose, period in pairs(module:get_option("http_file_share_purposes", {})) do
	if purpose ~= "profile" and purpose ~= "permanent" then
		module:log("error", "http_file_share_purposes: there is no purpose %s; say profile or permanent", tostring(purpose))
	else
		local seconds = period == "never" and math.huge or tonumber(period)
			or require "prosody.util.human.io".parse_duration(tostring(period))
		if not seconds then
			module:log("error", "http_file_share_purposes: %s is no period for %s; write \"1 year\", or \"never\"",
				tostring(period), purpose)
		end
		retention[purpose] = seconds
	end
end

-- The parts

local uploads = module:require "uploads" {
	daily_quota = module:get_option_integer("http_file_share_daily_quota", 10 * size_limit, 0),
	global_quota = module:get_option_number("http_file_share_global_quota", math.huge, 0),
	retention = retention, slot_seconds = SLOT_SECONDS, is_elsewhere = base_url ~= nil,
}

local sign, verify

local function set_secret(text)
	secret = text
	sign = jwt.new_signer("HS256", secret, { default_ttl = SLOT_SECONDS })
	verify = jwt.new_verifier("HS256", secret)
end
set_secret(secret or random.bytes(32))

local web -- nil when another service takes the files
if not base_url then
	module:depends "http"
	web = module:require "web" {
		uploads = uploads, is_safe = is_safe, plain_type = plain_type,
		verify = function (token) return verify(token) end,
	}
	module:provides("http", {
		streaming_uploads = true,
		shares_path = true, -- each answers for its own slots
		-- Web clients of any site may upload with a token and show what they have an address of.
		cors = { enabled = true, headers = { "Authorization", "Content-Type" } },
		route = { ["PUT /*"] = web.upload, ["GET /*"] = web.download },
	})
elseif not module:get_option_string "http_file_share_secret" then
	module:log("error", "http_file_share_base_url needs http_file_share_secret, the secret of the service there")
end
module:require "commands" { uploads = uploads }

-- Discovery (XEP-0363 4)

module:add_feature(NS)
for purpose in pairs(retention) do
	module:add_feature(NS_PURPOSE .. "#" .. purpose)
end
module:add_identity("store", "file", module:get_host_type() == "component"
	and module:get_option_string("name", "HTTP File Upload") or "HTTP File Upload")
module:add_extension(dataforms.new {
	{ name = "FORM_TYPE", type = "hidden", value = NS },
	{ name = "max-file-size", type = "text-single" },
}:form({ ["max-file-size"] = ("%d"):format(size_limit) }, "result"))

-- Slots (XEP-0363 5)

module:default_permission("prosody:registered", ":upload")

local function may_upload(event, uploader)
	if access:empty() then return module:may(":upload", event) end
	return access:contains(uploader) or access:contains(jid.host(uploader))
end

local function purpose_of(request)
	for name in pairs { message = true, profile = true, ephemeral = true, permanent = true } do
		local tag = request:get_child(name, NS_PURPOSE)
		if tag then return name, tag end
	end
	return "message"
end

-- What was asked for, or nil and what is wrong with it: type, condition, text.
local function read_request(request)
	local attr = request.attr
	local wanted = { filename = attr.filename, size = math.tointeger(tonumber((attr.size or ""):match "^%d+$")) }
	local name = wanted.filename
	if not name or name == "" or #name > NAME_BYTES or name == "." or name == ".." or name:find "[/\\%c]" then
		return nil, "modify", "bad-request", "The filename cannot be used"
	elseif not wanted.size or wanted.size < 1 then
		return nil, "modify", "bad-request", "The size must be a number of bytes"
	elseif attr["content-type"] then
		wanted.type = plain_type(attr["content-type"])
		if not wanted.type then return nil, "modify", "bad-request", "The content-type is none" end
	end
	if not allowed_types:empty() and not is_among(allowed_types, wanted.type or "application/octet-stream") then
		return nil, "modify", "not-acceptable", "Files of this type are not accepted here"
	end
	wanted.purpose, wanted.purpose_tag = purpose_of(request)
	if not retention[wanted.purpose] then
		return nil, "cancel", "feature-not-implemented", "Files for this purpose are not kept here"
	elseif wanted.purpose == "ephemeral" then
		local before = datetime.parse(wanted.purpose_tag.attr["expire-before"] or "")
		if not before or before <= os.time() then
			return nil, "modify", "bad-request", "expire-before must be a time that is to come"
		end
	end
	return wanted
end

local refusals = {
	["daily-quota"] = "You have uploaded enough for a day",
	["too-many-slots"] = "You have too many slots that are not used yet",
	["global-quota"] = "There is no more room for files here",
	["failed"] = "Slots cannot be stored now",
}

local function refuse(event, why, retry_at)
	local condition = why == "failed" and "internal-server-error" or "resource-constraint"
	local reply = st.error_reply(event.stanza, "wait", condition, refusals[why])
	if retry_at then reply:tag("retry", { xmlns = NS, stamp = datetime.datetime(retry_at) }) end
	event.origin.send(reply)
	return true
end

local function too_large(event)
	event.origin.send(st.error_reply(event.stanza, "modify", "not-acceptable",
			("The file is too large; at most %d bytes (%s) are accepted"):format(size_limit,
				units.format(size_limit, "B", "b")))
		:tag("file-too-large", { xmlns = NS })
			:text_tag("max-file-size", ("%d"):format(size_limit)))
	return true
end

local has_warned = false

-- Both addresses are the same: what is put there is what is got.
local function slot_url(slot, filename)
	local base = (base_url or module:http_url(nil, "/file_share")):gsub("/+$", "")
	if not base:find "^https:" and not has_warned then -- XEP-0363 5
		has_warned = true
		module:log("warn", "Files are to be put at %s, without TLS, which clients may refuse; set https_ports, or "
			.. "http_external_url when a proxy has TLS", base)
	end
	return ("%s/%s/%s"):format(base, urlencode(slot), urlencode(filename))
end

module:hook("iq-get/host/" .. NS .. ":request", function (event)
	local origin, stanza = event.origin, event.stanza
	local request = stanza.tags[1]
	local uploader = jid.bare(stanza.attr.from)
	if not may_upload(event, uploader) then
		origin.send(st.error_reply(stanza, "auth", "forbidden", "You may not upload files here"))
		return true
	end
	local wanted, error_type, condition, text = read_request(request)
	if not wanted then
		module:log("debug", "%s gets no slot: %s", uploader, text)
		origin.send(st.error_reply(stanza, error_type, condition, text))
		return true
	elseif wanted.size > size_limit then
		return too_large(event)
	end
	local slot, why, retry_at = uploads.reserve(uploader, wanted)
	if not slot then
		module:log("debug", "%s gets no slot: %s", uploader, why)
		return refuse(event, why, retry_at)
	end
	local token = sign {
		sub = uploader, slot = slot, filename = wanted.filename, filesize = wanted.size, filetype = wanted.type,
		expires = uploads.expiry(slot),
	}
	local url = slot_url(slot, wanted.filename)
	origin.send(st.reply(stanza)
		:tag("slot", { xmlns = NS })
			:tag("put", { url = url })
				:text_tag("header", "Bearer " .. token, { name = "Authorization" })
			:up()
			:tag("get", { url = url }))
	return true
end)

-- Time

module:daily("Remove files that have expired", function ()
	uploads.prune(os.time())
end)

module:hook_global("user-deleted", function (event)
	local uploader = event.username .. "@" .. event.host
	local n = uploads.purge(uploader)
	if n and n > 0 then module:log("info", "%d files of %s are gone with the account", n, uploader) end
end)

function module.unload()
	if web then web.close() end
end

function module.save()
	return { secret = secret, pending = uploads.save() }
end

function module.restore(data)
	if not module:get_option_string "http_file_share_secret" then set_secret(data.secret) end
	uploads.restore(data.pending)
end
