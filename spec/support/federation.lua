--- Servers that talk to each other, in scenarios: two of ours that know where the other is, certificates good and bad,
-- and a peer that says what the spec wants it to say.
--
--   local verona = federation.pair { options = "...", more_modules = { ... }, certificates = { montague = ..., ... } }
--   verona.montague, verona.capulet           servers (spec.support.server) of montague.example and capulet.example
--   verona:stop()
--   federation.certificate "name"             its files: { certificate =, key = }
--   federation.hole "::1"                     where connecting takes forever
--   federation.banner "220 hello"             where something else listens
--   federation.peer(server, { from = "verona.example", certificate = "verona" })   a client in jabber:server

local certs = require "spec.support.certs"
local client = require "spec.support.client"
local lfs = require "lfs"
local loop = require "spec.support.loop"
local Server = require "spec.support.server"
local sha = require "spec.support.sha"
local socket = require "socket"

local federation = {}

-- Certificates of verona.example and what is wrong with them; all by the authority of spec.support.certs but "strange".
local script = [[
set -e
umask 077
mkdir -p "$1" && cd "$1"
key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"; }
signed() { # NAME CN EXTENSIONS [DAYS]
	key "$1"
	printf '%s\n' "$3" > "$1.ext"
	openssl req -new -key "$1.key" -subj "/CN=$2" -out "$1.csr"
	openssl x509 -req -in "$1.csr" -CA "${5:-$2ca}" -CAkey "${6:-$2key}" -CAcreateserial -sha256 -days "${4:-3650}" \
		-extfile "$1.ext" -out "$1.crt"
}
cp "$2" ca.crt; cp "$3" ca.key # others may count serial numbers beside the original at the same time
ca=ca.crt; cakey=ca.key
by_ca() { signed "$1" "$2" "$3" "${4:-3650}" "$ca" "$cakey"; }
both=extendedKeyUsage=serverAuth,clientAuth
for name in montague capulet verona; do
	by_ca $name $name.example "subjectAltName=DNS:$name.example
$both"
done
by_ca server_only x "subjectAltName=DNS:verona.example
extendedKeyUsage=serverAuth"
by_ca srv_name x "subjectAltName=otherName:1.3.6.1.5.5.7.8.7;IA5:_xmpp-server.verona.example
$both"
by_ca xmpp_addr x "subjectAltName=otherName:1.3.6.1.5.5.7.8.5;UTF8:verona.example
$both"
by_ca wildcard x "subjectAltName=DNS:*.verona.example
$both"
by_ca client_srv x "subjectAltName=otherName:1.3.6.1.5.5.7.8.7;IA5:_xmpp-client.verona.example
$both"
by_ca cn_only verona.example "$both"
by_ca wildcard_top x "subjectAltName=DNS:*.example
$both"
by_ca partial x "subjectAltName=DNS:v*.example
$both"
by_ca address x "subjectAltName=IP:127.0.0.1
$both"
by_ca person x "subjectAltName=otherName:1.3.6.1.5.5.7.8.5;UTF8:romeo@verona.example
$both"
by_ca mail_only x "subjectAltName=DNS:verona.example
extendedKeyUsage=emailProtection"
by_ca expired x "subjectAltName=DNS:verona.example
$both" -1
by_ca client_only x "subjectAltName=DNS:verona.example
extendedKeyUsage=clientAuth"
by_ca double x "subjectAltName=DNS:*.*.verona.example
$both"
by_ca punycode x "subjectAltName=DNS:xn--bcher-kva.example
$both"
# Names that the openssl program does not write: bücher.example as it is, and one with a NUL inside.
hex() { od -An -tx1 | tr -d " \n"; }
by_ca ulabel x "subjectAltName=DER:3011820f$(printf "b\303\274cher.example" | hex)
$both"
by_ca nul x "subjectAltName=DER:301e821c$(printf "verona.example\0.evil.example" | hex)
$both"
names() { seq "$1" | sed "s/.*/DNS.&=name&.example/"; echo DNS.0=verona.example; }
by_ca thousand x "$both
subjectAltName=@names
[names]
$(names 999)"
by_ca many x "$both
subjectAltName=@names
[names]
$(names 10000)"
# Signed by one who may not sign, and by one who may, but not for that name.
signed leaf_issuer x "subjectAltName=DNS:verona.example
$both" 3650 verona.crt verona.key
cat verona.crt >> leaf_issuer.crt
for name in montague verona; do
	by_ca only_$name x "basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign,cRLSign
nameConstraints=critical,permitted;DNS:$name.example"
	signed by_only_$name x "subjectAltName=DNS:verona.example
$both" 3650 only_$name.crt only_$name.key
	cat only_$name.crt >> by_only_$name.crt
done
# What was good enough once: signatures by MD5 and SHA-1, a short RSA key.
openssl genrsa -out rsa_ca.key 2048
printf "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n" > rsa_ca.ext
openssl req -new -key rsa_ca.key -subj "/CN=RSA authority" -out rsa_ca.csr
openssl x509 -req -in rsa_ca.csr -CA "$ca" -CAkey "$cakey" -CAcreateserial -sha256 -days 3650 -extfile rsa_ca.ext \
	-out rsa_ca.crt
for name in md5 sha1 rsa1024 rsa2048; do
	case $name in rsa*) openssl genrsa -out $name.key ${name#rsa}; digest=sha256 ;; *) key $name; digest=$name ;; esac
	printf "subjectAltName=DNS:capulet.example\n$both\n" > $name.ext
	openssl req -new -key $name.key -subj /CN=x -out $name.csr
	openssl x509 -req -in $name.csr -CA rsa_ca.crt -CAkey rsa_ca.key -CAcreateserial -$digest -days 3650 \
		-extfile $name.ext -out $name.crt
	cat rsa_ca.crt >> $name.crt
done
# Valid only in another century; and revoked.
cat > authority.cnf <<END
[ca]
default_ca=here
[here]
database=index.txt
serial=serial
new_certs_dir=.
default_md=sha256
policy=any
unique_subject=no
[any]
commonName=supplied
END
: > index.txt
echo 1000 > serial
authority() { openssl ca -batch -config authority.cnf -cert "$ca" -keyfile "$cakey" "$@"; }
key future
printf "subjectAltName=DNS:verona.example\n$both\n" > future.ext
openssl req -new -key future.key -subj /CN=x -out future.csr
authority -notext -in future.csr -extfile future.ext -startdate 21000101000000Z -enddate 21010101000000Z -out future.crt
by_ca revoked x "subjectAltName=DNS:verona.example
$both"
authority -revoke revoked.crt
authority -gencrl -crldays 3650 -out revoked.crl
authority -gencrl -crl_lastupdate 20200101000000Z -crl_nextupdate 20200201000000Z -out expired.crl
all() { # BEFORE AFTER NAME...
	before=$1; after=$2; list=; shift 2
	for one; do list="$list${list:+,}$before$one$after"; done
	printf "subjectAltName=%s" "$list"
}
by_ca everybody x "$(all DNS: .example capulet direct merged failover wrong hole six alias slow)
$both"
by_ca host x "$(all DNS: .example host-delegated host-elsewhere)
$both"
by_ca dane x "$(all DNS: .example wrong pkix-ee pkix-ta unusable none tampered silent)
$both"
# An authority nobody trusts, and what it has signed.
key strange_ca
openssl req -new -x509 -key strange_ca.key -sha256 -days 3650 -subj "/CN=Strange authority" \
	-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign -out strange_ca.crt
by_strange() { # NAME NAMES
	signed "$1" x "subjectAltName=$2
$both" 3650 strange_ca.crt strange_ca.key
	cat strange_ca.crt >> "$1.crt"
}
by_strange strange DNS:verona.example
by_strange strange_ta DNS:host-ta.example
key self
openssl req -new -x509 -key self.key -sha256 -days 3650 -subj /CN=verona.example \
	-addext subjectAltName=DNS:verona.example -out self.crt
for name in montague capulet; do
	key ${name}_self
	openssl req -new -x509 -key ${name}_self.key -sha256 -days 3650 -subj /CN=$name.example \
		-addext subjectAltName=DNS:$name.example -out ${name}_self.crt
done
]]

