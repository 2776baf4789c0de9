require "couplet_core"
local json = require "util.json"
local array = require "util.array"

describe("json.encode", function()
	it("writes values", function()
		assert.equal("null", json.encode(nil))
		assert.equal("null", json.encode())
		assert.equal("null", json.encode(json.null))
		assert.equal("true", json.encode(true))
		assert.equal("false", json.encode(false))
		assert.equal("[1,2,[],{}]", json.encode { 1, 2, array {}, {} })
		assert.equal("{\"a\":[{}]}", json.encode { a = { {} } })
	end)

	it("keeps integers and floats apart, and every digit", function()
		for number, text in pairs { [1] = "1", [-1] = "-1", [math.maxinteger] = "9223372036854775807",
			[math.mininteger] = "-9223372036854775808", [0.1] = "0.1", [0.1 + 0.2] = "0.30000000000000004",
			[2.0 ^ 70] = "1.1805916207174113e+21", [1e300] = "1e+300", [5e-324] = "4.94065645841247e-324" } do
			assert.equal(text, json.encode(number))
			assert.equal(number, json.decode(text))
		end
		assert.equal("1.0", json.encode(1.0))
		assert.equal("-0.0", json.encode(-0.0))
	end)

	it("escapes what JSON asks for, and nothing else", function()
		assert.equal([["\"\\\b\f\n\r\t\u0000\u001f/é😀]] .. "\x7f\u{2028}\"",
			json.encode("\"\\\b\f\n\r\t\0\31/é😀\x7f\u{2028}"))
	end)

	it("tells an empty list from an empty object by its kind", function()
		assert.equal("{}", json.encode {})
		assert.equal("[]", json.encode(array {}))
		assert.equal("[]", json.encode(json.decode "[]"))
		assert.equal("{}", json.encode(json.decode "{}"))
		assert.equal("[]", json.encode_array {})
		assert.equal("[1,2]", json.encode_array { 1, 2, a = 3 })
	end)

	it("writes what has other keys in the dialect of the stores", function()
		assert.equal("{\"a\":2,\"__array\":[1]}", json.encode { 1, a = 2 })
		assert.equal("{\"__hash\":[false,1]}", json.encode { [false] = 1 })
		assert.equal("{\"__hash\":[3,3],\"__array\":[1]}", json.encode { 1, nil, 3 })
		assert.equal("{\"__hash\":[1.5,{}]}", json.encode { [1.5] = {} })
		assert.equal("{\"__hash\":[\"__hash\",1]}", json.encode { __hash = 1 })
		assert.equal("{\"__hash\":[\"__array\",1]}", json.encode { __array = 1 })
	end)

	it("sorts keys when asked: the same text for equal values", function()
		assert.equal("{\"__hash\":[true,0],\"a\":{\"b\":2,\"c\":3},\"b\":1,\"é\":[],\"__array\":[1,2]}", json.encode_ordered {
			1, 2, ["é"] = array {}, b = 1, a = { c = 3, b = 2 }, [true] = 0,
		})
		local keys = {}
		for i = 1, 100 do keys[("key%03d"):format(i)] = i end
		local text, at = json.encode_ordered(keys), 0
		for key in text:gmatch "key%d+" do
			at = at + 1
			assert.equal(("key%03d"):format(at), key)
		end
		assert.equal(100, at)
		assert.same(keys, json.decode(text))
	end)

	it("writes null for what is no data", function()
		assert.equal("[null,null]", json.encode { print, coroutine.create(print) })
	end)

	it("fails on what JSON cannot hold", function()
		for _, value in ipairs { 1 / 0, -1 / 0, 0 / 0, "\xff", "a\xed\xa0\x80", { "\xff" }, { ["\xff"] = 1 },
			{ x = { 0 / 0 } } } do
			local text, why = json.encode(value)
			assert.is_nil(text)
			assert.is_string(why)
		end
	end)

	it("fails on a table in itself and on endless nesting, not on deep nesting", function()
		local loop = {}
		loop.loop = loop
		assert.is_nil((json.encode(loop)))
		assert.is_nil((json.encode_ordered(loop)))
		assert.is_nil((json.encode_array { loop }))
		local deep = {}
		for _ = 1, 255 do deep = { deep } end
		assert.equal(("["):rep(255) .. "{}" .. ("]"):rep(255), json.encode(deep))
		local text, why = json.encode { deep }
		assert.is_nil(text)
		assert.matches("nested too deeply", why)
	end)
end)

describe("json.decode", function()
	it("reads values", function()
		assert.equal(json.null, json.decode "null")
		assert.equal("null", tostring(json.null))
		assert.is_true(json.decode " true\n")
		assert.is_false(json.decode "\t false ")
		assert.same({ 1, 2, { a = "b" } }, json.decode "[1, 2 ,{ \"a\" : \"b\" } ]")
		assert.same({ 1, json.null, 3, n = json.null }, json.decode [[{"__array":[1,null,3],"n":null}]])
		assert.equal("", json.decode "\"\"")
		assert.equal("\"\\/\b\f\n\r\té😀\0", json.decode [["\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00\u0000"]])
		assert.equal("\u{20ac}x", json.decode [["\u20ACx"]])
		assert.same({ a = 2 }, json.decode [[{"a":1,"a":2}]])
	end)

	it("keeps integers and floats apart", function()
		for text, kind in pairs { ["0"] = "integer", ["-12"] = "integer", ["9223372036854775807"] = "integer",
			["-9223372036854775808"] = "integer", ["9223372036854775808"] = "float", ["-0"] = "float", ["1.0"] = "float",
			["1e2"] = "float", ["1E+2"] = "float", ["0.5e-3"] = "float", ["123456789012345678901234567890"] = "float" } do
			local number = json.decode(text)
			assert.equal(kind, math.type(number), text)
			assert.equal(tonumber(text), number)
		end
	end)

	it("gives lists the methods of util.array", function()
		assert.same({ 2, 4 }, { json.decode("[1,2]"):map(function(n) return 2 * n end):unpack() })
	end)

	it("takes nothing but JSON, and says where it stops", function()
		for text, at in pairs { [""] = 1, [" "] = 2, ["nul"] = 1, ["True"] = 1, ["[1,]"] = 4, ["[,1]"] = 2, ["[1 2]"] = 4,
			["{\"a\"}"] = 5, ["{\"a\":}"] = 6, ["{a:1}"] = 2, ["{\"a\":1,}"] = 8, ["{1:2}"] = 2, ["[1]]"] = 4, ["{}x"] = 3,
			["01"] = 1, ["-"] = 2, ["+1"] = 1, [".5"] = 1, ["1."] = 3, ["1e"] = 3, ["1e+"] = 4, ["0x10"] = 2, ["1e999"] = 6,
			["NaN"] = 1, ["Infinity"] = 1, ["'a'"] = 1, ["\"a"] = 3, ["\"a\nb\""] = 3, ["\"\t\""] = 2, ["\"\\x\""] = 3,
			["\"\\u12\""] = 6, ["\"\\ud800\""] = 8, ["\"\\ud800\\u0041\""] = 14, ["\"\\udc00\""] = 8, ["\"\\"] = 3,
			["\"\\u"] = 4, ["\"a\0\""] = 3, ["1\0"] = 2, ["/**/1"] = 1, ["\u{feff}1"] = 1, ["["] = 2, ["{"] = 2,
			["[\"\xff\"]"] = 3, ["\"\xed\xa0\x80\""] = 2, ["\xc0\xaf"] = 1, ["[\"ok\"]\x80"] = 7 } do
			local value, why = json.decode(text)
			assert.is_nil(value, text)
			assert.equal(at, tonumber(why:match "at byte (%d+)$"), ("%q: %s"):format(text, why))
		end
		assert.has_error(function() json.decode(nil) end)
	end)

	it("reads 256 levels, and no more", function()
		assert.is_table(json.decode(("["):rep(256) .. ("]"):rep(256)))
		assert.is_nil((json.decode(("["):rep(257) .. ("]"):rep(257))))
		assert.is_nil((json.decode(("{\"a\":"):rep(257) .. "1" .. ("}"):rep(257))))
		assert.is_nil((json.decode(("["):rep(1000000))))
	end)

	it("puts the dialect's parts where they belong", function()
		assert.same({ [false] = { version = 3, pending = {} } },
			json.decode [[{"__hash":[false,{"version":3,"pending":{}}]}]])
		assert.same({ 1, 2, a = 3 }, json.decode [[{"a":3,"__array":[1,2]}]])
		assert.same({ "text", name = "x" }, json.decode [[{"__array":["text"],"name":"x"}]])
		assert.same({ __hash = 1, [1.5] = 2 }, json.decode [[{"__hash":["__hash",1,1.5,2]}]])
	end)

	it("leaves alone what only has the dialect's names", function()
		assert.same({ __hash = { 1, 2, 3 } }, json.decode [[{"__hash":[1,2,3]}]])
		assert.same({ __hash = 3, __array = { a = 1 } }, json.decode [[{"__hash":3,"__array":{"a":1}}]])
		assert.same({ __hash = { a = 1 } }, json.decode [[{"__hash":{"a":1}}]])
	end)
end)

describe("json", function()
	local function random_text()
		local characters = {}
		for i = 1, math.random(0, 8) do
			local low, high = 0, ({ 0x7f, 0x7ff, 0xd7ff, 0x10ffff })[math.random(4)]
			if high == 0x10ffff then low = 0xe000 end
			characters[i] = utf8.char(math.random(low, high))
		end
		return table.concat(characters)
	end

	local function random_value(depth)
		local kind = math.random(depth > 4 and 6 or 9)
		if kind == 1 then return random_text() end
		if kind == 2 then return math.random(0) end
		if kind == 3 then return string.unpack("<d", string.pack("<I8", math.random(0) & ~(1 << 62))) end
		if kind == 4 then return math.random(2) == 1 end
		if kind == 5 then return json.null end
		if kind == 6 then return math.random(-1000, 1000) end
		local value = {}
		for i = 1, math.random(0, 4) do value[i] = random_value(depth + 1) end
		if kind == 7 then return #value > 0 and value or array {} end
		for _ = 1, math.random(0, 4) do value[random_text()] = random_value(depth + 1) end
		if kind == 9 then
			for _ = 1, math.random(0, 3) do
				local key = random_value(9)
				if key ~= json.null then value[key] = random_value(depth + 1) end
			end
		end
		return value
	end

	it("reads back what it wrote, for random values", function()
		math.randomseed(11)
		for _ = 1, 3000 do
			local value = random_value(0)
			local text = assert(json.encode(value))
			assert.same(value, json.decode(text), text)
			assert.same(value, json.decode(json.encode_ordered(value)))
		end
	end)

	it("survives random damage: a value that can be written again, or an error", function()
		math.randomseed(12)
		local n_read = 0
		for _ = 1, 5000 do
			local text = json.encode(random_value(0))
			for _ = 1, math.random(1, 3) do
				local at = math.random(0, #text)
				local pieces = { string.char(math.random(0, 255)), "[", "]", "{", "\"", "\\", ",", ":", "1", "e", "" }
				local piece = pieces[math.random(#pieces)]
				text = text:sub(1, at) .. piece .. text:sub(at + math.random(1, 3))
			end
			local value, why = json.decode(text)
			if value ~= nil then
				n_read = n_read + 1
				assert.is_string(json.encode(value))
			else
				assert.is_string(why)
			end
		end
		assert.is_true(n_read > 100)
	end)
end)
