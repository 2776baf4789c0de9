--- Streams and trees for the specs of core/xml.
local corpus = {}

corpus.header = "<?xml version='1.0'?><stream:stream xmlns='jabber:client'"
	.. " xmlns:stream='http://etherx.jabber.org/streams' to='montague.example' version='1.0'>"

--- A stream with something of everything that is allowed.
corpus.stream = corpus.header .. [[
<message from='romeo@montague.example/o' to="juliet@capulet.example" type='chat' id='1' xml:lang='en'>]]
	.. [[<body>Wherefore &amp; &#x2665; art &lt;thou&gt;?</body><active xmlns='http://jabber.org/protocol/chatstates'/>]]
	.. [[</message>
 <iq type='get' id='a&apos;&quot;b'><query xmlns='jabber:iq:roster'/></iq>]]
	.. "<x:presence xmlns:x='jabber:client' xmlns:p='urn:p' p:a='1' a='2>'><p:deep><y xmlns=''>z</y></p:deep></x:presence>"
	.. "\n\t <message><body><![CDATA[</body> ]] ]> <a b='&amp;'>]]></body><e a = '\n' ></e ></message>"
	.. "<a/><b></b><c>\xf0\x9f\x99\x82 \xe2\x98\x83</c></stream:stream>"

local function collect(parser, events, at)
	while true do
		local result, stanza, text = parser:next()
		if result == "more" then
			return true
		end
		events[#events + 1] = { result, at, type(stanza) == "userdata" and tostring(stanza) or stanza, text }
		if result == "failed" then
			return false
		end
	end
end

--- What a parser says to the text, pushed up to each of the places. An event is { result, bytes pushed, XML or
-- condition }.
function corpus.parse(parser, text, places)
	local events, from = {}, 0
	for i = 1, #places + 1 do
		local to = places[i] or #text
		parser:push(text:sub(from + 1, to))
		if not collect(parser, events, to) then
			break
		end
		from = to
	end
	parser:free()
	return events
end

function corpus.every_byte(text)
	local places = {}
	for i = 1, #text - 1 do
		places[i] = i
	end
	return places
end

--- How a text whose events (cut at every byte) are known must look when cut at these places: each event in the first
-- push that completes it.
function corpus.expected(bytewise, text, places)
	local events = {}
	for i, event in ipairs(bytewise) do
		local at = #text
		for _, place in ipairs(places) do
			if place >= event[2] then
				at = place
				break
			end
		end
		events[i] = { event[1], at, event[3], event[4] }
	end
	return events
end

local names = { "a", "body", "x-y", "_z", "iq", "stream", "\xc3\xa9" }
local spaces = { "urn:a", "urn:b?y='2'", "jabber:client", "http://etherx.jabber.org/streams", "urn:c&<d>" }
local attrs = { "to", "id", "xml:lang", "urn:a\1to", "urn:b\1id", "\xc3\xa9" }
local texts = {
	"text", " ", "<&>'\"", "]]>", "</stream:stream>", "\r\n\t", "\xf0\x9f\x99\x82", "&amp;", "a\rb",
	"\xed\x9f\xbf\xee\x80\x80",
	"<![CDATA[x]]>", "\n", "\xef\xbf\xbd", ("long "):rep(40),
}

local function pick(list, count)
	return list[math.random(count or #list)]
end

local function fill(stanza, st, left, n_spaces)
	if math.random() < 0.5 then
		stanza:text(pick(texts))
	end
	while left > 0 do
		local attr = {}
		for _ = 1, math.random(0, 3) do
			attr[pick(attrs)] = pick(texts)
		end
		if math.random() < 0.4 then
			attr.xmlns = math.random() < 0.15 and "" or pick(spaces, n_spaces)
		end
		stanza:tag(pick(names), attr)
		left = left - 1
		if math.random() < 0.5 then
			stanza:text(pick(texts))
		end
		for _ = 1, math.random(0, 3) do
			stanza:up()
		end
		if math.random() < 0.3 then
			stanza:text(pick(texts))
		end
	end
	return stanza:reset()
end

--- A tree of up to `most` elements, from math.random. valid_uris: leave out a namespace that is no URI (RFC 3986),
-- which libxml2 cannot write in canonical form.
function corpus.random_tree(st, most, valid_uris)
	local n_spaces = valid_uris and #spaces - 1 or #spaces
	local attr = { xmlns = math.random() < 0.8 and pick(spaces, n_spaces) or nil, [pick(attrs)] = pick(texts) }
	return fill(st.stanza(pick(names), attr), st, math.random(0, most), n_spaces)
end

--- How many random trees: COUPLET_LONG multiplies what an ordinary run takes.
function corpus.many(count)
	return count * (tonumber(os.getenv "COUPLET_LONG") or 1)
end

return corpus