-- Made once for this script.
local folder = ("%s/s2s_certs_%s"):format(os.getenv "COUPLET_BUILD" or "build/test",
	sha.hex(sha.sha1(script)):sub(1, 8))

local function make()
	local temporary = ("%s.%s"):format(folder, io.open("/proc/self/stat"):read("n"))
	local command = ("sh -c '%s' sh '%s' '%s' '%s' 2>&1"):format((script:gsub("'", "'\\''")), temporary,
		certs.path "ca.crt", certs.path "ca.key")
	local pipe = assert(io.popen(command))
	local said = pipe:read("a")
	assert(pipe:close(), said)
	os.rename(temporary, folder)
end

--- The files of a certificate.
function federation.certificate(name)
	if not lfs.attributes(folder .. "/capulet_self.crt") then make() end
	local path = ("%s/%s/%s"):format(lfs.currentdir(), folder, name)
	return { certificate = path .. ".crt", key = path .. ".key" }
end

--- An option ssl for a server or host with that certificate.
function federation.ssl_option(name)
	local files = federation.certificate(name)
	return ("{ certificate = %q; key = %q; cafile = %q }"):format(files.certificate, files.key, certs.path "ca.crt")
end

--- Configuration lines for a server with that certificate, as far as other servers see it.
function federation.ssl(name)
	local ssl = federation.ssl_option(name)
	return ("s2s_ssl = %s\ns2s_direct_tls_ssl = %s\n"):format(ssl, ssl)
