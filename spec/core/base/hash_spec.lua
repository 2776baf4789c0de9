local T = require "couplet_core".base

local function hex(bytes)
	return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

describe("SipHash-1-3", function()
	it("gives the reference implementation's values for the key 00 01 .. 0f", function()
		local key, text = "", ""
		for i = 0, 15 do key = key .. string.char(i) end
		local expected = {
			"dcc40f055801acab", "93ca577df39bf4c9", "4dd4c74d029bcb82", "fbf7dde7b80af88b", "2883d388605775cf",
			"673b53492fd5f9de", "a7229fc5502b0dc5", "4011b19b987d92d3", "8e9a298d11959036", "e43d066cb38ea425",
		}
		for i = 1, #expected do
			assert.equal(expected[i], hex(T.siphash(key, text)))
			text = text .. string.char(i - 1)
		end
	end)

	it("gives what Python gives with its key set to zero", function()
		local values = {
			a = 4644417185603328019, abcdefg = 7904145750247929094, abcdefgh = 4574395652268504554,
			abcdefghi = -532774252720507163, ["The quick brown fox"] = -7539517227509841101,
		}
		for text, value in pairs(values) do
			assert.equal(value, (string.unpack("<i8", T.siphash(("\0"):rep(16), text))))
		end
	end)

	it("is keyed with a secret otherwise", function()
		assert.equal(T.hash_bytes("x"), T.hash_bytes("x"))
		assert.not_equal((string.unpack("<i8", T.siphash(("\0"):rep(16), "x"))), T.hash_bytes("x"))
	end)
end)

describe("a hash", function()
	it("finds what was set, replaces it, and gives it back on removal", function()
		local hash = T.hash(10)
		assert.is_nil(hash:get("romeo"))
		assert.is_nil(hash:remove("romeo"))
		hash:set("romeo", "1")
		hash:set("", "empty")
		hash:set("ro\0meo", "zero")
		hash:set("romeo", "2")
		assert.equal(3, (hash:count()))
		assert.equal("2", hash:get("romeo"))
		assert.equal("empty", hash:get(""))
		assert.equal("zero", hash:get("ro\0meo"))
		assert.equal("2", hash:remove("romeo"))
		assert.is_nil(hash:get("romeo"))
		assert.is_nil(hash:remove("romeo"))
		assert.equal(2, (hash:count()))
	end)

	it("holds no more entries than its ceiling, but replaces at the ceiling", function()
		local hash = T.hash(3)
		for i = 1, 3 do
			assert.equal(0, hash:set("k" .. i, "v"))
		end
		assert.equal(-1, hash:set("k4", "v"))
		assert.equal(0, hash:set("k2", "w"))
		hash:remove("k1")
		assert.equal(0, hash:set("k4", "v"))
		assert.equal("w", hash:get("k2"))
	end)

	it("agrees with a Lua table over a long life of sets and removals", function()
		local hash, model, count = T.hash(1 << 20), {}, 0
		math.randomseed(4711)
		for step = 1, 60000 do
			local key = "key" .. math.random(step < 30000 and 3000 or 300)
			if math.random() < 0.5 then
				assert(hash:set(key, tostring(step)) == 0)
				if not model[key] then count = count + 1 end
				model[key] = tostring(step)
			else
				local was = hash:remove(key)
				if was ~= model[key] then assert.equal(model[key], was) end
				if was then count = count - 1 end
				model[key] = nil
			end
		end
		assert.equal(count, (hash:count()))
		for i = 1, 3000 do
			assert.equal(model["key" .. i], hash:get("key" .. i))
		end
	end)

	it("does not grow when entries come and go", function()
		local hash = T.hash(1000)
		for i = 1, 10000 do
			hash:set("k" .. i, "v")
			if i > 10 then hash:remove("k" .. i - 10) end
		end
		local count, slots = hash:count()
		assert.equal(10, count)
		assert.is_true(slots <= 64)
	end)

	it("walks over each entry once, also when the walk removes them", function()
		local hash = T.hash(1000)
		for i = 1, 100 do
			hash:set((i % 3 == 0 and "drop" or "keep") .. i, "v")
		end
		local seen = {}
		for _, key in ipairs(hash:walk("drop")) do
			assert.is_nil(seen[key])
			seen[key] = true
		end
		for i = 1, 100 do
			assert.is_true(seen[(i % 3 == 0 and "drop" or "keep") .. i])
		end
		assert.equal(67, (hash:count()))
		for _, key in ipairs(hash:walk()) do
			assert.equal("keep", key:sub(1, 4))
		end
	end)
end)
