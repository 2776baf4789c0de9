--- The words of the DNS: types, classes and response codes by name and number; names and records as text and as bytes.
-- Always true: what a name server sent is data of unknown quality. A name is text with its last dot, in which a byte
-- that is no plain character of a label is escaped (RFC 1035 5.1), so that a bare dot always separates labels. A record
-- that does not follow the form of its type is left out.
--
-- An answer is a list of records. A record has name, class ("IN"), type ("SRV"), ttl (seconds), and under its type in
-- lower case what it says; its tostring is the form of zone files.
--	a, aaaa                 "192.0.2.1", "2001:db8::1"
--	cname, dname, ns, ptr   a name
--	mx                      { pref, mx }
--	naptr                   { order, preference, flags, service, regexp, replacement }
--	soa                     { mname, rname, serial, refresh, retry, expire, minimum }
--	srv                     { priority, weight, port, target }
--	tlsa                    { use, select, match, data }
--	txt                     its strings as one
--	any other               its bytes
local idna = require "prosody.util.encodings".idna
local net = require "prosody.util.net"
local next, pcall, setmetatable, tonumber, tostring = next, pcall, setmetatable, tonumber, tostring
local error, type = error, type
local s_byte, s_find, s_format, s_gsub, s_lower, s_match, s_sub, s_unpack, s_upper = string.byte, string.find,
	string.format, string.gsub, string.lower, string.match, string.sub, string.unpack, string.upper
local math_type, t_concat = math.type, table.concat

local _ENV = nil

local NAME_BYTES_MAX, LABEL_BYTES_MAX = 255, 63 -- RFC 1035 2.3.4

-- word -> number, to a table with number -> word too.
local function both_ways(words)
	local all = {}
	for word, number in next, words do
		all[word], all[number] = number, word
	end
	return all
end

local types = both_ways {
	A = 1, NS = 2, CNAME = 5, SOA = 6, PTR = 12, MX = 15, TXT = 16, AAAA = 28, SRV = 33, NAPTR = 35, CERT = 37,
	DNAME = 39, DS = 43, SSHFP = 44, RRSIG = 46, NSEC = 47, DNSKEY = 48, NSEC3 = 50, NSEC3PARAM = 51, TLSA = 52,
	SMIMEA = 53, CDS = 59, CDNSKEY = 60, OPENPGPKEY = 61, SVCB = 64, HTTPS = 65, SPF = 99, ANY = 255, URI = 256,
	CAA = 257,
}
local classes = both_ways { IN = 1, CH = 3, HS = 4, ANY = 255 }
-- RFC 6895 2.3
local errors = both_ways {
	NoError = 0, FormErr = 1, ServFail = 2, NXDomain = 3, NotImp = 4, Refused = 5, YXDomain = 6, YXRRSet = 7,
	NXRRSet = 8, NotAuth = 9, NotZone = 10,
}

-- "SRV", "srv", "TYPE33", 33 -> 33; nil for what is none. Likewise for classes.
local function number_of(words, generic, value, default)
	if value == nil then
		return default
	elseif math_type(value) == "integer" then
		return value >= 0 and value <= 65535 and value or nil
	elseif type(value) ~= "string" then
		return nil
	end
	value = s_upper(value)
	local number = s_match(value, "^" .. generic .. "(%d+)$")
	if number then
		number = tonumber(number)
		return number <= 65535 and number or nil
	end
	return words[value]
end

local function type_number(value)
	return number_of(types, "TYPE", value, types.A)
end

local function class_number(value)
	return number_of(classes, "CLASS", value, classes.IN)
end

-- Names

local function escape(char)
	return s_match(char, "%g") and "\\" .. char or s_format("\\%03d", s_byte(char))
end

