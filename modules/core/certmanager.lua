--- Finds certificates and makes TLS contexts of them.
--
-- For a host, in this order: what its `ssl` option names; what the global `ssl` names (COMPAT: Prosody has it before
-- those that are found, and files it was meant to replace may still lie about); its `certificate` option; a file of its
-- name in the directory `certificates` (NAME.crt and NAME.key, NAME.pem, NAME/fullchain.pem and privkey.pem, also below
-- live/ as certbot has them); any certificate there whose own names cover it; the same for the domain above it.
-- For a service: SERVICE_ssl, SERVICE_certificate (one, or one per port), a file of its name, else the hosts'
-- certificates. Every service chooses by SNI among all hosts.
--
-- The tables `ssl` (everywhere), s2s_ssl, c2s_ssl ... may hold: certificate, key, cafile and capath (who is believed,
-- instead of the system's authorities), crlfile (lists of certificates that were revoked), ciphers, curveslist,
-- protocol ("tlsv1_3+"), verify ({ "peer" }: ask clients for a certificate).

local config = require "prosody.core.configmanager"
local encodings = require "prosody.util.encodings"
local files = require "prosody.util.files"
local logger = require "prosody.util.logger"
local native = require "couplet.native"
local new_sslconfig = require "prosody.util.sslconfig".new
local sorted_keys = require "prosody.util.table".sorted_keys

local log = logger.init("certmanager")

local prosody = _G.prosody
local hosts = prosody.hosts
local ipairs, pairs, require, select, setmetatable = ipairs, pairs, require, select, setmetatable
local tostring, type = tostring, type
local table_concat, table_sort = table.concat, table.sort

local _M = {}
local _ENV = nil

local resolve_relative_path = config.resolve_relative_path
local to_ascii = encodings.idna.to_ascii

local INDEX_DEPTH = 3 -- directories below `certificates` that are looked into

local function resolve(path)
	return resolve_relative_path(prosody.paths.config or ".", path)
end

local function certificates_dir()
	return resolve(config.get("*", "certificates") or "certs")
end

local function is_file(path)
	return files.size(path) ~= nil
end

-- By name of file

-- Where a certificate and its key can be below a directory: pairs of patterns for a name.
local places = {
	{ "%s.crt", "%s.key" },
	{ "%s.pem", "%s.key" },
	{ "%s.pem", "%s.pem" },
	{ "%s.cert", "%s.key" },
	{ "%s/fullchain.pem", "%s/privkey.pem" },
	{ "live/%s/fullchain.pem", "live/%s/privkey.pem" },
	{ "%s/%s.crt", "%s/%s.key" },
	{ "%s/fullchain.cer", "%s/%s.key" },
}

local function fill(pattern, name)
	return (pattern:gsub("%%s", { ["%s"] = name }))
end

-- Certificate and key of that name, or nil.
local function find_by_file_name(directory, name)
	for _, place in ipairs(places) do
		local certificate, key = directory .. "/" .. fill(place[1], name), directory .. "/" .. fill(place[2], name)
		if is_file(certificate) and is_file(key) then
			local has_key = certificate ~= key or (files.read(key) or ""):find("PRIVATE KEY-----", 1, true)
			if has_key then
				return { certificate = certificate, key = key }
			end
		end
	end
end

-- A `certificate` option: a file, or a directory with fullchain.pem and privkey.pem. The key lies beside it.
local function find_by_path(path)
	path = resolve(path)
	if not is_file(path) then
		local certificate, key = path .. "/fullchain.pem", path .. "/privkey.pem"
		return is_file(certificate) and is_file(key) and { certificate = certificate, key = key } or nil
	end
	local stem = path:gsub("%.[^./]*$", "")
	local directory = path:match("^(.*)/") or "."
	local candidates = { stem .. ".key", directory .. "/privkey.pem", path }
	if path:match("fullchain") then
		table_sort(candidates, function (a, b)
			return a:match("privkey") ~= nil and b:match("privkey") == nil
		end)
	end
	for _, key in ipairs(candidates) do
		if is_file(key) and (files.read(key) or ""):find("PRIVATE KEY-----", 1, true) then
			return { certificate = path, key = key }
		end
	end
end

-- By the names inside

local index -- name -> { certificate, key, not_after }; made when first needed
local unreadable = {} -- what could not be read while making it: file -> why

-- The text of a file, "" when it cannot be read.
local function read_or_note(path)
	local text, err = files.read(path)
	if not text and err then
		unreadable[path] = err
	end
	return text or ""
end

local key_names = {
	{ "fullchain(%.%w+)$", "privkey%1" }, { "cert(%.pem)$", "privkey%1" },
	{ "%.crt$", ".key" }, { "%.pem$", ".key" }, { "%.cer$", ".key" }, { "%.cert$", ".key" }, { "$", "" },
}

local function key_for(certificate)
	for _, change in ipairs(key_names) do
		local key, n = certificate:gsub(change[1], change[2], 1)
		if n > 0 and is_file(key) and read_or_note(key):find("PRIVATE KEY-----", 1, true) then
			return key
		end
	end
end

-- Names (dNSName, and hosts of SRVName and xmppAddr: RFC 6120 13.7.1.2) and the end of a file's first certificate.
local function facts_of(path, x509core)
	local certificate = x509core.from_pem(read_or_note(path))
	if not certificate then
		return nil
	end
	local by_kind = certificate:names()
	local names = by_kind.dns or {}
	for _, name in ipairs(by_kind.xmpp or {}) do
		names[#names + 1] = name
	end
	for _, name in ipairs(by_kind.srv or {}) do
		names[#names + 1] = name:match("^_xmpp%-[%a]+%.(.+)$")
	end
	return names, certificate:notafter()
end

-- The one that holds longest wins, so a renewed certificate beside an old one is found.
local function index_file(path, x509core)
	local names, not_after = facts_of(path, x509core)
	local key = names and key_for(path)
	if not key then
		return
	end
	for _, name in ipairs(names) do
		name = name:lower()
		local known = index[name]
		if not known or known.not_after < not_after then
			index[name] = { certificate = path, key = key, not_after = not_after }
		end
	end
end

local function index_directory(directory, depth, x509core)
	local names, directories = files.list(directory)
	for _, name in ipairs(names or {}) do
		if name:match("%.crt$") or name:match("%.pem$") or name:match("%.ce?rt?$") then
			index_file(directory .. "/" .. name, x509core)
		end
	end
	if names and depth > 1 then
		for _, name in ipairs(directories) do
			if name:sub(1, 1) ~= "." then
				index_directory(directory .. "/" .. name, depth - 1, x509core)
			end
		end
	end
end

local function certificate_index()
	if not index then
		index = {}
		index_directory(certificates_dir(), INDEX_DEPTH, require "prosody.util.x509core")
	end
	return index
end

--- name -> { certificate, key, not_after } of all certificates in the directory.
function _M.get_index()
	return certificate_index()
end

local function find_in_index(name)
	local by_name = certificate_index()
	local above = name:match("^[^.]+%.(.+)$")
	return by_name[name] or above and by_name["*." .. above]
end

-- For a host or a service

local function host_section_certificate(host)
	local path = config.rawget(host, "certificate")
	if type(path) == "string" then
		return find_by_path(path)
	end
end

-- For the one who wonders why a certificate that is there is not found.
local function unreadable_text()
	local list = {}
	for _, err in pairs(unreadable) do
		list[#list + 1] = err
	end
	table_sort(list)
	return #list > 0 and ", and these cannot be read by our user: " .. table_concat(list, "; ") or ""
end

--- Certificate and key for a host: { certificate, key }; or nil and a sentence that says where was looked.
function _M.find_host_cert(host)
	local directory = certificates_dir()
	local name = host
	while name do
		local ascii = to_ascii(name) or name
		local found = host_section_certificate(name) or find_by_file_name(directory, ascii)
			or name ~= ascii and find_by_file_name(directory, name) or find_in_index(ascii)
		if found then
			return found
		end
		name = name:match("^[^.]+%.(.+%..+)$") -- never a top-level domain
	end
	return nil, ("no certificate for %s was found in %s (%s.crt with %s.key, or %s/fullchain.pem with privkey.pem)%s; " ..
		"`coupletctl cert generate %s` makes one"):format(host, directory, host, host, host, unreadable_text(), host)
end

--- Certificate and key for a service: its option NAME_certificate (a path, or port -> path), a file of its name, or a
-- certificate of its own; nil when only the hosts' certificates are left.
function _M.find_service_cert(service, port)
	local option = config.get("*", service .. "_certificate")
	if type(option) == "table" then
		option = option[port] or option.default
	end
	if type(option) == "string" then
		local found = find_by_path(option)
		if not found then
			return nil, ("the option %s_certificate names %s, where no certificate with its key is")
				:format(service, resolve(option))
		end
		return found
	end
	return find_by_file_name(certificates_dir(), service)
end

-- Contexts

local known_protocols = { tlsv1_2 = true, tlsv1_3 = true }

local function min_protocol(settings)
	local wanted = settings.min_protocol or settings.protocol
	if wanted == nil or known_protocols[wanted] then
		return wanted
	elseif wanted ~= "sslv23" then
		log("warn", "TLS before 1.2 is not spoken; protocol = \"%s\" is taken as \"tlsv1_2+\"", tostring(wanted))
	end
	return nil
end

local function asks_client_certificate(settings)
	for _, flag in ipairs(type(settings.verify) == "table" and settings.verify or { settings.verify }) do
		if flag == "peer" then
			return true
		end
	end
	return false
end

-- What the core is asked for; paths are absolute.
local function native_settings(settings, mode)
	local function path(name)
		return type(settings[name]) == "string" and resolve(settings[name]) or nil
	end
	local curves = settings.curveslist or settings.curve
	return {
		certificate = path("certificate"), key = path("key"),
		ca_file = path("cafile"), ca_path = path("capath"), crl_file = path("crlfile"),
		ciphers = settings.ciphers,
		curves = type(curves) == "table" and table_concat(curves, ":") or curves,
		min_protocol = min_protocol(settings),
		ask_client_certificate = asks_client_certificate(settings),
		alpn = settings.alpn,
		server = mode == "server",
	}
end

local setting_names = {
	"certificate", "key", "ca_file", "ca_path", "crl_file", "ciphers", "curves", "min_protocol",
	"ask_client_certificate", "alpn", "server",
}
local contexts = setmetatable({}, { __mode = "v" }) -- settings as text -> context: hosts with one certificate share one

-- is_shared false: a context of its own, for a table of SNI names.
local function new_context(settings, is_shared)
	local parts = {}
	for i, name in ipairs(setting_names) do
		parts[i] = tostring(settings[name])
	end
	local key = table_concat(parts, "\0")
	local context = is_shared and contexts[key]
	if context then
		return context
	end
	local err
	context, err = native.tls_context(settings)
	if context and is_shared then
		contexts[key] = context
	end
	return context, err
end

local function merged_settings(found, ...)
	local settings = new_sslconfig()
	settings:apply(found)
	settings:apply(config.get("*", "ssl"))
	for i = select("#", ...), 1, -1 do
		settings:apply((select(i, ...)))
	end
	return settings:final()
end

-- A name alone would be left out in silence.
local function check_ssl_option(host)
	for _, section in ipairs { "*", host } do
		local ssl = config.rawget(section, "ssl")
		if ssl ~= nil and type(ssl) ~= "table" then
			log("error", "%sssl should be a table, so it is left out; write ssl = { certificate = \"x.crt\", key = \"x.key\" }",
				config.place(section, "ssl"))
		end
	end
end

--- A context for a host: mode is "server" or "client"; the tables that follow (ssl options) are laid over what was
-- found, the earlier ones over the later. The context and the settings used; or nil and a sentence.
function _M.create_context(host, mode, ...)
	local found, err
	if mode == "server" then
		check_ssl_option(host)
		found, err = _M.find_host_cert(host)
	end
	local settings = merged_settings(found and { certificate = found.certificate, key = found.key }, ...)
	if mode == "server" and not (settings.certificate and settings.key) then
		return nil, err or "the ssl option names no certificate and key"
	end
	if settings.password then
		log("warn", "The key of %s is to be read without a password; the setting `password` is not used", host)
	end
	local context
	context, err = new_context(native_settings(settings, mode), true)
	if not context then
		return nil, err
	end
	return context, nil, settings
end

local function prefix_ssl(prefix, port)
	local option = config.get("*", prefix .. "_ssl")
	if type(option) == "table" and type(option[port]) == "table" then
		return option[port]
	end
	return option
end

--- A context for a port with TLS from the first byte: the service's own certificate, and those of all hosts by SNI.
-- The context, or nil and a sentence.
function _M.create_service_context(service, port)
	local prefix = service.config_prefix or service.name
	local own_ssl = prefix_ssl(prefix, port)
	local found, err = _M.find_service_cert(prefix, port)
	if err then
		return nil, err
	end
	local default_host
	-- In order, so that the one whose certificate stands in for unknown names is always the same.
	for _, name in ipairs(found and {} or sorted_keys(hosts)) do
		found, err = _M.find_host_cert(name)
		if found then
			default_host = name
			break
		end
	end
	local settings = merged_settings(found and { certificate = found.certificate, key = found.key }, own_ssl,
		service.ssl_config)
	if not (settings.certificate and settings.key) then
		return nil, err or "no host has a certificate"
	end
	local context
	context, err = new_context(native_settings(settings, "server"), false)
	if not context then
		return nil, err
	end
	log("debug", "Port %d (%s) uses %s%s", port, service.name, settings.certificate,
		default_host and " for unknown names" or "")
	for _, name in ipairs(sorted_keys(hosts)) do
		local host_context = _M.create_context(name, "server", own_ssl, config.rawget(name, "ssl"), service.ssl_config)
		if host_context then
			context:set_sni(to_ascii(name) or name, host_context)
		end
	end
	return context
end

--- Forgets what was read of certificates, so that new ones are seen.
function _M.forget()
	index, unreadable = nil, {}
	contexts = setmetatable({}, { __mode = "v" })
end

--- Reads the certificates again and puts them to use for new connections.
function _M.reload()
	_M.forget()
	prosody.events.fire_event("certificates-reloaded")
end

-- Before the others, who make their contexts anew at this event.
prosody.events.add_handler("config-reloaded", _M.forget, 100)

return _M
