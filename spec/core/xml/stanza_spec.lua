local T = require "couplet_core".xml
local st = require "util.stanza"
local xml = require "util.xml"
local corpus = require "spec.core.xml.corpus"

local function parse(text)
	return assert(xml.parse(text))
end

describe("a stanza's block", function()
	it("is small: a chat message of 350 bytes needs less than 1 KiB", function()
		local stanza = parse("<message from='romeo@montague.example/orchard' to='juliet@capulet.example/balcony' type='chat' "
			.. "id='9f2c8d1e'><body>Wherefore art thou, that is the question at hand?</body>"
			.. "<active xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/>"
			.. "<origin-id xmlns='urn:xmpp:sid:0' id='5d3c1f60-91c2-4ac9-9bd0-2f0ed5a1e7c2'/></message>")
		assert.is_true(T.used(stanza) < 1024)
	end)

	it("stores a namespace once", function()
		local ns = ("n"):rep(400)
		local children = ("<a xmlns='" .. ns .. "'><b/></a>"):rep(50)
		assert.is_true(T.used(parse("<q>" .. children .. "</q>")) < 50 * 2 * 60 + 1000)
	end)

	it("does not grow when one attribute is set again and again", function()
		local stanza = st.message { to = "a" }
		for i = 1, 10000 do
			T.set_attr(stanza, "to", ("x"):rep(i % 40))
		end
		assert.is_true(T.used(stanza) < 1000)
	end)

	it("loses its garbage when it is cloned", function()
		local stanza = st.stanza("a")
		for i = 1, 1000 do
			stanza:text_tag("b", tostring(i))
			stanza:remove_children("b")
		end
		stanza:text_tag("b", "last")
		assert.is_true(T.used(stanza) > 50000)
		local copy = st.clone(stanza)
		assert.is_true(T.used(copy) < 200)
		assert.equal("<a><b>last</b></a>", tostring(copy))
	end)

	it("can grow while C changes it, on behalf of Lua", function()
		local stanza = st.message { to = "a" }
		local body = ("x"):rep(5000)
		T.set_attr(stanza, "id", body)
		T.set_attr(stanza, "from", body)
		stanza:text_tag("body", body)
		collectgarbage()
		assert.equal(#"<message to='a' id='' from=''><body></body></message>" + 3 * 5000, #tostring(stanza))
	end)
end)

describe("random trees", function()
	it("read back as they were written", function()
		math.randomseed(3)
		for i = 1, corpus.many(3000) do
			local tree = corpus.random_tree(st, i % 50 == 0 and 200 or 12)
			T.check(tree)
			local once = T.serialize(tree)
			local back = parse(once)
			T.check(back)
			assert.equal(once, T.serialize(back))
			assert.equal(once, T.serialize(st.clone(back)))
			assert.equal(once, T.serialize(st.deserialize(st.preserialize(back))))
		end
	end)

	it("read back on a stream, whatever its namespace", function()
		math.randomseed(4)
		for _ = 1, corpus.many(1000) do
			local tree = corpus.random_tree(st, 10)
			local once = T.serialize(tree, "jabber:client")
			local parser = T.parser("stream", { depth = 300 })
			parser:push(corpus.header .. once)
			parser:next()
			local _, back = parser:next()
			assert.equal(once, T.serialize(back, "jabber:client"))
			parser:free()
		end
	end)

	it("are the same to an independent parser (A6)", function()
		local xmllint = io.popen "command -v xmllint"
		local found = xmllint:read "l"
		xmllint:close()
		if not found then
			return pending "xmllint is not installed"
		end
		math.randomseed(5)
		local path, out_path = os.tmpname(), os.tmpname()
		local file, count = assert(io.open(path, "w")), corpus.many(2000)
		file:write "<all>\n"
		for _ = 1, count do
			file:write(T.serialize(corpus.random_tree(st, 12, true)), "\n")
		end
		file:write "</all>\n"
		file:close()
		assert(os.execute(("xmllint --huge --nonet --exc-c14n %s >%s"):format(path, out_path)))
		-- Its canonical form, read by us, is our own reading of the same file: same trees, line by line.
		local function lines_of(name)
			local lines = {}
			for line in io.lines(name) do
				lines[#lines + 1] = line
			end
			return table.concat(lines, "\n")
		end
		local ours, theirs = lines_of(path), lines_of(out_path)
		os.remove(path)
		os.remove(out_path)
		local function tops(text)
			local parser, list, at = T.parser("stream", { depth = 300 }), {}, 1
			local function next_result()
				local result, stanza, why = parser:next()
				while result == "more" and at <= #text do
					parser:push(text:sub(at, at + 65535))
					at = at + 65536
					result, stanza, why = parser:next()
				end
				return result, stanza, why
			end
			assert.equal("header", (next_result()))
			while true do
				local result, stanza, why = next_result()
				if result ~= "stanza" then
					assert.equal("footer", result, why)
					return list
				end
				list[#list + 1] = stanza
			end
		end
		local a, b = tops(ours), tops(theirs)
		assert.equal(count, #a)
		assert.equal(count, #b)
		for i = 1, count do
			assert.same(st.preserialize(a[i]), st.preserialize(b[i]))
		end
	end)
end)
