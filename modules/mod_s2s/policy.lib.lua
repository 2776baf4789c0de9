--- With whom we talk to other servers, and what they have to show for it.
--
-- Always true: without an option that says otherwise a domain needs TLS and a certificate that proves it.

local jid = require "prosody.util.jid"
local idna_to_ascii = require "prosody.util.encodings".idna.to_ascii

local policy = {}

local options

local function prepared_set(name)
	local set = {}
	local given = module:get_option_set(name)
	if not given then return nil end
	for domain in given:items() do
		local star, rest = tostring(domain):match("^(%*%.)(.+)$")
		local prepared = jid.prep(rest or tostring(domain))
		if not prepared then
			module:log("error", "%s: \"%s\" is not a domain", name, tostring(domain))
		else
			set[(star or "") .. prepared] = true
		end
	end
	return set
end

-- Is the domain in the set, by its name or as one below "*.name"?
local function is_listed(set, domain)
	if not set then return false end
	if set[domain] then return true end
	local rest = domain:match("^[^.]*%.(.+)$")
	while rest do
		if set["*." .. rest] then return true end
		rest = rest:match("^[^.]*%.(.+)$")
	end
	return false
end

function policy.load()
	options = {
		secure_auth = module:get_option_boolean("s2s_secure_auth", true),
		insecure = prepared_set "s2s_insecure_domains",
		secure = prepared_set "s2s_secure_domains",
		allowed = prepared_set "s2s_allowed_domains",
		denied = prepared_set "s2s_denied_domains",
		first_use = prepared_set "s2s_trust_on_first_use",
		require_encryption = module:get_option_boolean("s2s_require_encryption",
			module:get_option_boolean("require_encryption", true)),
		pins = {},
	}
	for domain, route in pairs(module:get_option("s2s_connect_overrides", {})) do
		local fingerprint = type(route) == "table" and (route.fingerprint or type(route[1]) == "table"
			and route[1].fingerprint)
		local digits = fingerprint and tostring(fingerprint):lower():gsub("[:%s]", "")
		if digits and not digits:match("^%x+$") or digits and #digits ~= 64 then
			module:log("error", "s2s_connect_overrides: the fingerprint of %s is not a SHA-256 in hexadecimal digits", domain)
			digits = "none" -- which no certificate has
		end
		options.pins[jid.prep(domain) or domain] = digits
	end
end

--- May we talk with that domain at all? nil and a sentence when not.
function policy.may_talk(domain)
	if is_listed(options.denied, domain) then
		return nil, "This server does not talk with " .. domain
	elseif options.allowed and not is_listed(options.allowed, domain) then
		return nil, "This server only talks with a few others, and " .. domain .. " is not one of them"
	end
	return true
end

--- Must its certificate prove the domain? Otherwise dialback may.
function policy.needs_certificate(domain)
	if options.pins[domain] or is_listed(options.first_use, domain) then
		return true
	elseif options.secure_auth then
		return not is_listed(options.insecure, domain)
	end
	return is_listed(options.secure, domain)
end

--- Must it be under TLS? What needs a certificate does.
function policy.needs_encryption(domain) return options.require_encryption or policy.needs_certificate(domain) end

--- The SHA-256 of the one certificate that proves the domain, in hexadecimal digits; nil when none is pinned.
function policy.pin(domain) return options.pins[domain] or nil end

--- Is the first certificate the domain shows believed, whoever made it? Then it needs one.
function policy.trusts_on_first_use(domain) return is_listed(options.first_use, domain) end

--- A domain as certificates and DNS write it; nil for an address.
function policy.dns_name(domain)
	if domain:find("^%[") or domain:find("^%d+%.%d+%.%d+%.%d+$") or domain:find(":", 1, true) then return nil end
	return idna_to_ascii(domain)
end

policy.load()
return policy
