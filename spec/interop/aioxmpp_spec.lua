-- aioxmpp (Debian: python3-aioxmpp). By itself it does without channel binding; the library below it, aiosasl, can.

require "spec.support.outside".suite(_ENV, "aioxmpp", { "/usr/bin/python3", "spec/interop/aioxmpp_client.py" }, {
	mechanism = "SCRAM-SHA-256",
	more = { { "binds to the channel, tls-unique of TLS 1.2", "login_bound", "SCRAM-SHA-256-PLUS" } },
})
