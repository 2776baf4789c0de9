-- @xmpp/client, xmpp.js (npm, installed into build/npm).

local certs = require "spec.support.certs"
local outside = require "spec.support.outside"

outside.suite(_ENV, "xmpp.js", { "node", "spec/interop/xmppjs_client.mjs" }, {
	env = { NODE_EXTRA_CA_CERTS = certs.path "ca.crt" },
	prepare = outside.needs_npm,
})
