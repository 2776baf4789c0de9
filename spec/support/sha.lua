--- SHA-1, SHA-256, HMAC and PBKDF2 for the test client, apart from the code under test: hashes in plain Lua, the many
-- rounds of PBKDF2 by the openssl program.

local mime = require "mime"

local sha = {}

local function rol(x, n) return ((x << n) | (x >> (32 - n))) & 0xffffffff end
local function ror(x, n) return ((x >> n) | (x << (32 - n))) & 0xffffffff end

local function padded(message)
	local zeros = (55 - #message) % 64
	return message .. "\128" .. ("\0"):rep(zeros) .. (">I8"):pack(#message * 8)
end

function sha.sha1(message)
	local h0, h1, h2, h3, h4 = 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0
	local text = padded(message)
	for at = 1, #text, 64 do
		local w = { (">" .. ("I4"):rep(16)):unpack(text, at) }
		for i = 17, 80 do
			w[i] = rol(w[i - 3] ~ w[i - 8] ~ w[i - 14] ~ w[i - 16], 1)
		end
		local a, b, c, d, e = h0, h1, h2, h3, h4
		for i = 1, 80 do
			local f, k
			if i <= 20 then f, k = (b & c) | (~b & d), 0x5a827999
			elseif i <= 40 then f, k = b ~ c ~ d, 0x6ed9eba1
			elseif i <= 60 then f, k = (b & c) | (b & d) | (c & d), 0x8f1bbcdc
			else f, k = b ~ c ~ d, 0xca62c1d6 end
			a, b, c, d, e = (rol(a, 5) + (f & 0xffffffff) + e + k + w[i]) & 0xffffffff, a, rol(b, 30), c, d
		end
		h0, h1, h2 = (h0 + a) & 0xffffffff, (h1 + b) & 0xffffffff, (h2 + c) & 0xffffffff
		h3, h4 = (h3 + d) & 0xffffffff, (h4 + e) & 0xffffffff
	end
	return (">I4I4I4I4I4"):pack(h0, h1, h2, h3, h4)
end

-- The first 32 bits of the fractions of square and cube roots of primes (FIPS 180-4 4.2.2, 5.3.3), worked out.
local k256, start256 = {}, {}
do
	local function is_prime(n)
		for d = 2, math.floor(math.sqrt(n)) do
			if n % d == 0 then return false end
		end
		return true
	end
	local n = 2
	while #k256 < 64 do
		if is_prime(n) then
			if #start256 < 8 then start256[#start256 + 1] = math.floor(n ^ (1 / 2) % 1 * 2 ^ 32) end
			k256[#k256 + 1] = math.floor(n ^ (1 / 3) % 1 * 2 ^ 32)
		end
		n = n + 1
	end
end

function sha.sha256(message)
	local h = { table.unpack(start256) }
	local text = padded(message)
	for at = 1, #text, 64 do
		local w = { (">" .. ("I4"):rep(16)):unpack(text, at) }
		for i = 17, 64 do
			local x, y = w[i - 15], w[i - 2]
			local s0 = ror(x, 7) ~ ror(x, 18) ~ (x >> 3)
			local s1 = ror(y, 17) ~ ror(y, 19) ~ (y >> 10)
			w[i] = (w[i - 16] + s0 + w[i - 7] + s1) & 0xffffffff
		end
		local a, b, c, d, e, f, g, hh = table.unpack(h)
		for i = 1, 64 do
			local s1 = ror(e, 6) ~ ror(e, 11) ~ ror(e, 25)
			local t1 = hh + s1 + ((e & f) ~ (~e & g & 0xffffffff)) + k256[i] + w[i]
			local s0 = ror(a, 2) ~ ror(a, 13) ~ ror(a, 22)
			local t2 = s0 + ((a & b) ~ (a & c) ~ (b & c))
			hh, g, f, e, d, c, b, a = g, f, e, (d + t1) & 0xffffffff, c, b, a, (t1 + t2) & 0xffffffff
		end
		for i, v in ipairs { a, b, c, d, e, f, g, hh } do h[i] = (h[i] + v) & 0xffffffff end
	end
	return (">I4I4I4I4I4I4I4I4"):pack(table.unpack(h))
end

function sha.xor(a, b)
	local out = {}
	for i = 1, #a do out[i] = string.char(a:byte(i) ~ b:byte(i)) end
	return table.concat(out)
end

function sha.hmac(hash, key, message)
	if #key > 64 then key = hash(key) end
	key = key .. ("\0"):rep(64 - #key)
	return hash(sha.xor(key, ("\x5c"):rep(64)) .. hash(sha.xor(key, ("\x36"):rep(64)) .. message))
end

function sha.hex(bytes) return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end)) end
function sha.from_hex(hex) return (hex:gsub("%x%x", function(x) return string.char(tonumber(x, 16)) end)) end
function sha.base64(bytes) return (mime.b64(bytes)) or "" end
function sha.from_base64(text) return (mime.unb64(text)) or "" end

local known = {}

--- The salted password (RFC 5802 Hi). hash: "SHA1" or "SHA256".
function sha.pbkdf2(hash, password, salt, iterations)
	local id = table.concat({ hash, sha.hex(password), sha.hex(salt), iterations }, " ")
	if not known[id] then
		local command = ("openssl kdf -binary -keylen %d -kdfopt digest:%s -kdfopt hexpass:%s -kdfopt hexsalt:%s "
			.. "-kdfopt iter:%d PBKDF2 2>&1"):format(hash == "SHA1" and 20 or 32, hash, sha.hex(password), sha.hex(salt),
			iterations)
		local pipe <close> = assert(io.popen(command, "r"))
		known[id] = pipe:read("a")
		assert(#known[id] == 20 or #known[id] == 32, known[id])
	end
	return known[id]
end

return sha
