--- Figures of the HTTP server: what was answered, by the name of the host and the module. Counting is the core's, with
-- each answer; here it is read.
--
-- Always true: hosts and modules are those of the configuration; a peer makes no figure appear (SECURITY E9).
local native = require "couplet.native"
local server = require "prosody.net.http.server"

local ipairs, math_huge, pairs = ipairs, math.huge, pairs

local _M = {}
local _ENV = nil

local sites = { [""] = { host = "", name = "", number = 0 } } -- key -> site, for good, as counters are

--- The number for response.site. host: nil for what is answered on all of them. name: of the app.
function _M.site(host, name)
	host = host or ""
	local key = host .. "/" .. name
	sites[key] = sites[key] or { host = host, name = name, number = server.site() }
	return sites[key].number
end

--- Makes the families of metrics; gives the function that brings them up to date. Labels are empty where nobody
-- answers.
function _M.start(registry)
	local buckets, indices = {}, {}
	for i, bound in ipairs(native.histogram_bounds()) do
		if (i - 1) % 3 == 0 then -- of 1, 2, 5, 10 ... the powers of ten
			buckets[#buckets + 1], indices[#indices + 1] = bound, i
		end
	end
	buckets[#buckets + 1] = math_huge
	local answers = registry:family("counter", "couplet_http_answers", "", "Requests over HTTP that were answered.",
		{ "host", "module", "status" })
	local times = registry:family("histogram", "couplet_http_answer", "seconds",
		"How long requests over HTTP waited for their answers to begin.", { "host", "module" }, { buckets = buckets })
	return function ()
		for _, site in pairs(sites) do
			local by_hundred, durations = server.figures(site.number)
			for hundred, n in ipairs(by_hundred) do
				if n > 0 then
					answers:with_labels(site.host, site.name, hundred .. "xx"):set(n)
				end
			end
			local below = {}
			for i, index in ipairs(indices) do
				below[i] = durations[index]
			end
			below[#below + 1] = durations[#durations]
			if below[#below] > 0 then
				times:with_labels(site.host, site.name):set(below, durations.sum)
			end
		end
	end
end

return _M
