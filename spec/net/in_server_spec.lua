--- Looking up names in the server as a process: beside everything else it does, and never before it has gone to the
-- background. A module of this spec runs in the server; romeo asks it by messages to its host.

local Server = require "spec.support.server"
local dns = require "spec.support.dns"
local lfs = require "lfs"
local loop = require "spec.support.loop"
local process = require "process"

local name_server, missing = dns.start()
if not name_server then
	describe("In the server", function () pending("names cannot be looked up here: " .. missing) end)
	return
end

local module_text = [==[
local adns = require "prosody.net.adns"
local async = require "prosody.util.async"
local service = require "prosody.net.resolvers.service"
local st = require "prosody.util.stanza"

local function say(event, text)
	event.origin.send(st.message({ from = module.host, to = event.origin.full_jid }, text))
end

-- As zone files have it, but without the time to live, which gets shorter.
local function text_of(record)
	return (tostring(record):gsub(" %d+ IN ", " IN "))
end

local asked = {}

-- "lookup NAME TYPE": a callback
function asked.lookup(event, name, qtype)
	adns.lookup(function (answer, err)
		say(event, not answer and err or answer[1] and text_of(answer[1]) or answer.status)
	end, name, qtype)
end

-- "wait NAME": the handler waits for a promise
function asked.wait(event, name)
	local answer, err = async.wait_for(adns.lookup_promise(name))
	say(event, answer and text_of(answer[1]) or tostring(err))
end

-- "patient NAME": a callback that waits itself
function asked.patient(event, name)
	adns.lookup(function (answer)
		async.sleep(0.01)
		say(event, "slept, then " .. answer[1].a)
	end, name)
end

-- "many N WORD": that many names that begin with the word; says when all have ended, and how the last did
function asked.many(event, n, word)
	local left = tonumber(n)
	for i = 1, tonumber(n) do
		adns.lookup(function (answer, err)
			left = left - 1
			if left == 0 then say(event, "all over: " .. (answer and answer.status or err)) end
		end, word .. i .. ".secure")
	end
	say(event, "asked")
end

function asked.broken(event)
	adns.lookup(function () error("broken when answered") end, "xmpp.secure")
	asked.lookup(event, "xmpp.secure", "A")
end

function asked.service(event, name)
	local resolver, found = service.new(name, { "xmpps-server", "xmpp-server" }, "tcp",
		{ default_port = 5269, prefer_ipv6 = true }), {}
	local function on_target(conn_type, address, port, extra)
		if not conn_type then
			return say(event, table.concat(found, " "))
		end
		found[#found + 1] = ("%s:%d%s"):format(address, port, extra.direct_tls and "+tls" or "")
		resolver:next(on_target)
	end
	resolver:next(on_target)
end

module:hook("message/host", function (event)
	local body = event.stanza:get_child_text("body") or ""
	local word, first, second = body:match("^(%a+) ?(%S*) ?(%S*)$")
	asked[word](event, first, second)
	return true
end, 100)

-- Asked while the server is still on its way up.
local path = module:get_option_string("dns_spec_result")
if path then
	adns.lookup(function (answer, err)
		local file <close> = assert(io.open(path .. ".new", "w"))
		file:write(answer and text_of(answer[1]) or err)
		file:close()
		os.rename(path .. ".new", path)
	end, "xmpp.secure")
end
]==]

local function write_file(path, text)
	local file <close> = assert(io.open(path, "w"))
	file:write(text)
end

local function read_file(path)
	local file <close> = io.open(path)
	return file and file:read("a")
end

describe("In the server", function ()
	local server, romeo

	local function start(config)
		return Server.start {
			more_modules = { "dns_spec" }, plugins = { dns_spec = module_text },
			config = config .. name_server:configuration(),
		}
	end

	setup(function () server = start "dns_timeout = 600\n" end)
	teardown(function ()
		server:stop()
		name_server:stop()
	end)
	before_each(function () romeo = server:person "romeo" end)
	after_each(function ()
		name_server.relay:release()
		server:forget_clients()
	end)

	local function ask(text)
		romeo:sends(("<message to='localhost'><body>%s</body></message>"):format(text))
	end
	local function hears(text)
		romeo:receives(("<message from='localhost'><body>%s</body></message>"):format(text))
	end

	it("a module is called back with an answer", function ()
		ask "lookup xmpp.secure AAAA"
		hears "xmpp.secure. IN AAAA 2001:db8::10"
		ask "lookup missing.secure A"
		hears "NXDomain"
	end)

	it("a name server that says nothing is given up after the time that is configured", function ()
		local hasty = start "dns_timeout = 1\n"
		romeo = hasty:person "romeo"
		ask "lookup silent.secure A"
		hears "no answer within 1 seconds"
		ask "many 500 silent"
		hears "asked"
		hears "all over: no answer within 1 seconds"
		ask "many 5 silent"
		hears "asked"
		hasty:stop() -- with lookups in progress
	end)

	it("a handler waits for an answer, and so does a callback", function ()
		ask "wait xmpp.secure"
		hears "xmpp.secure. IN A 192.0.2.10"
		ask "patient four.secure"
		hears "slept, then 192.0.2.4"
	end)

	it("a service is found", function ()
		ask "service capulet.secure"
		hears("2001:db8::10:5270+tls 192.0.2.10:5270+tls 2001:db8::10:5269 192.0.2.10:5269 192.0.2.4:443+tls")
	end)

	it("a callback that dies costs nobody else an answer", function ()
		server:expects_error "broken when answered"
		ask "broken"
		hears "xmpp.secure. IN A 192.0.2.10"
	end)

	it("a dead DNS holds up nobody", function ()
		name_server.relay:hold "^held"
		ask "many 500 held"
		hears "asked"
		local juliet = server:person "juliet"
		for _ = 1, 50 do
			juliet:sends "<message to='localhost'><body>lookup host.plain A</body></message>"
			juliet:receives "<message><body>host.plain. IN A 192.0.2.200</body></message>"
		end
		romeo:receives_nothing()
		name_server.relay:release()
		hears "all over: NXDomain"
	end)

	it("the configuration can be read again while answers are awaited", function ()
		name_server.relay:hold("^six")
		ask "lookup six.secure AAAA"
		loop.await(function () return name_server.relay.waiting[1] end, "the question")
		server:reload()
		ask "lookup xmpp.secure A"
		hears "xmpp.secure. IN A 192.0.2.10"
		name_server.relay:release()
		hears "six.secure. IN AAAA 2001:db8::6"
	end)

	it("what is asked on the way up is answered in the background", function ()
		local folder = server.folder .. "/daemon"
		assert(lfs.mkdir(folder))
		write_file(folder .. "/couplet.cfg.lua", ([[
			data_path = %q; plugin_paths = { %q }; dns_spec_result = %q; run_as_root = true; modules_enabled = { "dns_spec" }
			pidfile = %q; log = { info = %q }
			interfaces = { "127.0.0.1" }; c2s_ports = { %d }; modules_disabled = { "s2s" }
			%s
			VirtualHost "localhost"
		]]):format(folder, server.folder .. "/plugins", folder .. "/result", folder .. "/pid", folder .. "/log",
			Server.free_port(), name_server:configuration()))
		local launcher = process.spawn({ server:command "couplet", "-D", "-c", folder .. "/couplet.cfg.lua" },
			{ cwd = lfs.currentdir(), env = { ASAN_OPTIONS = "detect_leaks=0" } })
		local deadline = loop.now() + loop.deadline_seconds
		while not read_file(folder .. "/result") and loop.now() < deadline do loop.turn(0.02) end
		local pid = read_file(folder .. "/pid")
		if pid then assert(os.execute("kill " .. tonumber(pid))) end
		launcher:wait(loop.deadline_seconds)
		assert.equal("xmpp.secure. IN A 192.0.2.10", read_file(folder .. "/result"), read_file(folder .. "/log"))
		while pid and read_file(folder .. "/pid") and loop.now() < deadline do loop.turn(0.02) end
		assert.matches("The server has stopped", read_file(folder .. "/log"))
	end)
end)
