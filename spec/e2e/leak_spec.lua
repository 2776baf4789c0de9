-- Who connects and leaves, at whatever step of a login and in whatever way, leaves nothing behind (CVE-2026-43506).
--
-- LEAK_CONNECTIONS (4000) is how many come and go; 200000 is the long run. spec/support/churn.c is who they are.

local compile = require "spec.support.compile"
local loop = require "spec.support.loop"
local process = require "process"
local Server = require "spec.support.server"

local connections = tonumber(os.getenv "LEAK_CONNECTIONS") or 4000
local KIB_PER_CONNECTION = 1024 / 50000 -- 1 MiB for 50,000

describe("Ever new connections that end at every step of a login", function ()
	local server, program

	setup(function ()
		program = compile("churn", "-lssl -lcrypto")
		server = Server.start {
			config = "auth_throttle_failures = 1000000; auth_throttle_period = \"1s\"; c2s_timeout = 600",
		}
		server:register("guest", "secret")
		server.accounts = { ["guest@localhost"] = true }
	end)
	teardown(function () server:stop() end)

	local function come_and_go(count)
		local p = process.spawn({ program, tostring(server.port), "guest", "secret", tostring(count) }, {})
		local said, ended = {}, false
		loop.watch(p, function ()
			local bytes = p:read()
			if bytes then
				said[#said + 1] = bytes
			elseif bytes == false then
				ended = true
				loop.forget(p)
			end
		end)
		-- The server's debug log is read, and forgotten, as they go.
		loop.await(function ()
			server.output = {}
			return ended
		end, "the connections to have come and gone", 600)
		local how, code = p:wait(loop.deadline_seconds)
		assert.equal("exit 0", how .. " " .. code, table.concat(said))
	end

	-- What is alive once the last of them has gone. files: as many as there should be, if that is known. The memory is
	-- the heap in use, and the most that ever was resident: what is now depends on when free memory was given back.
	local function left(files)
		server:is_alone_with(0)
		local heap = server:heap()
		local deadline = loop.now() + loop.deadline_seconds
		while files and server:open_files() > files and loop.now() < deadline do
			loop.turn(0.02) -- coupletctl, too, has a connection that ends a turn later
		end
		return { heap = heap, peak = server:memory "peak", files = server:open_files() }
	end

	it(("leave nothing behind, %d of them"):format(connections), function ()
		local files = server:open_files()
		come_and_go(3000) -- pools and caches fill
		local before = left()
		come_and_go(connections)
		local after = left(files)
		assert.is_true(after.files <= files, after.files .. " descriptors") -- fewer when a probe at the start still ended
		print(("\t%d connections: heap %d KiB before, %d KiB after; peak %d KiB, %d KiB"):format(connections, before.heap,
			after.heap, before.peak, after.peak))
		local allowed = math.max(512, connections * KIB_PER_CONNECTION)
		for _, what in ipairs { "heap", "peak" } do
			local grown = after[what] - before[what]
			assert.is_true(grown <= allowed, ("%s: %d KiB more after %d connections"):format(what, grown, connections))
		end
		local person = server:person("guest", { appears = false })
		person:settles()
		person:leaves()
	end)
end)
