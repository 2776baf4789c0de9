-- @xmpp/client, xmpp.js (npm, installed into build/npm). SCRAM-SHA-1 is the best it knows.

local outside = require "spec.support.outside"

outside.suite(_ENV, "xmpp.js", { "node", "spec/interop/xmppjs_client.mjs" },
	{ mechanism = "SCRAM-SHA-1", prepare = outside.needs_npm })
