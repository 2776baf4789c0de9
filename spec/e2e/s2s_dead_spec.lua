-- Somebody writes a lot to domains of which none is there (SECURITY C8): memory stays within the queues' limits, each
-- message is answered once, and others notice nothing.
--
-- S2S_DEAD_MESSAGES (100) is how many for each of a hundred domains; a thousand domains get a tenth of it each. It is
-- about 25 MB in all; with it set, the figures are printed.

local canary = require "spec.support.canary"
local federation = require "spec.support.federation"
local loop = require "spec.support.loop"
local Server = require "spec.support.server"
local socket = require "socket"

local messages = tonumber(os.getenv "S2S_DEAD_MESSAGES") or 100
local ALL_BYTES = 25e6
local LIMIT_KIB = 16 * 1024 -- of all queues

for _, case in ipairs { { "A hundred", 100, messages }, { "A thousand", 1000, messages // 10 } } do
	local name, DOMAINS, per_domain = table.unpack(case)
	describe(name .. " dead domains", function()
		local server, romeo, nurse, silent
		local called = {} -- connections to those who keep silent

		setup(function()
			local silent_port, closed_port = Server.free_port(), Server.free_port()
			silent = assert(socket.bind("127.0.0.1", silent_port, DOMAINS))
			loop.watch(silent, function() table.insert(called, (assert(silent:accept()))) end)
			local routes = {}
			for i = 1, DOMAINS do
				routes[("d%d.example"):format(i)] = { port = i % 4 == 0 and closed_port or silent_port }
			end
			-- What is for the silent ones is more than may wait. A log that is written faster than we read it would hold
			-- up the server.
			server = federation.alone { routes = routes, config = "log = { info = '*console' }" }
			romeo = server:person("romeo", { tls = "direct" })
			nurse = canary.start(server, "nurse")
		end)
		teardown(function()
			nurse:stop()
			server:stop()
			loop.forget(silent)
			silent:close()
		end)

		-- Turns of the server so far, and how often somebody's input had to wait for the next one.
		local function turns()
			local said = server:ctl("shell", [[> (function(figures)
				return figures.put_off .. " " .. table.concat(figures.turns, " ")
			end)(require "couplet.native".figures())]])
			local numbers = {}
			for n in said:gmatch "%d+" do numbers[#numbers + 1] = tonumber(n) end
			local put_off = table.remove(numbers, 1)
			return { put_off = put_off, all = numbers[20], slow = numbers[20] - numbers[9] } -- core/base/histogram.h: 5 ms
		end

		local function tell(text, ...)
			if os.getenv "S2S_DEAD_MESSAGES" then print("\t" .. text:format(...)) end
		end

		it("cost memory within the limit, an answer for each message, and nobody else anything", function()
			local quiet = nurse:notices(function() loop.try_await(function() return false end, 0.5) end)
			local before, cpu, turns_before = server:memory(), server:cpu_seconds(), turns()

			-- All is written, as fast as the server takes it.
			local answers, n_answers, full = {}, 0, 0
			local function look()
				for _, stanza in ipairs(romeo.inbox) do
					if stanza.name == "message" then
						assert(stanza.attr.type == "error", tostring(stanza))
						assert(not answers[stanza.attr.id], "answered twice: " .. stanza.attr.id)
						answers[stanza.attr.id] = true
						n_answers = n_answers + 1
						if stanza:at("error", "resource-constraint") then full = full + 1 end
					end
				end
				romeo:forgets()
			end
			local body = ("x"):rep(ALL_BYTES // (DOMAINS * per_domain))
			local i, d, is_sent = 1, 0, false
			local function write()
				look()
				while romeo.output == "" and not is_sent do
					local some = {}
					for _ = 1, 20 do
						d = d + 1
						if d > DOMAINS then i, d = i + 1, 1 end
						if i > per_domain then break end
						table.insert(some, ("<message to='a@d%d.example' id='d%d %d'><body>%s</body></message>"):format(d, d, i, body))
					end
					is_sent = i > per_domain
					romeo:queues_raw(table.concat(some))
				end
				return is_sent and romeo.output == ""
			end
			local writing = nurse:notices(function()
				loop.await(write, "all to be written", 120)
				romeo:settles()
			end)
			look()
			local peak = server:memory "peak"

			-- Those who kept silent go; what waited comes back.
			assert.equal(DOMAINS // 4 * 3, #called)
			local answering = nurse:notices(function()
				for _, connection in ipairs(called) do connection:close() end
				loop.await(function()
					look()
					return n_answers == DOMAINS * per_domain
				end, "the answers", 120)
			end)
			romeo:receives_nothing()
			local after = turns()
			tell("%d messages, all answered, %d of them because the queues were full", n_answers, full)
			tell("%.0f microseconds of processor time for each", (server:cpu_seconds() - cpu) / n_answers * 1e6)
			tell("memory %d KiB before, at most %d KiB (+%.1f MiB)", before, peak, (peak - before) / 1024)
			tell("%d turns of the server, of which %d were longer than 5 ms; input had to wait for the next one %d times",
				after.all - turns_before.all, after.slow - turns_before.slow, after.put_off - turns_before.put_off)
			tell("%s", canary.tell("before", quiet))
			tell("%s", canary.tell("while they were written", writing))
			tell("%s", canary.tell("while they were answered", answering))
			-- Lua keeps up to twice what is used before it collects.
			assert.is_true(peak - before < 3 * LIMIT_KIB, ("it grew by %d KiB"):format(peak - before))
			assert.is_true(full > 0, "the limit was never reached")
		end)
	end)
end
