--- coupletctl cert: keys, certificates signed by themselves, requests for an authority, and the import of what one
-- gave.

local core = require "prosody.util.x509core"
local files = require "prosody.util.files"
local paths = require "prosody.util.paths"
local ui = require "ctl.ui"
local x509 = require "prosody.util.x509"

local commands = {}
local actions = {}
local validity_days = 365

local function directory_of(ctl)
	local config = ctl:load_config()
	return paths.resolve_relative_path(ctl.prosody.paths.config, config.get("*", "certificates") or "certs")
end

-- The files of a host: the name is one of the configuration, so it holds no slash.
local function file_of(ctl, host, suffix)
	return ("%s/%s.%s"):format(directory_of(ctl), host, suffix)
end

local function exists(path)
	return files.size(path) ~= nil
end

local function refuse_existing(path)
	if exists(path) then ui.fail("%s is there already. Move it away first.", path) end
end

-- Gives the value, or fails the command with the error behind it.
local function need(value, err)
	if not value then ui.fail("%s", tostring(err)) end
	return value
end

local function make_directory(ctl)
	need(files.mkdir(directory_of(ctl)))
end

local function make_key(ctl, host)
	local path = file_of(ctl, host, "key")
	refuse_existing(path)
	make_directory(ctl)
	local key = need(core.generate_key(path))
	ui.print("The key is %s", path)
	return key
end

local function need_key(ctl, host)
	local path = file_of(ctl, host, "key")
	if exists(path) then return need(core.load_key(path)) end
	return make_key(ctl, host)
end

local function read_hosts(ctl, names)
	local hosts = {}
	for i, name in ipairs(names) do hosts[i] = ctl:check_host(name) end
	if not hosts[1] then ui.fail_usage(commands.cert) end
	return hosts
end

function actions.key(ctl, names)
	for _, host in ipairs(read_hosts(ctl, names)) do make_key(ctl, host) end
	return 0
end

function actions.request(ctl, names)
	local hosts = read_hosts(ctl, names)
	local path = file_of(ctl, hosts[1], "req")
	refuse_existing(path)
	need(core.request { key = need_key(ctl, hosts[1]), names = hosts, path = path })
	ui.print("The request is %s", path)
	ui.print("What the certificate authority sends back belongs into %s", file_of(ctl, hosts[1], "crt"))
	return 0
end

function actions.generate(ctl, names)
	local hosts = read_hosts(ctl, names)
	local path = file_of(ctl, hosts[1], "crt")
	refuse_existing(path)
	need(core.self_sign { key = need_key(ctl, hosts[1]), names = hosts, days = validity_days, path = path })
	ui.print("The certificate is %s", path)
	ui.print("It is signed by itself: clients will ask whether to trust it.")
	return 0
end

-- Gives certificate and key of a host below a directory, as certbot and others lay them out.
local function find_pair(directory, host)
	for _, pair in ipairs {
		{ "%s/%s/fullchain.pem", "%s/%s/privkey.pem" }, { "%s/%s.crt", "%s/%s.key" }, { "%s/%s.pem", "%s/%s.key" },
		{ "%s/%s/fullchain.cer", "%s/%s/%s.key" }, { "%s/fullchain.pem", "%s/privkey.pem" },
	} do
		local certificate, key = pair[1]:format(directory, host), pair[2]:format(directory, host, host)
		if exists(certificate) and exists(key) then return certificate, key end
	end
end

-- A copy for the server's eyes only; what was there is replaced at once or not at all.
local function copy(from, to)
	local bytes = need(files.read(from))
	need(files.write(to, bytes))
end

-- True when the host has its new certificate.
local function import(ctl, directories, host)
	local certificate, key
	for _, directory in ipairs(directories) do
		certificate, key = find_pair(directory, host)
		if certificate then break end
	end
	if not certificate then
		ui.warn("%s: there is no certificate with its key in %s", host, table.concat(directories, ", "))
		return false
	end
	local parsed = need(x509.load(certificate))
	if not parsed:matches(need(core.load_key(key))) then
		ui.warn("%s: %s is not the key of %s", host, key, certificate)
		return false
	elseif not x509.verify_identity(host, "xmpp-client", parsed) then
		ui.warn("%s: %s is not for this host", host, certificate)
		return false
	end
	copy(key, file_of(ctl, host, "key"))
	copy(certificate, file_of(ctl, host, "crt"))
	ui.print("%s: %s was imported", host, certificate)
	return true
end

function actions.import(ctl, names)
	local directories, hosts = {}, {}
	for _, name in ipairs(names) do table.insert(name:find("/", 1, true) and directories or hosts, name) end
	hosts = read_hosts(ctl, hosts)
	if not directories[1] then directories[1] = "/etc/letsencrypt/live" end
	make_directory(ctl)
	local n_imported = 0
	for _, host in ipairs(hosts) do
		if import(ctl, directories, host) then n_imported = n_imported + 1 end
	end
	if n_imported > 0 then
		local ok, text = ctl:ask_server("config reload")
		if ok == false then ui.warn("The running server did not take them: %s", tostring(text)) end
	end
	return n_imported == #hosts and 0 or 1
end

commands.cert = {
	usage = "cert ACTION HOST ...",
	about = "Make or import certificates",
	details = "Actions:\n"
		.. "    key HOST...      make private keys\n"
		.. "    request HOST...  make a request for a certificate authority, for all these names\n"
		.. "    generate HOST... make a certificate signed by itself, for all these names\n"
		.. "    import HOST... [DIRECTORY...]  copy certificates from there (/etc/letsencrypt/live)",
	run = function (ctl, args)
		local action = actions[table.remove(args, 1) or ""]
		if not action then ui.fail_usage(commands.cert) end
		-- What certbot keeps is often readable for root alone: an import goes on as root.
		if action ~= actions.import then ctl:drop_root() end
		return action(ctl, args)
	end,
}

return commands
