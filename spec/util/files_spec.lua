--- File names for any bytes, as Prosody makes them.

local files = require "prosody.util.files"

describe("file names", function ()
	it("are those Prosody gives", function ()
		for name, expected in pairs {
			["example.test"] = "example%2etest",
			["we.ird\\20us%er"] = "we%2eird%5c20us%25er",
			["a-b_c"] = "a%2db%5fc",
			["é"] = "%c3%a9",
			["AbC019"] = "AbC019",
			[""] = "",
		} do
			assert.equal(expected, files.encode(name))
			assert.equal(name, files.decode(expected))
		end
		assert.equal("pep_urn%3axmpp%3abookmarks%3a1", files.encode("pep_urn:xmpp:bookmarks:1", true))
		assert.equal("pubsub_blog", files.encode("pubsub_blog", true))
	end)

	it("never leave the directory, and lead back", function ()
		for byte = 0, 255 do
			local name = "a" .. string.char(byte) .. "b"
			local encoded = files.encode(name)
			assert.matches("^[%w%%]+$", encoded)
			assert.equal(name, files.decode(encoded))
		end
		for _, name in ipairs { ".", "..", "../x", "/", "a/../../b" } do
			assert.is_nil(files.encode(name):find("[./]"))
		end
	end)

	it("are cut when too long for the file system, and still differ", function ()
		local seen = {}
		for i = 1, 300 do
			local name = ("x"):rep(1000) .. i
			local encoded = files.encode(name)
			assert.is_true(#encoded <= 240)
			assert.matches("%%~%x+$", encoded)
			assert.is_nil(files.decode(encoded))
			assert.is_nil(seen[encoded])
			seen[encoded] = true
			assert.equal(encoded, files.encode(name))
		end
		assert.equal(240, #files.encode(("x"):rep(240)))
		assert.is_nil(files.encode(("x"):rep(240)):find("~"))
		assert.is_truthy(files.encode(("x"):rep(241)):find("~"))
		-- No escape is cut in half.
		assert.matches("^[%w]*%%~%x+$", (files.encode(("é"):rep(500)):gsub("%%%x%x", "")))
	end)

	it("that are no names of ours are refused", function ()
		for _, name in ipairs { "%", "%2", "%zz", "a%", "%~0123" } do assert.is_nil(files.decode(name)) end
	end)

	it("and paths are strings without NUL", function ()
		assert.has_error(function () files.read("a\0b") end)
		assert.has_error(function () files.read("") end)
		assert.has_error(function () files.write(nil, "x") end)
		assert.has_error(function () files.write("/tmp/x", {}) end)
		assert.has_error(function () files.read("/tmp/x", -1) end)
	end)
end)
