-- Prometheus (Debian's) reads our figures: promtool checks them, and the real thing scrapes them as OpenMetrics.

local http = require "spec.support.http"
local json = require "util.json"
local loop = require "spec.support.loop"
local outside = require "spec.support.outside"
local process = require "process"
local Server = require "spec.support.server"
local socket = require "socket"

describe("Prometheus", function()
	local server
	setup(function()
		server = Server.start { with_http = true, more_modules = { "http_openmetrics", "http_health" } }
		server:person "romeo"
	end)
	teardown(function() server:stop() end)

	it("finds nothing to complain of in our figures", function()
		local path = server.folder .. "/metrics"
		local file <close> = assert(io.open(path, "w"))
		file:write(http.get(server, "/metrics").body)
		file:close()
		local said, code = outside.run { "sh", "-c", "promtool check metrics <" .. path }
		assert.same({ "", 0 }, { said, code })
	end)

	it("scrapes them", function()
		local port, folder = Server.free_port(), server.folder
		local config <close> = assert(io.open(folder .. "/prometheus.yml", "w"))
		config:write(([[
scrape_configs:
- job_name: couplet
  scrape_interval: 200ms
  scrape_timeout: 200ms
  static_configs:
  - targets: ["127.0.0.1:%d"]
]]):format(server.http_port))
		config:close()
		local prometheus = process.spawn { "prometheus", "--config.file=" .. folder .. "/prometheus.yml",
			"--storage.tsdb.path=" .. folder .. "/tsdb", ("--web.listen-address=127.0.0.1:%d"):format(port) }

		-- The values of a query, nil while nothing answers.
		local function ask(query)
			local conn = socket.connect("127.0.0.1", port)
			if not conn then return nil end
			conn:settimeout(loop.deadline_seconds)
			conn:send(("GET /api/v1/query?query=%s HTTP/1.0\r\n\r\n"):format(query))
			local body = (conn:receive "*a" or ""):match "\r\n\r\n(.*)$"
			conn:close()
			local answer = body and json.decode(body)
			return answer and answer.data and answer.data.result
		end

		local deadline = loop.now() + loop.deadline_seconds
		local up, stanzas
		repeat
			loop.turn(0.1) -- another program is asked again: it tells nobody when it is ready
			up, stanzas = ask "up", ask "sum(couplet_stanzas_total)"
		until up and up[1] and up[1].value[2] == "1" and stanzas and stanzas[1] or loop.now() > deadline
		prometheus:kill(15)
		prometheus:wait(loop.deadline_seconds)
		assert.equal("1", up and up[1] and up[1].value[2])
		assert.truthy(tonumber(stanzas[1].value[2]) > 0)
		assert.falsy(server:log():find("GET /metrics.-error"))
	end)
end)