end

--- The data of a TLSA record for one of them (RFC 6698 2.1): usage, selector and matching type 1, such as "3 1 1".
function federation.tlsa(name, fields)
	local path = federation.certificate(name).certificate
	local form = fields:find "^%d 1" and "-noout -pubkey | openssl pkey -pubin -outform DER" or "-outform DER"
	local pipe = io.popen(("openssl x509 -in '%s' %s | openssl dgst -sha256 -r"):format(path, form))
	local digits = pipe:read("a"):match "^%x+"
	pipe:close()
	return fields .. " " .. digits
end

--- A configuration line: where domains are. routes: domain -> { port =, direct_tls =, fingerprint = }.
function federation.routes(routes)
	local lines = {}
	for domain, route in pairs(routes) do
		lines[#lines + 1] = ("[%q] = { host = %q; port = %d; direct_tls = %s; fingerprint = %s };"):format(domain,
			route.host or "127.0.0.1", route.port, tostring(route.direct_tls or false),
			route.fingerprint and ("%q"):format(route.fingerprint) or "nil")
	end
	return "s2s_connect_overrides = { " .. table.concat(lines, " ") .. " }\n"
end

local pair = {}
pair.__index = pair

--- Two servers. options: config (lines for both), montague and capulet (lines for one), more_modules, certificates
-- (montague =, capulet = names), direct_tls (true: only by direct TLS), fingerprints (domain -> of its certificate).
function federation.pair(options)
	options = options or {}
	local self = setmetatable({}, pair)
	local ports, direct = {}, {}
	for _, name in ipairs { "montague", "capulet" } do
		ports[name], direct[name] = Server.free_port(), Server.free_port()
	end
	local more = table.move(options.more_modules or {}, 1, 10, 1, {})
	for name, other in pairs { montague = "capulet", capulet = "montague" } do
		local domain = other .. ".example"
		self[name] = Server.start {
			with_s2s = true, hosts = { [name .. ".example"] = "" }, more_modules = more, wait = false,
			env = (options.env or {})[name],
			config = federation.ssl((options.certificates or {})[name] or name)
				.. ("s2s_ports = { %s }; s2s_direct_tls_ports = { %d }\n"):format(
					options.direct_tls and "" or ports[name], direct[name])
				.. federation.routes { [domain] = {
					port = options.direct_tls and direct[other] or ports[other], direct_tls = options.direct_tls,
					fingerprint = (options.fingerprints or {})[domain],
				} }
				.. (options.config or "") .. "\n" .. (options[name] or ""),
		}
		self[name].s2s_port, self[name].s2s_direct_port = ports[name], direct[name]
	end
	for _, name in ipairs { "montague", "capulet" } do
		self[name]:await_ready()
		self[name]:awaits_log "Activated service 's2s_direct_tls'"
	end
	return self
