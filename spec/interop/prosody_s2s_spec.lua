-- Our server and Debian's Prosody: users of both meet, by each path on which both can prove themselves.

local federation = require "spec.support.federation"
local certs = require "spec.support.certs"
local Server = require "spec.support.server"

local has_prosody = os.execute "command -v prosody >/dev/null 2>&1"

local function ssl(name, files)
	return ("%s = { certificate = %q; key = %q; cafile = %q }\n"):format(name, files.certificate, files.key,
		certs.path "ca.crt")
end

local function start(path)
	local port, direct_port = Server.free_port(), Server.free_port()
	local their_port, their_direct_port = Server.free_port(), Server.free_port()
	local montague = Server.start {
		with_s2s = true, hosts = { ["montague.example"] = "" }, more_modules = path.modules, wait = false,
		config = federation.ssl(path.certificate or "montague")
			.. ("s2s_ports = { %d }; s2s_direct_tls_ports = { %d }\n"):format(port, direct_port)
			.. federation.routes { ["capulet.example"] = {
				port = path.direct_tls and their_direct_port or their_port, direct_tls = path.direct_tls,
			} } .. (path.config or ""),
	}
	-- Prosody asks the DNS where we are.
	local names = federation.name_server {
		["_xmpp-server._tcp.montague.example"] = not path.direct_tls and port or nil,
		["_xmpps-server._tcp.montague.example"] = path.direct_tls and direct_port or nil,
	}
	local files = federation.certificate(path.their_certificate or "capulet")
	local capulet = Server.start {
		program = "prosody", with_s2s = true, hosts = { ["capulet.example"] = "" }, wait = false,
		modules = path.their_modules or { "roster", "saslauth", "tls", "disco", "ping", "dialback", "s2s_bidi" },
		config = ssl("s2s_ssl", files) .. ssl("s2s_direct_tls_ssl", files)
			.. ("s2s_ports = { %d }; s2s_direct_tls_ports = { %d }\n"):format(their_port, their_direct_port)
			.. ("s2s_secure_auth = %s\n"):format(path.their_certificate and "false" or "true")
			.. ("unbound = { resolvconf = false; hoststxt = false; forward = '127.0.0.1@%d'; "
				.. "options = { ['do-not-query-localhost:'] = 'no' } }\n"):format(names.port),
	}
	montague:await_ready()
	montague:awaits_log "Activated service 's2s_direct_tls'"
	capulet:await_ready()
	capulet:awaits_log "Activated service 's2s_direct_tls'"
	return montague, capulet, names
end

local paths = {
	{ name = "certificates", modules = {}, told = "SASL EXTERNAL",
		their_modules = { "roster", "saslauth", "tls", "disco", "ping" } },
	{ name = "certificates over direct TLS", modules = {}, direct_tls = true, told = "with direct TLS",
		their_modules = { "roster", "saslauth", "tls", "disco", "ping" } },
	{ name = "dialback over TLS", modules = { "dialback" }, told = "our dialback key is sent",
		certificate = "montague_self", their_certificate = "capulet_self", config = "s2s_secure_auth = false",
		their_modules = { "roster", "saslauth", "tls", "disco", "ping", "dialback" } },
	{ name = "one stream for both directions", modules = { "dialback", "s2s_bidi" }, told = "both directions" },
}

for _, path in ipairs(paths) do
	describe(("Users of ours and of Prosody, connected by %s,"):format(path.name), function()
		local montague, capulet, names, romeo, juliet

		if not has_prosody then
			pending "need Debian's prosody"
			return
		end

		setup(function()
			montague, capulet, names = start(path)
			romeo, juliet = montague:person "romeo", capulet:person "juliet"
			for _, one in ipairs { romeo, juliet } do -- who has asked for the roster hears of subscriptions
				one:asks "<iq type='get'><query xmlns='jabber:iq:roster'/></iq>"
			end
		end)
		teardown(function()
			if capulet then capulet:stop() end
			if montague then montague:stop() end
			if names then names:close() end
		end)

		it("chat both ways, whoever begins", function()
			romeo:sends "<message to='juliet@capulet.example' type='chat'><body>art thou there?</body></message>"
			juliet:awaits(("<message from='%s' type='chat'><body>art thou there?</body></message>"):format(romeo.jid))
			juliet:sends(("<message to='%s' type='chat'><body>ay me</body></message>"):format(romeo.jid))
			romeo:awaits(("<message from='%s' type='chat'><body>ay me</body></message>"):format(juliet.jid))
		end)

		it("ask each other's servers", function()
			assert.equal("result", romeo:asks("<iq type='get' to='capulet.example'><ping xmlns='urn:xmpp:ping'/></iq>")
				.attr.type)
			assert.equal("result", juliet:asks("<iq type='get' to='montague.example'><ping xmlns='urn:xmpp:ping'/></iq>")
				.attr.type)
		end)

		it("subscribe to each other and see presence", function()
			for _, way in ipairs { { romeo, juliet }, { juliet, romeo } } do
				local asks, answers = table.unpack(way)
				asks:sends(("<presence to='%s' type='subscribe'/>"):format(answers.bare))
				answers:awaits(("<presence from='%s' type='subscribe'/>"):format(asks.bare))
				answers:sends(("<presence to='%s' type='subscribed'/>"):format(asks.bare))
				asks:awaits(("<presence from='%s' type='subscribed'/>"):format(answers.bare))
				asks:awaits(("<presence from='%s'/>"):format(answers.jid))
				answers:sends "<presence><show>away</show></presence>"
				asks:awaits(("<presence from='%s'><show>away</show></presence>"):format(answers.jid))
			end
		end)

		it("are told of accounts that are not there", function()
			romeo:sends "<message to='nobody@capulet.example' id='m1'><body>hello?</body></message>"
			romeo:awaits "<message type='error' id='m1' from='nobody@capulet.example'/>"
			juliet:sends "<message to='nobody@montague.example' id='m2'><body>hello?</body></message>"
			juliet:awaits "<message type='error' id='m2' from='nobody@montague.example'/>"
		end)

		it("and the admin can read how it went", function()
			local told = montague:ctl("s2s", "explain", "capulet.example")
			assert.truthy(told:find(path.told, 1, true), told)
		end)
	end)
end
