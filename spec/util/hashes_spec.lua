require "couplet_core"
local hashes = require "util.hashes"

local function bytes(hex) return (hex:gsub("%x%x", function(x) return string.char(tonumber(x, 16)) end)) end

describe("A digest", function()
	local of_abc = { -- FIPS 180-4, FIPS 202, RFC 1321, RFC 7693
		md5 = "900150983cd24fb0d6963f7d28e17f72",
		sha1 = "a9993e364706816aba3e25717850c26c9cd0d89d",
		sha224 = "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7",
		sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
		sha384 = "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed"
			.. "8086072ba1e7cc2358baeca134c825a7",
		sha512 = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
			.. "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
		sha3_256 = "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532",
		sha3_512 = "b751850b1a57168a5693cd924b6b096e08f621827444f70d884f5d0240d2712e"
			.. "10e116e9192af3c91a7ec57647e3934057340b4cf408d5a56592f8274eec53f0",
		blake2s256 = "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982",
		blake2b512 = "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
			.. "7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923",
	}

	it("is what its standard says of \"abc\", as bytes and as hex", function()
		for name, hex in pairs(of_abc) do
			assert.equal(hex, hashes[name]("abc", true), name)
			assert.equal(bytes(hex), hashes[name]("abc"), name)
		end
	end)

	it("takes empty and long data with NULs", function()
		assert.equal("da39a3ee5e6b4b0d3255bfef95601890afd80709", hashes.sha1("", true))
		assert.equal("6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d", hashes.sha256("\0", true))
		assert.equal("34aa973cd4c4daa4f61eeb2bdbad27316534016f", hashes.sha1(("a"):rep(1000000), true))
	end)

	it("asks for text", function()
		assert.has_error(function() hashes.sha1(nil) end)
		assert.has_error(function() hashes.hmac_sha1("key", nil) end)
	end)
end)

describe("An HMAC", function()
	it("is what RFC 2202 and RFC 4231 say", function()
		local key = ("\x0b"):rep(20)
		assert.equal("9294727a3638bb1c13f48ef8158bfc9d", hashes.hmac_md5(("\x0b"):rep(16), "Hi There", true))
		assert.equal("b617318655057264e28bc0b6fb378c8ef146be00", hashes.hmac_sha1(key, "Hi There", true))
		assert.equal("b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
			hashes.hmac_sha256(key, "Hi There", true))
		assert.equal("87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cde"
			.. "daa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854", hashes.hmac_sha512(key, "Hi There", true))
		assert.equal("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
			hashes.hmac_sha256("Jefe", "what do ya want for nothing?", true))
		assert.equal("4ece084485813e9088d2c63a041bc5b44f9ef1012a2b588f3cd11f05033ac4c6"
			.. "0c2ef6ab4030fe8296248df163f44952", hashes.hmac_sha384(("\xaa"):rep(131),
				"Test Using Larger Than Block-Size Key - Hash Key First", true))
	end)

	it("is as long as its digest, for each of them", function()
		for _, name in ipairs { "md5", "sha1", "sha224", "sha256", "sha384", "sha512", "sha3_256", "sha3_512", "blake2s256",
			"blake2b512" } do
			assert.equal(#hashes[name] "", #hashes["hmac_" .. name]("", ""))
			assert.is_not.equal(hashes["hmac_" .. name]("a", "b"), hashes["hmac_" .. name]("b", "a"))
		end
	end)
end)

describe("PBKDF2", function()
	it("gives the keys of RFC 6070, and of SHA-256", function()
		for iterations, hex in pairs { [1] = "0c60c80f961f0e71f3a9b524af6012062fe037a6",
			[2] = "ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957",
			[4096] = "4b007901b765489abead49d926f721d065a429c1" } do
			assert.equal(hex, (hashes.pbkdf2_hmac_sha1("password", "salt", iterations):gsub(".", function(c)
				return ("%02x"):format(c:byte())
			end)))
		end
		assert.equal(bytes "c5e478d59288c841aa530db6845c4c8d962893a001ce4e11a4963873aa98134a",
			hashes.pbkdf2_hmac_sha256("password", "salt", 4096))
	end)

	it("has its older names", function()
		assert.equal(hashes.pbkdf2_hmac_sha1("a", "b", 3), hashes.scram_Hi_sha1("a", "b", 3))
		assert.equal(hashes.pbkdf2_hmac_sha256("a", "b", 3), hashes.scram_Hi_sha256("a", "b", 3))
	end)

	it("refuses counts that make no sense", function()
		for _, iterations in ipairs { 0, -1, 10000001, 1.5 } do
			assert.has_error(function() hashes.pbkdf2_hmac_sha1("a", "b", iterations) end)
		end
	end)
end)

describe("HKDF", function()
	it("gives the keys of RFC 5869", function()
		local key = ("\x0b"):rep(22)
		assert.equal(bytes("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"),
			hashes.hkdf_hmac_sha256(42, key, bytes "000102030405060708090a0b0c", bytes "f0f1f2f3f4f5f6f7f8f9"))
		assert.equal(bytes("8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"),
			hashes.hkdf_hmac_sha256(42, key))
	end)

	it("gives as much as was asked, and not more than there is", function()
		assert.equal(100, #hashes.hkdf_hmac_sha384(100, "key", "salt", "info"))
		assert.equal(hashes.hkdf_hmac_sha384(100, "key"):sub(1, 10), hashes.hkdf_hmac_sha384(10, "key"))
		assert.has_error(function() hashes.hkdf_hmac_sha256(255 * 32 + 1, "key") end)
		assert.has_error(function() hashes.hkdf_hmac_sha256(0, "key") end)
	end)
end)

describe("equals", function()
	it("compares bytes", function()
		assert.is_true(hashes.equals("", ""))
		assert.is_true(hashes.equals("a\0b", "a\0b"))
		for _, other in ipairs { "", "a", "a\0", "a\0c", "b\0b", "a\0b\0" } do
			assert.is_false(hashes.equals("a\0b", other))
		end
		assert.has_error(function() hashes.equals("a", nil) end)
	end)
end)
