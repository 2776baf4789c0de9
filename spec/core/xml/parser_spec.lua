local T = require "couplet_core".xml
local effort = require "spec.support.effort"
local corpus = require "spec.core.xml.corpus"
local header = corpus.header

--- A stream parser that has handed out its header.
local function opened(limits, text)
	local parser = T.parser("stream", limits)
	parser:push(text or header)
	assert.equal("header", (parser:next()))
	return parser
end

--- Everything a parser says to one push, as words.
local function said(parser, text)
	parser:push(text)
	local words = {}
	repeat
		local result, what = parser:next()
		words[#words + 1] = result == "failed" and what or result == "stanza" and what.name or result
	until result == "more" or result == "failed"
	return table.concat(words, " ")
end

local function refuses(condition, text, limits)
	assert.equal(condition, said(opened(limits), text))
end

describe("a stream, cut anywhere", function()
	local bytewise = corpus.parse(T.parser(), corpus.stream, corpus.every_byte(corpus.stream))

	it("gives the header, each stanza and the footer at their last byte", function()
		local kinds = {}
		for i, event in ipairs(bytewise) do
			kinds[i] = event[1]
			assert.equal(">", corpus.stream:sub(event[2], event[2]))
		end
		assert.equal("header stanza stanza stanza stanza stanza stanza stanza footer", table.concat(kinds, " "))
		assert.equal("<message from='romeo@montague.example/o' to='juliet@capulet.example' type='chat' id='1' "
			.. "xml:lang='en'>"
			.. [[<body>Wherefore &amp; ♥ art &lt;thou&gt;?</body><active xmlns='http://jabber.org/protocol/chatstates'/>]]
			.. "</message>", bytewise[2][3])
		assert.equal("<iq type='get' id='a&apos;&quot;b'><query xmlns='jabber:iq:roster'/></iq>", bytewise[3][3])
		assert.equal("<presence xmlns:ns1='urn:p' ns1:a='1' a='2&gt;'><deep xmlns='urn:p'><y xmlns=''>z</y></deep>"
			.. "</presence>",
			bytewise[4][3])
		assert.equal("<message><body>&lt;/body&gt; ]] ]&gt; &lt;a b=&apos;&amp;amp;&apos;&gt;</body><e a=' '/></message>",
			bytewise[5][3])
	end)

	it("says the same at the same moment, wherever one cut is", function()
		for place = 1, #corpus.stream - 1 do
			local cut = { place }
			assert.same(corpus.expected(bytewise, corpus.stream, cut), corpus.parse(T.parser(), corpus.stream, cut))
		end
	end)

	it("says the same for every two cuts", function()
		local text = header .. "<iq id='1' type=\"get\"><q xmlns='urn:q'>&lt;<![CDATA[]]]>é</q></iq> <a/></stream:stream>"
		local from = #header - 4
		local known = corpus.parse(T.parser(), text, corpus.every_byte(text))
		assert.equal(4, #known)
		for first = from, #text - 2 do
			for second = first + 1, #text - 1 do
				local cuts = { first, second }
				assert.same(corpus.expected(known, text, cuts), corpus.parse(T.parser(), text, cuts))
			end
		end
	end)

	it("says the same for many random cuts, with rests in between", function()
		math.randomseed(7)
		for _ = 1, corpus.many(200) do
			local cuts = {}
			for place = 1, #corpus.stream - 1 do
				if math.random() < 0.05 then
					cuts[#cuts + 1] = place
				end
			end
			assert.same(corpus.expected(bytewise, corpus.stream, cuts), corpus.parse(T.parser(), corpus.stream, cuts))
		end
	end)

	it("leaves nothing alive", function()
		collectgarbage()
		assert.equal(0, T.live())
		assert.equal(0, T.expat_count())
		assert.equal(0, T.expat_bytes())
	end)
end)

describe("a stream's header", function()
	it("comes as a stanza with its namespace declarations", function()
		local parser = T.parser()
		parser:push(header)
		local result, stream = parser:next()
		assert.equal("header", result)
		assert.equal("stream", stream.name)
		assert.equal("http://etherx.jabber.org/streams", T.ns(stream))
		assert.equal("montague.example", stream.attr.to)
		assert.equal("http://etherx.jabber.org/streams", stream.attr["xmlns:stream"])
		assert.equal("more", (parser:next()))
	end)

	it("may be empty, and then the footer follows", function()
		assert.equal("header footer more", said(T.parser(), "<stream:stream xmlns:stream='urn:s'/>"))
	end)

	it("may have any prefix or none, and the footer must match", function()
		assert.equal("header footer more", said(T.parser(), "<s xmlns='urn:s' xmlns:c='jabber:client'></s>"))
		assert.equal("header not-well-formed", said(T.parser(), "<s xmlns='urn:s'></t>"))
	end)

	it("may be preceded by an XML declaration for UTF-8", function()
		for _, declaration in ipairs { "<?xml version='1.0'?>", '<?xml version="1.0" encoding="utf-8" ?>',
			"<?xml version = '1.0'?>\n", "<?xml\tversion='1.0'\nencoding='UTF-8'?>", "" } do
			assert.equal("header more", said(T.parser(), declaration .. "<s xmlns='urn:s'>"))
		end
	end)

	it("may follow white space, but a declaration only after a restart, where it is left of the old stream", function()
		assert.equal("header more", said(T.parser(), " \n<s xmlns='urn:s'>"))
		assert.equal("not-well-formed", said(T.parser(), " <?xml version='1.0'?><s xmlns='urn:s'>"))
		local parser = opened()
		parser:reset()
		assert.equal("header more", said(parser, "\r\n<?xml version='1.0'?><s xmlns='urn:s'>"))
	end)

	it("is refused after any other declaration", function()
		for declaration, condition in pairs {
			["<?xml version='1.0' encoding='ISO-8859-1'?>"] = "unsupported-encoding",
			["<?xml version='1.0' encoding='UTF-16'?>"] = "unsupported-encoding",
			["<?xml version='1.0' standalone='no'?>"] = "restricted-xml",
			["<?xml version='1.0' encoding='utf-8' standalone='yes'?>"] = "restricted-xml",
			["<?xml version='1.1'?>"] = "restricted-xml",
			["<?xml?>"] = "restricted-xml",
			["<?xml encoding='utf-8'?>"] = "not-well-formed",
			["<?xml version='1.0' x='y'?>"] = "not-well-formed",
			["<?xml version='1.0'>"] = "not-well-formed",
			["<?xml version='1.0'?><?xml version='1.0'?>"] = "restricted-xml",
			["<?x y?>"] = "restricted-xml",
			["<!-- -->"] = "restricted-xml",
			["<?xml " .. (" "):rep(200)] = "not-well-formed",
			["text"] = "not-well-formed",
			["</s>"] = "not-well-formed",
		} do
			assert.equal(condition, said(T.parser(), declaration .. "<s xmlns='urn:s'>"), declaration)
		end
	end)

	it("is refused in another encoding, before any element is seen (A3, fact 5)", function()
		local function utf16(text, little)
			return (text:gsub(".", little and "%0\0" or "\0%0"))
		end
		for _, text in ipairs { utf16(header, true), utf16(header, false), "\xff\xfe" .. utf16(header, true),
			"\xfe\xff" .. utf16(header, false), (header:gsub(".", "%0\0\0\0")), (header:gsub(".", "\0\0\0%0")),
			"\xff\xfe\0\0" .. header:gsub(".", "%0\0\0\0") } do
			assert.equal("unsupported-encoding", said(T.parser(), text))
			local bytewise = corpus.parse(T.parser(), text, corpus.every_byte(text))
			assert.same({ 1, "failed", "unsupported-encoding" }, { #bytewise, bytewise[1][1], bytewise[1][3] })
		end
	end)

	it("takes no byte order mark: it is a character before the first tag (RFC 6120 11.6)", function()
		assert.equal("not-well-formed", said(T.parser(), "\xef\xbb\xbf" .. header))
	end)
end)

describe("a parser refuses", function()
	it("DTDs, comments and instructions anywhere (A1, A2)", function()
		assert.equal("restricted-xml", said(T.parser(), "<!DOCTYPE s [<!ENTITY a 'x'>]>" .. header))
		for _, text in ipairs { "<!DOCTYPE s>", "<!-- x -->", "<?x y?>", "<a><!-- x --></a>", "<a><?x?></a>",
			"<a>t<!DOCTYPE s></a>", "<?xml version='1.0'?>", "<!ENTITY a 'x'>", "<a><![IGNORE[" } do
			local condition = text:find "IGNORE" and "not-well-formed" or "restricted-xml"
			assert.equal(condition, said(opened(), text), text)
		end
	end)

	it("ten billion laughs in no time and without memory", function()
		local entities = { "<!ENTITY a0 'lol'>" }
		for i = 1, 30 do
			entities[#entities + 1] = ("<!ENTITY a%d '%s'>"):format(i, ("&a" .. i - 1 .. ";"):rep(10))
		end
		assert.is_true(effort.is_below(0.05, function()
			assert.equal("restricted-xml", said(T.parser(), "<!DOCTYPE s [" .. table.concat(entities) .. "]><s>&a30;</s>"))
		end))
	end)

	it("references to anything but the five and characters", function()
		refuses("restricted-xml", "<a>&nbsp;</a>")
		refuses("restricted-xml", "<a b='&lol;'/>")
		refuses("not-well-formed", "<a>&#0;</a>")
		refuses("not-well-formed", "<a>&#xFFFE;</a>")
		refuses("not-well-formed", "<a>&" .. ("x"):rep(40))
		refuses("not-well-formed", "<a>& b</a>")
	end)

	it("what is not UTF-8, and characters that are none of XML's (A4)", function()
		for _, bad in ipairs { "\xe2\x98", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff", "\xef\xbf\xbe",
			"\xef\xbf\xbf", "\1", "\x1f", "\x80", "\xf8\x88\x80\x80\x80" } do
			refuses("not-well-formed", "<a>" .. bad .. "</a>")
			refuses("not-well-formed", "<a b='" .. bad .. "'/>")
			refuses("not-well-formed", "<a" .. bad .. "/>")
		end
	end)

	it("a NUL wherever it is, but not the stanza before it", function()
		assert.equal("a bad-format", said(opened(), "<a/>\0"))
		assert.equal("a not-well-formed", said(opened(), "<a/><b>x\0y</b><c/>"))
		assert.equal("a not-well-formed", said(opened(), "<a/><b c='\0'/>"))
	end)

	it("separators in namespaces (A5)", function()
		refuses("not-well-formed", "<a xmlns='jabber:client&#1;iq'/>")
		local parser = opened()
		parser:push("<a xmlns='jabber:client&#10;iq'/>")
		local _, stanza = parser:next()
		assert.equal("jabber:client\niq", T.ns(stanza))
		assert.equal("a", stanza.name)
	end)

	it("unbound and abused prefixes", function()
		for _, text in ipairs { "<p:a/>", "<a p:b='1'/>", "<a xmlns:p=''/>", "<a xmlns:xml='urn:x'/>",
			"<a xmlns:xmlns='urn:x'/>", "<a xmlns:p='http://www.w3.org/XML/1998/namespace'/>", "<xml:a/>" } do
			assert.equal("bad-namespace-prefix", said(opened(), text), text)
		end
	end)

	it("what is not well-formed", function()
		for _, text in ipairs { "<a></b>", "<a b='1' b='2'/>", "<a xmlns:p='u' xmlns:q='u' p:b='' q:b=''/>", "<a b=c/>",
			"<a <b/>", "<a b='<'/>", "<a>]]></a>", "< a/>", "<a/ >", "<1/>", "<a b='1'c='2'/>", "<a></a b='1'>",
			"<a/b>", "<>", "</>" } do
			assert.equal("not-well-formed", said(opened(), text), text)
		end
	end)

	it("text between stanzas and anything after the footer", function()
		assert.equal("a bad-format", said(opened(), "<a/>b"))
		assert.equal("a bad-format", said(opened(), "<a/>&#32;"))
		assert.equal("a bad-format", said(opened(), "<a/><![CDATA[x]]>"))
		assert.equal("footer more", said(opened(), "</stream:stream> \n"))
		assert.equal("footer not-well-formed", said(opened(), "</stream:stream><stream:stream>"))
	end)

	it("to go on after a failure, and says the same again", function()
		local parser = opened()
		assert.equal("not-well-formed", said(parser, "<a></b>"))
		assert.equal("not-well-formed", said(parser, "<a/>"))
		parser:reset()
		assert.equal("header a more", said(parser, header .. "<a/>"))
	end)
end)

describe("limits", function()
	it("hold back a stanza of more bytes, and pass one of exactly as many", function()
		local function stanza(size) return "<a>" .. ("x"):rep(size - 7) .. "</a>" end
		assert.equal("a a more", said(opened { stanza_bytes = 500 }, stanza(500) .. stanza(500)))
		assert.equal("a policy-violation", said(opened { stanza_bytes = 500 }, stanza(500) .. stanza(501)))
		refuses("policy-violation", "<message><body>" .. ("x"):rep(9000), "unauthed")
		refuses("policy-violation", "<message><body>" .. ("x"):rep(300000))
	end)

	it("count whitespace between stanzas (A7)", function()
		assert.equal("more", said(opened "unauthed", (" "):rep(8192)))
		assert.equal("policy-violation", said(opened "unauthed", (" "):rep(8193)))
		assert.equal("policy-violation", said(T.parser("stream", "unauthed"), ("\n"):rep(8193)))
		local parser, given = opened "unauthed", 0
		repeat
			given = given + 1
		until said(parser, (" "):rep(1024)) ~= "more"
		assert.equal(9, given)
	end)

	it("stop an endless tag before expat sees it, without looking at its bytes twice (A7, A11)", function()
		refuses("policy-violation", "<message to='" .. ("x"):rep(300000) .. "'/>")
		local tag = "<message to='" .. ("x"):rep(16384 - 16) .. "'/>"
		assert.is_true(effort.is_below(0.2, function()
			local parser = opened()
			local before = T.expat_bytes()
			for i = 1, #tag - 1 do
				parser:push(tag:sub(i, i))
				assert(parser:next() == "more")
			end
			assert.equal(before, T.expat_bytes())
			assert.equal("message more", said(parser, ">"))
		end))
		refuses("policy-violation", "<message to='" .. ("x"):rep(16384 - 15) .. "'/>")
		refuses("policy-violation", "</" .. ("x"):rep(20000))
	end)

	it("bound attributes, declarations among them (A12)", function()
		local attrs = {}
		for i = 1, 64 do
			attrs[i] = ("a%d='='"):format(i)
		end
		assert.equal("a more", said(opened(), "<a " .. table.concat(attrs, " ") .. "/>"))
		refuses("policy-violation", "<a " .. table.concat(attrs, " ") .. " b=''/>")
		local declarations = {}
		for i = 1, 33 do
			declarations[i] = ("xmlns:p%d='u'"):format(i)
		end
		refuses("policy-violation", "<a " .. table.concat(declarations, " ") .. "/>")
	end)

	it("bound depth and the number of elements (A13)", function()
		local function deep(n) return ("<a>"):rep(n) .. ("</a>"):rep(n) end
		assert.equal("a more", said(opened(), deep(64)))
		refuses("policy-violation", deep(65))
		assert.equal("a more", said(opened "unauthed", deep(8)))
		refuses("policy-violation", deep(9), "unauthed")
		local function many(n) return "<m>" .. ("<a/>"):rep(n - 1) .. "</m>" end
		assert.equal("m m more", said(opened(), many(8192) .. many(8192)))
		refuses("policy-violation", many(8193))
		assert.equal("m more", said(opened "unauthed", many(32)))
		refuses("policy-violation", many(33), "unauthed")
	end)

	it("bound namespaces and what they expand to (A9, fact 4)", function()
		assert.equal("a more", said(opened(), "<a xmlns='" .. ("u"):rep(512) .. "'/>"))
		refuses("policy-violation", "<a xmlns='" .. ("u"):rep(513) .. "'/>")
		local ns = ("u"):rep(512)
		refuses("policy-violation", "<m xmlns='" .. ns .. "'>" .. ("<a/>"):rep(7000) .. "</m>")
		local attrs = {}
		for i = 1, 60 do
			attrs[i] = ("p:a%d=''"):format(i)
		end
		local tag = "<a " .. table.concat(attrs, " ") .. "/>"
		assert.is_true(effort.is_below(0.1, function()
			refuses("policy-violation", "<m xmlns:p='" .. ns .. "'>" .. tag:rep(400) .. "</m>")
		end))
	end)

	it("can be changed in the middle of a stream", function()
		local parser = opened "unauthed"
		parser:set_limits "c2s"
		assert.equal("a more", said(parser, "<a>" .. ("x"):rep(100000) .. "</a>"))
	end)
end)

describe("expat", function()
	it("comes up with the first byte that needs it and goes at rest; whitespace does not wake it", function()
		collectgarbage()
		local before = T.expat_count()
		local parser = opened()
		assert.equal(before + 1, T.expat_count())
		assert.is_true(parser:rest())
		assert.equal(before, T.expat_count())
		assert.equal("more", said(parser, " "))
		assert.equal("more", said(parser, "\r\n\t "))
		assert.equal(before, T.expat_count())
		assert.equal("a more", said(parser, "<a xmlns:s='urn:s'/>"))
		assert.equal(before + 1, T.expat_count())
		assert.equal("footer more", said(parser, "</stream:stream>"))
		parser:free()
	end)

	it("knows the header's namespaces again after a rest", function()
		local parser = opened()
		parser:rest()
		parser:push "<message><body>x</body><stream:x/></message>"
		local _, stanza = parser:next()
		assert.equal("jabber:client", T.ns(stanza.tags[1]))
		assert.equal("http://etherx.jabber.org/streams", T.ns(stanza.tags[2]))
	end)

	it("does not rest in the middle of anything", function()
		local parser = opened()
		for _, part in ipairs { "<a", "><b>", "text", "</b>&am" } do
			assert.equal("more", said(parser, part))
			assert.is_false(parser:rest())
		end
		assert.equal("a more", said(parser, "p;</a>"))
		assert.is_true(parser:rest())
		local fresh = T.parser()
		fresh:push "<str"
		assert.is_false(fresh:rest())
	end)

	it("keepalives never add up while the parser rests now and then", function()
		local parser = opened "unauthed"
		for _ = 1, 20 do
			assert.equal("more", said(parser, (" "):rep(1000)))
			assert.is_true(parser:rest())
		end
	end)

	it("is replaced when it holds too many names, and no stanza is lost (A10, fact 3)", function()
		collectgarbage()
		local parser, most, count = opened(), 0, 0
		local names = { "<message><e%d/></message>", "<message e%d=''/>", "<message xmlns:e%d='u'/>" }
		for i = 1, corpus.many(60000) do
			parser:push(names[i % 3 + 1]:format(i))
			local got, condition = parser:skip()
			assert(got == 1 and not condition)
			count = count + got
			most = math.max(most, T.expat_bytes())
		end
		assert.equal(corpus.many(60000), count)
		assert.is_true(most < 512 * 1024, most)
		assert.equal("footer more", said(parser, "</stream:stream>"))
		parser:free()
	end)

	it("is replaced in the middle of a push without losing its place", function()
		local parser = opened()
		local parts = {}
		for i = 1, 20000 do
			parts[i] = ("<m><e%d/></m>"):format(i)
		end
		parser:push(table.concat(parts, " "))
		local count, condition = parser:skip()
		assert.equal(20000, count)
		assert.is_nil(condition)
	end)
end)

describe("a reset parser", function()
	it("expects a header, and input left is dropped (RFC 6120 4.3.3, 5.4.3.3)", function()
		local parser = opened()
		parser:push "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><iq/>"
		assert.equal("stanza", (parser:next()))
		assert.is_true(parser:has_rest())
		parser:reset()
		assert.is_false(parser:has_rest())
		assert.equal("more", (parser:next()))
		assert.equal("header iq more", said(parser, "\n" .. header .. "<iq/>"))
	end)

	it("has no rest after a stanza that was the last; white space is none", function()
		local parser = opened()
		parser:push "<a/>"
		parser:next()
		assert.is_false(parser:has_rest())
		parser:push "<a/> \n"
		parser:next()
		assert.is_false(parser:has_rest())
		parser:next()
		parser:push "<a/>\n\22\3\1"
		parser:next()
		assert.is_true(parser:has_rest())
	end)

	it("can be freed or reset after any result (A14, fact 6)", function()
		math.randomseed(11)
		local parts = { header, "<starttls/>", "<auth>x</auth>", "<iq/>", "</stream:stream>", "<a><b/>", "</a>", "\0", " ",
			"<!--", "x" }
		for _ = 1, corpus.many(3000) do
			local text = {}
			for i = 1, math.random(6) do
				text[i] = parts[math.random(#parts)]
			end
			local parser = T.parser("stream", "unauthed")
			parser:push(table.concat(text))
			for _ = 1, 20 do
				local result = parser:next()
				local choice = math.random(6)
				if choice == 1 then
					parser:reset()
				elseif choice == 2 then
					parser:rest()
				elseif choice == 3 then
					break
				elseif result == "more" then
					parser:push(parts[math.random(#parts)])
				end
			end
			parser:free()
		end
		collectgarbage()
		assert.equal(0, T.live())
		assert.equal(0, T.expat_count())
	end)
end)

describe("the stream's namespace", function()
	it("is marked as long as nothing leaves it, and such elements show no xmlns", function()
		local parser = opened()
		parser:push "<message><body/><f xmlns='urn:f'><message xmlns='jabber:client'><body/></message></f></message>"
		local _, message = parser:next()
		local inner = message.tags[2].tags[1]
		assert.is_true(T.in_stream_ns(message))
		assert.is_true(T.in_stream_ns(message.tags[1]))
		assert.is_false(T.in_stream_ns(message.tags[2]))
		assert.is_false(T.in_stream_ns(inner))
		assert.is_nil(message.attr.xmlns)
		assert.is_nil(message.tags[1].attr.xmlns)
		assert.equal("jabber:client", inner.attr.xmlns)
		assert.equal("jabber:client", inner.tags[1].attr.xmlns)
	end)

	it("changes with the stream a stanza is written on (RFC 6120 4.8.3), but not what is wrapped", function()
		local parser = opened()
		local same = "<message><body/><f xmlns='urn:f'><message xmlns='jabber:client'><body/></message></f>"
			.. "<n xmlns=''/></message>"
		parser:push(same)
		local _, message = parser:next()
		assert.equal(same, T.serialize(message, "jabber:client"))
		assert.equal(same, T.serialize(message, "jabber:server"))
		assert.equal("<n xmlns=''/>", T.serialize(message.tags[3], "jabber:server"))
	end)

	it("is what a document parser is told", function()
		local parser = T.parser("document")
		parser:set_content_ns "jabber:client"
		parser:push "<message xmlns='jabber:client'><body>x</body></message><message><body/></message>"
		local _, first = parser:next()
		assert.equal("<message><body>x</body></message>", tostring(first))
		local _, second = parser:next()
		assert.is_false(T.in_stream_ns(second))
		assert.equal("<message xmlns=''><body/></message>", T.serialize(second, "jabber:client"))
	end)
end)

describe("a document parser", function()
	it("gives one root after another, whatever precedes them, and no footer", function()
		local parser = T.parser("document")
		assert.equal("a b more",
			said(parser, "<?xml version='1.0' encoding='UTF-8' standalone='yes'?>\n<a>x</a>\n <b xmlns='urn:b'/>"))
		assert.equal("more", said(parser, "\xef\xbb\xbf<?xml version='1.0'?><c>"))
		assert.equal("c more", said(parser, "</c>"))
		assert.equal("not-well-formed", said(parser, "</d>"))
	end)

	it("refuses the same things a stream refuses", function()
		for text, condition in pairs {
			["<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>"] = "restricted-xml",
			["<a><!-- --></a>"] = "restricted-xml", ["<?x?><a/>"] = "restricted-xml", ["x"] = "not-well-formed",
			["<a></d><d></a>"] = "not-well-formed", ["\xff\xfe<\0a\0/\0>\0"] = "unsupported-encoding",
		} do
			assert.equal(condition, said(T.parser("document"), text), text)
		end
	end)

	it("skips comments and instructions when told to", function()
		local parser = T.parser("document")
		parser:allow(true, true)
		parser:push "<?xml version='1.0'?><!-- a --><?b c?><a>x<!-- <b> -- -->y<?c?>z</a>"
		assert.equal("failed", (parser:next())) -- XML 1.0 2.5: no -- inside
		parser:reset()
		parser:push "<?xml version='1.0'?><!-- a --> <?b c?>\n<a>x<!-- <b> ' -->y<?c > ?>z</a><!----> "
		local result, stanza = parser:next()
		assert.equal("stanza", result)
		assert.equal("<a>xyz</a>", tostring(stanza))
		assert.equal("more", (parser:next()))
		assert.is_false(parser:has_rest())
		assert.equal("restricted-xml", said(parser, "<!DOCTYPE a><a/>"))
	end)
end)
