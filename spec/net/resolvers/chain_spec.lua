--- What net.resolvers.chain and net.resolvers.manual promise; no name server is asked.

local chain = require "net.resolvers.chain"
local manual = require "net.resolvers.manual"

local function next_of(resolver)
	local results
	resolver:next(function (...) results = { ... } end)
	return results
end

describe("Targets known beforehand", function ()
	it("come in order, then no more", function ()
		local extra = {}
		local resolver = manual.new({ { "tcp4", "192.0.2.1", 1 }, { nil, "192.0.2.2", 2, extra } }, "tcp", { mine = true })
		assert.same({ "tcp4", "192.0.2.1", 1, { mine = true }, true }, next_of(resolver))
		local second = next_of(resolver)
		assert.same({ "tcp", "192.0.2.2", 2, {}, false }, second)
		assert.equal(extra, second[4])
		assert.same({}, next_of(resolver))
		assert.same({}, next_of(resolver))
	end)

	it("may be none, or cancelled", function ()
		assert.is_nil(next_of(manual.new())[1])
		local resolver = manual.new { { "tcp4", "192.0.2.1", 1 } }
		resolver:cancel()
		assert.is_nil(next_of(resolver)[1])
	end)
end)

describe("Resolvers in a chain", function ()
	local function one(address) return manual.new { { "tcp4", address, 1 } } end

	-- A resolver that answers when it is told to.
	local function later()
		local resolver = { waiting = {} }
		function resolver:next(cb) table.insert(self.waiting, cb) end
		function resolver:answer(...) table.remove(self.waiting, 1)(...) end
		function resolver:cancel() self.is_cancelled = true end
		return resolver
	end

	it("are asked one after the other", function ()
		local resolver = chain.new { one "192.0.2.1", manual.new(), one "192.0.2.2" }
		assert.same({ "tcp4", "192.0.2.1", 1, nil, true }, next_of(resolver))
		assert.same({ "tcp4", "192.0.2.2", 1, nil, false }, next_of(resolver))
		assert.same({ nil, "there are no more targets" }, next_of(resolver))
	end)

	it("say what the last one said when there is nothing", function ()
		local slow = later()
		local resolver, err = chain.new { slow }, nil
		resolver:next(function (_, text) err = text end)
		slow:answer(nil, "it is raining")
		assert.equal("it is raining", err)
		assert.same({ nil, "it is raining" }, next_of(resolver))
		assert.same({ nil, "there are no more targets" }, next_of(chain.new {}))
	end)

	it("are asked once at a time, for everybody in order", function ()
		local slow = later()
		local resolver, came = chain.new { slow, one "192.0.2.3" }, {}
		for i = 1, 3 do resolver:next(function (_, address) came[i] = address end) end
		assert.equal(1, #slow.waiting)
		slow:answer("tcp4", "192.0.2.1", 1)
		assert.same({ "192.0.2.1" }, came)
		assert.equal(1, #slow.waiting)
		slow:answer(nil, "no more")
		assert.same({ "192.0.2.1", "192.0.2.3", "no more" }, came)
	end)

	it("may be asked again from inside an answer", function ()
		local resolver, came = chain.new { one "192.0.2.1", one "192.0.2.2" }, {}
		local function on_target(conn_type, address)
			came[#came + 1] = address
			if conn_type then resolver:next(on_target) end
		end
		resolver:next(on_target)
		assert.same({ "192.0.2.1", "192.0.2.2", "there are no more targets" }, came)
	end)

	it("can be cancelled", function ()
		local slow, called = later(), false
		local resolver = chain.new { slow, one "192.0.2.1" }
		resolver:next(function () called = true end)
		resolver:cancel()
		assert.is_true(slow.is_cancelled)
		slow:answer("tcp4", "192.0.2.9", 1)
		assert.is_false(called)
		assert.is_nil(next_of(resolver)[1])
	end)
end)
