--- Throwaway certificates, made once per build by the openssl program: an authority, a server that has all the names
-- specs use, and a client that has a JID.

local lfs = require "lfs"

local certs = {}

local folder = (os.getenv "COUPLET_BUILD" or "build/test") .. "/certs"

local script = [[
set -e
umask 077
mkdir -p "$1" && cd "$1"
key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"; }
key ca
openssl req -new -x509 -key ca.key -sha256 -days 3650 -subj "/CN=Couplet spec authority" \
	-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign -out ca.crt
signed() { # NAME SUBJECT EXTENSIONS
	key "$1"
	printf '%s\n' "$3" > "$1.ext"
	openssl req -new -key "$1.key" -subj "$2" -out "$1.csr"
	openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -sha256 -days 3650 \
		-extfile "$1.ext" -out "$1.crt"
	cat ca.crt >> "$1.crt"
}
names=DNS:localhost,DNS:*.localhost,DNS:montague.example,DNS:*.montague.example
signed server /CN=localhost "subjectAltName=$names,DNS:capulet.example,DNS:*.capulet.example
extendedKeyUsage=serverAuth,clientAuth"
signed romeo "/CN=romeo" "subjectAltName=otherName:1.3.6.1.5.5.7.8.5;UTF8:romeo@localhost
extendedKeyUsage=clientAuth"
]]

local function make()
	local temporary = ("%s.%s"):format(folder, io.open("/proc/self/stat"):read("n"))
	local pipe = assert(io.popen(("sh -c '%s' sh '%s' 2>&1"):format(script:gsub("'", "'\\''"), temporary)))
	local said = pipe:read("a")
	assert(pipe:close(), said)
	os.rename(temporary, folder) -- another process may have been first: then theirs stays
end

--- Path of a file of them: "ca.crt", "server.crt", "server.key", "romeo.crt", "romeo.key".
function certs.path(name)
	if not lfs.attributes(folder .. "/romeo.crt") then make() end
	return ("%s/%s/%s"):format(lfs.currentdir(), folder, name)
end

return certs
