--- A small world for the specs of core/net: a loop, certificates, and ways to wait for what must happen.

local T = require "couplet_core"

local world = {}

local folder

local function run(command)
	local pipe = assert(io.popen(command .. " 2>&1"))
	local said = pipe:read "a"
	assert(pipe:close(), said)
end

--- Paths of a certificate and its key for the given names, the first of them its identity; made once.
function world.certificate(name, ...)
	if not folder then
		folder = os.tmpname()
		os.remove(folder)
		run("mkdir -m 700 " .. folder)
	end
	local base = ("%s/%s"):format(folder, (name:gsub("*", "_")))
	local file = io.open(base .. ".crt")
	if file then
		file:close()
	else
		local names = { "DNS:" .. name }
		for _, other in ipairs { ... } do table.insert(names, "DNS:" .. other) end
		run(("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj '/CN=%s' "
			.. "-addext 'subjectAltName=%s' -keyout %s.key -out %s.crt"):format(name, table.concat(names, ","), base, base))
	end
	return base .. ".crt", base .. ".key"
end

function world.read(path)
	local file = assert(io.open(path))
	local text = file:read "a"
	file:close()
	return text
end

--- A TLS context; server: the name of its certificate.
function world.server_context(name, config)
	config = config or {}
	config.server = true
	config.certificate, config.key = world.certificate(name)
	return assert(T.net.tls(config))
end

function world.client_context(config)
	return assert(T.net.tls(config or {}))
end

--- Runs turns until is_so() is true. Nothing here should take long; after a minute it is a failure.
function world.wait(loop, what, is_so)
	local limit = T.base.clock_ms() + 60000
	while not is_so() do
		assert(T.base.clock_ms() < limit, "waited in vain until " .. what)
		loop:turn(20)
	end
end

--- Runs turns as long as they bring anything new to do at once.
function world.settle(loop)
	for _ = 1, 20 do loop:turn(2) end
end

--- Callbacks that write down what happened: events.text, events.closed (the reason), events.names (in order),
-- events.NAME_times. They fail when anything comes after closed.
function world.recorder(extra)
	local events, gone = { text = "", names = {} }, {}
	for _, name in ipairs { "accepted", "opened", "data", "secured", "drained", "idle", "closed" } do
		events[name .. "_times"] = 0
	end
	local callbacks = {}
	local function hear(name)
		callbacks[name] = function(conn, text)
			assert(not gone[conn], name .. " was called after closed")
			events[name .. "_times"] = (events[name .. "_times"] or 0) + 1
			table.insert(events.names, name)
			if name == "accepted" then
				events.conn = conn
			elseif name == "data" then
				events.text = events.text .. text
			elseif name == "closed" then
				events.closed = text
				gone[conn] = true
			end
			if extra and extra[name] then extra[name](conn, text, events) end
		end
	end
	for _, name in ipairs { "accepted", "opened", "data", "secured", "drained", "idle", "closed" } do hear(name) end
	if extra and extra.ended then hear "ended" end
	for key, value in pairs(extra or {}) do
		if not callbacks[key] then callbacks[key] = value end
	end
	return callbacks, events
end

--- A server's and a client's end of one connection: server, client (recorders' events with .conn) and the listener.
function world.pair(loop, server_extra, client_extra)
	local server_callbacks, server = world.recorder(server_extra)
	local client_callbacks, client = world.recorder(client_extra)
	local listener = assert(loop:listen(server_callbacks))
	client.conn = assert(loop:connect(listener:port(), client_callbacks))
	world.wait(loop, "both ends are connected", function()
		return server.conn and client.opened_times > 0
	end)
	return server, client, listener
end

return world