-- The name at `pos` of data, in which there are no compressed names, and where it ends. Raises when there is none.
local function read_name(data, pos)
	local labels, start = {}, pos
	while true do
		local length = s_unpack("B", data, pos)
		if length == 0 then
			break
		elseif length > LABEL_BYTES_MAX or pos - start + length + 2 > NAME_BYTES_MAX then
			error("not a name", 0)
		end
		local label
		label, pos = s_unpack("s1", data, pos)
		labels[#labels + 1] = s_gsub(label, "[^%w_/*+-]", escape)
	end
	return t_concat(labels, ".") .. ".", pos + 1
end

--- Is this a name to ask for? ASCII, labels of 1 to 63 bytes, 253 in all; the last dot may be missing. Narrower than
-- the DNS, in which a label may hold any byte, and wider than host names: "_tcp", "0/25" and "*" are labels too.
local function is_name(name)
	if name == "." then
		return true
	end
	name = s_gsub(name, "%.$", "")
	if name == "" or #name > 253 then
		return false
	end
	for label in (name .. "."):gmatch("([^.]*)%.") do
		if #label == 0 or #label > LABEL_BYTES_MAX or s_match(label, "[^%w_/*+=-]") then
			return false
		end
	end
	return true
end

--- The name in the form in which it is asked for, IDNs as A-labels; nil when it is none. Leading labels such as "_tcp"
-- stay out of IDNA, which is about host names.
local function to_ascii(name)
	if type(name) ~= "string" then
		return nil
	elseif s_find(name, "[\128-\255]") then
		local prefix, host = "", name
		local label = s_match(host, "^_[%w_-]*%.")
		while label do
			prefix, host = prefix .. label, s_sub(host, #label + 1)
			label = s_match(host, "^_[%w_-]*%.")
		end
		host = idna.to_ascii(host)
		name = host and prefix .. host
	end
	return name and is_name(name) and name or nil
end

-- Records

-- Each gives what the data says, or raises when it does not have the form. pos is where it has to have ended.
local parsers = {}

local function check_end(data, pos)
	if pos ~= #data + 1 then
		error("something follows", 0)
	end
end

local function read_address(length)
	return function (data)
		if #data ~= length then
			error("not an address", 0)
		end
		return net.ntop(data)
	end
end

local function read_only_name(data)
	local name, pos = read_name(data, 1)
	check_end(data, pos)
	return name
end

parsers.A = read_address(4)
parsers.AAAA = read_address(16)
parsers.NS, parsers.CNAME, parsers.PTR, parsers.DNAME = read_only_name, read_only_name, read_only_name, read_only_name

local function with_text(text_of)
	return { __tostring = text_of }
end

local mx_mt = with_text(function (mx) return s_format("%d %s", mx.pref, mx.mx) end)
function parsers.MX(data)
	local pref, pos = s_unpack(">I2", data)
	local name
	name, pos = read_name(data, pos)
	check_end(data, pos)
	return setmetatable({ pref = pref, mx = name }, mx_mt)
end

local srv_mt = with_text(function (srv)
	return s_format("%d %d %d %s", srv.priority, srv.weight, srv.port, srv.target)
end)
function parsers.SRV(data)
	local priority, weight, port, pos = s_unpack(">I2I2I2", data)
	local target
	target, pos = read_name(data, pos)
	check_end(data, pos)
	return setmetatable({ priority = priority, weight = weight, port = port, target = target }, srv_mt)
end

local soa_mt = with_text(function (soa)
	return s_format("%s %s %d %d %d %d %d", soa.mname, soa.rname, soa.serial, soa.refresh, soa.retry, soa.expire,
		soa.minimum)
end)
function parsers.SOA(data)
	local mname, pos = read_name(data, 1)
	local soa = { mname = mname }
	soa.rname, pos = read_name(data, pos)
	soa.serial, soa.refresh, soa.retry, soa.expire, soa.minimum, pos = s_unpack(">I4I4I4I4I4", data, pos)
	check_end(data, pos)
	return setmetatable(soa, soa_mt)
end

function parsers.TXT(data)
	local strings, pos = {}, 1
	repeat
		strings[#strings + 1], pos = s_unpack("s1", data, pos)
	until pos > #data
	return t_concat(strings)
end
parsers.SPF = parsers.TXT

local naptr_mt = with_text(function (naptr)
	return s_format("%d %d %q %q %q %s", naptr.order, naptr.preference, naptr.flags, naptr.service, naptr.regexp,
		naptr.replacement)
end)
function parsers.NAPTR(data)
	local naptr, pos = {}, 1
	naptr.order, naptr.preference, naptr.flags, naptr.service, naptr.regexp, pos = s_unpack(">I2I2s1s1s1", data, pos)
	naptr.replacement, pos = read_name(data, pos)
	check_end(data, pos)
	return setmetatable(naptr, naptr_mt)
end

local function to_hex(bytes)
	return (s_gsub(bytes, ".", function (char) return s_format("%02X", s_byte(char)) end))
end

local tlsa_mt = with_text(function (tlsa)
	return s_format("%d %d %d %s", tlsa.use, tlsa.select, tlsa.match, to_hex(tlsa.data))
end)
function parsers.TLSA(data) -- RFC 6698 2.1
	local use, selector, match, pos = s_unpack("BBB", data)
	if pos > #data then
		error("no data", 0)
	end
	return setmetatable({ use = use, select = selector, match = match, data = s_sub(data, pos) }, tlsa_mt)
end
parsers.SMIMEA = parsers.TLSA

local printers = {}

function printers.TXT(text)
	return '"' .. s_gsub(text, '[%c"\\\127-\255]', function (char)
		return (char == '"' or char == "\\") and "\\" .. char or s_format("\\%03d", s_byte(char))
	end) .. '"'
end
printers.SPF = printers.TXT

-- RFC 3597 5
local function print_unknown(bytes)
	return s_format("\\# %d %s", #bytes, to_hex(bytes))
end

local record_mt = {}

function record_mt.__tostring(record)
	local value = record[s_lower(record.type)]
	local text
	if printers[record.type] then
		text = printers[record.type](value)
	else
		text = parsers[record.type] and tostring(value) or print_unknown(value)
	end
	return s_format("%s %d %s %s %s", record.name, record.ttl, record.class, record.type, text)
end

--- The record that these bytes are; nil when they are none of that type.
local function read_record(name, ttl, class, record_type, data)
	local value = data
	if parsers[record_type] then
		local ok
		ok, value = pcall(parsers[record_type], data)
		if not ok then
			return nil
		end
	end
	return setmetatable({
		name = name, ttl = ttl, class = class, type = record_type, [s_lower(record_type)] = value,
	}, record_mt)
end

-- Answers

local answer_mt = {}

function answer_mt.__tostring(answer)
	local lines = { s_format("; %s %s %s: %s, %s", answer.qname, answer.class, answer.type, answer.status,
		answer.bogus and "bogus (" .. answer.bogus .. ")" or answer.secure and "secure" or "insecure") }
	for i = 1, #answer do
		lines[i + 1] = tostring(answer[i])
	end
	return t_concat(lines, "\n")
end

local function fully(name)
	return s_match(name, "%.$") and name or name .. "."
end

--- The answer to that question. raw: what couplet.unbound's take gives. An answer is its records (n of them) and
-- qname, qtype, qclass (numbers) · type, class (words) · rcode, status (its word) · secure: validated, be it that there
-- is nothing · bogus: false, or why validation failed; then there are no records (mend: what the admin can do about
-- it) · is_unvalidated: nothing was validated, since the name servers leave out DNSSEC · nxdomain · canonname · ttl.
local function read_answer(raw, qname, qtype, qclass)
	local answer = setmetatable({
		qname = qname, qtype = qtype, qclass = qclass,
		type = types[qtype] or "TYPE" .. qtype, class = classes[qclass] or "CLASS" .. qclass,
		rcode = raw.rcode, status = errors[raw.rcode] or tostring(raw.rcode), nxdomain = raw.rcode == errors.NXDomain,
		secure = raw.secure, bogus = raw.bogus, canonname = raw.canonname, ttl = raw.ttl,
	}, answer_mt)
	local name, n = fully(raw.canonname or qname), 0
	for i = 1, raw.n do
		local record = read_record(name, raw.ttl, answer.class, answer.type, raw[i])
		if record then
			n = n + 1
			answer[n] = record
		end
	end
	answer.n = n
	return answer
end

local DESCRIBED_MAX = 4

--- One line on what came of a question, for people: "example.org A: 192.0.2.1 (validated by DNSSEC)".
local function describe(name, qtype, answer, err)
	local says
	if not answer then
		says = err or "no answer"
	elseif answer.bogus then
		says = "failed validation: " .. answer.bogus .. (answer.mend and ". " .. answer.mend or "")
	elseif answer[1] then
		local texts = {}
		for i = 1, #answer <= DESCRIBED_MAX and #answer or DESCRIBED_MAX do
			texts[i] = tostring(answer[i][s_lower(answer.type)])
		end
		says = t_concat(texts, ", ") .. (#answer > DESCRIBED_MAX and s_format(" and %d more", #answer - DESCRIBED_MAX) or "")
	else
		says = answer.rcode == 0 and "no such record" or answer.nxdomain and "no such name" or answer.status
	end
	local trust = not answer and "" or answer.secure and " (validated by DNSSEC)"
		or answer.is_unvalidated and " (the name servers leave out DNSSEC)" or ""
	return s_format("%s %s: %s%s", name, qtype, says, trust)
end

--- Has nobody answered? An answer that cannot be trusted is one.
local function is_unanswered(answer)
	return not answer or not answer.bogus and answer.rcode ~= errors.NoError and answer.rcode ~= errors.NXDomain
end

return {
	describe = describe,
	is_unanswered = is_unanswered,
	types = types,
	classes = classes,
	errors = errors,
	type_number = type_number,
	class_number = class_number,
	is_name = is_name,
	to_ascii = to_ascii,
	parsers = parsers,
	read_record = read_record,
	read_answer = read_answer,
}