end

function pair:stop()
	local ok, why = pcall(self.montague.stop, self.montague)
	self.capulet:stop()
	assert(ok, why)
end

local nowhere = { port = 1 } -- where nobody listens

--- A server by itself, montague.example, for peers to talk to. It does not find them, unless options.routes says where.
function federation.alone(options)
	options = options or {}
	local port, direct = Server.free_port(), Server.free_port()
	local server = Server.start {
		with_s2s = true, hosts = options.hosts or { ["montague.example"] = "" }, more_modules = options.more_modules,
		config = federation.ssl "montague"
			.. ("s2s_ports = { %d }; s2s_direct_tls_ports = { %d }\n"):format(port, direct)
			.. federation.routes(options.routes or { ["verona.example"] = nowhere, ["capulet.org"] = nowhere })
			.. (options.config or ""),
	}
	server.s2s_port, server.s2s_direct_port = port, direct
	server:awaits_log "Activated service 's2s_direct_tls'"
	return server
end

-- ---- a peer ----

local peer = {}

--- Another server, played by the spec: a client (spec.support.client) whose streams are in jabber:server. options:
-- from, to ("montague.example"), certificate (a name), tls as for clients.
function federation.peer(server, options)
	local files = options.certificate and federation.certificate(options.certificate) or {}
	local self = client.new {
		name = options.name or options.from or "a peer", host = options.to or "montague.example", ip = "127.0.0.1",
		port = options.tls == "direct" and server.s2s_direct_port or server.s2s_port, tls = options.tls,
		certificate = files.certificate, key = files.key, alpn = options.alpn,
	}
	self.from = options.from
	for name, method in pairs(peer) do self[name] = method end
	return self
end

--- Opens (again) the stream; gives the features.
function peer:opens(attributes)
	local all = { xmlns = "jabber:server", from = self.from, ["xmlns:db"] = "jabber:server:dialback" }
	for name, value in pairs(attributes or {}) do all[name] = value end
	return self:opens_stream_with_features(all)
end

--- The same when the server will not offer any features; gives its header.
function peer:opens_only(attributes)
	local all = { xmlns = "jabber:server", from = self.from, ["xmlns:db"] = "jabber:server:dialback" }
	for name, value in pairs(attributes or {}) do all[name] = value end
	return self:opens_stream(all)
end

--- Connected and under TLS; the stream is not open again yet.
function peer:under_tls()
	self:connect()
	if self.options.tls ~= "direct" then
		self:opens()
		assert(self:starts_tls())
	end
	return self
end

--- As far as SASL EXTERNAL leads.
function peer:logs_in_with_certificate()
	self:under_tls():opens()
	return self:proves_itself()
end

--- The same from the features under TLS on.
function peer:proves_itself()
	self:sends_raw(("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>%s</auth>"):format(
		sha.base64(self.from)))
	self:receives "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"
	self:opens()
	return self
end

--- As of any client, but in good order: the stream is closed in answer (RFC 6120 4.4).
function peer:sees_the_end(level)
	loop.await(function() return self.footer or self.closed end, "the end of the stream" .. self:story(), nil,
		(level or 1) + 1)
	if not self.closed then self:queues_raw "</stream:stream>" end
	client.sees_the_end(self, (level or 1) + 1)
end

--- All that it sent has been handled: its question about a key that nobody made is answered.
function peer:settles()
	self.n_settled = (self.n_settled or 0) + 1
	self:sends_raw(("<db:verify from='settles.example' to='%s' id='settle%d'>x</db:verify>"):format(self.options.host,
		self.n_settled))
	self:awaits(("<db:verify xmlns:db='jabber:server:dialback' id='settle%d'/>"):format(self.n_settled))
end

-- ---- where domains are, for servers that ask the DNS ----

local A, SRV = 1, 33

-- A name in wire format (RFC 1035 3.1).
local function wire_name(name)
	return (name:gsub("([^.]+)%.?", function(label) return string.pack("s1", label) end)) .. "\0"
end

