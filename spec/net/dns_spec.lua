--- What net.dns makes of bytes that name servers send; no name server is asked.

local dns = require "net.dns"

-- The record of these bytes.
local function read(record_type, data) return dns.read_record("x.example.", 60, "IN", record_type, data) end

local function name(...)
	local labels = {}
	for i, label in ipairs { ... } do labels[i] = string.pack("s1", label) end
	return table.concat(labels) .. "\0"
end

describe("A name in a record", function ()
	local function read_name(data)
		local record = read("CNAME", data)
		return record and record.cname
	end

	it("is its labels, dots between and after them", function ()
		assert.equal("www.example.org.", read_name(name("www", "example", "org")))
		assert.equal("_xmpp-server._tcp.Example.", read_name(name("_xmpp-server", "_tcp", "Example")))
		assert.equal(".", read_name("\0"))
	end)

	it("has whatever might be taken for something else escaped", function ()
		assert.equal("a\\.b.c.", read_name(name("a.b", "c")))
		assert.equal("\\000\\010\\032\\255.", read_name(name("\0\n \255")))
		assert.equal("\\\\\\\"\\(\\;\\@.", read_name(name("\\\"(;@")))
		assert.equal("b\\195\\188cher.", read_name(name("bücher")))
	end)

	it("has labels of 63 bytes and 255 bytes in all, and not one more", function ()
		local long = ("a"):rep(63)
		assert.equal(long .. ".", read_name(name(long)))
		assert.is_nil(read_name(name(("a"):rep(64))))
		assert.equal(254, #read_name(name(long, long, long, ("a"):rep(61))))
		assert.is_nil(read_name(name(long, long, long, ("a"):rep(62))))
	end)

	it("is not compressed, not cut off, and followed by nothing", function ()
		assert.is_nil(read_name("\xc0\x00"))
		assert.is_nil(read_name("\x01a\xc0\x00"))
		assert.is_nil(read_name("\x03ab"))
		assert.is_nil(read_name("\x01a"))
		assert.is_nil(read_name(""))
		assert.is_nil(read_name(name("a") .. "x"))
	end)
end)

describe("A record", function ()
	it("that is too short or too long is none", function ()
		for record_type, data in pairs {
			A = "\1\2\3\4", AAAA = ("\1"):rep(16), MX = "\0\1" .. name("a"), SRV = "\0\1\0\2\0\3" .. name("a"),
			SOA = name("a") .. name("b") .. ("\0\0\0\1"):rep(5), NS = name("a"), PTR = name("a"), DNAME = name("a"),
			NAPTR = "\0\1\0\2\1s\1x\1y" .. name("a"), TXT = "\3abc",
		} do
			assert.is_not_nil(read(record_type, data), record_type)
			for length = 0, #data - 1 do
				assert.is_nil(read(record_type, data:sub(1, length)), record_type .. " of " .. length)
			end
			assert.is_nil(read(record_type, data .. "\xff"), record_type .. " and more")
		end
	end)

	it("for TLSA has three numbers and some data", function ()
		local tlsa = read("TLSA", "\3\1\1abc").tlsa
		assert.same({ 3, 1, 1, "abc" }, { tlsa.use, tlsa.select, tlsa.match, tlsa.data })
		assert.is_nil(read("TLSA", "\3\1\1"))
		assert.is_nil(read("TLSA", "\3\1"))
	end)

	it("of text is its strings one after the other", function ()
		assert.equal("abcdef", read("TXT", "\3abc\0\3def").txt)
		assert.equal("", read("TXT", "\0").txt)
	end)

	it("of a type we do not read is bytes", function ()
		assert.equal("\1\2", read("CAA", "\1\2").caa)
		assert.equal("x.example. 60 IN CAA \\# 2 0102", tostring(read("CAA", "\1\2")))
		assert.equal("", read("TYPE9999", "").type9999)
	end)

	it("of any bytes is one or none, and can be printed", function ()
		local random = require "util.random".bytes
		local records = 0
		for record_type in pairs(dns.parsers) do
			for i = 1, 2000 do
				local data = random(i % 40)
				if i % 2 == 0 then data = data:gsub("[\64-\255]", function (c) return string.char(c:byte() % 8) end) end
				local record = read(record_type, data)
				if record then
					records = records + 1
					assert.is_string(tostring(record))
				end
			end
		end
		assert.is_true(records > 1000)
	end)
end)

describe("An answer", function ()
	local function answer(records, more)
		local raw = { n = #records, rcode = 0, ttl = 60, secure = true, bogus = false, table.unpack(records) }
		for key, value in pairs(more or {}) do raw[key] = value end
		return dns.read_answer(raw, "x.example", 1, 1)
	end

	it("leaves out records that do not have the form of their type", function ()
		local read_one = answer { "\1\2\3\4", "short", "\5\6\7\8" }
		assert.equal(2, read_one.n)
		assert.equal(2, #read_one)
		assert.same({ "1.2.3.4", "5.6.7.8" }, { read_one[1].a, read_one[2].a })
		assert.equal("x.example.", read_one[1].name)
	end)

	it("has the words for its numbers, as far as there are", function ()
		assert.equal("ServFail", answer({}, { rcode = 2 }).status)
		assert.equal("99", answer({}, { rcode = 99 }).status)
		assert.is_true(answer({}, { rcode = 3 }).nxdomain)
		local other = dns.read_answer({ n = 0, rcode = 0, ttl = 0, secure = false, bogus = false }, "x", 4711, 7)
		assert.same({ "TYPE4711", "CLASS7" }, { other.type, other.class })
	end)
end)

describe("Types and classes", function ()
	it("may be said in any way", function ()
		for _, way in ipairs { "SRV", "srv", "TYPE33", "type33", 33 } do assert.equal(33, dns.type_number(way)) end
		for _, way in ipairs { "IN", "in", "CLASS1", 1 } do assert.equal(1, dns.class_number(way)) end
		assert.equal(1, dns.type_number())
		assert.equal(1, dns.class_number())
		assert.equal("SRV", dns.types[33])
		assert.equal(33, dns.types.SRV)
	end)

	it("are nothing when they are none", function ()
		for _, way in ipairs { "", "NONE", "TYPE", "TYPE65536", "TYPE-1", "33", -1, 65536, 1.5, {}, true } do
			assert.is_nil(dns.type_number(way))
		end
	end)
end)
