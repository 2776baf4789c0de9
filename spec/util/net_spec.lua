require "couplet_core"
local net = require "util.net"

describe("util.net", function()
	local addresses = {
		["127.0.0.1"] = "\127\0\0\1", ["255.255.255.255"] = "\255\255\255\255", ["::"] = ("\0"):rep(16),
		["2001:db8::1"] = "\x20\x01\x0d\xb8" .. ("\0"):rep(11) .. "\1",
		["::ffff:1.2.3.4"] = ("\0"):rep(10) .. "\255\255\1\2\3\4",
	}

	it("turns addresses into bytes and back", function()
		for text, bytes in pairs(addresses) do
			assert.equal(bytes, net.pton(text))
			assert.equal(text, net.ntop(bytes))
		end
	end)

	it("says what is no address", function()
		for _, text in ipairs { "", "1.2.3", "1.2.3.256", "01.2.3.4.5", "::g", "1::2::3", "localhost", "127.0.0.1\0x",
			"::1%lo" } do
			local bytes, why = net.pton(text)
			assert.is_nil(bytes, text)
			assert.is_string(why)
		end
		for _, bytes in ipairs { "", "abc", "abcde", ("x"):rep(17) } do assert.is_nil((net.ntop(bytes))) end
	end)

	it("lists addresses where others could reach us", function()
		local function kinds(list)
			local n_ipv4, n_ipv6 = 0, 0
			for _, address in ipairs(list) do
				local bytes = assert(net.pton(address))
				assert.is_not.equal("127.", address:sub(1, 4))
				assert.is_not.equal("::1", address)
				if #bytes == 4 then n_ipv4 = n_ipv4 + 1 else n_ipv6 = n_ipv6 + 1 end
			end
			return n_ipv4, n_ipv6
		end
		local n_ipv4, n_ipv6 = kinds(net.local_addresses())
		assert.same({ n_ipv4, 0 }, { kinds(net.local_addresses "ipv4") })
		assert.same({ 0, n_ipv6 }, { kinds(net.local_addresses "ipv6") })
		assert.same({ n_ipv4, n_ipv6 }, { kinds(net.local_addresses "both") })
		for _, address in ipairs(net.local_addresses()) do assert.is_nil(address:match "^fe80:") end
		assert.is_true(#net.local_addresses("both", true) >= n_ipv4 + n_ipv6)
		assert.has_error(function() net.local_addresses "ipx" end)
	end)
end)
