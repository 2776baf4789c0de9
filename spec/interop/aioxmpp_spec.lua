-- aioxmpp (Debian: python3-aioxmpp). It has no call to change a password.

require "spec.support.outside".suite(_ENV, "aioxmpp", { "/usr/bin/python3", "spec/interop/aioxmpp_client.py" },
	{ without = { password = true } })
