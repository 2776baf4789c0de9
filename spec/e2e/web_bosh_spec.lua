-- XMPP over HTTP requests (XEP-0124, XEP-0206, SECURITY E5).

local bosh = require "spec.support.bosh"
local http = require "spec.support.http"
local loop = require "spec.support.loop"
local support = require "spec.support.web"

local server -- of the suite that runs

local function start(config) server = support.start({ "bosh" }, config) end
local function leaves_nothing() support.leaves_nothing(server) end

local function new(options)
	options = options or {}
	if options.tls == nil then options.tls = true end
	return bosh.new(server, options)
end
local function romeo() return assert(new():logs_in("romeo", "secret", "web")) end
local function juliet() return support.juliet(server) end
local function message(text) return support.message("juliet@localhost/balcony", text) end
local ping = support.ping
local function condition(body)
	assert.equal("terminate", body.attr.type)
	return body.attr.condition
end

-- A hundred requests on one connection; attributes(i), headers(i) give what the i-th says. Gives all that was answered.
local function post_hundred(attributes, headers, from_ip)
	local conn, texts = http.connect(server, { from_ip = from_ip }), {}
	for i = 1, 100 do
		local body = ("<body xmlns='http://jabber.org/protocol/httpbind' %s/>"):format(attributes(i))
		texts[i] = ("POST /http-bind HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/xml\r\n%s"
			.. "Content-Length: %d\r\n\r\n%s"):format(headers and headers(i) or "", #body, body)
	end
	conn:sends(table.concat(texts))
	conn:ends()
	local _, answers = conn:raw():gsub("HTTP/1.1 200 OK", "")
	assert.equal(100, answers)
	return conn:raw()
end

describe("A BOSH session", function()
	setup(function()
		start [[bosh_origins = { "https://chat.example" }; bosh_max_inactivity = 10; bosh_max_polling = 40]]
	end)
	teardown(function() server:stop() end)
	after_each(function() server:forget_clients() end)

	it("begins with what was agreed on and the features", function()
		local web = new()
		local body = web:creates { wait = 1000, hold = 9 }
		assert.same({ "60", "2", "3", "10", "1.6", "localhost" }, { body.attr.wait, body.attr.hold, body.attr.requests,
			body.attr.inactivity, body.attr.ver, body.attr.from })
		assert.truthy(#body.attr.sid >= 22)
		assert.truthy(body:at("features", "mechanisms"))
		assert.is_nil(body:at("features", "starttls"))
	end)

	it("carries a whole login and messages both ways, with people on TCP", function()
		local web, friend = romeo(), juliet()
		assert.equal("romeo@localhost/web", web.jid)
		local held = web:sends(message "art thou there? ♥")
		friend:receives("<message from='romeo@localhost/web' type='chat'><body>art thou there? ♥</body></message>")
		friend:sends("<message to='romeo@localhost/web' type='chat'><body>ay me &lt;3</body></message>")
		local body = bosh.answer(held)
		assert.equal("ay me <3", body:at("message", "body"):text())
		assert.equal("jabber:client", body:child("message").ns)
	end)

	it("holds a request until there is something to say, or another one comes", function()
		local web = romeo()
		local first = web:sends()
		assert.is_false(loop.try_await(function() return first.conn:raw() ~= "" end, 0.3))
		local second = web:sends()
		assert.is_nil(bosh.answer(first)[1])
		web:sends(ping)
		assert.equal("result", bosh.answer(second):child("iq").attr.type)
	end)

	it("answers a request that was held for as long as the client wished", function()
		local web = new()
		web:creates { wait = 1 }
		local started = loop.now()
		assert.is_nil(web:asks()[1])
		local took = loop.now() - started
		assert.truthy(took > 0.9 and took < 50, took) -- and not the server's 60
	end)

	it("takes requests in their order, whatever order they come in", function()
		local web, friend = romeo(), juliet()
		web.rid = web.rid + 1
		local later = web:sends(message "two")
		local sooner = web:posts(web:body({ rid = web.rid - 1, sid = web.sid }, message "one"))
		friend:receives "<message><body>one</body></message>"
		friend:receives "<message><body>two</body></message>"
		assert.truthy(later and sooner)
	end)

	it("answers a repeated request as it did before, and does nothing twice", function()
		local web, friend = romeo(), juliet()
		local asked = web:sends(ping .. message "once")
		local _, first = bosh.answer(asked)
		local _, second = bosh.answer(web:repeats(asked))
		assert.equal(first, second)
		web:sends(message "next")
		friend:receives "<message><body>once</body></message>"
		friend:receives "<message><body>next</body></message>"
	end)

	it("loses and doubles nothing when connections break, a thousand times", function()
		local web, friend = romeo(), juliet()
		local got, said, times = {}, {}, 1000
		for i = 1, times do
			local asked = web:sends(message("up " .. i))
			friend:sends(("<message to='romeo@localhost/web'><body>down %d</body></message>"):format(i))
			if i % 3 == 0 then -- before the answer can be there
				asked.conn:vanishes()
			elseif i % 3 == 1 then -- it was sent, and nobody read it
				loop.await(function() return asked.conn:raw() ~= "" end, "an answer")
				asked.conn:vanishes()
			end
			local body = bosh.answer(i % 3 == 2 and asked or web:repeats(asked))
			for _, one in ipairs(body:children "message") do got[#got + 1] = one:at("body"):text() end
		end
		loop.await(function() return #friend.inbox >= times end, "all messages")
		for i = 1, times do said[i] = friend:receives("<message><body>{any}</body></message>"):at("body"):text() end
		while #got < times do
			for _, one in ipairs(web:asks():children "message") do got[#got + 1] = one:at("body"):text() end
		end
		for i = 1, times do
			assert.equal("up " .. i, said[i])
			assert.equal("down " .. i, got[i])
		end
	end)

	it("answers the first of two that ask the same with an error, and the second in earnest", function()
		local web = romeo()
		local held = web:sends()
		local again = web:repeats(held)
		assert.equal("error", bosh.answer(held).attr.type)
		web:sends()
		assert.is_nil(bosh.answer(again).attr.type)
	end)

	it("ends when the client says so, and takes what it said last", function()
		local web, friend = romeo(), juliet()
		local held = web:sends "<presence xmlns='jabber:client' to='juliet@localhost/balcony'/>"
		friend:receives "<presence from='romeo@localhost/web'/>"
		local body = web:asks("<presence xmlns='jabber:client' to='juliet@localhost/balcony' type='unavailable'><status>bye"
			.. "</status></presence>", { type = "terminate" })
		assert.is_nil(body.attr.type) -- XEP-0124 13: the oldest is told
		assert.equal("terminate", bosh.answer(held).attr.type)
		friend:receives "<presence from='romeo@localhost/web' type='unavailable'><status>bye</status></presence>"
		assert.equal("item-not-found", condition(web:asks()))
	end)

	it("grants no pause that is too long", function()
		assert.equal("policy-violation", condition(romeo():asks(nil, { pause = "1000" })))
	end)

	it("tells who asks later why it ended", function()
		local first = romeo()
		local second = romeo()
		local body = first:asks()
		assert.equal("remote-stream-error", condition(body))
		assert.truthy(body:at("error", "conflict"))
		assert.truthy(second)
	end)

	it("offers no login where it is not secure", function()
		assert.is_nil(new({ tls = false }):creates():at("features", "mechanisms"))
	end)

	it("that is secure takes no request that is not", function()
		local web = romeo()
		web.options.tls = false
		assert.equal("item-not-found", condition(web:asks()))
	end)

	it("refuses a wrong password like TCP does", function()
		local _, answer = new():logs_in("romeo", "wrong", "web")
		assert.truthy(answer:at("failure", "not-authorized"))
	end)

	it("wants a restart after login", function()
		local web = new()
		web:creates()
		assert.truthy(web:asks(support.auth("romeo", "secret")):child "success")
		local body = web:asks("<iq xmlns='jabber:client' type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>"
			.. "</iq>")
		assert.truthy(body:at("error", "not-authorized"))
	end)

	it("of a client that polls must not be asked too often", function()
		local web = new()
		local body = web:creates { hold = 0 }
		assert.same({ "1", "40" }, { body.attr.requests, body.attr.polling })
		assert.is_nil(web:asks().attr.type)
		assert.equal("policy-violation", condition(web:asks()))
	end)

	for name, text in pairs {
		["no XML"] = "hello", ["another element"] = "<a/>", ["no namespace"] = "<body rid='1' to='localhost'/>",
		["a DTD"] = "<!DOCTYPE body [<!ENTITY x 'y'>]><body xmlns='http://jabber.org/protocol/httpbind' rid='1'>&x;</body>",
		["JSON"] = "{}", ["no rid"] = "<body xmlns='http://jabber.org/protocol/httpbind' to='localhost'/>",
		["a rid that is none"] = "<body xmlns='http://jabber.org/protocol/httpbind' to='localhost' rid='x'/>",
		["a rid beyond 2^53"] = "<body xmlns='http://jabber.org/protocol/httpbind' to='localhost' rid='9007199254740993'/>",
	} do
		it("does not begin with " .. name, function()
			assert.equal("bad-request", condition(bosh.answer(new():posts(text))))
		end)
	end

	it("does not begin with a host that is not ours, or with none", function()
		assert.equal("host-unknown", condition(new():creates { to = "x.example" }))
		assert.equal("improper-addressing", condition(new():creates { to = false }))
	end)

	for name, change in pairs {
		["a rid too far ahead"] = function(web) web.rid = web.rid + 5 end,
		["a rid long gone"] = function(web) web.rid = web.rid - 5 end,
		["a rid beyond 2^53"] = function(web) web.rid = 9007199254740992 end,
		["a sid that is none"] = function(web) web.sid = "none" end,
	} do
		it("is not found by " .. name, function()
			local web = romeo()
			change(web)
			assert.equal("item-not-found", condition(web:asks()))
		end)
	end

	for name, case in pairs {
		["a message"] = { message "x", "not-authorized" },
		["a question"] = { "<iq xmlns='jabber:client' type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
			"not-authorized" },
		["features"] = { "<stream:features xmlns:stream='http://etherx.jabber.org/streams'/>", "unsupported-stanza-type" },
		["a body in its body"] = { "<body xmlns='http://jabber.org/protocol/httpbind'/>", "unsupported-stanza-type" },
		["an element of no namespace"] = { "<message xmlns=''/>", "unsupported-stanza-type" },
	} do
		it(("ends with %s when %s is sent before login"):format(case[2], name), function()
			local web = new()
			web:creates()
			local body = web:asks(case[1])
			assert.equal("remote-stream-error", condition(body))
			assert.truthy(body:at("error", case[2]), tostring(body))
		end)
	end

	it("takes bodies of up to 64 KiB and eight stanzas before login", function()
		local web = new()
		web:creates()
		assert.equal("policy-violation", condition(web:asks(("<a xmlns='b'/>"):rep(9))))
		web = new()
		web:creates()
		assert.equal("policy-violation", condition(web:asks("<a xmlns='b'>" .. ("x"):rep(66000) .. "</a>")))
	end)

	it("takes large bodies after login", function()
		local web, friend = romeo(), juliet()
		web:sends(message(("x"):rep(200000)))
		assert.equal(200000, #friend:receives("<message/>"):at("body"):text())
	end)

	it("is only for what says text/xml, so that no page can be used unasked", function()
		for _, kind in ipairs { "text/plain", "application/json", "text/xmlish", "application/x-www-form-urlencoded" } do
			assert.equal(415, new():posts("<body/>", { ["Content-Type"] = kind }).conn:response().status)
		end
		assert.equal(415, new():posts("<body/>", { ["Content-Type"] = false }).conn:response().status)
	end)

	it("is for pages of our own and of those that are named", function()
		local body = ("<body xmlns='http://jabber.org/protocol/httpbind' rid='1' to='localhost'/>")
		local function status(origin)
			local response = new():posts(body, { Origin = origin }).conn:response()
			return response.status, response.headers["access-control-allow-origin"]
		end
		assert.same({ 200, "https://chat.example" }, { status "https://chat.example" })
		assert.same({ 200 }, { status "https://localhost" })
		assert.same({ 403 }, { status "https://evil.example" })
		assert.same({ 403 }, { status "null" })
		local response = http.request(server, "OPTIONS", "/http-bind", { Origin = "https://chat.example" }, nil,
			{ tls = true })
		assert.equal("GET, POST", response.headers["access-control-allow-methods"])
		assert.equal("Content-Type", response.headers["access-control-allow-headers"])
	end)

	it("is never for pages with somebody's cookies, nor for scripts", function() -- SECURITY E5
		local body = ("<body xmlns='http://jabber.org/protocol/httpbind' rid='1' to='localhost'/>")
		local response = new():posts(body, { Origin = "https://chat.example", Cookie = "a=b" }).conn:response()
		assert.equal("https://chat.example", response.headers["access-control-allow-origin"])
		assert.is_nil(response.headers["access-control-allow-credentials"])
		response = http.get(server, "/http-bind?callback=steal&body=%3Cbody%2F%3E", nil, { tls = true })
		assert.is_nil(response.body:find "steal")
		assert.is_nil(response.headers["content-type"]:find "script")
	end)

	it("works in pieces of a byte", function()
		assert.equal("romeo@localhost/web", new({ trickle = true }):logs_in("romeo", "secret", "web").jid)
	end)

	it("that has ended is remembered for who asks why, with a thousand others at most", function()
		local function ended() -- a hundred that their client does not hear the end of
			local sids = {}
			local said = post_hundred(function(i) return ("rid='%d' to='localhost'"):format(i) end)
			for sid in said:gmatch "sid='([^']+)'" do sids[#sids + 1] = sid end
			assert.equal(100, #sids)
			post_hundred(function(i) return ("rid='%d' sid='%s' stream='another'"):format(i + 1, sids[i]) end)
			return sids
		end
		local function asks_why(sid)
			return condition(bosh.answer(new():posts(("<body xmlns='http://jabber.org/protocol/httpbind' rid='9' sid='%s'/>")
				:format(sid))))
		end
		leaves_nothing()
		local first, last = ended(), nil
		assert.equal("bad-request", asks_why(first[100]))
		for _ = 1, 10 do last = ended() end
		assert.equal("item-not-found", asks_why(first[100]))
		assert.equal("bad-request", asks_why(last[1]))
	end)

	it("leaves nothing behind", leaves_nothing)
end)

describe("A BOSH session that nobody asks for", function()
	local INACTIVITY, SESSIONS = 3, 60

	setup(function()
		start(("bosh_max_inactivity = %d; bosh_max_sessions_per_ip = %d; bosh_max_polling = 0; "
			.. "max_unauthenticated = 100; limits = {}; "
			.. "trusted_proxies = { '127.0.0.2' }"):format(INACTIVITY, SESSIONS))
	end)
	teardown(function() server:stop() end)
	after_each(function() server:forget_clients() end)

	it("ends after a while", function()
		local web, friend = romeo(), juliet()
		local started = loop.now()
		web:sends("<presence xmlns='jabber:client' to='juliet@localhost/balcony'/>").conn:vanishes()
		friend:receives "<presence from='romeo@localhost/web'/>"
		friend:receives "<presence from='romeo@localhost/web' type='unavailable'/>"
		assert.truthy(loop.now() - started > 2)
		assert.equal("item-not-found", condition(web:asks()))
	end)

	it("lasts while its client polls", function()
		local web = assert(new():logs_in("romeo", "secret", "web", { hold = 0 }))
		local started = loop.now()
		repeat
			loop.try_await(function() return false end, INACTIVITY / 3)
			assert.is_nil(web:asks(ping).attr.type)
		until loop.now() - started > INACTIVITY + 1
	end)

	it("lasts longer when its client has announced a pause", function()
		local web = romeo()
		local held = web:sends()
		local body = web:asks(nil, { pause = "60" })
		assert.is_nil(body[1])
		assert.is_nil(bosh.answer(held)[1])
		assert.is_false(loop.try_await(function() return false end, 4))
		assert.is_nil(web:asks(ping).attr.type)
	end)

	-- Asks for so many sessions, a hundred on a connection; gives how many were refused.
	local function create_many(n, headers, from_ip)
		local refused = 0
		for _ = 1, n // 100 do
			local said = post_hundred(function(i) return ("rid='%d' to='localhost'"):format(i) end, headers, from_ip)
			refused = refused + select(2, said:gsub("condition='policy%-violation'", ""))
		end
		return refused
	end

	it("cannot be had in any number without logging in, nor by who says to be somebody else", function()
		leaves_nothing()
		local before_kib = server:memory()
		local started = loop.now()
		-- How many of n are refused at least: in INACTIVITY seconds those that were made end, and as many may come.
		local function least(n) return n - SESSIONS * (1 + (loop.now() - started) // INACTIVITY) end
		local refused = create_many(200, function(i) return ("X-Forwarded-For: 192.0.2.%d\r\n"):format(i) end)
		assert.truthy(refused <= 200 - SESSIONS and refused >= least(200), refused)
		local n = os.getenv "COUPLET_TRICKLE" and 200 or 10000
		refused = refused + create_many(n)
		assert.truthy(refused >= least(200 + n), refused)
		server:is_alone_with(SESSIONS)
		assert.truthy(server:memory() - before_kib < 4096, server:memory() - before_kib)
		leaves_nothing()
		assert.is_nil(new():creates().attr.condition)
	end)

	it("cannot be had in any number by who has many addresses: those of a /64 are one, and all have a limit", function()
		leaves_nothing()
		local started = loop.now()
		local function from(network) -- of a hundred, how many are refused at least
			local refused = create_many(100, function(i)
				return ("X-Forwarded-For: 2001:db8:0:%x::%x\r\n"):format(network, i)
			end, "127.0.0.2")
			return loop.now() - started < INACTIVITY and refused
		end
		local first, second = from(1), from(2)
		if second then -- else those that were made have ended, and others may come
			assert.same({ 100 - SESSIONS, 100 - (100 - SESSIONS) }, { first, second })
		end
		leaves_nothing()
	end)

	it("leaves nothing behind", leaves_nothing)
end)
