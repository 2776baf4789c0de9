local jwt = require "util.jwt"
local base64 = require "util.encodings".base64
local json = require "util.json"

local function url(text)
	return (base64.encode(text):gsub("[+/=]", { ["+"] = "-", ["/"] = "_", ["="] = "" }))
end

describe("util.jwt", function ()
	local key = "secret"

	it("verifies what it signed", function ()
		local token = jwt.sign(key, { sub = "romeo", n = 1 })
		assert.matches("^[%w_-]+%.[%w_-]+%.[%w_-]+$", token)
		local ok, payload = jwt.verify(key, token)
		assert.is_true(ok)
		assert.equal("romeo", payload.sub)
	end)

	-- The well-known example of https://jwt.io: made by others.
	it("verifies a token of somebody else", function ()
		local ok, payload = jwt.verify("your-256-bit-secret", "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."
			.. "eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ."
			.. "SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c")
		assert.is_true(ok)
		assert.equal("John Doe", payload.name)
	end)

	it("refuses another key and every changed character", function ()
		local token = jwt.sign(key, { sub = "romeo" })
		assert.is_nil((jwt.verify("other", token)))
		for i = 1, #token do
			local changed = token:sub(1, i - 1) .. (token:sub(i, i) == "A" and "B" or "A") .. token:sub(i + 1)
			-- The last character of base64 may hold bits that do not count.
			if i ~= #token then
				assert.is_nil((jwt.verify(key, changed)), "at " .. i)
			end
		end
	end)

	it("never lets the token choose the algorithm (RFC 8725 3.1)", function ()
		local body = url(json.encode { sub = "romeo" })
		for _, alg in ipairs { "none", "None", "HS384", "RS256", "" } do
			local head = url(json.encode { alg = alg, typ = "JWT" })
			local ok, err = jwt.verify(key, head .. "." .. body .. ".AAAA")
			assert.is_nil(ok)
			assert.equal("unsupported-algorithm", err)
		end
		assert.is_nil((jwt.verify(key, url(json.encode { alg = "none" }) .. "." .. body .. ".")))
		assert.is_nil((jwt.new_verifier("HS512", key)(jwt.sign(key, {}))))
	end)

	it("refuses what is no token", function ()
		for _, text in ipairs { "", "a", "a.b", "a.b.c", "a.b.c.d", "..", url "1" .. "." .. url "1" .. "." .. url "1" } do
			assert.is_nil((jwt.verify(key, text)), text)
		end
		assert.is_nil((jwt.verify(key, nil)))
	end)

	it("minds the time", function ()
		local now = os.time()
		assert.same({ nil, "token-expired" }, { jwt.verify(key, jwt.sign(key, { exp = now - 10 })) })
		assert.is_true((jwt.verify(key, jwt.sign(key, { exp = now + 60 }))))
		assert.same({ nil, "token-not-yet-valid" }, { jwt.verify(key, jwt.sign(key, { nbf = now + 60 })) })
		assert.same({ nil, "token-expired" }, { jwt.verify(key, jwt.sign(key, { exp = "soon" })) })
		local sign, verify = jwt.init("HS256", key, nil, { default_ttl = 60 })
		local payload = select(2, verify(sign { sub = "x" }))
		assert.equal(60, payload.exp - payload.iat)
		assert.is_true((jwt.new_verifier("HS256", key, { accept_expired = true })(jwt.sign(key, { exp = now - 10 }))))
		assert.is_true((jwt.new_verifier("HS256", key, { leeway = 30 })(jwt.sign(key, { exp = now - 10 }))))
	end)

	it("has longer hashes", function ()
		for _, algorithm in ipairs { "HS256", "HS384", "HS512" } do
			local sign, verify = jwt.init(algorithm, key)
			assert.is_true((verify(sign { a = 1 })))
		end
	end)

	it("says what is missing", function ()
		assert.has_error(function () jwt.new_signer("HS257", key) end)
		assert.has_error(function () jwt.new_signer("HS256", "") end)
		assert.has_error(function () jwt.new_signer("HS256") end)
		if not pcall(require, "util.crypto") then
			local ok, err = pcall(jwt.new_signer, "ES256", key)
			assert.is_false(ok)
			assert.matches("util.crypto", err)
		end
	end)
end)
