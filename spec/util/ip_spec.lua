local ip = require "util.ip"
local new_ip, match, parse_cidr = ip.new_ip, ip.match, ip.parse_cidr

describe("util.ip", function ()
	it("reads both protocols and shows them in one form", function ()
		assert.equal("192.0.2.1", tostring(new_ip "192.0.2.1"))
		assert.equal("IPv4", new_ip "192.0.2.1".proto)
		assert.equal("2001:db8::1", new_ip "2001:DB8:0:0::0001".addr)
		assert.equal("IPv6", new_ip "::1".proto)
		assert.equal("\192\0\2\1", new_ip "192.0.2.1".packed)
		assert.equal("eth0", new_ip "fe80::1%eth0".zone)
		assert.equal("192.0.2.1", new_ip("\192\0\2\1").addr)
	end)

	it("gives nil and an error for anything else", function ()
		for _, text in ipairs { "", "x", "1.2.3", "1.2.3.4.5", "1.2.3.256", "1::2::3", "example.com", "1.2.3.4/8" } do
			local value, err = new_ip(text)
			assert.is_nil(value, text)
			assert.is_string(err)
		end
		assert.is_nil(new_ip(nil))
		assert.is_nil(new_ip("1.2.3.4", "IPv6"))
	end)

	it("compares by bytes and knows its own kind", function ()
		assert.equal(new_ip "::1", new_ip "0::0:1")
		assert.are_not.equal(new_ip "::1", new_ip "::2")
		assert.is_true(ip.is_ip(new_ip "::1"))
		assert.is_false(ip.is_ip "::1")
		local same = new_ip "::1"
		assert.equal(same, new_ip(same))
	end)

	it("reads ranges", function ()
		local base, bits = parse_cidr "10.0.0.0/8"
		assert.equal("10.0.0.0", base.addr)
		assert.equal(8, bits)
		assert.same({ "::1" }, { parse_cidr "::1".addr })
		assert.is_nil(select(2, parse_cidr "::1"))
		for _, text in ipairs { "10.0.0.0/33", "10.0.0.0/x", "10.0.0.0/-1", "x/8", "::/129" } do
			assert.is_nil((parse_cidr(text)), text)
		end
	end)

	it("matches ranges at every bit", function ()
		local function inside(address, cidr)
			return match(new_ip(address), parse_cidr(cidr))
		end
		assert.is_true(inside("10.255.0.1", "10.0.0.0/8"))
		assert.is_false(inside("11.0.0.1", "10.0.0.0/8"))
		assert.is_true(inside("10.0.0.1", "10.0.0.0/31"))
		assert.is_false(inside("10.0.0.2", "10.0.0.0/31"))
		assert.is_true(inside("10.0.0.1", "10.0.0.1/32"))
		assert.is_true(inside("1.2.3.4", "0.0.0.0/0"))
		assert.is_true(inside("2001:db8::1", "2001:db8::/32"))
		assert.is_false(inside("2001:db9::1", "2001:db8::/32"))
		assert.is_false(inside("::1", "0.0.0.0/0"))
		assert.is_true(inside("::ffff:10.1.2.3", "10.0.0.0/8"))
		assert.is_true(match(new_ip "::1", new_ip "::1"))
		assert.is_false(match(new_ip "::1", new_ip "::2"))
	end)

	it("counts common bits of 128", function ()
		assert.equal(126, ip.commonPrefixLength(new_ip "10.0.0.1", new_ip "10.0.0.2"))
		assert.equal(128, ip.commonPrefixLength(new_ip "::1", new_ip "::1"))
		assert.equal(0, ip.commonPrefixLength(new_ip "8000::", new_ip "::"))
	end)

	it("truncates to the first address of a range", function ()
		assert.equal("192.0.2.0", ip.truncate(new_ip "192.0.2.255", 24).addr)
		assert.equal("192.0.2.248", ip.truncate(new_ip "192.0.2.255", 29).addr)
		assert.equal("0.0.0.0", ip.truncate(new_ip "192.0.2.255", 0).addr)
		assert.equal("192.0.2.255", ip.truncate(new_ip "192.0.2.255", 32).addr)
		assert.equal("2001:db8:1:200::", ip.truncate(new_ip "2001:db8:1:2ff::1", 56).addr)
	end)

	it("knows scope, label and precedence of RFC 6724", function ()
		local facts = {
			["::1"] = { 2, 0, 50 }, ["2001:db8::1"] = { 14, 1, 40 }, ["192.0.2.1"] = { 14, 4, 35 },
			["127.0.0.1"] = { 2, 4, 35 }, ["169.254.1.1"] = { 2, 4, 35 }, ["2002::1"] = { 14, 2, 30 },
			["2001::1"] = { 14, 5, 5 }, ["fc00::1"] = { 14, 13, 3 }, ["::2"] = { 14, 3, 1 },
			["fec0::1"] = { 5, 11, 1 }, ["3ffe::1"] = { 14, 12, 1 }, ["fe80::1"] = { 2, 1, 40 }, ["ff05::1"] = { 5, 1, 40 },
		}
		for text, expected in pairs(facts) do
			local address = new_ip(text)
			assert.same(expected, { address.scope, address.label, address.precedence }, text)
		end
	end)

	it("tells private addresses from public ones", function ()
		for _, text in ipairs {
			"10.0.0.1", "172.31.255.255", "192.168.0.1", "127.0.0.1", "100.64.0.1", "fd00::1", "fe80::1", "::1",
			"::ffff:10.0.0.1",
		} do
			assert.is_true(new_ip(text).private, text)
		end
		for _, text in ipairs { "172.32.0.1", "11.0.0.1", "192.0.2.1", "2001:db8::1", "100.128.0.1" } do
			assert.is_false(new_ip(text).private, text)
		end
	end)

	it("writes bits", function ()
		assert.equal("00000001000000100000001100000100", new_ip "1.2.3.4".bits)
		assert.equal(("0"):rep(80) .. ("1"):rep(16) .. new_ip "1.2.3.4".bits, new_ip "1.2.3.4".bits_full)
		assert.equal("::ffff:1.2.3.4", new_ip "1.2.3.4".toV4mapped.addr)
	end)
end)
