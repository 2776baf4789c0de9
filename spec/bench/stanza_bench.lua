--- What a stanza costs: microseconds for a chat message of 350 bytes with four children, and bytes of its block.
--
-- The budgets are about three times what a quiet machine of 2024 needs with the test build (-O1), so that only a change
-- of kind fails. COUPLET_BUILD chooses another build.

local T = require "couplet_core".xml
local st = require "util.stanza"
local xml = require "util.xml"

local header = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"
local text = "<message from='romeo@montague.example/orchard' to='juliet@capulet.example/balcony' type='chat' "
	.. "id='9f2c8d1e'><body>Wherefore art thou, that is the question at hand?</body>"
	.. "<active xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/>"
	.. "<origin-id xmlns='urn:xmpp:sid:0' id='5d3c1f60-91c2-4ac9-9bd0-2f0ed5a1e7c2'/></message>"
local stanza = assert(xml.parse(text))
local failed = false

local function report(what, figure, unit, budget)
	local over = figure > budget
	failed = failed or over
	print(("  %-42s %8.3f %s  (budget %g)%s"):format(what, figure, unit, budget, over and "  OVER" or ""))
end

--- The best of five rounds, in microseconds.
local function time(what, budget, n, fn)
	local best = math.huge
	for _ = 1, 5 do
		collectgarbage()
		local start = os.clock()
		for _ = 1, n do
			fn()
		end
		best = math.min(best, (os.clock() - start) / n * 1e6)
	end
	report(what, best, "us", budget)
end

local function time_in_c(what, key, budget)
	local best = math.huge
	for _ = 1, 5 do
		best = math.min(best, T.time(key, header, text, 20000))
	end
	report(what, best, "us", budget)
end

print(("C, %d bytes"):format(#text))
report("block in use", T.used(stanza), "bytes", 1024)
time_in_c("parse, tree and free", "parse", 9)
time_in_c("parse after a rest (expat comes and goes)", "rest", 30)
time_in_c("serialize", "write", 2)
time_in_c("clone and free", "clone", 0.3)
print "Lua"
time("push a clone (st.clone)", 2, 100000, function() return st.clone(stanza) end)
time("stanza.attr.to", 0.6, 200000, function() return stanza.attr.to end)
time("stanza:get_child(name, xmlns)", 0.9, 200000, function()
	return stanza:get_child("request", "urn:xmpp:receipts")
end)
time("the first read of a child (a new handle)", 4, 50000, function() return st.clone(stanza).tags[1] end)
time("tostring", 2.5, 50000, function() return tostring(stanza) end)
time("build iq result with a query and two items", 12, 20000, function()
	return st.reply(stanza):tag("query", { xmlns = "jabber:iq:roster" })
		:tag("item", { jid = "a@b", subscription = "both" }):up()
		:tag("item", { jid = "c@d" }):up()
end)
os.exit(not failed)
