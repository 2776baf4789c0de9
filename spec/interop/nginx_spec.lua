-- nginx in front of the web server, with TLS and the very text of docs/web.md: who the client is, https addresses,
-- WebSocket, BOSH and large uploads through it (SECURITY E8).

local bosh = require "spec.support.bosh"
local certs = require "spec.support.certs"
local http = require "spec.support.http"
local outside = require "spec.support.outside"
local Server = require "spec.support.server"
local socket = require "socket"
local websocket = require "spec.support.websocket"

local module_text = [[
module:depends("http")
local sessions = prosody.hosts[module.host].sessions
module:provides("http", { name = "test"; streaming_uploads = true; route = {
	["GET /who"] = function(event) return tostring(event.request.ip) .. " " .. tostring(event.request.secure) end;
	["GET /url"] = function() return module:http_url("test") end;
	["GET /peer/*"] = function(_, user)
		local found
		for _, session in pairs(sessions[user].sessions) do found = session.ip .. " " .. tostring(session.secure) end
		return found
	end;
	["PUT /upload"] = function(event)
		local request = event.request
		if request.body == false then
			local file = assert(io.open(module:get_option_string("upload_path"), "w"))
			request.body_sink = { write = function(_, bytes) return file:write(bytes) end; close = function() file:close() end }
			return true
		end
		request.body_sink:close()
		return 201
	end;
} })
]]

local function part_of_docs(language, from)
	local file <close> = assert(io.open "docs/web.md")
	return (assert(file:read "a":match("\n```" .. language .. "\n(" .. from .. ".-\n)```\n"), language))
end

local function replace(text, old, new)
	local from, to = text:find(old, 1, true)
	assert(from, "docs/web.md does not say " .. old)
	return text:sub(1, from - 1) .. new .. text:sub(to + 1)
end

