--- IP addresses: reading, comparing, ranges, and the properties RFC 6724 sorts by.
-- Always true: `addr` is the text as util.net writes it, `packed` 4 or 16 bytes, `proto` "IPv4" or "IPv6". Two are
-- equal when their bytes are. An IPv4 address and the IPv6 address it maps to (::ffff:a.b.c.d) are in the same ranges.
local common_prefix_bits = require "prosody.util.strbitop".common_prefix_bits
local net = require "prosody.util.net"
local getmetatable, ipairs, setmetatable, tonumber, type = getmetatable, ipairs, setmetatable, tonumber, type
local s_byte, s_char, s_gsub, s_match, s_rep, s_sub =
	string.byte, string.char, string.gsub, string.match, string.rep, string.sub

local _ENV = nil

local v4_mapped_prefix = s_rep("\0", 10) .. "\255\255"

-- Computed when first read, then kept.
local properties = {}
local ip_mt = { __name = "ip" }

function ip_mt.__index(ip, key)
	local property = properties[key]
	if property then
		local value = property(ip)
		ip[key] = value
		return value
	end
end

function ip_mt.__tostring(ip)
	return ip.addr
end

function ip_mt.__eq(a, b)
	return getmetatable(a) == getmetatable(b) and a.packed == b.packed
end

local function is_ip(value)
	return getmetatable(value) == ip_mt
end

local function from_packed(packed, zone)
	return setmetatable({
		addr = net.ntop(packed), packed = packed, zone = zone, proto = #packed == 4 and "IPv4" or "IPv6",
	}, ip_mt)
end

