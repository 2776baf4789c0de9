local hex = require "util.hex"

describe("util.hex", function ()
	it("encodes every byte and decodes it again", function ()
		local all = {}
		for byte = 0, 255 do
			all[#all + 1] = string.char(byte)
		end
		local bytes = table.concat(all)
		assert.equal(bytes, hex.decode(hex.encode(bytes)))
		assert.equal("00ff0a", hex.encode "\0\255\n")
		assert.equal("", hex.encode "")
	end)

	it("decodes upper case and spaces", function ()
		assert.equal("\171\205", hex.decode "AB cd\n")
		assert.equal(hex.decode "ab", hex.from "AB")
		assert.equal("61", hex.to "a")
	end)

	it("gives nil for what is not hexadecimal", function ()
		assert.is_nil(hex.decode "abc")
		assert.is_nil(hex.decode "zz")
	end)
end)
