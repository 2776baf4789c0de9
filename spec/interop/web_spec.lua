-- strophe.js and @xmpp/client (npm, installed into build/npm) over WebSocket and BOSH; curl on files.

local certs = require "spec.support.certs"
local outside = require "spec.support.outside"
local Server = require "spec.support.server"

describe("Web clients", function()
	local server, folder

	setup(function()
		outside.needs_npm()
		local pipe <close> = io.popen "mktemp -d /tmp/couplet-web.XXXXXX"
		folder = pipe:read "l"
		server = Server.start {
			with_http = true, more_modules = { "websocket", "bosh", "http_files" },
			config = ("http_files_dir = %q; http_paths = { files = '/' }"):format(folder),
		}
		for _, user in ipairs { "romeo", "juliet" } do server:register(user, "secret") end
		server:awaits_log "Activated service 'https'"
	end)
	teardown(function()
		server:stop()
		os.execute(("rm -rf '%s'"):format(folder))
	end)

	for _, case in ipairs { { "strophe", "websocket" }, { "strophe", "bosh" }, { "xmpp.js", "websocket" } } do
		it(("talk: %s over %s"):format(case[1], case[2]), function()
			local said, code = outside.run({ "node", "spec/interop/web_client.mjs", case[1], case[2],
				tostring(server.https_port) }, { env = { NODE_EXTRA_CA_CERTS = certs.path "ca.crt" }, seconds = 60 })
			assert(code == 0 and said:find "%f[^\n\0]PASS\n", said .. server:tail())
		end)
	end

	it("download with curl: 100 MiB, resumed in the middle, and nothing that is not there", function()
		assert(os.execute(("head -c 104857600 /dev/urandom >'%s/big.bin'"):format(folder)))
		local before = server:memory()
		local said, code = outside.run({ "sh", "-c", ([[
			set -e
			url=https://localhost:%d/big.bin; cd '%s'; ca='%s'
			curl -sS --cacert "$ca" -r 0-49999999 -o part "$url"
			curl -sS --cacert "$ca" -C - -o part "$url"
			cmp part big.bin
			test "$(curl -sS --cacert "$ca" --path-as-is -o /dev/null -w '%%{http_code}' "$url/../../etc/passwd")" = 400
			test "$(curl -sS --cacert "$ca" -z part -o /dev/null -w '%%{http_code}' "$url")" = 304
			echo PASS]]):format(server.https_port, folder, certs.path "ca.crt") }, { seconds = 60 })
		assert(code == 0 and said:find "PASS", said)
		assert.truthy(server:memory() - before < 6000, server:memory() - before)
	end)
end)
