local sslconfig = require "util.sslconfig"

describe("util.sslconfig", function ()
	local function final(...)
		local config = sslconfig.new()
		for _, settings in ipairs { ... } do
			config:apply(settings)
		end
		return config:final()
	end

	it("lets the last one win", function ()
		assert.equal("b", final({ certificate = "a" }, { certificate = "b" }).certificate)
		assert.equal("a", final({ certificate = "a" }, {}, nil).certificate)
		sslconfig.new():apply(nil)
	end)

	it("merges flags", function ()
		assert.same({ "no_ticket", "single_dh_use" },
			final({ options = "no_ticket" }, { options = { "single_dh_use" } }).options)
		assert.same({ "b" }, final({ options = { "a", "b" } }, { options = { a = false } }).options)
		assert.same({}, final({ verify = "peer" }, { verify = { peer = false } }).verify)
	end)

	it("joins ciphers and splits curves", function ()
		assert.equal("A:B", final({ ciphers = { "A", "B" } }).ciphers)
		assert.equal("A:B", final({ ciphers = "A:B" }).ciphers)
		assert.same({ "X25519", "P-256" }, final({ curveslist = "X25519:P-256" }).curveslist)
	end)

	it("understands a version and all newer ones", function ()
		local config = final { protocol = "tlsv1_2+" }
		assert.equal("sslv23", config.protocol)
		assert.equal("tlsv1_2", config.min_protocol)
		assert.same({ "no_sslv2", "no_sslv3", "no_tlsv1", "no_tlsv1_1" }, config.options)
		assert.equal("tlsv1_2", final({ protocol = "tlsv1_2" }).protocol)
	end)

	it("wraps the password", function ()
		assert.equal("pw", final({ password = "pw" }).password())
	end)
end)
