-- util.texts: queues of texts that Lua's collector does not look into.

local st = require "util.stanza"
local T = require "couplet_core".base
local texts = require "util.texts"

local MANY = 1 << 30

local function all_of(queue)
	local all = {}
	while queue:first() do
		all[#all + 1] = queue:first()
		queue:drop()
	end
	return table.concat(all, " ")
end

describe("A queue of texts", function ()
	local queue
	before_each(function () queue = texts.new() end)

	it("gives what was added, in order, and says how much there is", function ()
		assert.equal(3, queue:add("one", MANY))
		assert.equal(0, queue:add("", MANY))
		queue:add("a\0b", MANY)
		assert.same({ 3, 6 }, { queue:count() })
		assert.equal("one  a\0b", all_of(queue))
		assert.same({ 0, 0 }, { queue:count() })
		assert.is_nil(queue:first())
		queue:drop()
		queue:add("again", MANY)
		assert.equal("again", all_of(queue))
	end)

	it("takes stanzas as they would stand on a client's stream", function ()
		local body = ("<&"):rep(5000)
		queue:add(st.message({ xmlns = "jabber:client", to = "x" }, body), MANY)
		queue:add(st.message({ to = "x" }):tag("active", { xmlns = "urn:x" }), MANY)
		local escaped = ("&lt;&amp;"):rep(5000)
		assert.equal(("<message to='x'><body>%s</body></message> <message to='x'><active xmlns='urn:x'/></message>")
			:format(escaped), all_of(queue))
	end)

	it("takes nothing bigger than it may be", function ()
		assert.is_nil(queue:add("four", 3))
		assert.is_nil(queue:add("four", -1))
		assert.equal(4, queue:add("four", 4))
		assert.is_nil(queue:add(st.message({}, "long"), 20))
		assert.same({ 1, 4 }, { queue:count() })
		assert.has_error(function () queue:add({}, MANY) end)
		assert.has_error(function () queue:add "x" end)
	end)

	it("gives some or all of it to another", function ()
		local other = texts.new()
		for i = 1, 5 do queue:add(tostring(i), MANY) end
		other:add("0", MANY)
		other:move(queue, 2)
		assert.same({ 3, 3 }, { other:count() })
		assert.same({ 3, 3 }, { queue:count() })
		other:move(queue, 0)
		other:move(queue)
		assert.equal("0 1 2 3 4 5", all_of(other))
		assert.same({ 0, 0 }, { queue:count() })
		queue:add("6", MANY)
		assert.equal("6", all_of(queue))
		assert.has_error(function () queue:move(queue) end)
		assert.has_error(function () queue:move(other, -1) end)
	end)

	it("goes with all that it holds", function ()
		local text = ("x"):rep(1000)
		collectgarbage()
		local before = T.mem_in_use()
		for _ = 1, 1000 do queue:add(text, MANY) end
		assert.is_true(T.mem_in_use() - before > 1000000)
		queue = nil -- luacheck: ignore 331
		collectgarbage()
		assert.is_true(T.mem_in_use() - before < 100000)
	end)
end)
