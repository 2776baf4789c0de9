--- Debian's ejabberd as a process, with the methods of spec.support.server: started on a configuration of its own in a
-- folder of its own, on loopback, without the Erlang port mapper (it gets no node name).
--
--   local capulet = ejabberd.start { host = "capulet.example", certificate = files, name_server = port, ... }
--   capulet:person "juliet"    capulet:stop()

local certs = require "spec.support.certs"
local Server = require "spec.support.server"

local ejabberd = setmetatable({}, { __index = Server })
ejabberd.__index = ejabberd

-- Where Debian keeps its libraries; nil: nowhere.
local function libraries()
	local pipe <close> = io.popen "ls -d /usr/lib/*/ejabberd-*/ebin 2>/dev/null"
	return (pipe:read "l" or ""):match "^(.*)/ejabberd%-"
end

function ejabberd.is_installed() return libraries() ~= nil and os.execute "command -v erl >/dev/null 2>&1" or false end

local CONFIGURATION = [[
hosts: ["%s"]
loglevel: debug
certfiles: ["%s"]
ca_file: "%s"
s2s_use_starttls: required
outgoing_s2s_families: [ipv4]
auth_method: internal
registration_timeout: infinity
listen:
  - { port: %d, ip: "127.0.0.1", module: ejabberd_c2s, starttls_required: true }
  - { port: %d, ip: "127.0.0.1", module: ejabberd_s2s_in }
  - { port: %d, ip: "127.0.0.1", module: ejabberd_s2s_in, tls: true }
modules:
  mod_disco: {}
  mod_roster: {}
  mod_ping: {}
  mod_vcard: {}
  mod_register: { ip_access: all }
]]

local function write(path, text)
	local file <close> = assert(io.open(path, "w"))
	assert(file:write(text))
end

local function read(path)
	local file <close> = assert(io.open(path))
	return file:read "a"
end

--- options: host, certificate ({ certificate =, key = } files), port, direct_port (for servers), name_server (a port of
-- loopback), modules (more lines of that section). Gives the running server.
function ejabberd.start(options)
	local self = Server.unstarted { program = "ejabberd", hosts = { [options.host] = "" }, with_s2s = false, wait = false }
	setmetatable(self, ejabberd)
	local pem = self.folder .. "/host.pem"
	write(pem, read(options.certificate.certificate) .. read(options.certificate.key))
	self.ca_file = self.folder .. "/ca.crt" -- clients see the same certificate, be it self-signed
	write(self.ca_file, read(certs.path "ca.crt") .. read(options.certificate.certificate))
	self.config = self.folder .. "/ejabberd.yml"
	write(self.config, CONFIGURATION:format(options.host, pem, certs.path "ca.crt", self.port, options.port,
		options.direct_port) .. (options.modules or ""))
	write(self.folder .. "/inetrc", ("{resolv_conf, \"\"}.\n{hosts_file, \"\"}.\n{lookup, [dns]}.\n"
		.. "{nameserver, {127,0,0,1}, %d}.\n"):format(options.name_server))
	self.options.env = { HOME = self.folder, ERL_LIBS = libraries() }
	self:run()
	return self
end

function ejabberd:arguments()
	local function quoted(path) return ("%q"):format(self.folder .. path) end
	return { "erl", "-noinput", "+S", "1:1", "-kernel", "inetrc", quoted "/inetrc", "-mnesia", "dir", quoted "/data",
		"-sasl", "sasl_error_logger", "false", "-ejabberd", "config", ("%q"):format(self.config), "log_path",
		quoted "/log", "-s", "ejabberd" }
end

-- It takes seconds of the processor for it, with whatever share of that there is.
local START_SECONDS = 200

function ejabberd:await_ready() self:awaits_log("is started in the node", nil, START_SECONDS) end

--- Makes an account, in-band (XEP-0077).
function ejabberd:register(user, password)
	local one = self:client { user = user, ca_file = self.ca_file }
	one:connect():opens_stream_with_features()
	assert(one:starts_tls())
	one:opens_stream_with_features()
	local answer = one:asks(("<iq type='set'><query xmlns='jabber:iq:register'><username>%s</username>"
		.. "<password>%s</password></query></iq>"):format(user, password or "secret"))
	assert(answer.attr.type == "result", tostring(answer))
	one:vanishes()
end

return ejabberd
