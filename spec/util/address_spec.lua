local address = require "util.address"
local new_ip = require "util.ip".new_ip

describe("An address", function ()
	local kinds = {
		loopback = { "127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1", "::ffff:7f00:1", "::127.0.0.1",
			"64:ff9b::127.0.0.1", "2002:7f00:1::1", "::ffff:0:127.0.0.1" },
		private = { "10.0.0.0", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "100.64.0.1",
			"100.127.255.255", "fc00::1", "fdff::1", "fec0::1", "::ffff:10.1.2.3", "::192.168.1.1", "64:ff9b::10.0.0.1",
			"64:ff9b:1::8.8.8.8", "2002:a00:1::", "2002:c0a8:101::5" },
		["link-local"] = { "169.254.169.254", "fe80::1", "febf::1", "fe80::1%eth0", "::ffff:169.254.169.254",
			"64:ff9b::169.254.169.254" },
		multicast = { "224.0.0.1", "239.255.255.255", "ff02::1", "ff0e::1", "::ffff:224.0.0.1" },
		broadcast = { "255.255.255.255", "::ffff:255.255.255.255" },
		unspecified = { "0.0.0.0", "::", "::ffff:0.0.0.0", "64:ff9b::" },
		documentation = { "192.0.2.1", "198.51.100.7", "203.0.113.255", "2001:db8::1", "3fff::1" },
		reserved = { "0.1.2.3", "192.0.0.8", "192.88.99.1", "198.18.0.1", "198.19.255.255", "240.0.0.1",
			"255.255.255.254", "100::1", "5f00::1", "4000::1", "2001:10::1", "::ffff:240.0.0.1", "1::1" },
		global = { "8.8.8.8", "1.1.1.1", "9.255.255.255", "11.0.0.0", "172.15.255.255", "172.32.0.0", "100.63.255.255",
			"100.128.0.0", "126.255.255.255", "128.0.0.1", "169.253.255.255", "169.255.0.0", "192.167.255.255",
			"192.169.0.0", "223.255.255.255", "2600::1", "2a00:1450:4001::1", "3ffe::1", "::ffff:8.8.8.8",
			"64:ff9b::8.8.8.8", "2002:808:808::1" },
	}
	for kind, addresses in pairs(kinds) do
		it("is " .. kind, function ()
			for _, text in ipairs(addresses) do
				assert.equal(kind, address.classify(text), text)
				assert.equal(kind, address.classify(new_ip(text)), text)
			end
		end)
	end

	it("of Teredo is what its client is, then what its server is", function ()
		-- 2001:0:SERVER:FLAGS:PORT:CLIENT inverted
		assert.equal("global", address.classify "2001:0:808:808:0:0:f7f7:f7f7")
		assert.equal("loopback", address.classify "2001:0:808:808:0:0:80ff:fffe")
		assert.equal("private", address.classify "2001:0:a00:1:0:0:f7f7:f7f7")
	end)

	it("is nothing when it is no address", function ()
		for _, text in ipairs { "", "example.org", "1.2.3", "1.2.3.4.5", "127.1", "0x7f.0.0.1", "2130706433", "[::1]",
			"a.de", "four", "sixteen bytes it" } do
			assert.is_nil(address.classify(text), text)
		end
		assert.is_nil(address.classify(nil))
	end)
end)

describe("Where to connect", function ()
	it("is anywhere global and nowhere else", function ()
		local may = assert(address.checker())
		assert.is_true(may "8.8.8.8")
		assert.is_true(may "2600::1")
		assert.same({ false, "loopback" }, { may "127.0.0.1" })
		assert.same({ false, "private" }, { may "::ffff:10.0.0.1" })
		assert.same({ false, "link-local" }, { may "169.254.169.254" })
		assert.same({ false }, { may "localhost" })
	end)

	it("is where the list says too, in every form the address may have", function ()
		local may = assert(address.checker { "10.1.0.0/16", "::1", "fd00:1::/32", "192.168.7.7" })
		for _, text in ipairs { "10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "2002:a01:203::", "::1", "fd00:1::5",
			"192.168.7.7", "8.8.8.8" } do
			assert.is_true(may(text), text)
		end
		for _, text in ipairs { "10.2.0.1", "::ffff:10.2.0.1", "::2", "fd00:2::5", "192.168.7.8", "127.0.0.1" } do
			assert.is_false(may(text), text)
		end
	end)

	it("may be told by kind", function ()
		local may = assert(address.checker { "loopback", "private" })
		assert.is_true(may "127.0.0.1")
		assert.is_true(may "::1")
		assert.is_true(may "192.168.1.1")
		assert.is_false(may "169.254.169.254")
		assert.is_false(may "224.0.0.1")
	end)

	it("cannot be told in other words", function ()
		for _, entry in ipairs { "localhost", "10.0.0.0/33", "10.0.0.0/x", "/8", "", "home", 7 } do
			local may, err = address.checker { entry }
			assert.is_nil(may)
			assert.matches("neither", err)
		end
	end)
end)
