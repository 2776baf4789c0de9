-- Couplet's configuration. The language and the options are Prosody's: an existing prosody.cfg.lua works as it is.
-- After a change: coupletctl reload. Is it right? coupletctl check config

data_path = "@LOCALSTATEDIR@/lib/couplet"
certificates = "@SYSCONFDIR@/couplet/certs" -- HOST.crt and HOST.key, or folders as certbot makes them
pidfile = "@LOCALSTATEDIR@/lib/couplet/couplet.pid"

admins = {}

modules_enabled = {
	"disco"; "roster"; "saslauth"; "tls"; "blocklist"; "private"; "vcard"; "ping"; "register"; "time"; "uptime"; "version";
	"admin_shell";
}

allow_registration = false
authentication = "internal_hashed"
-- One SQLite database in the data folder, in the form Prosody gives it; "internal" keeps a tree of files, as Prosody
-- does by default. Without this line a server that finds such files goes on with them.
storage = "sqlite"
log = { info = "*console" } -- under systemd: journalctl -u couplet

VirtualHost "example.org"
