local http = require "util.http"

describe("util.http", function ()
	it("encodes all but unreserved characters", function ()
		assert.equal("a%20b%2f%c3%a9~-_.", http.urlencode "a b/é~-_.")
		assert.is_nil(http.urlencode(nil))
	end)

	it("decodes escapes and leaves the rest", function ()
		assert.equal("a b+c", http.urldecode "a%20b+c")
		assert.equal("100%zz%", http.urldecode "100%zz%")
		assert.equal("/", http.urldecode "%2F")
	end)

	it("writes forms", function ()
		assert.equal("a=b+c&d=%26", http.formencode { d = "&", a = "b c" })
		assert.equal("y=1&x=2", http.formencode { { name = "y", value = "1" }, { name = "x", value = 2 } })
		assert.equal("", http.formencode {})
	end)

	it("reads forms, repeated names included", function ()
		local form = http.formdecode "a=1&b=x+y&a=2&c=%3D&d="
		assert.same({ "2", "x y", "=", "" }, { form.a, form.b, form.c, form.d })
		assert.same({ name = "a", value = "1" }, form[1])
		assert.equal(5, #form)
		assert.equal("plain text", http.formdecode "plain%20text")
	end)

	it("reads back what it writes", function ()
		local form = http.formdecode(http.formencode { ["a b&="] = "\0é +%" })
		assert.equal("\0é +%", form["a b&="])
	end)

	it("finds tokens in headers", function ()
		assert.is_true(http.contains_token("keep-alive, Upgrade", "upgrade"))
		assert.is_false(http.contains_token("keep-alive", "keep"))
		assert.is_false(http.contains_token("", "x"))
	end)

	it("normalizes paths", function ()
		assert.equal("/a/b", http.normalize_path "/a//b/")
		assert.equal("/a/", http.normalize_path("/a", true))
		assert.equal("/a", http.normalize_path "a")
		assert.equal("/", http.normalize_path "")
		assert.equal("/", http.normalize_path "//")
		assert.equal("/", http.normalize_path("/", true))
	end)

	it("reads Forwarded headers (RFC 7239)", function ()
		assert.same({
			{ ["for"] = "192.0.2.43" }, { ["for"] = "[2001:db8::1]:47", proto = "https", by = "203.0.113.60" },
		}, http.parse_forwarded [[for=192.0.2.43, For="[2001:db8::1]:47";proto=https ; by=203.0.113.60]])
		assert.same({ { ["for"] = "a\"b" } }, http.parse_forwarded [[for="a\"b"]])
		for _, bad in ipairs { [[for="open]], "for=a b", "for", "for=a;for=b", "for=" } do
			assert.is_nil(http.parse_forwarded(bad), bad)
		end
		assert.is_nil(http.parse_forwarded(nil))
	end)
end)
