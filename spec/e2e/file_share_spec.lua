-- Sharing files over HTTP (XEP-0363, SECURITY E2): slots over XMPP, uploads and downloads over HTTP.

local http = require "spec.support.http"
local lfs = require "lfs"
local Server = require "spec.support.server"

local NS = "urn:xmpp:http:upload:0"

local function escape(text)
	return (text:gsub("[&<>'\"]", { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ["'"] = "&apos;", ['"'] = "&quot;" }))
end

local function unhex(hex) return string.char(tonumber(hex, 16)) end

describe("Sharing files", function ()
	local server, romeo, files

	setup(function ()
		server = Server.start {
			with_http = true,
			config = "http_file_share_size_limit = 2000000",
			hosts = { localhost = [[modules_enabled = { "http_file_share" }; http_file_share_daily_quota = 1e9]] },
			components = [[Component "upload.localhost" "http_file_share"
				http_host = "localhost"
				http_file_share_daily_quota = 1e9; http_file_share_secret = "of this spec"
				http_file_share_purposes = { profile = "1 year" }]],
		}
		romeo = server:person "romeo"
		files = server.folder .. "/data/upload%2elocalhost/http_file_share"
	end)
	teardown(function () server:stop() end)
	after_each(function ()
		for _, one in ipairs(server.clients) do
			if one ~= romeo and one.socket and not one.closed then one:vanishes() end
		end
		server.clients = { romeo }
	end)

	local function ask(name, size, filetype, options)
		options = options or {}
		local text = "<iq type='get' to='%s'><request xmlns='%s' filename='%s' size='%s'%s>%s</request></iq>"
		return (options.who or romeo):asks(text:format(options.to or "upload.localhost", NS, escape(name), size,
			filetype and (" content-type='%s'"):format(filetype) or "", options.purpose or ""))
	end

	-- A slot: { path =, host =, headers =, get = (path) }
	local function slot(name, size, filetype, options)
		local reply = ask(name, size, filetype, options)
		assert.equal("result", reply.attr.type, tostring(reply))
		local put, get = reply:at("slot", "put"), reply:at("slot", "get")
		local host, path = put.attr.url:match "^https://([^/]+)(/.*)$"
		local header = put:child "header"
		assert.equal("Authorization", header.attr.name)
		return { host = host, path = path, get = get.attr.url:match "^https://[^/]+(/.*)$",
			headers = { Host = host, Authorization = header:text(), ["Content-Type"] = filetype } }
	end

	local function put(where, bytes, more)
		local headers = {}
		for name, value in pairs(where.headers) do headers[name] = value end
		for name, value in pairs(more or {}) do headers[name] = value or nil end
		return http.request(server, "PUT", where.path, headers, bytes)
	end

	local function get(where, headers, method)
		local all = { Host = where.host }
		for name, value in pairs(headers or {}) do all[name] = value end
		return http.request(server, method or "GET", where.get, all)
	end

	local function shared(name, bytes, filetype, options)
		local where = slot(name, #bytes, filetype, options)
		local response = put(where, bytes)
		assert.equal(201, response.status, response.body)
		return where
	end

	local function files_there()
		local n, parts = 0, 0
		for name in lfs.dir(files) do
			if name:find "%.part$" then parts = parts + 1 elseif name:find "%.bin$" then n = n + 1 end
		end
		return n, parts
	end

	it("is announced, with the largest size", function ()
		for host, identity in pairs { ["upload.localhost"] = "HTTP File Upload", ["localhost"] = "HTTP File Upload" } do
			local query = romeo:asks(("<iq type='get' to='%s'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>")
				:format(host)):child "query"
			local features, identities = {}, {}
			for _, feature in ipairs(query:children "feature") do features[feature.attr.var] = true end
			for _, each in ipairs(query:children "identity") do
				identities[each.attr.category .. "/" .. each.attr.type] = each
			end
			assert.truthy(features[NS] and features["urn:xmpp:http:upload:purpose:0#ephemeral"])
			assert.equal(host == "upload.localhost", features["urn:xmpp:http:upload:purpose:0#profile"] or false)
			assert.equal(identity, identities["store/file"].attr.name)
			local fields = {}
			for _, field in ipairs(query:child("x", "jabber:x:data"):children "field") do
				fields[field.attr.var] = field:child "value":text()
			end
			assert.same({ FORM_TYPE = NS, ["max-file-size"] = "2000000" }, fields)
		end
		local items = romeo:asks "<iq type='get' to='localhost'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>"
		assert.equal("upload.localhost", items:at("query", "item").attr.jid)
	end)

	it("takes a file and gives it to whoever has its address", function ()
		local where = shared("très cool.jpg", "a picture", "image/jpeg")
		assert.equal("très cool.jpg", where.get:match "([^/]+)$":gsub("%%(%x%x)", unhex), nil)
		local response = get(where)
		assert.equal(200, response.status)
		assert.equal("a picture", response.body)
		assert.equal("image/jpeg", response.headers["content-type"])
		assert.truthy(response.headers["cache-control"]:find "immutable")
	end)

	it("takes names with whatever is in them", function ()
		for _, name in ipairs { "100% a+b?c#d&e=f.txt", "日本語.txt", "a%2Fb%00.txt", "...", "-", "'\"<>;|.sh",
			("x"):rep(255) } do
			local where = shared(name, "bytes of it")
			assert.equal("bytes of it", get(where).body, name)
			assert.truthy(where.get:match "^/file_share/[%w_-]+/[%w%%._~-]+$", where.get)
		end
	end)

	it("works on the host itself, too", function ()
		local where = shared("a.txt", "text", "text/plain", { to = "localhost" })
		assert.equal("localhost:" .. server.https_port, where.host)
		assert.equal("text", get(where).body)
	end)

	it("works side by side where a host and its component are reached by one name", function ()
		local ours, theirs = slot("a.txt", 4, "text/plain"), slot("a.txt", 4, "text/plain", { to = "localhost" })
		assert.equal(ours.host, theirs.host)
		assert.equal(ours.path:match "^/[^/]+/", theirs.path:match "^/[^/]+/")
		for _, where in ipairs { theirs, ours } do
			assert.equal(403, put(where, "text", { Authorization = "Bearer x.y.z" }).status)
			assert.equal(201, put(where, "text").status)
			assert.equal("text", get(where).body)
			assert.equal(409, put(where, "text").status)
		end
	end)

	it("answers HEAD, ranges and conditions", function ()
		local where = shared("digits", "0123456789")
		local head = get(where, nil, "HEAD")
		assert.equal(200, head.status)
		assert.equal("10", head.headers["content-length"])
		assert.equal("bytes", head.headers["accept-ranges"])
		local part = get(where, { Range = "bytes=2-4" })
		assert.equal(206, part.status)
		assert.equal("234", part.body)
		assert.equal("bytes 2-4/10", part.headers["content-range"])
		assert.equal(416, get(where, { Range = "bytes=10-" }).status)
		assert.equal(304, get(where, { ["If-None-Match"] = head.headers.etag }).status)
		assert.equal("nosniff", get(where, { Range = "bytes=2-4" }).headers["x-content-type-options"])
	end)

	describe("lets nothing act in a browser:", function ()
		for name, case in pairs {
			["evil.svg"] = { "image/svg+xml", "<svg onload='alert(1)'/>" },
			["evil.html"] = { "text/html", "<script>alert(1)</script>" },
			["evil.xhtml"] = { "application/xhtml+xml", "<html/>" },
			["evil.js"] = { "text/javascript", "alert(1)" }, ["evil.pdf"] = { "application/pdf", "%PDF" },
			["no-type"] = { nil, "<html>" },
		} do
			it(name .. " is only saved", function ()
				local response = get(shared(name, case[2], case[1]))
				assert.equal(200, response.status)
				assert.equal("application/octet-stream", response.headers["content-type"])
				assert.equal("attachment", response.headers["content-disposition"])
			end)
		end

		for name, filetype in pairs { ["a.png"] = "image/png", ["a.mp4"] = "video/mp4", ["a.ogg"] = "audio/ogg",
			["a.txt"] = "text/plain" } do
			it(name .. " is shown", function ()
				local response = get(shared(name, "bytes", filetype))
				assert.equal(filetype, response.headers["content-type"]:match "^[^;]+")
				assert.is_nil(response.headers["content-disposition"])
			end)
		end

		it("all of them without sniffing, scripts and cookies", function ()
			for _, filetype in ipairs { "image/png", "text/html" } do
				local headers = get(shared("file", "bytes", filetype)).headers
				assert.equal("nosniff", headers["x-content-type-options"])
				assert.truthy(headers["content-security-policy"]:find "default%-src 'none'")
				assert.truthy(headers["content-security-policy"]:find "sandbox")
				assert.is_nil(headers["set-cookie"])
				assert.is_nil(headers["access-control-allow-credentials"])
			end
		end)
	end)

	describe("gives no slot", function ()
		local function is_refused(reply, error_type, condition)
			local err = reply:at "error"
			assert.equal(error_type, err.attr.type)
			assert.truthy(err:child(condition, "urn:ietf:params:xml:ns:xmpp-stanzas"), tostring(reply))
			return err
		end

		it("for a file that is too large, and says how large one may be", function ()
			local err = is_refused(ask("big", 2000001), "modify", "not-acceptable")
			assert.equal("2000000", err:child("file-too-large", NS):child "max-file-size":text())
		end)

		for what, arguments in pairs {
			["without a name"] = { "", 5 }, ["with a path"] = { "../../etc/passwd", 5 }, ["with another path"] = { "a\\b", 5 },
			["that is a directory"] = { "..", 5 }, ["with a long name"] = { ("x"):rep(256), 5 },
			["without bytes"] = { "a", 0 }, ["of less than nothing"] = { "a", -5 }, ["of half a byte"] = { "a", "1.5" },
			["of an odd size"] = { "a", "0x10" }, ["of a huge size"] = { "a", ("9"):rep(40) },
			["of no type"] = { "a", 5, "image" }, ["of a type in two lines"] = { "a", 5, "image/png&#10;X: y" },
		} do
			it("for one " .. what, function ()
				is_refused(ask(table.unpack(arguments, 1, 3)), "modify", "bad-request")
			end)
		end

		it("for a purpose that is not offered, or a time that is over", function ()
			local ns = "urn:xmpp:http:upload:purpose:0"
			is_refused(ask("a", 5, nil, { purpose = ("<permanent xmlns='%s'/>"):format(ns) }), "cancel",
				"feature-not-implemented")
			is_refused(ask("a", 5, nil, { purpose = ("<ephemeral xmlns='%s'/>"):format(ns) }), "modify", "bad-request")
			is_refused(ask("a", 5, nil, { purpose = ("<ephemeral xmlns='%s' expire-before='2020-01-01T00:00:00Z'/>")
				:format(ns) }), "modify", "bad-request")
			slot("a", 5, nil, { purpose = ("<ephemeral xmlns='%s' expire-before='2999-01-01T00:00:00Z'/>"):format(ns) })
			slot("a", 5, nil, { purpose = ("<profile xmlns='%s'/>"):format(ns) })
		end)
	end)

	describe("takes nothing", function ()
		local where, before

		before_each(function ()
			where = slot("a file.bin", 1000, "application/pdf")
			before = files_there()
		end)
		local body = ("x"):rep(1000)

		local function refuses(status, ...)
			local response = put(where, ...)
			assert.equal(status, response.status, response.body)
			local n, parts = files_there()
			assert.equal(before, n)
			assert.equal(0, parts)
			assert.equal(404, get(where).status)
		end
		after_each(function () -- the slot was not spoilt by it
			assert.equal(201, put(where, body).status)
			assert.equal(body, get(where).body)
		end)

		it("without a token", function () refuses(401, body, { Authorization = false }) end)
		it("with a token of somebody's own", function ()
			refuses(403, body, { Authorization = "Bearer eyJ0eXAiOiJKV1QiLCJhbGciOiJub25lIn0.e30." })
			refuses(403, body, { Authorization = where.headers.Authorization:gsub(".$", { a = "b", [""] = "a" }) .. "a" })
			refuses(401, body, { Authorization = "Basic eDp5" })
		end)
		it("with the token of another file", function ()
			local other = slot("a file.bin", 1000, "application/pdf")
			refuses(403, body, { Authorization = other.headers.Authorization })
		end)
		it("with a token that has expired", function ()
			local claims = { slot = where.path:match "/file_share/([^/]+)/", filename = "a file.bin", filesize = 1000,
				filetype = "application/pdf", sub = "romeo@localhost", iat = os.time() - 301 }
			local function token(expires)
				claims.exp = expires
				return "Bearer " .. require "util.jwt".sign("of this spec", claims)
			end
			refuses(403, body, { Authorization = token(os.time() - 1) })
			refuses(403, body:sub(1, 999), { Authorization = token(os.time() - 1) })
			refuses(400, body:sub(1, 999), { Authorization = token(os.time() + 60) }) -- it was its age
		end)
		it("under another name", function ()
			local path = where.path
			where.path = path:gsub("bin$", "exe")
			refuses(403, body)
			where.path = path .. "/x"
			refuses(403, body)
			where.path = path
		end)
		it("outside of its place", function ()
			local path = where.path
			for _, bad in ipairs { "/../", "%2e%2e/", "%252e%252e%252f", "%u002e", "..%5c", "%00" } do
				where.path = path:gsub("/[^/]*$", "/" .. bad:gsub("%%", "%%%%") .. "x")
				local status = put(where, body).status
				assert.is_true(status == 400 or status == 403, bad .. status)
			end
			where.path = path
		end)
		it("of another size", function ()
			refuses(413, body .. "y")
			refuses(400, body:sub(2))
			refuses(400, "")
		end)
		it("of another type", function () refuses(415, body, { ["Content-Type"] = "text/html" }) end)
		it("compressed", function () refuses(415, body, { ["Content-Encoding"] = "gzip" }) end)
		it("in chunks", function ()
			local conn = http.connect(server)
			conn:sends(("PUT %s HTTP/1.1\r\nHost: %s\r\nAuthorization: %s\r\nTransfer-Encoding: chunked\r\n\r\n"
				.. "3e8\r\n%s\r\n0\r\n\r\n"):format(where.path, where.host, where.headers.Authorization, body))
			assert.equal(411, conn:response().status)
		end)
		it("that breaks off in the middle", function ()
			local from = server:log_position()
			local conn = http.connect(server)
			conn:sends(("PUT %s HTTP/1.1\r\nHost: %s\r\nAuthorization: %s\r\nContent-Length: 1000\r\n\r\n%s")
				:format(where.path, where.host, where.headers.Authorization, body:sub(1, 500)))
			server:awaits(function () return select(2, files_there()) == 1 end, "the upload to begin")
			assert.equal(404, get(where).status) -- nobody sees half of it
			assert.equal(409, put(where, body).status) -- nor can another one come at the same time
			conn:vanishes()
			server:awaits_log("ended early, after 500 of 1000 bytes", from)
			assert.equal(0, select(2, files_there()))
		end)
	end)

	it("takes one file for a slot, and only one", function ()
		local where = shared("once", "first", "text/plain")
		assert.equal(409, put(where, "other").status)
		assert.equal("first", get(where).body)
	end)

	it("answers 100 Continue only to who may upload", function ()
		local where = slot("polite", 4)
		local head = "PUT %s HTTP/1.1\r\nHost: %s\r\nAuthorization: %s\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
		local conn = http.connect(server)
		conn:sends(head:format(where.path, where.host, "Bearer nonsense"))
		assert.equal(403, conn:response().status)
		conn = http.connect(server)
		conn:sends(head:format(where.path, where.host, where.headers.Authorization))
		assert.equal(100, conn:response().status)
		conn:sends "four"
		assert.equal(201, conn:response().status)
	end)

	it("lets web clients of other sites upload and show", function ()
		local where = slot("web", 3)
		local preflight = http.request(server, "OPTIONS", where.path, { Host = where.host, Origin = "https://chat.example",
			["Access-Control-Request-Method"] = "PUT", ["Access-Control-Request-Headers"] = "authorization,content-type" })
		assert.is_true(preflight.status < 300)
		assert.equal("*", preflight.headers["access-control-allow-origin"])
		assert.truthy(preflight.headers["access-control-allow-methods"]:find "PUT")
		assert.truthy(preflight.headers["access-control-allow-headers"]:find "Authorization")
		assert.equal("*", put(where, "abc", { Origin = "https://chat.example" }).headers["access-control-allow-origin"])
	end)

	it("does not find what is not there", function ()
		local where = shared("there", "x")
		for _, path in ipairs { where.get .. "x", where.get:gsub("there$", "elsewhere"), "/file_share/", "/file_share/x",
			"/file_share/x/y", "/file_share/" .. ("x"):rep(1000) .. "/y", "/file_share/..%2f..%2fconfig/x" } do
			local status = http.get(server, path, { Host = where.host }).status
			assert.is_true(status == 404 or status == 400, path .. " " .. status)
		end
	end)

	it("is for who the role permits", function ()
		local reply = server:person "juliet":asks(("<iq type='get' to='upload.localhost'>"
			.. "<request xmlns='%s' filename='a' size='5'/></iq>"):format(NS))
		assert.equal("result", reply.attr.type)
	end)

	it("keeps files, and the slots of before, over a reload and a restart", function ()
		local where, unused = shared("kept", "kept", "text/plain"), slot("later", 5, nil, { to = "localhost" })
		local said, code = server:ctl("shell", "module", "reload", "http_file_share", "localhost")
		assert.equal(0, code, said)
		assert.equal(201, put(unused, "later").status)
		server:restart()
		romeo = server:person "romeo"
		assert.equal("kept", get(where).body)
		assert.equal("later", get(unused).body)
	end)

	it("is cleaned up by an admin", function ()
		local mercutio = server:person "mercutio"
		local one, two = shared("one", "1", nil, { who = mercutio }), shared("two", "22", nil, { who = mercutio })
		local said = server:ctl("shell", "file_share", "list", "upload.localhost", "mercutio@localhost")
		assert.truthy(said:find "2 files, 3 B" and said:find "one" and said:find "two", said)
		said = server:ctl("shell", "file_share", "delete", "upload.localhost", "https://" .. one.host .. one.get)
		assert.truthy(said:find "Removed", said)
		assert.equal(404, get(one).status)
		assert.equal(403, put(one, "1").status) -- its token is still good, but there is no slot
		assert.equal("22", get(two).body)
		said = server:ctl("shell", "file_share", "purge", "upload.localhost", "mercutio@localhost")
		assert.truthy(said:find "1 files of mercutio@localhost removed, 2 B", said)
		assert.equal(404, get(two).status)
		said = server:ctl("shell", "file_share", "expire", "upload.localhost")
		assert.truthy(said:find "have expired", said)
	end)

	it("ends with the account", function ()
		local tybalt = server:person "tybalt"
		local where = shared("mine", "x", nil, { who = tybalt })
		tybalt:leaves()
		assert.equal(0, select(2, server:ctl("deluser", "tybalt@localhost")))
		server:awaits(function () return get(where).status == 404 end, "the file to go")
	end)
end)

describe("Files that Prosody took", function ()
	it("are given at their old address", function ()
		local server = Server.start {
			with_http = true, data = "spec/fixtures/prosody/012-files",
			config = 'storage = "internal"; http_file_share_expires_after = "never"',
			hosts = { ["example.test"] = 'modules_enabled = { "http_file_share" }' },
		}
		local path = "/file_share/wOoLJMQDnBkrkUrt47fW1STF/a%20b.txt"
		local response = http.get(server, path, { Host = "example.test" })
		assert.equal(200, response.status)
		assert.equal("text/plain; charset=utf-8", response.headers["content-type"])
		assert.equal("5", response.headers["content-length"])
		assert.equal(404, http.get(server, path:gsub("wO", "k5"), { Host = "example.test" }).status)
		server:stop()
	end)
end)
