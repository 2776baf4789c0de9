local T = require "couplet_core".base

describe("Hexadecimal digits", function()
	it("are two for a byte, in lower case", function()
		assert.equal("", T.hex "")
		for byte = 0, 255 do
			assert.equal(("%02x"):format(byte), T.hex(string.char(byte)))
		end
		assert.equal("00ff10", T.hex "\0\xff\x10")
	end)

	it("are read in either case, and nothing else is", function()
		for byte = 0, 255 do
			local character = string.char(byte)
			assert.equal(character:match "%x" and tonumber(character, 16) or -1, T.hex_value(character), byte)
		end
	end)
end)
