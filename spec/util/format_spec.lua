local format = require "util.format".format

describe("util.format", function ()
	it("is string.format where that works", function ()
		assert.equal("a 1 ff  3.14 0x1p+0 100%", format("a %d %x %5.2f %a 100%%", 1, 255, 3.14159, 1))
		assert.equal("    a|b    |", format("%5s|%-5s|", "a", "b"))
		assert.equal("A", format("%c", 65))
		assert.equal("2", format("%d", 2.0))
	end)

	it("shows values of the wrong type", function ()
		assert.equal("[x] [1.5] [true]", format("%d %d %f", "x", 1.5, true))
		assert.equal("true", format("%s", true))
		assert.matches("^table: ", format("%s", {}))
	end)

	it("shows missing and surplus arguments", function ()
		assert.equal("(nil) (nil)", format("%s %d"))
		assert.equal("a [b] [(nil)]", format("%s", "a", "b", nil))
		assert.equal("(nil) x", format("%s %s", nil, "x"))
		assert.equal("text [1]", format("text", 1))
	end)

	it("quotes with %q", function ()
		assert.equal([["a\n"]], format("%q", "a\n"))
		assert.equal("{ 1; a = { } }", format("%q", { 1, a = {} }))
		assert.equal("true (nil)", format("%q %q", true, nil))
		local cycle = {}
		cycle[1] = cycle
		assert.is_string(format("%q", cycle))
	end)

	it("leaves alone what is no conversion", function ()
		assert.equal("100% %y %", format("100% %y %"))
		assert.equal("50%! off [1]", format("50%! off", 1))
	end)

	it("lets nothing through that a terminal or a log would act on", function ()
		assert.equal("a␀b␛[1m␡", format("%s", "a\0b\27[1m\127"))
		assert.equal("a␛b", format("a\27b"))
		assert.equal("line\n\tline\ttab", format("%s", "line\nline\ttab"))
		assert.equal("\\u{9b}", format("%s", "\u{9b}"))
		assert.equal("␃", format("%c", 3))
	end)

	it("escapes what is not UTF-8", function ()
		assert.equal("\"a\\255\"", format("%s", "a\255"))
		assert.equal("żółw", format("%s", "żółw"))
	end)

	it("never fails", function ()
		local odd = setmetatable({}, { __tostring = function () return "odd" end })
		local patterns = { "%s", "%d", "%q", "%c", "%f", "%99999d", "%-+ #0d", "%.999f", "%p", "%i", "%u", "%", "%%" }
		for _, pattern in ipairs(patterns) do
			for _, value in ipairs { 1, -1, 0.5, 1 / 0, 0 / 0, "x", true, print, odd, coroutine.create(print) } do
				assert.is_string(format(pattern, value))
			end
		end
	end)
end)
