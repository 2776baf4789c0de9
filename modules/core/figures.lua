--- The server's own figures, as metrics: what the core has counted (couplet.native.figures) and what the system says of
-- the process. start(registry) makes their families; update() brings them up to date; time_calls(on) begins
-- or ends what costs something.
--
-- Always true: nothing here runs until somebody looks; labels take their values from the code, never from peers.

local native = require "couplet.native"

local io_open, ipairs, math_huge, os_clock, pairs = io.open, ipairs, math.huge, os.clock, pairs
local tonumber = tonumber

local prosody = _G.prosody

local _M = {}
local _ENV = nil

local families -- name below -> family
local bounds   -- of the core's histograms, seconds, +Inf at the end
local decades  -- of these, the indices of every power of ten: there are many calls to tell of

-- Name -> kind, unit, description, labels. Counters and gauges without labels are the core's of the same key.
local list = {
	stanzas = { "counter", "", "Stanzas and other elements of streams that came in or went out.",
		{ "direction", "link", "kind" } },
	streams = { "counter", "", "Streams that began, in: opened by the other side.", { "direction", "link" } },
	sessions = { "gauge", "", "Sessions, by what they have shown to be.", { "type" } },
	turns = { "histogram", "seconds", "How long a turn of the loop took, from the first input to the last output.",
		name = "turn" },
	commits = { "histogram", "seconds", "How long committing a turn's writes took.", name = "commit" },
	syncs = { "histogram", "seconds", "How long output waited until what it acknowledges was durable.", name = "sync" },
	calls = { "histogram", "seconds", "How long calls into Lua took, with what these called, by event or callback.",
		{ "call" }, name = "lua_call" },
	connections = { "gauge", "", "Connections of every kind." },
	accepted = { "counter", "", "Connections that came in.", name = "connections_accepted" },
	refused = { "counter", "", "Connections that limits turned away.", name = "connections_refused" },
	handshakes = { "counter", "", "TLS handshakes that were finished.", name = "tls_handshakes" },
	put_off = { "counter", "", "Times that what a connection had sent was more than its share of a turn.",
		name = "input_put_off" },
	bytes_in = { "counter", "bytes", "Bytes that came in.", name = "received" },
	bytes_out = { "counter", "bytes", "Bytes that went out.", name = "sent" },
	queued_bytes = { "gauge", "bytes", "Bytes that wait for slow connections.", name = "output_queue" },
	parked = { "gauge", "", "Stanzas whose handling waits for something.", name = "stanzas_waiting" },
	live_stanzas = { "gauge", "", "Stanzas in memory.", name = "stanzas_alive" },
	awake_parsers = { "gauge", "", "XML parsers in use.", name = "parsers" },
	heap_bytes = { "gauge", "bytes", "Memory that was asked for and not given back.", name = "heap" },
	lua_bytes = { "gauge", "bytes", "Of that, Lua's.", name = "lua_memory" },
}

local function make_bounds()
	bounds, decades = native.histogram_bounds(), {}
	for i, bound in ipairs(bounds) do
		if (i - 1) % 3 == 0 then -- 1, 2, 5, 10 ...
			decades[#decades + 1] = i
		end
		bounds[i] = bound
	end
	bounds[#bounds + 1] = math_huge
	decades[#decades + 1] = #bounds
end

local function picked(values, indices)
	local some = {}
	for i, index in ipairs(indices) do
		some[i] = values[index]
	end
	return some
end

local function read_resident_bytes()
	local file = io_open("/proc/self/status")
	if not file then
		return nil
	end
	local kib = file:read("a"):match("VmRSS:%s*(%d+)")
	file:close()
	return kib and tonumber(kib) * 1024
end

--- Adds the families to a registry (util.openmetrics). Calls after the first do nothing.
function _M.start(registry)
	if families then
		return
	end
	families = {}
	make_bounds()
	for key, facts in pairs(list) do
		local conf = facts[1] == "histogram" and { buckets = key == "calls" and picked(bounds, decades) or bounds } or nil
		families[key] = registry:family(facts[1], "couplet_" .. (facts.name or key), facts[2], facts[3], facts[4], conf)
	end
	-- Under the names that monitoring expects of every process.
	families.cpu = registry:family("counter", "process_cpu", "seconds", "Processor time used.")
	families.resident = registry:family("gauge", "process_resident_memory", "bytes", "Memory in use.")
	families.started = registry:family("gauge", "process_start_time", "seconds", "When it was started, in Unix time.")
	registry:family("gauge", "couplet_build_info", "", "Which version this is.", { "version" })
		:with_labels(prosody.version):set(1)
end

--- How long calls into Lua take is only counted between true and false.
_M.time_calls = native.time_calls

--- Brings the families up to date with what the core has counted since the last call.
function _M.update()
	local figures = native.figures()
	for key, facts in pairs(list) do
		local family = families[key]
		if facts[1] == "histogram" and key ~= "calls" then
			family:with_labels():set(figures[key], figures[key].sum)
		elseif not facts[4] then
			family:with_labels():set(figures[key])
		end
	end
	for direction, links in pairs(figures.streams) do
		for link, n in pairs(links) do
			families.streams:with_labels(direction, link):set(n)
		end
	end
	for direction, links in pairs(figures.stanzas) do
		for link, kinds in pairs(links) do
			for kind, n in pairs(kinds) do
				families.stanzas:with_labels(direction, link, kind):set(n)
			end
		end
	end
	families.sessions:clear()
	for type_, n in pairs(figures.sessions) do
		families.sessions:with_labels(type_):set(n)
	end
	for name, histogram in pairs(figures.calls) do
		families.calls:with_labels(name):set(picked(histogram, decades), histogram.sum)
	end
	families.cpu:with_labels():set(os_clock())
	families.started:with_labels():set(prosody.start_time)
	local resident = read_resident_bytes()
	if resident then
		families.resident:with_labels():set(resident)
	end
end

return _M
