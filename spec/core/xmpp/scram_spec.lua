--- SCRAM (core/xmpp/scram.c) against the examples of the RFCs, seen through util.hashes.
require "couplet_core"
local base64 = require "util.encodings".base64
local hashes = require "util.hashes"

-- RFC 5802 5 and RFC 7677 3: user "user", password "pencil".
local examples = {
	{
		hash = "SHA-1", salt = base64.decode "QSXCR+Q6sek8bf92", iterations = 4096,
		message = "n=user,r=fyko+d2lbbFgONRv9qkxdawL,"
			.. "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096,"
			.. "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j",
		proof = "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=", signature = "rmF9pqV8S7suAoZWja4dJRkFsKQ=",
	},
	{
		hash = "SHA-256", salt = base64.decode "W22ZaJ0SNY7soEsUEjb6gQ==", iterations = 4096,
		message = "n=user,r=rOprNGfwEbeRWgbNEkqO,"
			.. "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
			.. "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
		proof = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
		signature = "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
	},
}

for _, x in ipairs(examples) do
	describe("SCRAM-" .. x.hash, function()
		local stored, server = hashes.scram_keys(x.hash, "pencil", x.salt, x.iterations)
		local proof = base64.decode(x.proof)

		it("proves as the RFC's client does", function()
			assert.equal(x.proof, base64.encode(hashes.scram_prove(x.hash, "pencil", x.salt, x.iterations, x.message)))
		end)

		it("accepts the RFC's proof and signs as its server does", function()
			assert.is_true(hashes.scram_check_proof(x.hash, stored, x.message, proof))
			assert.equal(x.signature, base64.encode(hashes.scram_sign(x.hash, server, x.message)))
		end)

		it("refuses a proof with any byte changed, cut or added", function()
			for i = 1, #proof do
				local bad = proof:sub(1, i - 1) .. string.char(proof:byte(i) ~ 1) .. proof:sub(i + 1)
				assert.is_false(hashes.scram_check_proof(x.hash, stored, x.message, bad))
			end
			for _, bad in ipairs { "", proof:sub(2), proof .. "\0", stored, server } do
				assert.is_false(hashes.scram_check_proof(x.hash, stored, x.message, bad))
			end
			assert.is_false(hashes.scram_check_proof(x.hash, stored, x.message .. "x", proof))
			assert.is_false(hashes.scram_check_proof(x.hash, "", x.message, proof))
			assert.is_false(hashes.scram_check_proof(x.hash, server, x.message, proof))
		end)

		it("knows the password again", function()
			local function check(password, key, iterations)
				return hashes.scram_check_password(x.hash, password, x.salt, iterations or x.iterations, key or stored)
			end
			assert.is_true(check "pencil")
			assert.is_false(check "Pencil")
			assert.is_false(check "")
			assert.is_false(check("pencil", server))
			assert.is_false(check("pencil", stored:sub(1, -2)))
			assert.is_false(check("pencil", ""))
			assert.is_false(check("pencil", stored, x.iterations + 1))
		end)

		it("makes the same keys from a salted password that another thread computed", function()
			local pbkdf2 = x.hash == "SHA-1" and hashes.pbkdf2_hmac_sha1 or hashes.pbkdf2_hmac_sha256
			local salted = pbkdf2("pencil", x.salt, x.iterations)
			assert.same({ stored, server }, { hashes.scram_keys_of(x.hash, salted) })
			assert.has_error(function() hashes.scram_keys_of(x.hash, salted .. "x") end)
		end)
	end)
end

describe("SCRAM", function()
	it("takes an empty password and an empty salt for what they are", function()
		local stored = hashes.scram_keys("SHA-1", "", "", 1)
		assert.is_true(hashes.scram_check_password("SHA-1", "", "", 1, stored))
		assert.is_false(hashes.scram_check_password("SHA-1", "x", "", 1, stored))
	end)

	it("refuses hashes it does not know and counts that make no sense", function()
		assert.has_error(function() hashes.scram_keys("MD5", "a", "b", 1) end)
		assert.has_error(function() hashes.scram_keys("SHA-1", "a", "b", 0) end)
		assert.has_error(function() hashes.scram_keys("SHA-1", "a", "b", -1) end)
		assert.has_error(function() hashes.scram_keys("SHA-1", "a", "b", 10000001) end)
	end)

	it("shows a stranger's name the same salt each time, in the shape of a true one", function()
		local salt = hashes.scram_fake_salt("secret", "nobody")
		assert.matches("^%x%x%x%x%x%x%x%x%-%x%x%x%x%-4%x%x%x%-[89ab]%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x$", salt)
		assert.equal(salt, hashes.scram_fake_salt("secret", "nobody"))
		assert.is_not.equal(salt, hashes.scram_fake_salt("secret", "nobody2"))
		assert.is_not.equal(salt, hashes.scram_fake_salt("secret2", "nobody"))
	end)
end)
