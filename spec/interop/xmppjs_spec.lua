-- @xmpp/client, xmpp.js (npm, installed into build/npm).

local certs = require "spec.support.certs"
local lfs = require "lfs"
local outside = require "spec.support.outside"

outside.suite(_ENV, "xmpp.js", { "node", "spec/interop/xmppjs_client.mjs" }, {
	env = { NODE_EXTRA_CA_CERTS = certs.path "ca.crt" },
	prepare = function()
		if lfs.attributes "build/npm/node_modules/@xmpp/client" then return end
		lfs.mkdir "build/npm"
		assert(os.execute "cp spec/interop/package.json build/npm/")
		local said, code = outside.run({ "npm", "install", "--no-audit", "--no-fund", "--loglevel=error" },
			{ cwd = "build/npm", seconds = 280 })
		assert(code == 0, said)
	end,
})
