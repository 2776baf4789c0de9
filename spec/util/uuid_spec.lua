local uuid = require "util.uuid"

describe("util.uuid", function ()
	it("gives random UUIDs of version 4", function ()
		local seen = {}
		for _ = 1, 100 do
			local id = uuid.generate()
			assert.matches("^%x%x%x%x%x%x%x%x%-%x%x%x%x%-4%x%x%x%-[89ab]%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x$", id)
			assert.equal(36, #id)
			assert.is_nil(seen[id])
			seen[id] = true
		end
	end)

	it("gives UUIDs of version 7 that begin with the time", function ()
		local before = os.time()
		local id = uuid.v7()
		assert.matches("^%x%x%x%x%x%x%x%x%-%x%x%x%x%-7%x%x%x%-[89ab]%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x$", id)
		local ms = tonumber((id:sub(1, 8) .. id:sub(10, 13)), 16)
		assert.is_true(ms // 1000 >= before - 1 and ms // 1000 <= os.time() + 1)
		assert.are_not.equal(id, uuid.v7())
	end)

	it("gives as many digits as asked for", function ()
		assert.equal(7, #uuid.get_nibbles(7))
		assert.matches("^%x+$", uuid.get_nibbles(32))
		assert.equal("", uuid.get_nibbles(0))
	end)
end)
