-- The configuration of a checkout: `make run` serves localhost with it. The language and the options are Prosody's;
-- docs/operating.md explains the rest, docs/modules/ each module with its options.

data_path = "data"
certificates = "data/certs"
pidfile = "couplet.pid" -- in data_path
plugin_paths = { "plugins" }

interfaces = { "127.0.0.1", "::1" }
c2s_ports = { 5222 }
c2s_direct_tls_ports = { 5223 }

-- Who may do what an admin may: { "romeo@localhost" }
admins = {}

modules_enabled = {
	-- what every server has
	"disco"; "roster"; "saslauth"; "tls"; "blocklist"; "private"; "vcard"; "ping"; "register"; "time"; "uptime"; "version";
	-- for the admin
	"admin_shell";
	-- on the web, at https://localhost:5281 (docs/web.md)
	-- "http_landing"; "websocket"; "bosh"; "conversejs"; "http_file_share";
}

-- This is localhost, so there are no other servers to talk to. Without this line, and with a VirtualHost that others can
-- find, there are (port 5269; docs/federation.md).
modules_disabled = { "s2s" }

-- May anybody make an account with a client? Otherwise: coupletctl adduser.
allow_registration = false

authentication = "internal_hashed"
-- One SQLite database in the data folder, in the form Prosody gives it; "internal" keeps a tree of files, as Prosody
-- does by default. Without this line a server that finds such files goes on with them.
storage = "sqlite"

log = { info = "*console" }

VirtualHost "localhost"
