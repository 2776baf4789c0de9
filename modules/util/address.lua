--- What kind of place an IP address is, and who may be connected to.
--
-- A name server may say anything: that a domain's XMPP server is on our loopback, or in the network behind us. Before
-- the server connects to an address that a stranger gave, it asks here (CWE-918, server-side request forgery).
--
-- Always true: an IPv6 address that stands for an IPv4 one (mapped, compatible, translated, 6to4, Teredo) is of the
-- kind of that one. What is not known to be global is not.
local util_ip = require "prosody.util.ip"
local ipairs, tostring, type = ipairs, tostring, type
local s_byte, s_char, s_gsub, s_match, s_sub = string.byte, string.char, string.gsub, string.match, string.sub

local is_ip, match, new_ip, parse_cidr = util_ip.is_ip, util_ip.match, util_ip.new_ip, util_ip.parse_cidr

local _ENV = nil

-- From the registries of special-purpose addresses (RFC 6890): what is not reachable from everywhere, and multicast.
-- The first that fits tells the kind.
local ipv4 = {
	{ "0.0.0.0/32", "unspecified" },
	{ "0.0.0.0/8", "reserved" }, -- "this network", RFC 791
	{ "10.0.0.0/8", "private" }, -- RFC 1918
	{ "100.64.0.0/10", "private" }, -- behind a carrier's NAT, RFC 6598
	{ "127.0.0.0/8", "loopback" },
	{ "169.254.0.0/16", "link-local" }, -- RFC 3927
	{ "172.16.0.0/12", "private" },
	{ "192.0.0.0/24", "reserved" }, -- protocol assignments
	{ "192.0.2.0/24", "documentation" }, -- RFC 5737
	{ "192.88.99.0/24", "reserved" }, -- relays of 6to4, RFC 7526
	{ "192.168.0.0/16", "private" },
	{ "198.18.0.0/15", "reserved" }, -- benchmarks, RFC 2544
	{ "198.51.100.0/24", "documentation" },
	{ "203.0.113.0/24", "documentation" },
	{ "224.0.0.0/4", "multicast" },
	{ "255.255.255.255/32", "broadcast" },
	{ "240.0.0.0/4", "reserved" }, -- RFC 1112
	{ "0.0.0.0/0", "global" },
}
local ipv6 = {
	{ "::/128", "unspecified" },
	{ "::1/128", "loopback" },
	{ "64:ff9b:1::/48", "private" }, -- somebody's own translation, RFC 8215
	{ "2001::/23", "reserved" }, -- protocol assignments, RFC 2928
	{ "2001:db8::/32", "documentation" }, -- RFC 3849
	{ "3fff::/20", "documentation" }, -- RFC 9637
	{ "2000::/3", "global" }, -- all that is given out, RFC 3587
	{ "fc00::/7", "private" }, -- RFC 4193
	{ "fe80::/10", "link-local" },
	{ "fec0::/10", "private" }, -- site-local, RFC 3879
	{ "ff00::/8", "multicast" },
	{ "::/0", "reserved" },
}
-- What stands for IPv4 addresses, and where in the 16 bytes these are.
local embedded = {
	{ "::ffff:0:0/96", 13 }, -- mapped, RFC 4291 2.5.5.2
	{ "::ffff:0:0:0/96", 13 }, -- translated, RFC 2765
	{ "64:ff9b::/96", 13 }, -- translated, RFC 6052
	{ "2002::/16", 3 }, -- 6to4, RFC 3056
	{ "2001::/32", 13, 5 }, -- Teredo, RFC 4380 4: the client, its bits inverted, and the server
	{ "::/96", 13 }, -- compatible, RFC 4291 2.5.5.1
}

local kinds = {}
for _, list in ipairs { ipv4, ipv6, embedded } do
	for _, range in ipairs(list) do
		range.address, range.bits = parse_cidr(range[1])
		if list ~= embedded then
			kinds[range[2]] = true
		end
	end
end

-- The first range that holds the address.
local function find(ranges, address)
	for _, range in ipairs(ranges) do
		if match(address, range.address, range.bits) then
			return range
		end
	end
end

local function inverted(bytes)
	return (s_gsub(bytes, ".", function (char) return s_char(s_byte(char) ~ 0xff) end))
end

-- The IPv4 addresses that an IPv6 address stands for: none, one, or two.
local function inner(address)
	local special = find(ipv6, address)
	if special[2] == "loopback" or special[2] == "unspecified" then
		return nil
	end
	local form = find(embedded, address)
	if not form then
		return nil
	end
	local bytes = s_sub(address.packed, form[2], form[2] + 3)
	if not form[3] then
		return new_ip(bytes)
	end
	return new_ip(inverted(bytes)), new_ip(s_sub(address.packed, form[3], form[3] + 3))
end

local function kind_of(address)
	if address.proto == "IPv4" then
		return find(ipv4, address)[2]
	end
	local first, second = inner(address)
	if not first then
		return find(ipv6, address)[2]
	end
	local kind = find(ipv4, first)[2]
	return kind == "global" and second and find(ipv4, second)[2] or kind
end

-- An address as text or as util.ip makes it; nil for anything else. new_ip alone would take any four bytes for one.
local function to_ip(address)
	return is_ip(address) and address or new_ip(address, "IPv4") or new_ip(address, "IPv6")
end

--- "loopback", "private", "link-local", "multicast", "broadcast", "unspecified", "documentation", "reserved" or
-- "global"; nil when it is no address. Takes text ("192.0.2.1", "fe80::1%eth0") or what util.ip makes of it.
local function classify(address)
	local ip = to_ip(address)
	return ip and kind_of(ip)
end

-- Is the address, or one it stands for, in one of the ranges?
local function is_listed(ranges, address)
	if find(ranges, address) then
		return true
	elseif address.proto == "IPv4" then
		return false
	end
	local first = inner(address)
	return first ~= nil and find(ranges, first) ~= nil
end

--- Gives a function: may we connect to that address? It gives true, or false and the kind (nil: not an address). Global
-- addresses may be connected to, and what is in `allowed`: a list of ranges ("10.0.0.0/8", "::1") and kinds
-- ("loopback"), or nil. An entry that is neither gives nil and an error.
local function checker(allowed)
	local ranges, allowed_kinds = {}, { global = true }
	for _, entry in ipairs(allowed or {}) do
		local address, bits
		if type(entry) == "string" and to_ip(s_match(entry, "^[^/]*")) then
			address, bits = parse_cidr(entry)
		end
		if address then
			ranges[#ranges + 1] = { address = address, bits = bits }
		elseif kinds[entry] then
			allowed_kinds[entry] = true
		else
			return nil, tostring(entry) .. " is neither a range of addresses nor a kind of them"
		end
	end
	return function (text)
		local address = to_ip(text)
		local kind = address and kind_of(address)
		if kind and (allowed_kinds[kind] or is_listed(ranges, address)) then
			return true
		end
		return false, kind
	end
end

return {
	classify = classify,
	checker = checker,
}
