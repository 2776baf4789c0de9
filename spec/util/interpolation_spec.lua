local interpolation = require "util.interpolation"

describe("util.interpolation", function ()
	local render = interpolation.new("%b{}", function (text) return "<" .. text .. ">" end, {
		upper = string.upper,
		repeated = function (value, argument) return value:rep(tonumber(argument)) end,
		sorted = function (list) table.sort(list) return list end,
	})

	it("fills in values, escaped unless told otherwise", function ()
		assert.equal("Hello <World>!", render("Hello {name}!", { name = "World" }))
		assert.equal("Hello World!", render("Hello {name!}!", { name = "World" }))
		assert.equal("<1> <false>", render("{one} {no}", { one = 1, no = false }))
	end)

	it("follows dots", function ()
		assert.equal("<x>", render("{a.b.c}", { a = { b = { c = "x" } } }))
		assert.equal("<y>", render("{a.b}", { ["a.b"] = "y" }))
		assert.equal("{a.b.c}", render("{a.b.c}", { a = 1 }))
	end)

	it("leaves alone what is not ours", function ()
		assert.equal("{missing} { css: {x} } {}", render("{missing} { css: {x} } {}", { x = 1 }))
	end)

	it("takes defaults and conditions", function ()
		assert.equal("text", render("{x?text}", {}))
		assert.equal("<v>", render("{x?text}", { x = "v" }))
		assert.equal("", render("{x?}", {}))
		assert.equal("has <1>", render("{x&has {x}}{x~has none}", { x = 1 }))
		assert.equal("has none", render("{x&has {x}}{x~has none}", {}))
		assert.equal("<2>", render("{x?{y}}", { y = 2 }))
	end)

	it("repeats for lists and maps", function ()
		assert.equal("<1>=<a>;<2>=<b>;", render("{list#{idx}={item};}", { list = { "a", "b" } }))
		assert.equal("<n>", render("{list#{item.name}}", { list = { { name = "n" } } }))
		assert.equal("<k>=<v>", render("{map%{idx}={item}}", { map = { k = "v" } }))
		assert.equal("<a><outer>", render("{list#{item}{other}}", { list = { "a" }, other = "outer" }))
		assert.equal("", render("{list#{item}}", {}))
		assert.equal("", render("{list#{item}}", { list = "no list" }))
	end)

	it("applies filters in order", function ()
		assert.equal("<AA>", render("{x|upper|repeated(2)}", { x = "a" }))
		assert.equal("A", render("{x|upper!}", { x = "a" }))
		assert.equal("<a>", render("{x|unknown}", { x = "a" }))
		assert.equal("none", render("{x|upper?none}", {}))
		assert.equal("<a><b>", render("{list|sorted#{item}}", { list = { "b", "a" } }))
	end)

	it("never looks into values", function ()
		assert.equal("<{x}>", render("{y}", { x = 1, y = "{x}" }))
		assert.equal("<%1>", render("{y}", { y = "%1" }))
	end)

	it("works with other delimiters", function ()
		assert.equal("a 1 {x}", interpolation.new("%b<>")("a <x> {x}", { x = 1 }))
	end)
end)
