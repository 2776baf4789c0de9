-- Figures of the server (SECURITY E9, F6). That Prometheus accepts them: spec/interop/prometheus_spec.lua.

local http = require "spec.support.http"
local Server = require "spec.support.server"

describe("The figures of a server", function()
	local server
	setup(function()
		server = Server.start {
			with_http = true, more_modules = { "http_openmetrics", "http_altconnect", "bosh", "offline" },
		}
	end)
	teardown(function() server:stop() end)

	-- { ['name{label="value"}'] = number }
	local function figures()
		local response = http.get(server, "/metrics", { Host = "any.example" })
		assert.equal(200, response.status)
		local found = {}
		for line in response.body:gmatch "[^\n]+" do
			local name, value = line:match "^([^#]%S*) (%S+)$"
			if name then found[name] = tonumber(value) end
		end
		return found
	end

	it("tell of requests over HTTP, by host, module and status, and how long they took", function()
		local answers = 'couplet_http_answers_total{host="%s",module="%s",status="%s"}'
		local before = figures()
		for _ = 1, 3 do assert.equal(200, http.get(server, "/.well-known/host-meta").status) end
		assert.equal(405, http.request(server, "DELETE", "/.well-known/host-meta").status)
		for i = 1, 20 do http.get(server, "/" .. i, { Host = i .. ".example" }) end
		assert.equal(400, http.request(server, "GET", "/../x").status)
		local after = figures()
		local function more(name) return after[name] - (before[name] or 0) end
		assert.equal(3, more(answers:format("localhost", "altconnect", "2xx")))
		assert.equal(22, more(answers:format("", "", "4xx")))
		assert.equal(1, more(answers:format("", "openmetrics", "2xx")))
		assert.equal(3, more 'couplet_http_answer_seconds_count{host="localhost",module="altconnect"}')
		assert.equal(3, more 'couplet_http_answer_seconds_bucket{host="localhost",le="10.0",module="altconnect"}')
	end)

	it("tell of streams and logins", function()
		local before = figures()
		server:person "romeo"
		server:register "nurse"
		local nurse = server:client { user = "nurse", password = "wrong" }
		assert.has_error(function() nurse:logs_in() end)
		local after = figures()
		local streams = 'couplet_streams_total{direction="in",link="c2s"}'
		assert.equal(before[streams] + 2, after[streams])
		for result, more in pairs { success = 1, failure = 1 } do
			local name = ('couplet_logins_total{result="%s"}'):format(result)
			assert.equal((before[name] or 0) + more, after[name])
		end
		server:forget_clients()
	end)

	it("tell of stanzas by direction and kind", function()
		local romeo, juliet = server:person "romeo", server:person "juliet"
		local before = figures()
		for i = 1, 3 do
			romeo:sends(("<message to='juliet@localhost' type='chat'><body>%d</body></message>"):format(i))
			juliet:awaits(("<message from='%s'/>"):format(romeo.jid))
		end
		local after = figures()
		for _, way in ipairs { "in", "out" } do
			local name = ('couplet_stanzas_total{direction="%s",kind="message",link="c2s"}'):format(way)
			assert.equal(before[name] + 3, after[name])
		end
		assert.equal(2, after['couplet_sessions{type="c2s"}'])
		assert.truthy(after.couplet_received_bytes_total > before.couplet_received_bytes_total)
		assert.truthy(after.couplet_connections >= 3)
		server:forget_clients()
	end)

	it("tell how long turns, Lua and stores take", function()
		local romeo = server:person "romeo"
		local before = figures()
		romeo:sends "<iq type='set' id='p'><query xmlns='jabber:iq:private'><x xmlns='urn:example:x'/></query></iq>"
		romeo:awaits "<iq type='result' id='p'/>"
		local after = figures()
		assert.truthy(after.couplet_turn_seconds_count > before.couplet_turn_seconds_count)
		assert.truthy(after.couplet_commit_seconds_count > before.couplet_commit_seconds_count)
		assert.truthy(after.couplet_sync_seconds_count > before.couplet_sync_seconds_count)
		assert.equal(after.couplet_turn_seconds_count, after['couplet_turn_seconds_bucket{le="+Inf"}'])
		local call = 'couplet_lua_call_seconds_count{call="iq/self/jabber:iq:private:query"}'
		assert.equal((before[call] or 0) + 1, after[call])
		local writes = 0
		for name, value in pairs(after) do
			if name:find '^couplet_store_seconds_count{operation="set[%w_]*",store="private"}' then writes = writes + value end
		end
		assert.equal(1, writes)
		server:forget_clients()
	end)

	it("do not grow with what peers think of", function()
		local romeo = server:person "romeo"
		local function ask(i)
			romeo:sends(("<iq type='get' id='%d' to='localhost'><q%d xmlns='urn:example:%d'/></iq>"):format(i, i, i))
			romeo:awaits(("<iq id='%d'/>"):format(i))
		end
		ask(1)
		local function count()
			local n = 0
			for _ in pairs(figures()) do n = n + 1 end
			return n
		end
		count()
		local before = count()
		for i = 2, 40 do ask(i) end
		assert.equal(before, count())
		server:forget_clients()
	end)

	it("are shown in the shell, too", function()
		local said, code = server:ctl("shell", "stats", "show", "couplet_turn")
		assert.equal(0, code)
		assert.truthy(said:find "couplet_turn_seconds_count %d+" and said:find "2 figures", said)
		assert.falsy(said:find "bucket" or said:find "couplet_heap")
	end)

	it("come as OpenMetrics to those who ask for it, and only to those who may know", function()
		local response = http.get(server, "/metrics", { Accept = "application/openmetrics-text; version=1.0.0" })
		assert.equal("application/openmetrics-text; version=1.0.0; charset=utf-8", response.headers["content-type"])
		assert.equal("# EOF\n", response.body:sub(-6))
		assert.equal("text/plain; version=0.0.4; charset=utf-8", http.get(server, "/metrics").headers["content-type"])
		assert.equal(403, http.get(server, "/metrics", { ["X-Forwarded-For"] = "127.0.0.1" }).status)
	end)
end)
