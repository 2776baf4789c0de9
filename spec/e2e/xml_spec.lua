-- What a peer may put on the wire and what it may cost (RFC 6120 11; SECURITY 1A). Every case ends with a look at the
-- server: another user must not notice.

local Server = require "spec.support.server"
local xml = require "spec.support.xml"

local KIB = 1024

-- Stream conditions that say "this is not the XML of XMPP".
local function is_refusal(condition)
	local refusals = {
		["not-well-formed"] = true, ["restricted-xml"] = true, ["unsupported-encoding"] = true, ["bad-format"] = true,
		["policy-violation"] = true, ["bad-namespace-prefix"] = true, ["invalid-namespace"] = true,
		["invalid-xml"] = true,
	}
	return refusals[condition]
end

describe("XML on the wire", function()
	local server, canary

	setup(function() server = Server.start {} end)
	teardown(function() server:stop() end)
	before_each(function() canary = server:person "canary" end)
	after_each(function()
		canary:settles()
		server:forget_clients()
	end)

	-- A connection that has said nothing yet.
	local function stranger()
		local client = server:client { trickle = os.getenv "COUPLET_TRICKLE" == "1" }:connect()
		client:new_parser()
		return client
	end

	local function refused(client)
		local condition = client:is_thrown_out():child().name
		assert.is_truthy(is_refusal(condition), condition)
		if not client.jid then assert.is_nil(client.features) end
		return condition
	end

	describe("before login", function()
		local header = "<stream:stream to='localhost' version='1.0' xmlns='jabber:client' "
			.. "xmlns:stream='http://etherx.jabber.org/streams'>"

		for name, prolog in pairs {
			["a DTD"] = "<!DOCTYPE stream [<!ENTITY a 'aaaaaaaaaa'>]>",
			["an external DTD"] = "<!DOCTYPE stream SYSTEM 'file:///etc/passwd'>",
			["a comment"] = "<!-- hello -->",
			["a processing instruction"] = "<?php echo ?>",
		} do
			it("refuses " .. name .. " as restricted (11.1)", function()
				local client = stranger()
				client:sends_raw("<?xml version='1.0'?>" .. prolog .. header)
				assert.equal("restricted-xml", refused(client))
			end)
		end

		for name, declaration in pairs {
			["another encoding"] = "<?xml version='1.0' encoding='ISO-8859-1'?>",
			["UTF-16 by declaration"] = "<?xml version='1.0' encoding='UTF-16'?>",
			["another version of XML"] = "<?xml version='1.1'?>",
			["a second declaration"] = "<?xml version='1.0'?><?xml version='1.0'?>",
		} do
			it("refuses " .. name, function()
				local client = stranger()
				client:sends_raw(declaration .. header)
				refused(client)
			end)
		end

		local function utf16(text, order, bom)
			return (bom and (order .. "I2"):pack(0xfeff) or "") .. text:gsub(".", function(c)
				return (order .. "I2"):pack(c:byte())
			end)
		end

		for name, bytes in pairs {
			["UTF-16LE"] = utf16(header, "<"), ["UTF-16LE with a mark"] = utf16(header, "<", true),
			["UTF-16BE"] = utf16(header, ">"), ["UTF-16BE with a mark"] = utf16(header, ">", true),
			["UTF-32LE with a mark"] = "\255\254\0\0" .. header:gsub(".", "%0\0\0\0"),
		} do
			it("refuses " .. name .. " before anything is read from it", function()
				local client = stranger()
				client:sends_raw(bytes)
				client:sees_the_end()
				assert.is_nil(client.features)
				for _, stanza in ipairs(client.inbox) do
					assert.is_true(stanza:is "error", tostring(stanza))
				end
			end)
		end

		it("ends a flood of white space at its limit", function()
			local client = stranger()
			client:sends_raw(header)
			for _ = 1, 64 do
				client:sends_raw((" "):rep(KIB))
				if client.closed or client.write_failed then break end
			end
			assert.equal("policy-violation", client:is_thrown_out():child().name)
		end)

		it("ends a header that never ends at its limit", function()
			local client = stranger()
			client:sends_raw("<stream:stream to='localhost' version='1.0' x='" .. ("x"):rep(16 * KIB))
			client:is_thrown_out()
		end)

		it("ends an element of more than 8 KiB", function()
			local client = stranger()
			client:sends_raw(header)
			client:sends_raw("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'>" .. ("<x/>"):rep(4 * KIB))
			assert.equal("policy-violation", client:is_thrown_out():child().name)
		end)

		it("gives a thousand half-written headers at most 32 KiB each", function()
			local first = server:memory()
			for i = 0, 999 do
				local client = server:client { from_ip = ("127.1.%d.1"):format(i // 20), trickle = false }:connect()
				client:queues_raw(header .. "<starttls x='" .. ("x"):rep(8191 - #header - 13))
			end
			canary:settles()
			local grown = server:memory() - first
			assert.is_true(grown < 1000 * 32, grown .. " KiB")
		end)
	end)

	describe("after login", function()
		local romeo

		before_each(function() romeo = server:person "romeo" end)

		for name, bytes in pairs {
			["a comment"] = "<message><!-- hi --><body/></message>",
			["a processing instruction"] = "<message><?x y?></message>",
			["a DTD"] = "<!DOCTYPE x><message/>",
			["an undefined entity"] = "<message><body>&nbsp;</body></message>",
			["an unfinished UTF-8 sequence in a name"] = "<message><a\xE2\x98/></message>",
			["an overlong form"] = "<message><body>\xC0\xAF</body></message>",
			["a surrogate"] = "<message><body>\xED\xA0\x80</body></message>",
			["a character past the last one"] = "<message><body>\xF4\x90\x80\x80</body></message>",
			["U+FFFF"] = "<message><body>\xEF\xBF\xBF</body></message>",
			["a broken attribute"] = "<message id='\xC0\xAF'/>",
			["a NUL"] = "<message><body>a\0b</body></message>",
			["a control character by reference"] = "<message><body>&#x1;</body></message>",
			["a separator in a namespace"] = "<x xmlns='jabber:client&#1;iq'/>",
			["the same attribute twice"] = "<message id='1' id='2'/>",
			["the same attribute by two prefixes"] =
				"<message xmlns:a='urn:x' xmlns:b='urn:x' a:id='1' b:id='2'/>",
			["an unquoted attribute"] = "<message id=1/>",
			["]]> in text"] = "<message><body>]]></body></message>",
			["a nested stream"] = "<message><stream:stream></message></stream:stream>",
		} do
			it("refuses " .. name, function()
				romeo:sends_raw(bytes)
				refused(romeo)
			end)
		end

		it("does not take a namespace with a line break for its own", function()
			romeo:sends "<x xmlns='jabber:client&#10;iq' type='get' id='a5'/>"
			romeo:is_thrown_out()
			for _, stanza in ipairs(romeo.inbox) do
				assert.is_not.equal("iq", stanza.name)
			end
		end)

		for name, stanza in pairs {
			["a body without end"] = "<message><body>" .. ("x"):rep(300 * KIB),
			["a tag of more than 16 KiB"] = "<message x='" .. ("x"):rep(17 * KIB) .. "'/>",
			["a stanza of more than 256 KiB"] =
				"<message><body>" .. ("x"):rep(257 * KIB) .. "</body></message>",
			["65 levels"] = ("<message>" .. ("<a>"):rep(65) .. ("</a>"):rep(65) .. "</message>"),
			["8,193 elements"] = "<message>" .. ("<a/>"):rep(8193) .. "</message>",
			["65 attributes"] = "<message " .. (function()
				local all = {}
				for i = 1, 65 do all[i] = ("a%d='%d'"):format(i, i) end
				return table.concat(all, " ")
			end)() .. "/>",
			["a namespace of more than 512 bytes"] = "<message xmlns:x='" .. ("x"):rep(513) .. "'/>",
			["a namespace blown up by many elements"] =
				("<message><m xmlns='%s'>%s"):format(("x"):rep(500), ("<a/>"):rep(8000)) .. ("x"):rep(256 * KIB),
		} do
			it("ends at " .. name, function()
				local memory, cpu = server:memory(), server:cpu_seconds()
				romeo:sends_raw(stanza)
				romeo:is_thrown_out()
				canary:settles()
				assert.is_true(server:memory() - memory < 6 * KIB, server:memory() - memory .. " KiB")
				assert.is_true(server:cpu_seconds() - cpu < 1)
			end)
		end

		it("delivers what is just within the limits", function()
			local deep = ("<a xmlns='urn:x'>"):rep(1) .. ("<a>"):rep(60) .. ("</a>"):rep(61)
			romeo:sends("<message to='canary@localhost'>" .. deep .. "</message>")
			canary:receives "<message><a xmlns='urn:x'><a><a/></a></a></message>"
			romeo:sends("<message to='canary@localhost'><body>" .. ("x"):rep(200 * KIB) .. "</body></message>")
			assert.equal(200 * KIB, #canary:receives("<message><body/></message>"):child("body"):text())
		end)

		it("forgets names: a session that uses ever new ones does not grow", function()
			local function burst(from, n)
				local parts = {}
				for i = from, from + n - 1 do
					parts[#parts + 1] = ("<message to='romeo@localhost/x%d'><e%d a%d=''/></message>"):format(i, i, i)
				end
				romeo:sends_raw(table.concat(parts))
				romeo:settles()
				romeo:forgets()
			end
			local trickled = romeo.trickle
			romeo.trickle = false
			burst(1, 2000)
			local memory = server:memory()
			for round = 1, 15 do burst(round * 2000, 2000) end
			romeo.trickle = trickled
			assert.is_true(server:memory() - memory < 4 * KIB, server:memory() - memory .. " KiB")
		end)

		it("answers a stanza however it is cut in two, without waiting for more", function()
			romeo.trickle = false
			local ping = "<iq type='get' to='localhost' id='cut'><ping xmlns='urn:xmpp:ping'/></iq>"
			for cut = 1, #ping - 1 do
				romeo:sends_raw(ping:sub(1, cut))
				romeo:sends_raw(ping:sub(cut + 1))
				romeo:receives "<iq type='result' id='cut'/>"
			end
		end)

		it("answers a long tag in single bytes, and it costs little", function()
			romeo.trickle = false
			local cpu = server:cpu_seconds()
			local tag = ("<iq type='get' to='localhost' id='long' x='%s'><ping xmlns='urn:xmpp:ping'/></iq>"):format(
				("x"):rep(12 * KIB))
			for i = 1, #tag do romeo:sends_raw(tag:sub(i, i)) end
			romeo:receives "<iq type='result' id='long'/>"
			assert.is_true(server:cpu_seconds() - cpu < 1.5, server:cpu_seconds() - cpu .. " s")
		end)

		it("writes what it understood: the receiver's parser sees the same one stanza", function()
			math.randomseed(20)
			local texts = {
				"a&b", "<tag>", "]]>", "'", '"', "\r\n\t", "é", "日本", "😀", "</stream:stream>", "&amp;", " ", "x",
			}
			local function some_text()
				local parts = {}
				for _ = 1, math.random(1, 4) do parts[#parts + 1] = texts[math.random(#texts)] end
				return table.concat(parts)
			end
			local function attribute_text() -- white space by reference, or the sender's own parser would change it
				return (xml.escape(some_text()):gsub("[\r\n\t]", function(c) return ("&#%d;"):format(c:byte()) end))
			end
			local function element(depth)
				local ns = ({ "urn:x:1", "urn:x:2", "jabber:server", "http://etherx.jabber.org/streams" })[math.random(4)]
				local prefix = math.random(3) == 1 and "p:" or ""
				local open = prefix == "" and ("<e xmlns='%s'"):format(ns) or ("<p:e xmlns:p='%s'"):format(ns)
				if math.random(2) == 1 then open = open .. (" v='%s'"):format(attribute_text()) end
				if math.random(3) == 1 then open = open .. " xml:lang='de'" end
				if math.random(4) == 1 then open = open .. (" xmlns:q='urn:q' q:w='%s'"):format(attribute_text()) end
				local inside = {}
				for _ = 1, math.random(0, 3) do
					local kind = math.random(3)
					if kind == 1 and depth < 4 then inside[#inside + 1] = element(depth + 1)
					elseif kind == 2 then inside[#inside + 1] = (xml.escape(some_text()):gsub("\r", "&#13;"))
					else inside[#inside + 1] = "<![CDATA[" .. some_text():gsub("]]>", ""):gsub("\r", "") .. "]]>" end
				end
				return open .. ">" .. table.concat(inside) .. ("</%se>"):format(prefix)
			end
			for i = 1, romeo.trickle and 20 or 200 do
				local body = element(1)
				romeo:sends_raw(("<message to='canary@localhost' id='r%d'>%s</message>"):format(i, body))
				local got = canary:receives(("<message id='r%d' from='%s'/>"):format(i, romeo.jid))
				assert.equal(tostring(xml.parse(body)), tostring(got:child "e"))
			end
			canary:receives_nothing(romeo)
		end)
	end)

	describe("in one segment", function()
		it("does nothing unasked between two states of a stream", function()
			for _, bytes in ipairs {
				"</stream:stream><stream:stream xmlns='jabber:client'>",
				"</stream:stream>garbage<<<",
			} do
				local client = server:client { tls = "direct", trickle = false }:connect()
				client:opens_stream_with_features()
				client:sends_raw(bytes)
				client:sees_the_end()
			end
		end)

		it("reads nothing of a stream that the next step would begin anew", function()
			local client = server:client { tls = "direct", trickle = false }:connect()
			client:opens_stream_with_features()
			client:sends_raw("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGNhbmFyeQBzZWNyZXQ=</auth>"
				.. "<iq type='get' id='early' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
			client:receives "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"
			local features = client:opens_stream_with_features()
			assert.is_truthy(features:child "bind")
			assert.same({}, client.inbox)
		end)
	end)

	describe("from many who never log in", function()
		local steps = {
			["after connecting"] = function() end,
			["after the header"] = function(client) client:opens_stream_with_features() end,
			["in the TLS handshake"] = function(client)
				client:opens_stream_with_features()
				client:sends_raw "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
				client:next_stanza()
				client.parser = nil
				client:sends_raw "\22\3\1"
			end,
			["in the middle of SASL"] = function(client)
				client:opens_stream_with_features()
				client:starts_tls()
				client:opens_stream_with_features()
				client:sends "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1'>biwsbj1hLHI9YQ==</auth>"
				client:next_stanza()
			end,
		}
		for name, step in pairs(steps) do
			it("keeps nothing of those who leave " .. name, function()
				local function round(n)
					for i = 1, n do
						local client = server:client { trickle = false, from_ip = ("127.2.%d.1"):format(i % 250) }:connect()
						step(client)
						client:vanishes()
						table.remove(server.clients)
					end
					server:is_alone_with(1)
				end
				local files = server:open_files()
				round(150) -- what a first use of each part keeps for good
				local heap = server:heap()
				round(300)
				local grown = server:heap() - heap
				assert.is_true(grown < 300, grown .. " KiB") -- less than 1 KiB for each
				server:awaits(function() return server:open_files() <= files end, "all descriptors to be closed")
			end)
		end
	end)
end)
