-- Which addresses are everybody's (RFC 6890), as far as requests with block_private care.

local found, curl = pcall(require, "couplet.curl")
if not found then
	describe("Addresses", function () pending "are looked at by requests only, and this build has no libcurl" end)
	return
end

describe("An address", function ()
	it("is public when everybody can reach it", function ()
		for _, address in ipairs {
			"1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.1",
			"169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.167.255.255", "192.169.0.0",
			"198.17.255.255", "198.20.0.0", "223.255.255.255", "2606:4700::1111", "2a00::1", "2001:4860::1", "2003::1",
			"::ffff:1.1.1.1", "64:ff9b::101:101",
		} do
			assert.is_true(curl.is_public(address), address)
		end
	end)

	it("is not when it is of this machine, of a network of somebody's own, or of nobody", function ()
		for _, address in ipairs {
			"0.0.0.0", "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.127.255.255", "127.0.0.1", "127.255.255.255",
			"169.254.169.254", "172.16.0.0", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.168.255.255", "198.19.0.1",
			"198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "::7f00:1", "fc00::1",
			"fdff::1", "fe80::1", "febf::1", "fec0::1", "ff02::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "3fff::1",
			"4000::1", "100::1", "64:ff9b::7f00:1", "64:ff9b:1::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
		} do
			assert.is_false(curl.is_public(address), address)
		end
	end)

	it("is nothing else", function ()
		for _, text in ipairs { "localhost", "1.2.3.4.5", "example.org", "fe80" } do
			assert.is_nil(curl.is_public(text), text)
		end
	end)
end)
