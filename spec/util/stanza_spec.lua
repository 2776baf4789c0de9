local st = require "util.stanza"
local xml = require "util.xml"
local T = require "couplet_core".xml

--- A stanza as it comes from a stream.
local function received(text)
	local parser = T.parser()
	parser:push("<s:stream xmlns='jabber:client' xmlns:s='http://etherx.jabber.org/streams'>" .. text)
	parser:next()
	local result, stanza = parser:next()
	assert.equal("stanza", result)
	parser:free()
	return stanza
end

local function collect(...)
	local list = {}
	for node in ... do
		list[#list + 1] = tostring(node)
	end
	return table.concat(list, ",")
end

describe("util.stanza", function()
	it("is one library under both names", function()
		assert.equal(st, require "prosody.util.stanza")
	end)

	it("makes messages, presences and iqs", function()
		assert.equal("<message/>", tostring(st.message()))
		assert.equal("<message to='a'><body>hi</body></message>", tostring(st.message({ to = "a" }, "hi")))
		assert.equal("<presence type='unavailable'/>", tostring(st.presence { type = "unavailable" }))
		assert.equal("<iq id='1' type='get'/>", tostring(st.iq { type = "get", id = "1" }))
		assert.equal("<x xmlns='urn:x' a='1'/>", tostring(st.stanza("x", { xmlns = "urn:x", a = "1" })))
	end)

	it("insists on an iq's id and type", function()
		assert.has_error(function() st.iq() end, "iq stanzas require id and type attributes")
		assert.has_error(function() st.iq { type = "get" } end, "iq stanzas require an id attribute")
		assert.has_error(function() st.iq { id = "1" } end, "iq stanzas require a type attribute")
	end)

	it("is a userdata with stanza_mt as its metatable", function()
		local stanza = st.message()
		assert.equal("userdata", type(stanza))
		assert.equal(st.stanza_mt, getmetatable(stanza))
		assert.is_true(st.is_stanza(stanza))
		assert.is_true(st.is_stanza(stanza:tag("x").tags[1]))
		for _, other in ipairs { {}, "x", 1, true, stanza.attr, stanza.tags, io.stdout } do
			assert.is_false(st.is_stanza(other))
		end
		assert.is_false(st.is_stanza(nil))
		assert.is_false(st.is_stanza())
	end)

	it("lets modules add methods of their own", function()
		st.stanza_mt.shout = function(self) return self.name:upper() end
		assert.equal("MESSAGE", st.message():shout())
		st.stanza_mt.shout = nil
	end)

	it("escapes text", function()
		assert.equal("&lt;&gt;&amp;&apos;&quot;\n\t]]&gt; é", st.xml_escape "<>&'\"\n\t]]> é")
		assert.equal("", st.xml_escape "")
	end)
end)

describe("building", function()
	it("descends with tag, comes back with up and reset", function()
		local stanza = st.stanza("a"):tag("b", { x = "1" }):tag("c"):text("t"):up():tag("d"):up():up():tag("e")
		assert.equal("<a><b x='1'><c>t</c><d/></b><e/></a>", tostring(stanza))
		assert.is_false(stanza:at_top())
		assert.is_true(stanza:reset():at_top())
		assert.equal("<a><b/></a>", tostring(st.stanza("a"):up():up():tag("b")))
	end)

	it("has short ways for common things", function()
		assert.equal("<a><b x='1'>t</b><c/><d/><e/></a>",
			tostring(st.stanza("a"):text_tag("b", "t", { x = "1" }):text_tag("c"):text_tag("d", ""):tag("e")))
		assert.equal("<message><body>x</body><body xml:lang='de'>y</body></message>",
			tostring(st.message():body("x"):body("y", { ["xml:lang"] = "de" })))
		assert.equal("<iq id='1' type='get'><query xmlns='urn:q'><x/></query></iq>",
			tostring(st.iq { id = "1", type = "get" }:query("urn:q"):tag("x")))
	end)

	it("joins texts that follow each other, and ignores nil and empty ones", function()
		local stanza = st.stanza("a"):text("x"):text(""):text(nil):text("y"):tag("b"):up():text("z")
		assert.equal(3, #stanza)
		assert.equal("xy", stanza[1])
	end)

	it("adds stanzas and strings at the cursor or directly", function()
		assert.equal("<a><b><c/>t</b><d/></a>", tostring(st.stanza("a"):tag("b"):add_child(st.stanza("c")):add_child("t")
			:add_direct_child(st.stanza("d"))))
		assert.has_error(function() st.stanza("a"):add_child(nil) end)
		assert.has_error(function() st.stanza("a"):add_child {} end)
	end)

	it("shows later what is done through a stanza that was added", function()
		local outer, inner = st.stanza("outer"), st.stanza("inner"):tag("part")
		local part = inner.tags[1]
		part.mark = 42
		outer:tag("wrap"):add_child(inner):reset()
		inner:text("t") -- its cursor is still in part
		inner.attr.x = "1"
		part.attr.y = "2"
		assert.equal("<outer><wrap><inner x='1'><part y='2'>t</part></inner></wrap></outer>", tostring(outer))
		assert.equal(inner, outer.tags[1].tags[1])
		assert.equal(part, outer:find "wrap/inner/part")
		assert.equal(42, outer:find("wrap/inner/part").mark)
		local top = st.stanza("top"):add_child(outer)
		inner.attr.z = "3"
		assert.equal("<top><outer><wrap><inner x='1' z='3'><part y='2'>t</part></inner></wrap></outer></top>", tostring(top))
	end)

	it("copies a child that is added elsewhere, with its namespace", function()
		local a = st.stanza("a", { xmlns = "urn:a" }):tag("b"):up()
		local c = st.stanza("c", { xmlns = "urn:c" }):add_child(a.tags[1])
		a.tags[1].attr.x = "1"
		assert.equal("<c xmlns='urn:c'><b xmlns='urn:a'/></c>", tostring(c))
	end)

	it("can add a stanza to itself and to a part of itself", function()
		local stanza = st.stanza("a"):tag("b")
		stanza:add_child(stanza)
		stanza:add_direct_child(stanza.tags[1])
		assert.equal("<a><b><a><b/></a></b><b><a><b/></a></b></a>", tostring(stanza))
	end)

	it("keeps handles of removed elements readable, also after their stanza was added elsewhere", function()
		local stanza = st.stanza("a"):tag("b", { x = "1" }):up():tag("c"):up()
		local b, c = stanza.tags[1], stanza.tags[2]
		stanza:remove_children("b")
		assert.equal("<b x='1'/>", tostring(b))
		local outer = st.stanza("o"):add_child(stanza)
		assert.equal("<b x='1'/>", tostring(b))
		c.attr.y = "2"
		outer:add_child(b)
		assert.equal("<o><a><c y='2'/></a><b x='1'/></o>", tostring(outer))
	end)

	it("raises an error that shows what may not stand in XML", function()
		for _, case in ipairs {
			{ "invalid tag name 'a b'", function() st.stanza("a b") end },
			{ "invalid tag name: empty", function() st.stanza("") end },
			{ "invalid tag name: expected string, got nil", function() st.stanza() end },
			{ "invalid tag name '1a'", function() st.stanza("a"):tag("1a") end },
			{ "invalid tag name '<a>'", function() st.stanza("a"):text_tag("<a>") end },
			{ "invalid text value 'a%?b'", function() st.stanza("a"):text("a\1b") end },
			{ "invalid text value '%?'", function() st.stanza("a"):text("\xff") end },
			{ "invalid text value", function() st.stanza("a"):text("\xef\xbf\xbe") end },
			{ "invalid text value: expected string, got number", function() st.stanza("a"):text(5) end },
			{ "invalid text value: expected string, got boolean", function() st.stanza("a"):text(false) end },
			{ "invalid attribute value 'x%?'", function() st.stanza("a", { b = "x\0" }) end },
			{ "invalid value of attribute 'b': expected string, got number", function() st.stanza("a", { b = 1 }) end },
			{ "invalid attribute name 'b c'", function() st.stanza("a", { ["b c"] = "" }) end },
			{ "invalid attribute name: expected string, got number", function() st.stanza("a", { "x" }) end },
			{ "invalid attributes: expected table, got string", function() st.stanza("a", "x") end },
			{ "is reserved", function() st.stanza("a", { xmlns = "http://www.w3.org/XML/1998/namespace" }) end },
			{ "invalid attribute value", function() st.message().attr.to = "\27" end },
			{ "invalid attribute name", function() st.message().attr["a b"] = "" end },
			{ "expected string, got table", function() st.message().attr.to = {} end },
		} do
			local ok, err = pcall(case[2])
			assert.is_false(ok)
			assert.matches(case[1], err)
		end
	end)

	it("leaves a stanza whole when what was to be added is refused", function()
		local stanza = st.stanza("a")
		pcall(stanza.tag, stanza, "b", { good = "1", bad = "\0" })
		pcall(stanza.text_tag, stanza, "b", "\0")
		assert.equal("<a/>", tostring(stanza))
	end)

	it("takes attributes of another stanza", function()
		local stanza = st.message { to = "a", ["xml:lang"] = "en" }
		assert.equal("<x to='a' xml:lang='en'/>", tostring(st.stanza("x", stanza.attr)))
	end)

	it("grows as far as it has to", function()
		local stanza = st.stanza("a")
		for i = 1, 2000 do
			stanza:text_tag("item", ("%d "):format(i):rep(10), { id = tostring(i) })
		end
		collectgarbage()
		assert.equal(2000, #stanza.tags)
		assert.equal("2000", stanza.tags[2000].attr.id)
		assert.equal(("7 "):rep(10), stanza.tags[7]:get_text())
		T.check(stanza)
	end)
end)

describe("searching", function()
	local q = st.stanza("q", { xmlns = "A" }):tag("a", { k = "V" }):up():tag("b", { xmlns = "B" }):up()
		:tag("c", { xmlns = "A" }):up():text("hej"):tag("d"):text("in"):reset()

	it("finds a child by name, in the parent's namespace unless told otherwise", function()
		assert.equal("a", q:get_child().name)
		assert.equal("a", q:get_child("a").name)
		assert.equal("a", q:get_child("a", "A").name)
		assert.equal("c", q:get_child("c").name)
		assert.is_nil(q:get_child("b"))
		assert.equal("b", q:get_child("b", "B").name)
		assert.equal("b", q:get_child(nil, "B").name)
		assert.is_nil(q:get_child("a", "B"))
	end)

	it("finds texts and attributes of children", function()
		assert.equal("in", q:get_child_text("d"))
		assert.equal("", q:get_child_text("a"))
		assert.is_nil(q:get_child_text("nope"))
		assert.is_nil(q:get_text())
		assert.equal("V", q:get_child_attr("a", nil, "k"))
		assert.is_nil(q:get_child_attr("a", nil, "x"))
		assert.is_nil(q:get_child_attr("nope", nil, "k"))
		assert.equal("B", q:get_child_attr("b", "B", "xmlns"))
		assert.equal("a", q:get_child_with_attr("a", nil, "k", "V").name)
		assert.is_nil(q:get_child_with_attr("a", nil, "k", "v"))
		assert.equal("a", q:get_child_with_attr("a", nil, "k", "v", string.lower).name)
		assert.equal("b", q:child_with_name("b").name)
		assert.equal("b", q:child_with_ns("B").name)
		assert.is_nil(q:child_with_ns("C"))
	end)

	it("walks over children", function()
		local function names(...)
			local list = {}
			for tag in q:childtags(...) do
				list[#list + 1] = tag.name
			end
			return table.concat(list, " ")
		end
		assert.equal("a c d", names())
		assert.equal("b", names(nil, "B"))
		assert.equal("c", names("c"))
		assert.equal("", names("b"))
		assert.equal("<x/>,t,<y/>", collect(st.stanza("a"):tag("x"):up():text("t"):tag("y"):up():children()))
	end)

	it("may remove the child it is at", function()
		local stanza = xml.parse "<a><b/><c/><b/><d/></a>"
		for tag in stanza:childtags() do
			if tag.name == "b" then
				stanza:remove_children("b")
			end
		end
		assert.equal("<a><c/><d/></a>", tostring(stanza))
	end)

	it("follows paths", function()
		local stanza = xml.parse [[<iq to='x'><q xmlns='urn:q'><i n='1'>one</i><i xmlns='urn:i' n='2'>two</i></q></iq>]]
		assert.equal("x", stanza:find "@to")
		assert.is_nil(stanza:find "q")
		assert.equal("q", stanza:find "{urn:q}q".name)
		assert.equal("q", stanza:find "{urn:q}".name)
		assert.equal("one", stanza:find "{urn:q}q/i#")
		assert.equal("1", stanza:find "{urn:q}q/i@n")
		assert.equal("2", stanza:find "{urn:q}/{urn:i}i/@n")
		assert.equal("two", stanza:find "{urn:q}q/{urn:i}#")
		assert.is_nil(stanza:find "{urn:q}q/nope@n")
		assert.is_nil(stanza:find "{urn:q}q/nope#")
		assert.equal("urn:q", stanza:find "{urn:q}q@xmlns")
		assert.has_error(function() stanza:find "{urn" end)
	end)

	it("reads errors", function()
		local function get(text) return xml.parse("<iq type='error'>" .. text .. "</iq>"):get_error() end
		assert.same({ n = 4 }, table.pack(get ""))
		local kind, condition, text, extra = get("<error type='cancel'>"
			.. "<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>t</text>"
			.. "<gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><x xmlns='urn:x'/></error>")
		assert.same({ "cancel", "gone", "t", "x" }, { kind, condition, text, extra.name })
		kind, condition, text, extra = get "<error type='wait'/>"
		assert.same({ "wait", "undefined-condition" }, { kind, condition, text, extra })
	end)
end)

describe("an element as Prosody's table", function()
	it("has a name and live attributes", function()
		local stanza = st.message { to = "a", id = "1" }
		local attr = stanza.attr
		assert.equal("message", stanza.name)
		assert.equal("a", attr.to)
		assert.is_nil(attr.from)
		attr.to = "b"
		attr.from = "c"
		attr.id = nil
		attr.x = 5
		assert.equal("<message to='b' from='c' x='5'/>", tostring(stanza))
		assert.equal(attr, stanza.attr)
		stanza.name = "presence"
		assert.equal("presence", stanza.name)
		assert.is_nil(attr[1])
		attr.missing = nil
		assert.equal("<presence to='b' from='c' x='5'/>", tostring(stanza))
	end)

	it("lets its attributes be walked and changed on the way", function()
		local stanza = st.stanza("a", { xmlns = "urn:a", b = "1", c = "2" })
		local seen = {}
		for k, v in pairs(stanza.attr) do
			seen[k] = v
			stanza.attr[k] = nil
		end
		assert.same({ xmlns = "urn:a", b = "1", c = "2" }, seen)
		assert.equal("<a/>", tostring(stanza))
		stanza.attr = { d = "3", xmlns = "urn:d" }
		assert.equal("<a xmlns='urn:d' d='3'/>", tostring(stanza))
		stanza.attr = st.message({ to = "x" }).attr
		assert.equal("<a to='x'/>", tostring(stanza))
	end)

	it("has xmlns among its attributes", function()
		local stanza = st.stanza("a")
		assert.is_nil(stanza.attr.xmlns)
		stanza.attr.xmlns = "urn:a"
		assert.equal("urn:a", stanza.attr.xmlns)
		stanza:tag("b")
		assert.is_nil(stanza.tags[1].attr.xmlns)
		stanza.tags[1].attr.xmlns = ""
		assert.equal("<a xmlns='urn:a'><b xmlns=''/></a>", tostring(stanza))
		stanza.attr.xmlns = nil
		stanza.tags[1].attr.xmlns = nil
		assert.equal("<a><b/></a>", tostring(stanza))
	end)

	it("shows no xmlns for what came in its stream's namespace, until one is set", function()
		local stanza = received "<message><body>x</body><r xmlns='urn:r'><s/></r></message>"
		assert.is_nil(stanza.attr.xmlns)
		assert.is_nil(stanza.tags[1].attr.xmlns)
		assert.equal("urn:r", stanza.tags[2].tags[1].attr.xmlns)
		assert.equal("<message><body>x</body><r xmlns='urn:r'><s/></r></message>", tostring(stanza))
		assert.equal("<body>x</body>", tostring(stanza.tags[1]))
		stanza.attr.xmlns = nil
		assert.equal("x", stanza:get_child_text("body"))
		stanza.attr.xmlns = "jabber:client"
		assert.equal("jabber:client", stanza.attr.xmlns)
		local forwarded = st.stanza("forwarded", { xmlns = "urn:xmpp:forward:0" }):add_child(stanza)
		assert.equal("<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'><body>x</body>"
			.. "<r xmlns='urn:r'><s/></r></message></forwarded>", tostring(forwarded))
	end)

	it("keeps its stream's namespace when wrapped, and loses it in what is built without one", function()
		local stanza = received "<message><body>x</body></message>"
		assert.equal("<f xmlns='urn:f'><message xmlns='jabber:client'><body>x</body></message></f>",
			tostring(st.stanza("f", { xmlns = "urn:f" }):add_child(st.clone(stanza))))
		local message = st.message():add_child(stanza.tags[1])
		assert.equal("<message><body>x</body></message>", tostring(message))
		assert.equal("x", message:get_child_text("body"))
		assert.equal("<message/>", tostring(st.clone(stanza, true)))
	end)

	it("has tags to index, count, walk and replace", function()
		local stanza = xml.parse "<a>x<b/><c/>y</a>"
		local tags = stanza.tags
		assert.equal(2, #tags)
		assert.equal("c", tags[2].name)
		assert.is_nil(tags[0])
		assert.is_nil(tags[3])
		assert.is_nil(tags.x)
		local seen = {}
		for i, tag in ipairs(tags) do seen[i] = tag.name end
		for i, tag in pairs(tags) do seen[i + 2] = tag.name end
		assert.same({ "b", "c", "b", "c" }, seen)
		tags[1] = st.stanza("B")
		tags[3] = st.stanza("d")
		assert.equal("<a>x<B/><c/>y<d/></a>", tostring(stanza))
		tags[2] = nil
		assert.equal("<a>x<B/>y<d/></a>", tostring(stanza))
		table.insert(tags, st.stanza("e"))
		assert.equal("e", table.remove(tags).name)
		assert.has_error(function() tags[9] = st.stanza("x") end)
		assert.has_error(function() tags[1] = "x" end)
		stanza.tags = { stanza.tags[2], st.stanza("f") }
		assert.equal("<a>xy<d/><f/></a>", tostring(stanza))
		T.check(stanza)
	end)

	it("has its nodes by number", function()
		local stanza = xml.parse "<a>x<b/>y</a>"
		assert.equal(3, #stanza)
		assert.equal("x", stanza[1])
		assert.equal("b", stanza[2].name)
		assert.is_nil(stanza[4])
		local seen = {}
		for i, node in ipairs(stanza) do seen[i] = type(node) end
		assert.same({ "string", "userdata", "string" }, seen)
		stanza[1] = "X"
		stanza[2] = st.stanza("c")
		stanza[4] = st.stanza("d")
		stanza[5] = "z"
		assert.equal("<a>X<c/>y<d/>z</a>", tostring(stanza))
		stanza[2] = nil
		assert.equal("Xy", stanza[1])
		assert.has_error(function() stanza[9] = "x" end)
		assert.equal("one two", table.concat(st.stanza("a"):text("one two")))
		T.check(stanza)
	end)

	it("keeps other fields, which are not sent", function()
		local stanza = st.message():tag("x"):up()
		stanza._cached = { 1 }
		stanza.tags[1].mark = "m"
		collectgarbage()
		assert.same({ 1 }, stanza._cached)
		assert.equal("m", stanza:get_child("x").mark)
		assert.equal("<message><x/></message>", tostring(stanza))
		assert.is_nil(stanza.nothing)
		assert.is_nil(st.clone(stanza)._cached)
	end)

	it("is the same handle every time", function()
		local stanza = xml.parse "<a><b><c/></b></a>"
		local b = stanza.tags[1]
		assert.is_true(rawequal(b, stanza:get_child("b")))
		assert.is_true(rawequal(b, stanza[1]))
		assert.is_true(rawequal(b.tags[1], stanza.tags[1]:get_child("c")))
		assert.is_true(rawequal(b, stanza.tags[1]:up()))
	end)

	it("keeps its stanza alive through any child", function()
		local child = xml.parse("<a><b x='1'>" .. ("t"):rep(2000) .. "</b></a>").tags[1]
		local attr, tags = child.attr, xml.parse("<a><b/></a>").tags
		for _ = 1, 3 do collectgarbage() end
		assert.equal("1", attr.x)
		assert.equal(2000, #child:get_text())
		assert.equal("b", tags[1].name)
	end)

	it("joins strings with ..", function()
		assert.equal("x<a/>y", "x" .. st.stanza("a") .. "y")
	end)

	it("survives wrong use of its metamethods", function()
		local attr, tags = getmetatable(st.message().attr), getmetatable(st.message().tags)
		for _, mt in ipairs { attr, tags, st.stanza_mt } do
			for _, name in ipairs { "__index", "__newindex", "__len", "__pairs", "__tostring", "__concat" } do
				for _, self in ipairs { io.stdout, {}, "x", 5 } do
					if mt[name] and name ~= "__concat" then
						pcall(mt[name], self, "x", "y")
					end
				end
			end
		end
		for _, method in pairs(st.stanza_mt) do
			if type(method) == "function" then
				pcall(method)
				pcall(method, {})
				pcall(method, io.stdout)
				pcall(method, st.message())
				pcall(method, st.message(), {}, {}, {}, {})
			end
		end
	end)
end)

describe("changing", function()
	it("maps tags: keeps, replaces, removes", function()
		local stanza = xml.parse "<a>x<b/><c/>y<d/></a>"
		stanza:maptags(function(tag)
			if tag.name == "b" then return nil end
			if tag.name == "c" then return st.stanza("C", { n = "1" }) end
			return tag
		end)
		assert.equal("<a>x<C n='1'/>y<d/></a>", tostring(stanza))
		T.check(stanza)
		assert.equal(stanza, stanza:maptags(function() end))
		assert.equal("<a>xy</a>", tostring(stanza))
		assert.equal(1, #stanza)
	end)

	it("maps tags even when the function changes them under its feet", function()
		local stanza = xml.parse "<a><b/><c/><d/></a>"
		stanza:maptags(function(tag)
			stanza:remove_children("c")
			stanza:tag("new"):up()
			return tag.name ~= "d" and tag or nil
		end)
		assert.equal("<a><b/><new/><new/></a>", tostring(stanza))
		assert.has_error(function() stanza:maptags(function() return 5 end) end)
		local other = st.stanza("o")
		assert.has_error(function()
			local mine = st.stanza("m"):tag("x"):up():tag("y"):up()
			mine:maptags(function(tag)
				other:add_child(mine)
				return tag
			end)
		end)
	end)

	it("removes children by name and namespace", function()
		local stanza = xml.parse "<a><b/><c xmlns='urn:c'/><b/>x</a>"
		stanza:remove_children("b")
		assert.equal("<a><c xmlns='urn:c'/>x</a>", tostring(stanza))
		stanza:remove_children(nil, "urn:c")
		assert.equal("<a>x</a>", tostring(stanza))
	end)

	it("goes back to the top when the element at the cursor was removed", function()
		local stanza = st.stanza("a"):tag("b")
		stanza:remove_children("b")
		stanza:tag("c")
		assert.equal("<a><c/></a>", tostring(stanza))
	end)

	it("does not change what was cloned", function()
		local stanza = st.message({ to = "a" }, "x")
		local copy = st.clone(stanza)
		copy.attr.to = "b"
		copy:tag("y")
		assert.equal("<message to='a'><body>x</body></message>", tostring(stanza))
		assert.equal("<message to='b'><body>x</body><y/></message>", tostring(copy))
		assert.equal("<message to='a'/>", tostring(st.clone(stanza, true)))
		assert.equal("<body>x</body>", tostring(st.clone(stanza.tags[1])))
		assert.has_error(function() st.clone("x") end)
		assert.has_error(function() st.clone({}) end)
	end)
end)

describe("replies", function()
	local message = st.message { from = "a", to = "b", id = "1", type = "chat", ["xml:lang"] = "en" }
	local ns = "urn:ietf:params:xml:ns:xmpp-stanzas"

	it("go back with the same id", function()
		assert.equal("<message id='1' type='chat' to='a' from='b'/>", tostring(st.reply(message)))
		assert.equal("<iq id='1' type='result' to='a' from='b'/>",
			tostring(st.reply(st.iq { from = "a", to = "b", id = "1", type = "get" })))
		assert.equal("<foo id='2' to='a'/>", tostring(st.reply(st.stanza("foo", { xmlns = "x", from = "a", id = "2" }))))
		assert.has_error(function() st.reply({}) end)
		assert.has_error(function() st.reply(nil) end)
	end)

	it("carry errors, with the cursor where more can be added", function()
		local top = "<message id='1' type='error' to='a' from='b'>"
		local error_xml = top .. "<error by='c' type='cancel'><gone xmlns='%s'/><text xmlns='%s'>t</text><more/></error>"
			.. "</message>"
		assert.equal(error_xml:format(ns, ns), tostring(st.error_reply(message, "cancel", "gone", "t", "c"):tag("more")))
		assert.equal((top .. "<error type='cancel'><gone xmlns='%s'/></error></message>"):format(ns),
			tostring(st.error_reply(message, "cancel", "gone", nil, "b")))
	end)

	it("take error objects", function()
		local function reply(err)
			return (tostring(st.error_reply(st.message {}, err)):match "<error.*error>":gsub(" xmlns='urn:ietf[^']*'", ""))
		end
		assert.equal("<error by='me' type='auth'><forbidden/><text>t</text></error>",
			reply { type = "auth", condition = "forbidden", text = "t", context = { by = "me" } })
		assert.equal("<error type='cancel'><gone>xmpp:x</gone></error>",
			reply { type = "cancel", condition = "gone", extra = { uri = "xmpp:x" } })
		assert.equal("<error type='cancel'><conflict/><taken xmlns='urn:x'/></error>",
			reply { type = "cancel", condition = "conflict", extra = { namespace = "urn:x", condition = "taken" } })
		assert.equal("<error type='cancel'><conflict/><t xmlns='urn:x'>1</t></error>",
			reply { type = "cancel", condition = "conflict", extra = { tag = st.stanza("t", { xmlns = "urn:x" }):text("1") } })
		local err = require "util.error".new { type = "modify", condition = "bad-request" }
		assert.equal("<error type='modify'><bad-request/></error>", reply(err))
	end)

	it("are not made to errors (RFC 6120 8.3.1)", function()
		assert.has_error(function() st.error_reply(st.message { type = "error" }, "cancel", "gone") end)
		assert.has_error(function() st.error_reply(message) end)
		assert.has_error(function() st.error_reply(message, "cancel") end)
		assert.has_error(function() st.error_reply(message, "cancel", "not a name") end)
	end)

	it("can be made of any stanza with add_error, which ends where it began", function()
		assert.equal(("<a><error type='wait'><x xmlns='%s'/></error><b/></a>"):format(ns),
			tostring(st.stanza("a"):add_error("wait", "x"):tag("b")))
	end)
end)

describe("plain tables", function()
	local text = "<a xmlns:ns1='urn:x' ns1:foo='1' y='2'>txt<b xmlns='urn:b'><c/></b><d/>end</a>"
	local function plain()
		return { name = "a", attr = { ["urn:x\1foo"] = "1", y = "2" }, "txt", { name = "b", attr = { xmlns = "urn:b" },
			{ name = "c", attr = {} } }, { name = "d", attr = {} }, "end" }
	end

	it("come from preserialize and go to deserialize", function()
		local stanza = st.deserialize(plain())
		assert.is_true(st.is_stanza(stanza))
		assert.equal(text, tostring(stanza))
		assert.same(plain(), st.preserialize(stanza))
		assert.same(plain(), getmetatable(stanza).__freeze(stanza))
		assert.is_nil(st.deserialize(nil))
		local copy = st.deserialize(stanza)
		assert.not_equal(stanza, copy)
		assert.equal(text, tostring(copy))
	end)

	it("may have keys with | for a namespace, and lack attr", function()
		assert.equal("<a xmlns:ns1='urn:x' ns1:foo='1'><b/></a>",
			tostring(st.deserialize { name = "a", attr = { ["urn:x|foo"] = "1" }, { name = "b" } }))
	end)

	it("may have stanzas among their children", function()
		assert.equal("<a><b/></a>", tostring(st.deserialize { name = "a", attr = {}, st.stanza("b") }))
	end)

	it("are refused when they are none", function()
		for _, bad in ipairs { {}, { name = 5 }, { name = "a", attr = 5 }, { name = "a", true }, { name = "a b" },
			{ name = "a", {} }, { name = "a", "\0" }, { name = "a", attr = { x = {} } } } do
			assert.is_false(pcall(st.deserialize, bad))
		end
		local loop = { name = "a", attr = {} }
		loop[1] = loop
		assert.is_false(pcall(st.deserialize, loop))
	end)

	it("with the metatable are stanzas, and stay tables until a method is called", function()
		local t = setmetatable(plain(), st.stanza_mt)
		assert.is_true(st.is_stanza(t))
		assert.equal(4, #t)
		assert.equal("2", t.attr.y)
		assert.is_nil(t.other)
		t.other = 1
		assert.equal(1, rawget(t, "other"))
		t.other = nil
		assert.equal(text, tostring(t))
		-- From here on it is a way to the stanza it was made into.
		assert.equal(4, #t)
		assert.equal("2", t.attr.y)
		t.attr.y = nil
		t:tag("e"):up()
		t.field = "kept"
		assert.equal("e", t.tags[3].name)
		assert.equal("end", t[4])
		assert.equal("kept", t.field)
		assert.equal("b", t:get_child("b", "urn:b").name)
		assert.equal("<o>" .. tostring(t) .. "</o>", tostring(st.stanza("o"):add_child(t)))
	end)

	it("can be added, cloned and answered", function()
		local function t() return setmetatable({ name = "message", attr = { from = "a", id = "1" } }, st.stanza_mt) end
		assert.equal("<o><message from='a' id='1'/></o>", tostring(st.stanza("o"):add_child(t())))
		assert.equal("<message from='a' id='1'/>", tostring(st.clone(t())))
		assert.equal("<message id='1' to='a'/>", tostring(st.reply(t())))
		assert.same({ name = "message", attr = { from = "a", id = "1" } }, st.preserialize(t()))
		assert.equal("<message from='a' id='1'/>", T.serialize(t()))
		local list = st.stanza("l"):tag("x"):up()
		list.tags[1] = t()
		list:maptags(function() return t() end)
		assert.equal("<l><message from='a' id='1'/></l>", tostring(list))
	end)
end)

describe("for people", function()
	local stanza = st.stanza("q", { xmlns = "A" }):tag("a"):up():text("hej"):tag("d"):text("in"):tag("e"):reset()

	it("shows the opening tag", function()
		assert.equal("<q xmlns='A'>", stanza:top_tag())
		assert.equal("<message to='&lt;'>", st.message({ to = "<" }, "x"):top_tag())
		assert.equal("<message>", received "<message><body/></message>":top_tag())
	end)

	it("indents a copy", function()
		assert.equal("<q xmlns='A'>\n\t<a/>\n\thej\n\t<d>\n\t\tin\n\t\t<e/>\n\t</d>\n</q>", tostring(stanza:indent()))
		assert.equal("<a>\n--<b/>\n-</a>", tostring(st.stanza("a"):tag("b"):indent(2, "-")))
		assert.equal("<a>x</a>", tostring(st.stanza("a"):text("x"):indent()))
		assert.equal("<q xmlns='A'><a/>hej<d>in<e/></d></q>", tostring(stanza))
	end)

	it("colours", function()
		local coloured = stanza:pretty_print()
		assert.matches("\27%[", coloured)
		assert.equal(tostring(stanza), (coloured:gsub("\27%[[%d;]*m", "")))
		assert.equal(coloured, st.pretty_print(stanza))
		assert.equal(stanza:top_tag(), (stanza:pretty_top_tag():gsub("\27%[[%d;]*m", "")))
	end)
end)

describe("a stanza that C lends to Lua for an event", function()
	it("is the same handle each time, and C sees the changes", function()
		local c = T.new("message")
		local stanza = T.pin(c)
		assert.is_true(rawequal(stanza, T.pin(c)))
		stanza.attr.to = "x"
		stanza.note = "n"
		T.c_set_attr(c, "from", ("y"):rep(3000))
		stanza:text_tag("body", ("z"):rep(3000))
		collectgarbage()
		assert.equal("x", T.c_attr(c, "to"))
		assert.equal(("y"):rep(3000), stanza.attr.from)
		assert.equal("n", T.pin(c).note)
		T.unpin(c, true)
		assert.equal(3000, #stanza:get_child_text("body"))
	end)

	it("stays with Lua as long as Lua wants, and leaves C at once", function()
		collectgarbage()
		local live = T.live()
		local c = T.new("message")
		assert.equal(live + 1, T.live())
		local child = T.pin(c):tag("body"):text("x"):reset().tags[1]
		T.unpin(c, true)
		assert.equal(live, T.live())
		collectgarbage()
		assert.equal("<body>x</body>", tostring(child))
		child:text("y")
		assert.equal("xy", child:get_text())
	end)

	it("can be taken back, and the handles are dead", function()
		local c = T.new("message")
		local stanza = T.pin(c)
		local attr, tags = stanza.attr, stanza.tags
		T.unpin(c, false)
		T.c_set_attr(c, "to", "x")
		assert.equal("x", T.c_attr(c, "to"))
		for _, f in ipairs { function() return stanza.name end, function() return attr.to end, function() return #tags end,
			function() return tostring(stanza) end, function() stanza:tag("x") end } do
			local ok, err = pcall(f)
			assert.is_false(ok)
			assert.matches("gone", err)
		end
		T.c_free(c)
	end)

	it("is freed when nobody has seen it", function()
		local live = T.live()
		T.unpin(T.new("message"), true)
		assert.equal(live, T.live())
		local c = T.new("message")
		T.unpin(c, false)
		T.c_free(c)
		assert.equal(live, T.live())
	end)

	it("is dead when C frees it all the same", function()
		local c = T.new("message")
		local stanza = T.pin(c)
		T.c_free(c)
		assert.has_error(function() return stanza.name end)
		local again = T.new("presence") -- likely in the same place
		assert.equal("presence", T.pin(again).name)
		T.unpin(again, true)
	end)

	it("is copied, not moved, when it is added to another", function()
		local c = T.new("message")
		local stanza = T.pin(c)
		local outer = st.stanza("o"):add_child(stanza)
		stanza.attr.to = "later"
		assert.equal("<o><message/></o>", tostring(outer))
		T.unpin(c, true)
		assert.equal("<message to='later'/>", tostring(stanza))
	end)
end)

describe("memory", function()
	it("is the collector's: stanzas that are dropped do not pile up", function()
		local text = "<message><body>" .. ("x"):rep(2000) .. "</body></message>"
		collectgarbage()
		local before, most = collectgarbage("count"), 0
		for _ = 1, 20000 do
			xml.parse(text):tag("x")
			most = math.max(most, collectgarbage("count"))
		end
		assert.is_true(most - before < 16 * 1024, most - before)
		collectgarbage()
		assert.equal(0, T.live())
	end)
end)
