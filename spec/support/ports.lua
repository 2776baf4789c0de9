--- Ports of loopback for servers of specs.
--
-- A port that is free when asked for may be somebody else's when the server listens on it. So each is reserved until
-- this interpreter ends, and taken from below those that the kernel gives to outgoing connections.

local process = require "process"
local socket = require "socket"

local ports = {}

local LOWEST, HIGHEST, UNPRIVILEGED = 10000, 31000, 1024

-- First and last of those that we take.
local function range()
	local file <close> = io.open "/proc/sys/net/ipv4/ip_local_port_range"
	local first = file and file:read "n" or HIGHEST + 1
	if first > LOWEST then return LOWEST, math.min(HIGHEST, first - 1) end
	if first > 2 * UNPRIVILEGED then return UNPRIVILEGED, first - 1 end
	return LOWEST, HIGHEST -- the kernel may be faster, then
end

local first, last = range()
-- Where others begin elsewhere, few are in the way.
local next_port = first + io.open("/proc/self/stat"):read("n") * 16 % (last - first)

local function is_free(port)
	local tcp = socket.bind("127.0.0.1", port)
	if not tcp then return false end
	tcp:close()
	local udp = assert(socket.udp4())
	local is_unbound = udp:setsockname("127.0.0.1", port)
	udp:close()
	return is_unbound ~= nil
end

--- A port, of TCP and UDP, on which nobody listens and which no other spec is given while this one runs.
function ports.free()
	for _ = first, last do
		local port = next_port
		next_port = port < last and port + 1 or first
		if process.reserves("couplet-port-" .. port) and is_free(port) then return port end
	end
	error(("no port from %d to %d is free"):format(first, last))
end

return ports