local function answer_to(query, ports, target)
	local labels, at = {}, 13
	while query:byte(at) and query:byte(at) > 0 do labels[#labels + 1], at = string.unpack("s1", query, at) end
	local question = query:sub(13, at + 4)
	local kind = string.unpack(">I2", query, at + 1)
	local name, data = table.concat(labels, "."):lower(), nil
	if kind == SRV and ports[name] then
		data = string.pack(">I2I2I2", 0, 0, ports[name]) .. wire_name(target)
	elseif kind == A and name == target then
		data = "\127\0\0\1"
	end
	-- The question again, and its name by reference (RFC 1035 4.1.4); a time to live of a minute.
	local head = query:sub(1, 2) .. string.pack(">I2I2I2I2I2", 0x8580, 1, data and 1 or 0, 0, 0)
	return head .. question .. (data and string.pack(">I2I2I2I4s2", 0xc00c, kind, 1, 60, data) or "")
end

--- A name server on loopback that knows where services are on this machine (ports: "_xmpp-server._tcp.x.example" ->
-- port; it may be changed later as .ports) and of nothing else. It calls the machine "here.example", or as target says.
-- Give servers its port, and close it.
function federation.name_server(ports, target)
	local udp = assert(socket.udp4())
	assert(udp:setsockname("127.0.0.1", 0))
	udp:settimeout(0)
	local _, port = udp:getsockname()
	loop.watch(udp, function()
		local query, address, from = udp:receivefrom()
		if query then udp:sendto(answer_to(query, ports, target or "here.example"), address, tonumber(from)) end
	end)
	return { port = tonumber(port), ports = ports, close = function()
		loop.forget(udp)
		udp:close()
	end }
end

-- ---- a peer that does not answer ----

--- A black hole on loopback: its queue is full, so whoever connects there hears nothing. port: 0 for any.
function federation.hole(address, port)
	local is_ipv6 = address:find(":", 1, true)
	local listening = assert(is_ipv6 and socket.tcp6() or socket.tcp4())
	assert(listening:bind(address, port or 0))
	assert(listening:listen(0))
	local _, bound = listening:getsockname()
	local callers = {}
	for i = 1, 8 do
		callers[i] = is_ipv6 and socket.tcp6() or socket.tcp4()
		callers[i]:settimeout(0)
		callers[i]:connect(address, bound)
	end
	return { port = tonumber(bound), close = function()
		for _, one in ipairs(callers) do one:close() end
		listening:close()
	end }
end

--- Something else than a server: says this to who connects, and nothing more.
function federation.banner(text)
	local port = Server.free_port()
	local listening = assert(socket.bind("127.0.0.1", port))
	listening:settimeout(0)
	local accepted = {}
	loop.watch(listening, function()
		local one = listening:accept()
		if one then
			one:settimeout(0)
			one:send(text)
			accepted[#accepted + 1] = one
		end
	end)
	return { port = port, close = function()
		loop.forget(listening)
		for _, one in ipairs(accepted) do one:close() end
		listening:close()
	end }
end

-- ---- a peer that is connected to ----

--- Listens; :accepts() gives a peer whose streams are those of a server that was called. receive_buffer: bytes that the
-- system takes for a peer that does not read.
function federation.listener(domain, receive_buffer)
	local port = Server.free_port()
	local listening = assert(socket.bind("127.0.0.1", port))
	if receive_buffer then assert(listening:setoption("recv-buffer-size", receive_buffer)) end
	listening:settimeout(0)
	return {
		port = port, domain = domain,
		close = function() loop.forget(listening); listening:close() end,
		is_called = function(_, seconds)
			local called = false
			loop.watch(listening, function() called = true end)
			local result = loop.try_await(function() return called end, seconds)
			loop.forget(listening)
			return result
		end,
		accepts = function(self)
			local accepted
			loop.watch(listening, function() accepted = accepted or listening:accept() end)
			loop.await(function() return accepted end, "a connection for " .. domain, nil, 2)
			loop.forget(listening)
			accepted:settimeout(0)
			accepted:setoption("tcp-nodelay", true)
			local one = client.new { name = domain, host = domain, ip = "127.0.0.1", port = self.port }
			one.socket = accepted
			one:watch()
			one:new_parser()
			return one
		end,
	}
end

return federation
