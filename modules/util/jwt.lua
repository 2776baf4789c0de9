--- JSON Web Tokens (RFC 7519, RFC 8725).
-- Always true: a verifier accepts exactly one algorithm, the one it was made for, whatever the token says (RFC 8725
-- 3.1); signatures are compared in constant time; a token past its `exp` or before its `nbf` is refused.
local base64 = require "prosody.util.encodings".base64
local hashes = require "prosody.util.hashes"
local json = require "prosody.util.json"
local error, pairs, pcall, require, tostring, type = error, pairs, pcall, require, tostring, type
local math_floor = math.floor
local os_time = os.time
local s_gsub, s_match, s_rep = string.gsub, string.match, string.rep

local _ENV = nil

local to_url, from_url = { ["+"] = "-", ["/"] = "_", ["="] = "" }, { ["-"] = "+", ["_"] = "/" }

local function base64url_encode(bytes)
	return (s_gsub(base64.encode(bytes), "[+/=]", to_url))
end

local function base64url_decode(text)
	text = s_gsub(text, "[-_]", from_url)
	return base64.decode(text .. s_rep("=", -#text % 4))
end

local function with_hmac(hmac)
	return {
		sign = function (key, data) return hmac(key, data) end,
		verify = function (key, data, signature) return hashes.equals(hmac(key, data), signature) end,
	}
end

-- Algorithm -> { sign = function (key, data), verify = function (key, data, signature) }
local algorithms = {
	HS256 = with_hmac(hashes.hmac_sha256),
	HS384 = with_hmac(hashes.hmac_sha384),
	HS512 = with_hmac(hashes.hmac_sha512),
}

-- RFC 7518 3.3-3.5: those with key pairs need util.crypto.
local crypto_names = {
	RS256 = "rsassa_pkcs1_sha256", RS384 = "rsassa_pkcs1_sha384", RS512 = "rsassa_pkcs1_sha512",
	PS256 = "rsassa_pss_sha256", PS384 = "rsassa_pss_sha384", PS512 = "rsassa_pss_sha512",
	ES256 = "ecdsa_sha256", ES384 = "ecdsa_sha384", ES512 = "ecdsa_sha512",
}

local function with_crypto(name)
	local found, crypto = pcall(require, "prosody.util.crypto")
	local function_name = crypto_names[name]
	if not found or not crypto[function_name .. "_sign"] then
		error("JWT algorithm " .. name .. " needs util.crypto, which this server does not have; use HS256", 4)
	end
	return {
		sign = function (key, data) return crypto[function_name .. "_sign"](crypto.import_private_pem(key), data) end,
		verify = function (key, data, signature)
			return crypto[function_name .. "_verify"](crypto.import_public_pem(key), data, signature)
		end,
	}
end

local function find_algorithm(name)
	if algorithms[name] then
		return algorithms[name]
	elseif crypto_names[name] then
		return with_crypto(name)
	end
	error("Unsupported JWT algorithm: " .. tostring(name), 3)
end

local function check_key(key)
	if type(key) ~= "string" or key == "" then
		error("a JWT key must be a string that is not empty", 3)
	end
	return key
end

--- Gives sign(payload) -> token. options: default_ttl, seconds until it expires; iat and exp are then set.
local function new_signer(algorithm, key, options)
	local sign = find_algorithm(algorithm).sign
	check_key(key)
	local ttl = options and options.default_ttl
	local head = base64url_encode(json.encode({ typ = "JWT", alg = algorithm })) .. "."
	return function (payload)
		if ttl then
			local claims = {}
			for name, value in pairs(payload) do
				claims[name] = value
			end
			claims.iat = claims.iat or os_time()
			claims.exp = claims.exp or math_floor(claims.iat + ttl)
			payload = claims
		end
		local data = head .. base64url_encode(json.encode(payload))
		return data .. "." .. base64url_encode(sign(key, data))
	end
end

--- Gives verify(token) -> true and the payload, or nil and an error. options: accept_expired, leeway in seconds.
local function new_verifier(algorithm, key, options)
	local verify = find_algorithm(algorithm).verify
	check_key(key)
	options = options or {}
	local leeway = options.leeway or 0

	return function (token)
		local head, body, signature = s_match(tostring(token), "^([%w_-]+)%.([%w_-]+)%.([%w_-]+)$")
		if not head then
			return nil, "invalid-token"
		end
		local header = json.decode(base64url_decode(head) or "")
		if type(header) ~= "table" then
			return nil, "invalid-token-header"
		elseif header.alg ~= algorithm then
			return nil, "unsupported-algorithm"
		elseif header.typ ~= nil and header.typ ~= "JWT" or header.crit ~= nil then
			return nil, "unsupported-token"
		end
		local bytes = base64url_decode(signature)
		if not bytes or not verify(key, head .. "." .. body, bytes) then
			return nil, "signature-mismatch"
		end
		local payload = json.decode(base64url_decode(body) or "")
		if type(payload) ~= "table" then
			return nil, "invalid-payload"
		end
		local now = os_time()
		if payload.exp ~= nil and not options.accept_expired then
			if type(payload.exp) ~= "number" or now > payload.exp + leeway then
				return nil, "token-expired"
			end
		end
		if payload.nbf ~= nil and (type(payload.nbf) ~= "number" or now < payload.nbf - leeway) then
			return nil, "token-not-yet-valid"
		end
		return true, payload
	end
end

--- Gives a signer and a verifier: init(algorithm, key to verify, key to sign, options).
local function init(algorithm, public_key, private_key, options)
	return new_signer(algorithm, private_key or public_key, options), new_verifier(algorithm, public_key, options)
end

--- sign(key, payload): a token by HS256.
local function sign(key, payload)
	return new_signer("HS256", key)(payload)
end

--- verify(key, token): true and the payload, or nil and an error. HS256.
local function verify(key, token)
	return new_verifier("HS256", key)(token)
end

return {
	sign = sign,
	verify = verify,
	init = init,
	new_signer = new_signer,
	new_verifier = new_verifier,
}
