-- Bytes to requests (core/net/http.c), requests as modules see them, heads of answers, files (net.http.wire).

local T = require "couplet_core"
local wire = require "net.http.wire"

--- What a reader says to the bytes, in words; head and bodies shortened. cut: hand over so many bytes at a time.
local function said(text, limits, cut)
	local reader = T.net.http_reader(limits)
	local words, body = {}, nil
	local function ask()
		while true do
			local kind, a, b = reader:next()
			if kind == "body" then
				body = (body or "") .. a
			elseif kind ~= "more" then
				if body then words[#words + 1] = "body " .. body; body = nil end
				words[#words + 1] = kind == "head" and a.method .. " " .. a.path
					or kind == "failed" and "failed " .. a or kind
				if kind == "failed" then return "failed", b end
			end
			if kind == "more" then return end
		end
	end
	cut = cut or #text
	for at = 1, #text, math.max(cut, 1) do
		assert.is_true(reader:push(text:sub(at, at + cut - 1)))
		if ask() then break end
	end
	if body then words[#words + 1] = "body " .. body end
	return table.concat(words, ", ")
end

local function head(text)
	local reader = T.net.http_reader()
	reader:push(text)
	local kind, request, more = reader:next()
	if kind ~= "head" then return nil, request, more end
	return setmetatable(request, wire.request_mt), more
end

local get = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"

describe("A request", function()
	it("has a method, a path, a query and headers", function()
		local request, keeps_alive = head("GET /a%20b/c?x=%2F&y HTTP/1.1\r\nHost: h.example:80\r\nAccept-Language:  de \r\n"
			.. "X: 1\r\nx: 2\r\n\r\n")
		assert.equal("GET", request.method)
		assert.equal("/a b/c", request.path)
		assert.same({ path = "/a b/c", query = "x=%2F&y" }, request.url)
		assert.equal("/a%20b/c?x=%2F&y", request.target)
		assert.equal("1.1", request.httpversion)
		assert.equal("h.example:80", request.host)
		assert.same({ host = "h.example:80", accept_language = "de", x = "1, 2" }, request.headers)
		assert.is_true(keeps_alive)
	end)

	it("is the same however it is cut", function()
		local text = "\r\nPOST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello" .. get
			.. "PUT /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n"
			.. "3;x=\"y\"\r\nabc\r\n0A\r\n0123456789\r\n0\r\nT: x\r\n\r\n"
			.. "GET /last HTTP/1.0\r\n\r\n"
		local expected = "POST /p, body hello, end, GET /, end, PUT /c, body abc0123456789, end, GET /last, end"
		for cut = 1, #text do
			assert.equal(expected, said(text, nil, cut))
		end
	end)

	it("may name its host in its target, as for a proxy", function()
		assert.equal("/x", head("GET http://h/x HTTP/1.1\r\nHost: h\r\n\r\n").path)
		assert.equal("/", head("GET HTTP://h HTTP/1.1\r\nHost: h\r\n\r\n").path)
		assert.is_nil(head "GET http://other/x HTTP/1.1\r\nHost: h\r\n\r\n")
	end)

	it("stays connected as RFC 9112 9.3 says", function()
		local function stays(version, connection)
			return select(2, head(("GET / HTTP/%s\r\nHost: h\r\n%s\r\n"):format(version,
				connection and "Connection: " .. connection .. "\r\n" or "")))
		end
		assert.is_true(stays "1.1")
		assert.is_false(stays "1.0")
		assert.is_false(stays("1.1", "close"))
		assert.is_false(stays("1.1", "keep-alive, Close"))
		assert.is_true(stays("1.0", "Keep-Alive"))
		assert.is_true(stays("1.1", "upgrade"))
	end)

	it("cannot give a header that a module would take for one of another name", function()
		local request = head "GET / HTTP/1.1\r\nHost: h\r\nX_Forwarded_For: 6.6.6.6\r\nX-Forwarded-For: 1.1.1.1\r\n\r\n"
		assert.equal("1.1.1.1", request.headers.x_forwarded_for)
	end)

	it("joins cookies as cookies", function()
		assert.equal("a=1; b=2", head("GET / HTTP/1.1\r\nHost: h\r\nCookie: a=1\r\nCookie: b=2\r\n\r\n").headers.cookie)
	end)

	for _, case in ipairs {
		{ "without a Host", "GET / HTTP/1.1\r\n\r\n", 400 },
		{ "with two Hosts", "GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", 400 },
		{ "with a Host that is none", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400 },
		{ "with two lengths", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", 400 },
		{ "with a list of lengths", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1, 1\r\n\r\nx", 400 },
		{ "with a length +5", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +5\r\n\r\n", 400 },
		{ "with a length 0x5", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x5\r\n\r\n", 400 },
		{ "with an empty length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\n", 400 },
		{ "with a huge length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n", 413 },
		{ "with a length and chunks",
			"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
		{ "in chunks twice",
			"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
		{ "in xchunked", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n", 501 },
		{ "in gzip, chunked", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501 },
		{ "in chunks and HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
		{ "with a folded line", "GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n\r\n", 400 },
		{ "that begins with a folded line", "GET / HTTP/1.1\r\n Host: h\r\n\r\n", 400 },
		{ "with a lone LF", "GET / HTTP/1.1\nHost: h\r\n\r\n", 400 },
		{ "with a lone LF at the end", "GET / HTTP/1.1\r\nHost: h\r\n\n", 400 },
		{ "with a lone CR", "GET / HTTP/1.1\r\nHost: h\r\nA: b\rc\r\n\r\n", 400 },
		{ "with a space before the colon", "GET / HTTP/1.1\r\nHost : h\r\n\r\n", 400 },
		{ "without a colon", "GET / HTTP/1.1\r\nHost: h\r\nwhat\r\n\r\n", 400 },
		{ "with a NUL", "GET / HTTP/1.1\r\nHost: h\r\nA: \0\r\n\r\n", 400 },
		{ "with two spaces", "GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400 },
		{ "with a tab", "GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n", 400 },
		{ "of no version", "GET /\r\n\r\n", 400 },
		{ "of version 2.0", "GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505 },
		{ "of version 1.11", "GET / HTTP/1.11\r\nHost: h\r\n\r\n", 400 },
		{ "to a target that is no path", "GET x HTTP/1.1\r\nHost: h\r\n\r\n", 400 },
		{ "to a fragment", "GET /#x HTTP/1.1\r\nHost: h\r\n\r\n", 400 },
		{ "to CONNECT", "CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n", 400 },
		{ "with an expectation", "GET / HTTP/1.1\r\nHost: h\r\nExpect: tea\r\n\r\n", 417 },
		{ "that is TLS", "\22\3\1\2\0\1\0\1\252\3\3\r\n\r\n", 400 },
		{ "with /../", "GET /a/../b HTTP/1.1\r\nHost: h\r\n\r\n", 400 },
		{ "with /..", "GET /a/.. HTTP/1.1\r\nHost: h\r\n\r\n", 400 },
		{ "with /./", "GET /./b HTTP/1.1\r\nHost: h\r\n\r\n", 400 },
		{ "with %2e%2e/", "GET /%2e%2e/b HTTP/1.1\r\nHost: h\r\n\r\n", 400 },
		{ "with ..%2f", "GET /..%2fb HTTP/1.1\r\nHost: h\r\n\r\n", 400 },
		{ "with %u002e", "GET /%u002e%u002e/b HTTP/1.1\r\nHost: h\r\n\r\n", 400 },
		{ "with %00", "GET /a%00b HTTP/1.1\r\nHost: h\r\n\r\n", 400 },
		{ "with half an escape", "GET /a%2 HTTP/1.1\r\nHost: h\r\n\r\n", 400 },
		{ "with a backslash", "GET /a\\..\\b HTTP/1.1\r\nHost: h\r\n\r\n", 400 },
		{ "with raw bytes beyond ASCII", "GET /\xC0\xAE HTTP/1.1\r\nHost: h\r\n\r\n", 400 },
	} do
		it(("%s is refused with %d"):format(case[1], case[3]), function()
			local _, status, why = head(case[2])
			if status == nil or type(status) == "table" then
				assert.truthy(said(case[2]):find("failed " .. case[3], 1, true), said(case[2]))
			else
				assert.equal(case[3], status)
				assert.is_string(why)
			end
			assert.truthy(said(case[2], nil, 1):find("failed " .. case[3], 1, true))
		end)
	end

	it("decodes its path once", function()
		assert.equal("/%2e%2e/b", head("GET /%252e%252e/b HTTP/1.1\r\nHost: h\r\n\r\n").path)
	end)

	it("has a head of at most 8 KiB", function()
		local function with(bytes)
			local text = "GET / HTTP/1.1\r\nHost: h\r\nA: "
			return text .. ("x"):rep(bytes - #text - 4) .. "\r\n\r\n"
		end
		assert.equal("GET /, end", said(with(8192)))
		assert.equal("failed 431", said(with(8193)))
		assert.equal("failed 431", said(("x"):rep(8192)))
		assert.equal("failed 431", said(("x"):rep(8192), nil, 1))
		assert.equal("GET /, end", said(with(8192) , nil, 1))
	end)

	it("is too long before it is wrong, wherever it is cut", function()
		local text = "GET / HTTP/1.1\r\nHost: h\r\nA: " .. ("x"):rep(8192) .. "\n\r\n\r\n"
		assert.equal("failed 431", said(text))
		assert.equal("failed 431", said(text, nil, 1))
	end)

	it("has at most 64 header lines", function()
		local function with(n) return "GET / HTTP/1.1\r\nHost: h\r\n" .. ("A: b\r\n"):rep(n - 1) .. "\r\n" end
		assert.equal("GET /, end", said(with(64)))
		assert.equal("failed 431", said(with(65)))
	end)
end)

describe("A body", function()
	local function chunks(text) return "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" .. text end

	it("of announced length is refused before it comes when it is too long", function()
		local text = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\n"
		assert.equal("POST /, failed 413", said(text, { body_bytes = 10 }))
		assert.equal("POST /", said(text, { body_bytes = 11 }))
	end)

	it("in chunks is refused when it becomes too long", function()
		assert.equal("PUT /, body 12345, failed 413", said(chunks "5\r\n12345\r\n6\r\n", { body_bytes = 10 }))
		assert.equal("PUT /, failed 413", said(chunks "ffffffff\r\n", { body_bytes = 10 }))
	end)

	it("can be allowed to be longer once its head was seen", function()
		local reader = T.net.http_reader { body_bytes = 1 }
		reader:push "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
		assert.equal("head", (reader:next()))
		reader:limit_body(3)
		assert.same({ "body", "abc" }, { reader:next() })
	end)

	for _, case in ipairs {
		{ "no size", "\r\n", 400 }, { "a size +1", "+1\r\nx\r\n", 400 }, { "a size 0x1", "0x1\r\nx\r\n", 400 },
		{ "a space before its size", " 1\r\nx\r\n", 400 }, { "a size of nine digits", "000000001\r\nx\r\n", 400 },
		{ "a lone LF", "1\nx\r\n", 400 }, { "more than it said", "1\r\nxy\r\n", 400 },
		{ "a lone LF behind it", "1\r\nx\n", 400 }, { "an extension without end", "1;" .. ("x"):rep(300), 400 },
		{ "a control character in its extension", "1;\1\r\n", 400 }, { "trailers that are none", "0\r\nx\r\n\r\n", 400 },
		{ "trailers without end", "0\r\nA: " .. ("x"):rep(9000), 431 },
		{ "trailers of many lines", "0\r\n" .. ("A: b\r\n"):rep(2000), 431 },
	} do
		it(("in chunks with %s is refused"):format(case[1]), function()
			local answer = said(chunks(case[2]))
			assert.truthy(answer:find("failed " .. case[3], 1, true), answer)
		end)
	end

	it("is refused at the same length of a line, wherever it is cut", function()
		for _, texts in ipairs { { "1;", "\r\nx\r\n0\r\n\r\n" }, { "0\r\nA: ", "\r\n\r\n" }, { "0\r\nA: ", "\n\r\n" } } do
			local limits = { head_bytes = 256 }
			for length = 240, 262 do
				local text = chunks(texts[1] .. ("x"):rep(length - #texts[1]) .. texts[2])
				local whole = said(text, limits)
				assert.equal(whole, said(text, limits, 1))
				assert.equal(whole, said(text, limits, #text - 1 - #texts[2]))
				assert.equal(whole, said(text, limits, #text - #texts[2]))
				assert.equal(whole, said(text, limits, #text + 1 - #texts[2]))
			end
		end
	end)

	it("of megabytes is handed on in pieces and never kept", function()
		local reader = T.net.http_reader { body_bytes = 1 << 40 }
		reader:push "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 67108864\r\n\r\n"
		assert.equal("head", (reader:next()))
		local piece, total = ("x"):rep(16384), 0
		for _ = 1, 4096 do
			reader:push(piece)
			local kind, bytes = reader:next()
			assert.equal("body", kind)
			total = total + #bytes
		end
		assert.equal(67108864, total)
		assert.equal("end", (reader:next()))
		assert.is_true(reader:is_idle())
	end)

	it("leaves what follows for whoever speaks next", function()
		local reader = T.net.http_reader()
		reader:push(get .. "\1\2\3")
		assert.equal("head", (reader:next()))
		assert.equal("\1\2\3", reader:rest())
	end)

	it("is not waited for without end: input that nobody asks for is refused", function()
		local reader = T.net.http_reader()
		assert.is_true(reader:push(("x"):rep(128 * 1024)))
		assert.is_false(reader:push "x")
	end)
end)

describe("The head of a response", function()
	-- Without its Date, which every head has.
	local function head_of(...)
		local bytes, err = wire.head(...)
		return bytes and bytes:gsub("Date: %a%a%a, %d%d %a%a%a %d%d%d%d %d%d:%d%d:%d%d GMT\r\n", ""), err
	end

	it("names headers as they are known", function()
		assert.equal("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n",
			head_of("200 OK", { content_type = "text/plain" }))
		assert.equal("HTTP/1.1 204 No Content\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n",
			head_of("204 No Content", { set_cookie = { "a=1", "b=2" } }))
		assert.equal("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", head_of("200 OK", { ["content-length"] = 5 }))
	end)

	it("says once how long the body is and whether the connection stays", function()
		assert.equal("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 7\r\n\r\n",
			head_of("200 OK", { content_length = 5, Connection = "keep-alive" }, 7, "close"))
	end)

	it("has the date, which a module may set", function()
		assert.equal("HTTP/1.1 200 OK\r\nDate: then\r\n\r\n", wire.head("200 OK", { date = "then" }))
		assert.equal(os.date("!%a, %d %b %Y %H:%M:%S GMT", 784111777), wire.date(784111777))
		assert.equal("Sun, 06 Nov 1994 08:49:37 GMT", wire.date(784111777)) -- RFC 9110 5.6.7
		local second = wire.date()
		assert.truthy(wire.head("200 OK", {}):find("Date: " .. second, 1, true) or second ~= wire.date())
	end)

	it("may be long", function()
		local long = ("x"):rep(3000)
		assert.equal("HTTP/1.1 200 OK\r\nLocation: " .. long .. "\r\n\r\n", head_of("200 OK", { location = long }))
	end)

	it("cannot be split", function()
		for _, headers in ipairs { { location = "/\r\nSet-Cookie: x=y" }, { ["a\r\nb"] = "x" }, { ["a b"] = "x" },
			{ [""] = "x" }, { x = "a\0b" }, { x = { "a\nb" } }, { x = true }, { [1] = "x" } } do
			local bytes, err = wire.head("200 OK", headers)
			assert.is_nil(bytes)
			assert.truthy(err:find "header")
		end
		assert.has_error(function() wire.head("200 OK\r\nX: y", {}) end)
		assert.has_error(function() wire.head("200 OK", {}, 0, "close\r\nX: y") end)
	end)
end)

describe("A file below a directory", function()
	local root
	setup(function()
		local pipe <close> = io.popen "mktemp -d"
		root = pipe:read "l"
		assert(os.execute(([[cd '%s' && mkdir -p www/sub && echo hello >www/a.txt && echo deep >www/sub/b.txt
			echo secret >secret && ln -s ../secret www/link && ln -s .. www/up && mkfifo www/pipe]]):format(root)))
	end)
	teardown(function() os.execute(("rm -rf '%s'"):format(root)) end)

	it("is opened by its path", function()
		local file <close>, facts = wire.open(root .. "/www", "sub/b.txt")
		assert.equal(5, facts.size)
		assert.equal("file", facts.kind)
		assert.equal("deep\n", file:read(0, 100))
		assert.equal("ee", file:read(1, 2))
		assert.equal("", file:read(5, 2))
		local _, directory = wire.open(root .. "/www", "sub/")
		assert.equal("directory", directory.kind)
		assert.equal("directory", select(2, wire.open(root .. "/www", "")).kind)
	end)

	it("is known again as long as nobody has touched it, unless somebody just has", function()
		local file <close> = wire.open("spec/core/net", "http_spec.lua")
		local fresh <close> = wire.open(root .. "/www", "sub/b.txt")
		assert.is_nil(fresh:stamp(root .. "/www/sub/b.txt"))
		if os.time() - require "lfs".attributes("spec/core/net/http_spec.lua", "change") < 3 then
			return -- this very file was written a moment ago
		end
		assert.is_true(file:stamp("spec/core/net/http_spec.lua"):is_current())
		assert.is_false(file:stamp("spec/core/net/tls_spec.lua"):is_current())
		assert.is_false(file:stamp("spec/core/net/none"):is_current())
	end)

	for _, path in ipairs { "../secret", "sub/../../secret", "/etc/passwd", "link", "up/secret", ".", "./a.txt",
		"sub//b.txt", "a.txt/", "a.txt/x", "pipe", "none", "a\0.txt", ("x"):rep(300) } do
		it(("is not %q"):format(path), function()
			local file, why = wire.open(root .. "/www", path)
			if path == "pipe" then -- opened without waiting for a writer, and then refused
				assert.same({ nil, "refused" }, { file, why })
			else
				assert.is_nil(file)
				assert.truthy(why == "not-found" or why == "refused", why)
			end
		end)
	end
end)
