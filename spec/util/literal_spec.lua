require "couplet_core"
local hashes = require "util.hashes"
local json = require "util.json"
local literal = require "util.literal"

local function read_file(path)
	local file = assert(io.open(path, "rb"))
	local text = file:read "a"
	file:close()
	return text
end

-- What Lua itself makes of a data file; the reference for what we parse.
local function run(text, env)
	return assert(load(text, "=data", "t", env or {}))()
end

describe("literal.decode", function()
	it("reads a value, with or without return and semicolon", function()
		for _, text in ipairs { "return { a = 1 };\n", "{ a = 1 }", "return{a=1}", "{a=1};", "\n\treturn\t{ a = 1 }",
			"{[\"a\"]=1;}" } do
			assert.same({ a = 1 }, literal.decode(text))
		end
		assert.equal("x", literal.decode "return \"x\"")
		assert.is_true(literal.decode "return true")
		assert.is_false(literal.decode "return false;")
		assert.same({ n = 1 }, { n = select("#", literal.decode "return nil") })
	end)

	it("reads what Lua reads, the same", function()
		for _, text in ipairs {
			[[{ 1, 2; 3, n = nil, x = "y", ["z"] = {}, [1.5] = 'q', [true] = false, [-1] = 0, _a1 = 1; }]],
			[[{ "a", [3] = "c", "b" }]], [[{ {}, {{}}, {{}, {}}, }]], [[{ 10, 0x10, 0xA.8p1, .5, 5., 1e3, 1E-3, 3e+2, 0x.1p4 }]],
			[[{ -1, - 1, -0.5, -(1), (1), (-1), ((2)), 1/2, (1/0), (-1/0), -(1/0), 9223372036854775807 }]],
			[[{ 0xffffffffffffffff, 0x1ffffffffffffffff, 9223372036854775808, -9223372036854775807 }]],
			[["\a\b\f\n\r\t\v\\\"\'\065\10\0\x41\u{20ac}\u{7FFFFFFF}\z
				x"]], "'a\\\nb'", "'a\\\r\nb'", "\"\\z  \\z\"",
			"[[\nlong\r\nlines\n\rhere\r\n]]", "[==[ ]] ]=] ]==]", "[=[\r\n]=]", "[[]]", "[[\n\n]]",
			"{[ [[k]] ]=1}", "{ [ 'a' ] = 1 }",
			"-- comment\n{ 1, --[[ long ]] 2, --[==[ ]] ]==] 3 -- end\n} -- done", "{--}\n}",
			"{ a = 1, --x\n }", "--[[\n]] 'x'", "--[==\n'x'", "{ ['end'] = 1, [ [=[end]=] ] = 2 }",
			"{ trueish = 1, nilly = 2, falsehood = 3 }",
		} do
			local value, why = literal.decode(text)
			assert.is_nil(why, text)
			assert.same(run("return " .. text), value, text)
		end
	end)

	it("reads infinities and NaN", function()
		local t = literal.decode "{ (1/0), (-1/0), (0/0) }"
		assert.equal(1 / 0, t[1])
		assert.equal(-1 / 0, t[2])
		assert.is_true(t[3] ~= t[3])
	end)

	it("takes the smallest integer for an integer", function()
		assert.equal(math.mininteger, literal.decode "-9223372036854775808")
		assert.equal("integer", math.type(literal.decode "-9223372036854775808"))
	end)

	it("runs nothing, and says in which line there is more than data", function()
		for text, line in pairs {
			["while true do end"] = 1, ["return os.exit()"] = 1, ["{ f() }"] = 1, ["{ a = b }"] = 1, ["{ a.b }"] = 1,
			["{ (function() end)() }"] = 1, ["{ ('x'):rep(9) }"] = 1, ["{ 'x' .. 'y' }"] = 1, ["{ 1 + 1 }"] = 1,
			["{ 2^53 }"] = 1,
			["{ #{} }"] = 1, ["{ not true }"] = 1, ["{ - 'x' }"] = 1, ["{ - {} }"] = 1, ["{ 1 // 2 }"] = 1, ["{ 1 == 1 }"] = 1,
			["return 1, 2"] = 1, ["return 1; return 2"] = 1, ["\n\nreturn x"] = 3, ["{\n1;\n2;\n...\n}"] = 4, ["{}{}"] = 1,
			["{ [nil] = 1 }"] = 1, ["{ [(0/0)] = 1 }"] = 1, ["{ 1 2 }"] = 1, ["{ , }"] = 1, ["{ a = , }"] = 1, ["{ [1] 2 }"] = 1,
			["{ [1 = 2 }"] = 1, ["{ ;; }"] = 1, ["{ end = 1 }"] = 1, ["\27LuaT"] = 1, ["return \27Lua"] = 1, ["local x = 1"] = 1,
			["goto x"] = 1, ["{ x }"] = 1, ["{ 'a'\n=1 }"] = 2, ["{ 'a\nb' }"] = 1, ["{ '\\q' }"] = 1, ["{ '\\300' }"] = 1,
			["{ '\\xg0' }"] = 1, ["{ '\\u{110000000}' }"] = 1, ["{ '\\u20' }"] = 1, ["{ 0x }"] = 1, ["{ 1e }"] = 1,
			["{ 1x }"] = 1,
			["{ 1.2.3 }"] = 1, ["{ 0x1p }"] = 1, ["{ 1__ }"] = 1, ["{ inf }"] = 1, ["{ [=x] }"] = 1, ["{ \0 }"] = 1, ["1\0"] = 1,
			["{ é = 1 }"] = 1, ["item({})"] = 1, ["{ - - 1 }"] = 1, ["\u{feff}{}"] = 1, ["{ 1/(1) }"] = 1, ["{ 1/2/3 }"] = 1,
		} do
			local value, why, at = literal.decode(text)
			assert.is_nil(value, text)
			assert.matches("^line %d+: .", why)
			assert.equal(line, at, ("%q: %s"):format(text, why))
			assert.equal(line, tonumber(why:match "^line (%d+)"))
		end
		local _, why = literal.decode(string.dump(function() end))
		assert.matches("compiled Lua", why)
	end)

	it("says so when the text ends too early, wherever it does", function()
		local whole = "return { \"a\\n\", [\"k\"] = { (1/0), -1.5, true }, --[[x]] [ [=[z]=] ] = nil };"
		assert.is_table(literal.decode(whole))
		for len = 0, #whole - 2 do
			local value, why = literal.decode(whole:sub(1, len))
			assert.is_nil(value, whole:sub(1, len))
			assert.is_string(why)
		end
	end)

	it("reads 200 levels, and no more", function()
		assert.is_table(literal.decode(("{"):rep(200) .. ("}"):rep(200)))
		for _, text in ipairs { ("{"):rep(201) .. ("}"):rep(201), ("{"):rep(1000000), ("("):rep(1000000), ("{[{"):rep(300),
			("{a="):rep(300) } do
			local value, why = literal.decode(text)
			assert.is_nil(value)
			assert.matches("nested too deeply", why)
		end
	end)

	it("asks for text", function()
		assert.has_error(function() literal.decode(nil) end)
		assert.has_error(function() literal.decode_list {} end)
	end)
end)

describe("literal.decode_list", function()
	local items = { { "one", n = 1 }, { "two\n);\nitem({ \"x\" });" }, "three", 4 }
	local text = ""
	for _, item in ipairs(items) do text = text .. literal.encode_item(item) end

	it("reads items in their order", function()
		assert.same({ items, #text }, { literal.decode_list(text) })
		assert.same({ {}, 0 }, { literal.decode_list "" })
		assert.same({ {}, 3 }, { literal.decode_list "\n \n" })
		assert.same({ { { 1 }, { 2 } }, 26 }, { literal.decode_list "item{1}; item ( {2} ) --x\n" })
	end)

	it("drops a last item that was not written to its end, and says where it starts", function()
		local kept = #text - #literal.encode_item(items[4])
		for len = kept + 1, #text - 3 do -- without the last ")" at most
			local got, good = literal.decode_list(text:sub(1, len))
			assert.equal(3, #got)
			assert.equal(kept, good)
		end
		local first = #literal.encode_item(items[1])
		for len = 0, first - 4 do assert.same({ {}, 0 }, { literal.decode_list(text:sub(1, len)) }) end
	end)

	it("takes zeroes at the end for an item that never reached the disk", function()
		for _, torn in ipairs { "\0", ("\0"):rep(4096), "item({\0\0\0", "item({ 'a\0\0" } do
			local got, good = literal.decode_list(text .. torn)
			assert.equal(4, #got)
			assert.equal(#text, good)
		end
	end)

	it("fails on damage anywhere else, with the line", function()
		for _, bad in ipairs { "garbage\n", "item(1);\n", "item({ x = })", "item({}) }\n", "items({});\n", "item[1];\n" } do
			local got, why, line = literal.decode_list("item({\n1;\n});\n" .. bad .. "item({ 2 });\n")
			if bad == "item(1);\n" then
				assert.same({ { 1 }, 1, { 2 } }, got)
			else
				assert.is_nil(got, bad)
				assert.matches("^line 4: ", why)
				assert.equal(4, line)
			end
		end
	end)
end)

describe("literal.encode", function()
	it("writes as Prosody does", function()
		assert.equal("return {\n\t1;\n\t{};\n\t{\n\t\t\"x\";\n\t};\n};\n", literal.encode { 1, {}, { "x" } })
		assert.equal("{\n\t[\"a b\"] = true;\n}", literal.encode_value { ["a b"] = true })
		assert.equal("item({\n\t[false] = 0.5;\n});\n", literal.encode_item { [false] = 0.5 })
		assert.equal("return {};\n", literal.encode {})
		assert.equal("nil", literal.encode_value(nil))
		assert.equal([["\r\n\t\000\a\127\195\169\'\"\\/"]], literal.encode_value "\r\n\t\0\7\127é'\"\\/")
		for number, text in pairs { [1] = "1", [-1] = "-1", [0.1] = "0.100000000000000006", [1 / 0] = "(1/0)",
			[-1 / 0] = "(-1/0)", [math.mininteger] = "0x8000000000000000", [1e300] = "1.00000000000000005e+300" } do
			assert.equal(text, literal.encode_value(number))
		end
		assert.equal("(0/0)", literal.encode_value(0 / 0))
	end)

	it("puts the list first, up to the first hole", function()
		local text = literal.encode_value { 1, 2, nil, 4, a = 5 }
		assert.matches("^{\n\t1;\n\t2;\n\t%[", text)
		assert.matches("\n\t%[4%] = 4;\n", text)
	end)

	it("fails on what is no data, on loops and on endless nesting", function()
		local loop = {}
		loop[1] = loop
		for _, value in ipairs { print, { print }, { [print] = 1 }, io.stdout, coroutine.create(print), loop } do
			local text, why = literal.encode(value)
			assert.is_nil(text)
			assert.is_string(why)
		end
		assert.has_error(function() literal.encode() end)
	end)
end)

describe("literal", function()
	local function random_value(depth)
		local kind = math.random(depth > 4 and 5 or 8)
		if kind == 1 then
			local bytes = {}
			for i = 1, math.random(0, 12) do bytes[i] = string.char(math.random(0, 255)) end
			return table.concat(bytes)
		end
		if kind == 2 then return math.random(0) end
		if kind == 3 then return string.unpack("<d", string.pack("<I8", math.random(0) & ~(1 << 62))) end
		if kind == 4 then return math.random(2) == 1 end
		if kind == 5 then return ({ 1 / 0, -1 / 0, math.mininteger, math.maxinteger, 0 })[math.random(5)] end
		local value = {}
		for i = 1, math.random(0, 4) do value[i] = random_value(depth + 1) end
		for _ = 1, math.random(0, 4) do value[random_value(kind == 8 and depth + 1 or 9)] = random_value(depth + 1) end
		return value
	end

	-- Tables as keys are not equal to their copies: compare their texts.
	local function has_table_keys(value)
		if type(value) ~= "table" then return false end
		for k, v in pairs(value) do
			if type(k) == "table" or has_table_keys(v) then return true end
		end
		return false
	end

	it("reads back what it wrote, as Lua does, for random values", function()
		math.randomseed(21)
		for _ = 1, 3000 do
			local value = random_value(0)
			local text = assert(literal.encode(value))
			local again, why = literal.decode(text)
			assert.is_nil(why)
			if not has_table_keys(value) then
				assert.same(value, again)
				assert.same(value, run(text))
			end
		end
	end)

	it("survives random damage: a value that Lua reads the same, or an error", function()
		math.randomseed(22)
		local n_read = 0
		for _ = 1, 5000 do
			local text = literal.encode(random_value(2))
			for _ = 1, math.random(1, 3) do
				local at = math.random(0, #text)
				local pieces = { string.char(math.random(0, 255)), "{", "}", "\"", "\\", ";", "=", "1", "--", "[[", "(", "" }
				text = text:sub(1, at) .. pieces[math.random(#pieces)] .. text:sub(at + math.random(1, 3))
			end
			local value, why = literal.decode(text)
			if why then
				assert.is_nil(value)
			else
				n_read = n_read + 1
				local as_lua = load(text, "=x", "t", {})
				if as_lua and not has_table_keys(value) and literal.encode(value) then
					assert.same(as_lua(), value, text)
				end
			end
		end
		assert.is_true(n_read > 100)
	end)
end)

describe("Data that Prosody wrote", function()
	local root = "spec/fixtures/prosody/"
	local function files(pattern)
		local found = io.popen("find " .. root .. " -name '" .. pattern .. "' | LC_ALL=C sort")
		local paths = {}
		for path in found:lines() do paths[#paths + 1] = path end
		found:close()
		return paths
	end

	it("is read, written and read again the same: every .dat", function()
		local paths = files "*.dat"
		assert.is_true(#paths > 40)
		for _, path in ipairs(paths) do
			local text = read_file(path)
			local value, why = literal.decode(text)
			assert.is_nil(why, path)
			assert.is_table(value)
			assert.same(run(text), value, path)
			assert.same(value, literal.decode(literal.encode(value)), path)
		end
	end)

	it("is read, written and read again the same: every .list", function()
		local paths = files "*.list"
		assert.is_true(#paths > 15)
		for _, path in ipairs(paths) do
			local text, expected, again = read_file(path), {}, ""
			local items, good = literal.decode_list(text)
			assert.is_table(items, path)
			assert.equal(#text, good)
			run(text, { item = function(item) expected[#expected + 1] = item end })
			assert.is_true(#items > 0)
			assert.same(expected, items, path)
			for _, item in ipairs(items) do again = again .. literal.encode_item(item) end
			assert.same(items, (literal.decode_list(again)))
		end
	end)

	it("holds keys that fit the passwords", function()
		local passwords = { admin = "pw_adm", alice = "pw_ali", bob = "pw_bob", ["we%2eird%5c20us%25er"] = "pw_we." }
		local function hex(bytes) return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end)) end
		for _, version in ipairs { "012-files", "13-files" } do
			for user, password in pairs(passwords) do
				local account = literal.decode(read_file(root .. version .. "/example%2etest/accounts/" .. user .. ".dat"))
				local stored, server = hashes.scram_keys("SHA-1", password, account.salt, account.iteration_count)
				assert.equal(account.stored_key, hex(stored), version .. " " .. user)
				assert.equal(account.server_key, hex(server))
			end
			local pat = literal.decode(read_file(root .. version .. "/plain%2etest/accounts/pat.dat"))
			assert.equal("plainpw", pat.password)
		end
	end)

	it("is read, written and read again the same: every JSON value of the database", function()
		local query = "sqlite3 " .. root .. "012-sql/prosody.sqlite \"SELECT value FROM prosody WHERE type = 'json'\""
		local rows, n = io.popen(query), 0
		for text in rows:lines() do
			local value = assert(json.decode(text))
			assert.same(value, json.decode(json.encode(value)))
			n = n + 1
		end
		rows:close()
		if n == 0 then pending("sqlite3, the shell, is not installed") end
		assert.is_true(n > 20)
	end)

	it("holds the roster's version under the key false, in the database too", function()
		local query = "sqlite3 " .. root .. "012-sql/prosody.sqlite \"SELECT value FROM prosody WHERE store = 'roster' "
			.. "AND user = 'alice' AND key = ''\""
		local rows = io.popen(query)
		local text = rows:read "l"
		rows:close()
		if not text then pending("sqlite3, the shell, is not installed") end
		assert.is_number(json.decode(text)[false].version)
	end)
end)