--- The address a text says ("192.0.2.1", "2001:db8::1", "fe80::1%eth0"), or nil and an error. proto, when given, must
-- be its protocol. Four or sixteen bytes are taken as such.
local function new_ip(text, proto)
	if is_ip(text) then
		return text
	elseif type(text) ~= "string" then
		return nil, "not an IP address"
	end
	local address, zone = s_match(text, "^([^%%]+)%%(.+)$")
	local packed, err = net.pton(address or text)
	if not packed and (#text == 4 or #text == 16) and not proto then
		packed = text
	end
	if not packed then
		return nil, err or "not an IP address"
	end
	local ip = from_packed(packed, zone)
	if proto and proto ~= ip.proto then
		return nil, "not an " .. proto .. " address"
	end
	return ip
end

-- All 16 bytes, mapped when IPv4.
local function full(ip)
	return #ip.packed == 4 and v4_mapped_prefix .. ip.packed or ip.packed
end

local function bits_of(bytes)
	return (s_gsub(bytes, ".", function (char)
		local byte, text = s_byte(char), ""
		for _ = 1, 8 do
			text = byte % 2 .. text
			byte = byte // 2
		end
		return text
	end))
end

--- How many leading bits two addresses have in common, of 128; IPv4 counts as mapped.
local function common_prefix_length(a, b)
	return common_prefix_bits(full(a), full(b))
end

--- Is ip in the range of `bits` bits at `range`? Without bits: is it that address?
local function match(ip, range, bits)
	local width = range.proto == "IPv4" and 32 or 128
	bits = bits or width
	return common_prefix_length(ip, range) >= bits + 128 - width
end

--- "192.0.2.0/24" -> the address and 24; without "/n" the second is nil. nil and an error for anything else.
local function parse_cidr(text)
	local address, bits = s_match(text, "^([^/]+)/?(.*)$")
	local ip, err = new_ip(address)
	if not ip then
		return nil, err
	elseif bits == "" then
		return ip, nil
	end
	bits = s_match(bits, "^%d+$") and tonumber(bits)
	if not bits or bits > #ip.packed * 8 then
		return nil, "invalid prefix length"
	end
	return ip, bits
end

--- The first address of the range of n_bits that holds ip.
local function truncate(ip, n_bits)
	local packed = ip.packed
	if n_bits >= #packed * 8 then
		return ip
	end
	local whole, rest = n_bits // 8, n_bits % 8
	local bytes = s_sub(packed, 1, whole)
	if rest > 0 then
		bytes = bytes .. s_char(s_byte(packed, whole + 1) & (0xff << (8 - rest)))
	end
	return from_packed(bytes .. s_rep("\0", #packed - #bytes), ip.zone)
end

--- One or many of "192.0.2.1" and "192.0.2.0/24": gives a function that says whether an address (text or IP object) is
-- among them, and a list of the entries that are neither address nor network.
local function any_of(list)
	local ranges, wrong = {}, {}
	for _, text in ipairs(type(list) == "table" and list or { list }) do
		local ip, bits = parse_cidr(text)
		if ip then
			ranges[#ranges + 1] = { ip = ip, bits = bits }
		else
			wrong[#wrong + 1] = text
		end
	end
	return function (address)
		local ip = new_ip(address)
		for _, entry in ipairs(ip and ranges or {}) do
			if match(ip, entry.ip, entry.bits) then
				return true
			end
		end
		return false
	end, wrong
end

local function range(cidr, value)
	local ip, bits = parse_cidr(cidr)
	return { ip = ip, bits = bits, value = value }
end

-- The value of the narrowest range that holds ip; the ranges are listed narrowest first.
local function look_up(ranges, ip)
	for _, entry in ipairs(ranges) do
		if match(ip, entry.ip, entry.bits) then
			return entry.value
		end
	end
end

-- RFC 6724 2.1
local labels, precedences, scopes, private

function properties.label(ip)
	labels = labels or {
		range("::1/128", 0), range("::ffff:0:0/96", 4), range("::/96", 3), range("2001::/32", 5), range("2002::/16", 2),
		range("3ffe::/16", 12), range("fec0::/10", 11), range("fc00::/7", 13), range("::/0", 1),
	}
	return look_up(labels, ip)
end

function properties.precedence(ip)
	precedences = precedences or {
		range("::1/128", 50), range("::ffff:0:0/96", 35), range("::/96", 1), range("2001::/32", 5),
		range("2002::/16", 30), range("3ffe::/16", 1), range("fec0::/10", 1), range("fc00::/7", 3), range("::/0", 40),
	}
	return look_up(precedences, ip)
end

-- RFC 6724 3.1, 3.2: 2 is link-local, 5 site-local, 14 global; a multicast address says its own.
function properties.scope(ip)
	if #ip.packed == 16 and s_byte(ip.packed) == 0xff then
		return s_byte(ip.packed, 2) % 16
	end
	scopes = scopes or {
		range("127.0.0.0/8", 0x2), range("169.254.0.0/16", 0x2), range("::1/128", 0x2), range("fe80::/10", 0x2),
		range("fec0::/10", 0x5), range("::/0", 0xe),
	}
	return look_up(scopes, ip)
end

--- Not reachable from the whole internet: loopback, link-local, private use, shared (RFC 6890).
function properties.private(ip)
	private = private or {
		range("127.0.0.0/8", true), range("10.0.0.0/8", true), range("172.16.0.0/12", true),
		range("192.168.0.0/16", true), range("169.254.0.0/16", true), range("100.64.0.0/10", true),
		range("::1/128", true), range("fc00::/7", true), range("fe80::/10", true),
	}
	return look_up(private, ip) or false
end

--- "0" and "1", 32 or 128 of them.
function properties.bits(ip)
	return bits_of(ip.packed)
end

--- The same, of the mapped address.
function properties.bits_full(ip)
	return bits_of(full(ip))
end

function properties.toV4mapped(ip)
	return #ip.packed == 4 and from_packed(full(ip)) or nil
end

return {
	new_ip = new_ip,
	is_ip = is_ip,
	match = match,
	parse_cidr = parse_cidr,
	any_of = any_of,
	commonPrefixLength = common_prefix_length,
	truncate = truncate,
}
