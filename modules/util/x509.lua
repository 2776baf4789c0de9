--- Certificates and the names they prove (RFC 9525, RFC 6120 13.7.1.2).
--
-- Always true: only the subjectAltName counts, never the common name; an address is proven by an iPAddress, and by
-- nothing else; a wildcard stands for exactly one whole label, and not for one below a top-level name; names are
-- compared as A-labels.

local core = require "prosody.util.x509core"
local encodings = require "prosody.util.encodings"
local files = require "prosody.util.files"
local new_ip = require "prosody.util.ip".new_ip

local base64, to_ascii, nameprep = encodings.base64, encodings.idna.to_ascii, encodings.stringprep.nameprep
local ipairs, table = ipairs, table

local _ENV = nil

-- COMPAT: certificates as LuaSec gives them have no names(), but extensions() with the same.
local function names_of(cert)
	if cert.names then return cert:names() end
	local san = (cert:extensions() or {})["2.5.29.17"] or {}
	return {
		dns = san.dNSName or {},
		srv = san["1.3.6.1.5.5.7.8.7"] or {},
		xmpp = san["1.3.6.1.5.5.7.8.5"] or {},
		ip = san.iPAddress or {},
	}
end

-- The bytes of an address, be it the name of a host ("192.0.2.1", "[2001:db8::1]") or what a certificate holds; nil
-- for anything else.
local function address_bytes(text)
	local ip = new_ip(text:match("^%[(.*)%]$") or text, text:find(":", 1, true) and "IPv6" or "IPv4")
	return ip and not ip.zone and ip.packed or nil
end

-- Does a dNSName stand for the host? Both are A-labels.
local function matches_dns(name, host)
	name = name:lower()
	if not name:find("*", 1, true) then return name == host end
	-- RFC 9525 6.3: the wildcard is the whole left-most label, and there is only one.
	local base = name:match("^%*%.([^*]+)$")
	if not base or not base:find(".", 1, true) then return false end
	return host:match("^[^.]+%.(.+)$") == base
end

--- Does the certificate prove that its owner may serve `host`? service: "xmpp-client", "xmpp-server".
local function verify_identity(host, service, cert)
	local address = address_bytes(host)
	if address then -- RFC 9525 6.5: octet by octet, with an iPAddress and nothing else
		for _, ip in ipairs(names_of(cert).ip or {}) do
			if address_bytes(ip) == address then return true end
		end
		return false
	end
	local prepared = nameprep(host)
	local wanted = prepared and to_ascii(prepared)
	if not wanted or wanted == "" then return false end
	wanted = wanted:lower()
	local names = names_of(cert)
	for _, name in ipairs(names.dns or {}) do
		if matches_dns(name, wanted) then return true end
	end
	local srv_name = "_" .. service:gsub("^_", "") .. "." .. wanted
	for _, name in ipairs(names.srv or {}) do
		if name:lower() == srv_name then return true end
	end
	for _, name in ipairs(names.xmpp or {}) do
		-- An address with a local part is a person's, not a server's.
		if not name:find("[@/]") and nameprep(name) == prepared then return true end
	end
	return false
end

--- Gives what a certificate can be used for: name -> { service -> true }, "*" being every service. Wildcards stay as
-- they are written.
local function get_identities(cert)
	local names, identities = names_of(cert), {}
	local function add(name, service)
		identities[name] = identities[name] or {}
		identities[name][service] = true
	end
	for _, name in ipairs(names.dns or {}) do add(name:lower(), "*") end
	for _, ip in ipairs(names.ip or {}) do add(ip:find(":", 1, true) and ("[%s]"):format(ip) or ip, "*") end
	for _, name in ipairs(names.srv or {}) do
		local service, host = name:match("^_([^.]+)%.(.+)$")
		if service then add(host:lower(), service:lower()) end
	end
	for _, name in ipairs(names.xmpp or {}) do
		local prepared = not name:find("[@/]") and nameprep(name)
		local host = prepared and to_ascii(prepared)
		if host then
			add(host, "xmpp-client")
			add(host, "xmpp-server")
		end
	end
	return identities
end

--- Gives the JIDs a client's certificate proves (xmppAddr with a local part; XEP-0178 2).
local function get_client_jids(cert)
	local found = {}
	for _, name in ipairs(names_of(cert).xmpp or {}) do
		if name:find("@", 1, true) and not name:find("/", 1, true) then table.insert(found, name) end
	end
	return found
end

--- Gives the bytes of the first PEM block, nil when there is none.
local function pem2der(pem)
	local kind, body = pem:match("%-%-%-%-%-BEGIN ([A-Z0-9 ]+)%-%-%-%-%-%s*([%w+/=%s]*)%-%-%-%-%-END")
	local der = body and base64.decode((body:gsub("%s", "")))
	if not der then return nil end
	return der, kind
end

--- Gives a PEM block.
local function der2pem(der, kind)
	kind = kind or "CERTIFICATE"
	local body = base64.encode(der):gsub(("."):rep(64), "%0\n"):gsub("\n$", "")
	return ("-----BEGIN %s-----\n%s\n-----END %s-----\n"):format(kind, body, kind)
end

--- Reads the first certificate of a PEM file; nil and why when it cannot be read.
local function load(path)
	local pem, err = files.read(path)
	if not pem then return nil, err or path .. " is not there" end
	return core.from_pem(pem)
end

return {
	verify_identity = verify_identity,
	get_identities = get_identities,
	get_client_jids = get_client_jids,
	pem2der = pem2der,
	der2pem = der2pem,
	load = load,
}