describe("nginx in front", function()
	local server, proxy, folder, port

	local function configuration_of_nginx(change)
		local text = part_of_docs("nginx", "map")
		text = replace(text, "listen 443 ssl;", ("listen 127.0.0.1:%d ssl;"):format(port))
		text = replace(text, "server_name example.org;", "server_name localhost;")
		text = replace(text, "/etc/couplet/certs/example.org.crt", certs.path "server.crt")
		text = replace(text, "/etc/couplet/certs/example.org.key", certs.path "server.key")
		text = replace(text, "127.0.0.1:5280", "127.0.0.1:" .. server.http_port)
		text = change and change(text) or text
		local paths = {}
		for _, name in ipairs { "client_body", "proxy", "fastcgi", "uwsgi", "scgi" } do
			table.insert(paths, ("%s_temp_path %s/nginx/%s;"):format(name, folder, name))
		end
		return ("user root root;\npid %s/nginx/pid;\nevents {}\nhttp {\naccess_log off;\n%s\n%s}\n"):format(folder,
			table.concat(paths, "\n"), text)
	end

	local function start_nginx(change)
		local path = folder .. "/nginx/nginx.conf"
		local file <close> = assert(io.open(path, "w"))
		file:write(configuration_of_nginx(change))
		file:close()
		proxy = outside.start { "/usr/sbin/nginx", "-e", "stderr", "-c", path, "-g", "daemon off;" }
		server:awaits(function()
			local probe = socket.connect("127.0.0.1", port)
			if probe then probe:close() end
			return probe or proxy.ended
		end, "nginx to listen")
		assert(not proxy.ended, proxy:said())
	end

	setup(function()
		local pipe <close> = io.popen "mktemp -d /tmp/couplet-nginx.XXXXXX"
		folder = pipe:read "l"
		assert(os.execute(("mkdir '%s/plugins' '%s/nginx'"):format(folder, folder)))
		local file <close> = assert(io.open(folder .. "/plugins/mod_proxytest.lua", "w"))
		file:write(module_text)
		file:close()
		local settings = part_of_docs("lua", "trusted_proxies")
		port = Server.free_port()
		settings = replace(settings, "https://example.org/", ("https://localhost:%d/"):format(port))
		server = Server.start {
			with_http = true, more_modules = { "websocket", "bosh", "proxytest" },
			config = ("%s\nplugin_paths = { %q }\nupload_path = %q"):format(settings, folder .. "/plugins",
				folder .. "/upload"),
		}
		server:register("romeo", "secret")
		server:register("juliet", "secret")
		start_nginx()
	end)
	teardown(function()
		proxy:stop()
		server:stop()
		os.execute(("rm -rf '%s'"):format(folder))
	end)
	after_each(function() server:forget_clients() end)

	local function get(path, headers, options)
		return http.get(server, path, headers, options or { tls = true, port = port, from_ip = "127.0.0.7" })
	end

	it("tells who asks, and that it is over TLS", function()
		assert.equal("127.0.0.7 true", get("/test/who").body)
	end)

	it("is not fooled by what a client says of itself", function()
		assert.equal("127.0.0.7 true", get("/test/who", { ["X-Forwarded-For"] = "192.0.2.1" }).body)
		assert.equal("127.0.0.7 true", get("/test/who", { ["X-Forwarded-Proto"] = "http",
			Forwarded = "for=192.0.2.1;proto=http" }).body)
	end)

	it("is the only one that is believed", function()
		local spoofed = { ["X-Forwarded-For"] = "192.0.2.1", ["X-Forwarded-Proto"] = "https",
			Forwarded = "for=192.0.2.1;proto=https" }
		assert.equal("127.0.0.3 false", get("/test/who", spoofed, { from_ip = "127.0.0.3" }).body)
	end)

	it("is where our addresses lead", function()
		assert.equal(("https://localhost:%d/test"):format(port), get("/test/url").body)
	end)

	local function talks_with_juliet(send, receive)
		local juliet = server:client { user = "juliet", resource = "balcony" }:logs_in():appears()
		send "<message xmlns='jabber:client' to='juliet@localhost/balcony' type='chat'><body>art thou there?</body></message>"
		juliet:receives "<message from='romeo@localhost/web' type='chat'><body>art thou there?</body></message>"
		juliet:sends "<message to='romeo@localhost/web' type='chat'><body>ay me</body></message>"
		assert.equal("ay me", receive():at("body"):text())
		assert.equal("127.0.0.7 true", get("/test/peer/romeo").body)
	end

	it("carries WebSockets, of pages it is the origin of and of no others", function()
		local function connect(origin)
			return websocket.connect(server, { tls = true, port = port, from_ip = "127.0.0.7", headers = { Origin = origin } })
		end
		local ws = assert(connect("https://localhost:" .. port)):logs_in("romeo", "secret", "web")
		talks_with_juliet(function(text) ws:sends(text) end, function() return ws:receives() end)
		ws:sends "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>"
		assert.equal("close", ws:receives().name)
		assert.equal(1000, ws:closes())
		assert.equal(403, select(2, connect "https://evil.example").status)
	end)

	it("carries BOSH", function()
		local web = assert(bosh.new(server, { tls = true, port = port, from_ip = "127.0.0.7" })
			:logs_in("romeo", "secret", "web"))
		local asked
		talks_with_juliet(function(text) asked = web:sends(text) end, function() return bosh.answer(asked):at("message") end)
		web:asks("", { type = "terminate" })
	end)

	it("carries an upload of 100 MiB as it comes, and we do not grow with it", function()
		assert(os.execute(("head -c 104857600 /dev/urandom >'%s/big'"):format(folder)))
		local before = server:memory()
		local said, code = outside.run({ "sh", "-c", ("cd '%s' && curl -sS --cacert '%s' -T big "
			.. "-w '%%{http_code}' https://localhost:%d/test/upload && cmp big upload"):format(folder, certs.path "ca.crt",
			port) }, { seconds = 60 })
		assert(code == 0 and said:find "201", said)
		assert.truthy(server:memory() - before < 6000, server:memory() - before)
		assert(os.execute(("rm '%s/big' '%s/upload'"):format(folder, folder)))
		for name in io.popen(("ls '%s/nginx/client_body'"):format(folder)):lines() do
			error("nginx has kept a body on its disk: " .. name)
		end
	end)

	it("may say it in the header Forwarded (RFC 7239), and then nothing else is believed", function()
		proxy:stop()
		server:configure { config = server.options.config .. "\nhttp_legacy_x_forwarded = false" }
		server:reload()
		start_nginx(function(text)
			text = replace(text, "proxy_set_header X-Forwarded-For $remote_addr;",
				'proxy_set_header Forwarded "for=$remote_addr;proto=$scheme";')
			return replace(text, "proxy_set_header X-Forwarded-Proto $scheme;", "")
		end)
		assert.equal("127.0.0.7 true", get("/test/who").body)
		assert.equal("127.0.0.7 true", get("/test/who", { ["X-Forwarded-For"] = "192.0.2.1" }).body)
		assert.equal("127.0.0.3 false", get("/test/who", { Forwarded = "for=192.0.2.1;proto=https" },
			{ from_ip = "127.0.0.3" }).body)
	end)
end)
