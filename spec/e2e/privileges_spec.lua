--- A server that root has started, and that is not to stay root.

local Server = require "spec.support.server"
local certs = require "spec.support.certs"
local lfs = require "lfs"
local socket = require "socket"

-- true, or nil.
local function succeeds(command) return (os.execute(command .. " 2>/dev/null >&2")) end

local function missing()
	if not succeeds "test $(id -u) = 0" then return "only root can become somebody else" end
	local seen = ("setpriv --reuid=nobody --clear-groups test -x %s/build/couplet -a -r %s/modules/core/startup.lua")
	if not succeeds(seen:format(lfs.currentdir(), lfs.currentdir())) then
		return "nobody may not read the folder of the sources"
	end
end

-- One that nobody listens on.
local function free_low_port()
	for port = 1023, 600, -1 do
		local listening = socket.bind("127.0.0.1", port)
		if listening then
			listening:close()
			return port
		end
	end
	error "there is no free port below 1024"
end

describe("A server that root has started for the user nobody", function ()
	local server
	local why = missing()
	if why then
		pending(why)
		return
	end

	local function start(is_low)
		-- Nobody may look into a process that has changed its user, not even its own search for leaks.
		server = Server.unstarted { env = { ASAN_OPTIONS = "exitcode=99:abort_on_error=0:detect_leaks=0" } }
		server.options.config = ([[
			prosody_user = "nobody"; prosody_group = "nogroup"
			ssl = { certificate = %q; key = %q }
		]]):format(server.folder .. "/server.crt", server.folder .. "/server.key")
		if is_low then server.port = free_low_port() end
		server.config = server.folder .. "/server.cfg.lua"
		server:configure {}
		assert(succeeds(("cp %s %s %s"):format(certs.path "server.crt", certs.path "server.key", server.folder)))
		assert(succeeds(("chown -R nobody:nogroup %s"):format(server.folder)))
		assert(succeeds(("chmod o+rx %s"):format(server.folder)))
		server:run()
	end

	local function status(field)
		local file <close> = assert(io.open(("/proc/%d/status"):format(server.process:pid())))
		return file:read "a":match(field .. ":%s*(%S+)")
	end

	after_each(function () server:stop() end)

	it("runs as that user, without any privilege", function ()
		start(false)
		assert.equal("65534", status "Uid")
		assert.equal("0000000000000000", status "CapPrm")
		server:person "romeo"
	end)

	it("opens ports below 1024, and its data is that user's from the start", function ()
		start(true)
		assert.equal("65534", status "Uid")
		assert.equal("0000000000000400", status "CapEff") -- CAP_NET_BIND_SERVICE
		server:person "romeo"
		assert.is_nil(succeeds(("find %s/data -user root | grep -q ."):format(server.folder)))
		server:restart()
		server:client { user = "romeo" }
	end)
end)
