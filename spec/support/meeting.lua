--- Users of a server of ours (montague.example) and of another one (capulet.example) meet, by each path on which the
-- servers can prove themselves; the users are slixmpp clients.
--
--   meeting.suite(_ENV, "Prosody", paths, start, target)
-- A path: { name =, told = what the admin reads of the stream we open, heard = of the one that comes in, streams = how
-- many it takes (2), modules = ours, certificate = the name of ours, their_certificate =, direct_tls =,
-- by_dns = true: we ask the name server where the other one is, records = a function of ports that gives the records of
-- a signed zone "example" in which both are found, config = }.
-- start(path, ports): starts the other server. ports: { theirs =, their_direct =, name_server =, trusted = key of a
-- signed zone's root }; it asks the name server where we are, which calls this machine by `target`, if given.

local certs = require "spec.support.certs"
local dns = require "spec.support.dns"
local federation = require "spec.support.federation"
local outside = require "spec.support.outside"
local Server = require "spec.support.server"

local meeting = {}

-- How we find the other server.
local function way(path, ports)
	if ports.trusted then
		return ('unbound = { resolvconf = false; hoststxt = false; forward = "127.0.0.1@%d"; trusted = %q }\n'
			.. 's2s_allow_private_targets = { "loopback" }\n'):format(ports.name_server, ports.trusted)
	elseif not path.by_dns then
		return federation.routes { ["capulet.example"] = {
			port = path.direct_tls and ports.their_direct or ports.theirs, direct_tls = path.direct_tls,
		} }
	end
	return ('unbound = { hoststxt = false; forward = "127.0.0.1@%d"; options = { ["do-not-query-localhost"] = false } }\n'
		.. 's2s_allow_private_targets = { "loopback" }\n'):format(ports.name_server)
end

local function start_ours(path, ports)
	return Server.start {
		with_s2s = true, hosts = { ["montague.example"] = "" }, more_modules = path.modules, wait = false,
		config = federation.ssl(path.certificate or "montague")
			.. ("s2s_ports = { %d }; s2s_direct_tls_ports = { %d }\n"):format(ports.ours, ports.our_direct)
			.. way(path, ports) .. (path.config or ""),
	}
end

--- Starts both. Gives { montague =, capulet =, names = (the name server), ports = }.
function meeting.start(path, start_theirs, target)
	local ports = {}
	for _, name in ipairs { "ours", "our_direct", "theirs", "their_direct" } do ports[name] = Server.free_port() end
	local here = { ports = ports }
	if path.records then
		local names = assert(dns.start { example = path.records(ports) })
		ports.trusted = names:settings().trusted[1]
		here.names = { port = names.relay.port, close = function() names:stop() end }
	else
		here.names = federation.name_server({
			["_xmpp-server._tcp.montague.example"] = not path.direct_tls and ports.ours or nil,
			["_xmpps-server._tcp.montague.example"] = path.direct_tls and ports.our_direct or nil,
			["_xmpp-server._tcp.capulet.example"] = ports.theirs,
		}, target)
	end
	ports.name_server = here.names.port
	here.montague = start_ours(path, ports)
	here.capulet = start_theirs(path, ports)
	here.montague:await_ready()
	here.montague:awaits_log "Activated service 's2s_direct_tls'"
	here.capulet:await_ready()
	return here
end

local function count_streams(server)
	return tonumber(server:ctl("shell", "s2s", "show"):match "(%d+) streams? between servers")
end

local function meet(here, first, other)
	local argv = { "/usr/bin/python3", "spec/interop/slixmpp_meeting.py" }
	for _, who in ipairs { first, other } do
		local server = here[who[2]]
		server:register(who[1], "secret", server:host())
		table.move({ ("%s@%s/x"):format(who[1], server:host()), tostring(server.port) }, 1, 2, #argv + 1, argv)
	end
	argv[#argv + 1] = here.capulet.ca_file or certs.path "ca.crt"
	local said, code = outside.run(argv)
	if code ~= 0 or not said:find "%f[^\n\0]PASS\n" then
		error(("they did not meet (%s):\n%s\nOur log:\n%s\nTheirs:\n%s"):format(code, said, here.montague:tail(),
			here.capulet:tail()), 2)
	end
end

--- The scenarios of all paths, as busted suites. env: the spec file's _ENV.
function meeting.suite(env, name, paths, start_theirs, target)
	local describe, it, setup, teardown, assert = env.describe, env.it, env.setup, env.teardown, env.assert
	for _, path in ipairs(paths) do
		describe(("Users of ours and of %s, connected by %s,"):format(name, path.name), function()
			local here

			setup(function() here = meeting.start(path, start_theirs, target) end)
			teardown(function()
				if not here then return end
				here.capulet:stop()
				here.montague:stop()
				here.names:close()
			end)

			it("subscribe, see presence, chat, ping, and read cards when ours begins", function()
				meet(here, { "romeo", "montague" }, { "juliet", "capulet" })
			end)

			it("and the admin can read how both servers have proven themselves", function()
				local told = here.montague:ctl("s2s", "explain", "capulet.example")
				assert.truthy(told:find(path.told, 1, true), told)
				if path.heard then assert.truthy(told:find(path.heard, 1, true), told) end
				assert.equal(path.streams or 2, count_streams(here.montague))
			end)

			it("do the same when theirs begins", function()
				here.montague:ctl("s2s", "close", "capulet.example")
				here.montague:awaits(function() return count_streams(here.montague) == 0 end, "the streams to end")
				meet(here, { "nurse", "capulet" }, { "benvolio", "montague" })
			end)
		end)
	end
end

return meeting
