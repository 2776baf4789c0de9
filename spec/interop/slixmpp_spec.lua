-- slixmpp (Debian: python3-slixmpp).

require "spec.support.outside".suite(_ENV, "slixmpp", { "/usr/bin/python3", "spec/interop/slixmpp_client.py" },
	{ mechanism = "SCRAM-SHA-256-PLUS" })
