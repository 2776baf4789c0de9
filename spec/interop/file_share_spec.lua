-- Files by other people's clients: slixmpp's XEP-0363 plugin (Debian: python3-slixmpp, python3-aiohttp) and curl; large
-- ones with flat memory.

local certs = require "spec.support.certs"
local http = require "spec.support.http"
local outside = require "spec.support.outside"
local Server = require "spec.support.server"

local NS = "urn:xmpp:http:upload:0"
local LARGE = 100 * 1024 * 1024

describe("Files", function ()
	local server, romeo, folder

	setup(function ()
		local pipe <close> = io.popen "mktemp -d /tmp/couplet-files.XXXXXX"
		folder = pipe:read "l"
		assert(os.execute(([[cd '%s' && printf 'a small file' >small.txt && head -c 3000000 /dev/urandom >'large picture.png'
			head -c %d /dev/urandom >huge.bin]]):format(folder, LARGE)))
		-- So many bytes in Lua that its collector lets much garbage be before it looks.
		local file <close> = assert(io.open(folder .. "/mod_fat.lua", "w"))
		file:write "kept = {}; for i = 1, 100000 do kept[i] = { i, tostring(i) .. ('x'):rep(26) } end"
		file:close()
		server = Server.start {
			with_http = true,
			more_modules = { "fat" },
			config = ("plugin_paths = { %q }; http_file_share_size_limit = %d; http_file_share_daily_quota = 1e11")
				:format(folder, LARGE),
			components = 'Component "upload.localhost" "http_file_share"\nhttp_host = "localhost"',
		}
		romeo = server:person "romeo"
		server:awaits_log "Activated service 'https'"
	end)
	teardown(function ()
		server:stop()
		os.execute(("rm -rf '%s'"):format(folder))
	end)

	-- Runs it in the folder, with $ca; gives what it said.
	local function shell(script, ...)
		local said, code = outside.run({ "sh", "-c", ("set -e; cd '%s'; ca='%s'\n"):format(folder, certs.path "ca.crt")
			.. script:format(...) }, { seconds = 120 })
		assert(code == 0, said .. server:tail())
		return said
	end

	local function slot(name, size)
		local reply = romeo:asks(("<iq type='get' to='upload.localhost'><request xmlns='%s' filename='%s' size='%d'/></iq>")
			:format(NS, name, size))
		local put = reply:at("slot", "put")
		return put.attr.url, put:child "header":text()
	end

	it("are uploaded by slixmpp and fetched by curl", function ()
		local said, code = outside.run({ "/usr/bin/python3", "spec/interop/file_share_client.py", tostring(server.port),
			certs.path "ca.crt", folder }, { env = { SSL_CERT_FILE = certs.path "ca.crt" }, seconds = 60 })
		assert(code == 0 and said:find "%f[^\n\0]PASS\n", said .. server:tail())
		local urls = {}
		for url in said:gmatch "GET (%S+)" do table.insert(urls, url) end
		assert.equal(2, #urls)
		assert.equal("a small file", shell("curl -sS --cacert $ca '%s'", urls[1]))
		shell("curl -sS --cacert $ca -r 1000000- -o part '%s' && tail -c +1000001 'large picture.png' | cmp - part", urls[2])
		assert.truthy(shell("curl -sSI --cacert $ca '%s'", urls[2]):lower():find "content%-type: image/png")
	end)

	-- First one each way, then what is used is measured; then one more, then five at a time. What counts is the most that
	-- was used meanwhile: five downloads of 256 KiB that wait each, some of what a quiet server gave back before.
	it("of 100 MiB go in and out by curl, and memory stays flat", function ()
		local function transfer(n)
			local urls, script = {}, ""
			for i = 1, n do
				local url, token = slot("huge.bin", LARGE)
				urls[i] = url
				script = script .. ("curl -sS --cacert $ca -H 'Authorization: %s' -T huge.bin -w '%%{http_code}\\n' '%s' &\n")
					:format(token, url)
			end
			local said = shell("%s", script .. "wait")
			assert.equal(("201\n"):rep(n), said)
			script = ""
			for i, url in ipairs(urls) do
				script = script .. ("(curl -sS --cacert $ca '%s' | cmp - huge.bin && echo same) &\n"):format(url, i)
			end
			assert.equal(("same\n"):rep(n), shell("%s", script .. "wait"))
			server:ctl("shell", "file_share", "purge", "upload.localhost", "romeo@localhost")
		end
		transfer(1)
		local before = server:memory()
		local peak <close> = assert(io.open(("/proc/%d/clear_refs"):format(server.process:pid()), "w"))
		assert(peak:write "5" and peak:flush()) -- the peak is forgotten
		transfer(1)
		transfer(5)
		local grown = server:memory "peak" - before
		assert.is_true(grown < 4000, grown .. " KiB")
	end)

	it("of 100 MiB are seen by the admin while they come", function ()
		local url, token = slot("huge.bin", LARGE)
		local from = server:log_position()
		shell("curl -sS --cacert $ca -H 'Authorization: %s' -T huge.bin -o /dev/null '%s'", token, url)
		for _, text in ipairs { "romeo@localhost begins, 100 MiB", "25 MiB of 100 MiB", "50 MiB of 100 MiB",
			"75 MiB of 100 MiB", "is complete, 100 MiB" } do
			server:awaits_log(text, from)
		end
	end)
end)

describe("Files that we took", function ()
	it("are given by Prosody at the same address, should somebody go back", function ()
		local options = {
			with_http = true, config = 'storage = "internal"',
			components = 'Component "upload.localhost" "http_file_share"',
		}
		local server = Server.start(options)
		local reply = server:person "romeo":asks(("<iq type='get' to='upload.localhost'>"
			.. "<request xmlns='%s' filename='a b.txt' size='5' content-type='text/plain'/></iq>"):format(NS))
		local put = reply:at("slot", "put")
		local path = put.attr.url:match "^https?://[^/]+(/.*)$"
		local host = { Host = "upload.localhost" }
		assert.equal(201, http.request(server, "PUT", path,
			{ Host = "upload.localhost", Authorization = put:child "header":text() }, "hello").status)
		assert.equal("hello", http.get(server, path, host).body)
		local data = server.folder .. ".data"
		assert(os.execute(("cp -R '%s/data' '%s'"):format(server.folder, data)))
		server:stop()
		options.program, options.data = "prosody", data
		server = Server.start(options)
		server:awaits_log "Activated service 'http'"
		server.serves_http = server.process
		local response = http.get(server, path, host)
		assert.equal(200, response.status)
		assert.equal("hello", response.body)
		assert.truthy(response.headers["content-type"]:find "^text/plain")
		server:stop()
		os.execute(("rm -rf '%s'"):format(data))
	end)
end)
