local it_ = require "util.iterators"

local function list(f, s, var)
	local out = {}
	for value in f, s, var do
		out[#out + 1] = value
	end
	return out
end

describe("util.iterators", function ()
	it("takes keys and values of tables and of iterators", function ()
		assert.same({ "a" }, list(it_.keys { a = 1 }))
		assert.same({ "a" }, list(it_.keys(pairs { a = 1 })))
		assert.same({ 1 }, list(it_.values { a = 1 }))
		assert.same({ "x", "y" }, list(it_.values(ipairs { "x", "y" })))
	end)

	it("goes through a false value", function ()
		assert.equal(2, it_.count(it_.values { false, true }))
	end)

	it("walks a table by sorted keys", function ()
		local keys = {}
		for key, value in it_.sorted_pairs { b = 2, a = 1, c = 3 } do
			keys[#keys + 1] = key .. value
		end
		assert.same({ "a1", "b2", "c3" }, keys)
		assert.same({ 3, 2, 1 }, list(it_.sorted_pairs({ 1, 1, 1 }, function (a, b) return a > b end)))
	end)

	it("reverses, keeping all results of a step", function ()
		local out = {}
		for i, value in it_.reverse(ipairs { "a", "b" }) do
			out[#out + 1] = i .. value
		end
		assert.same({ "2b", "1a" }, out)
		assert.same({ 2, 1 }, list(it_.ripairs { "x", "y" }))
		assert.same({}, list(it_.ripairs {}))
	end)

	it("counts ranges", function ()
		assert.same({ 1, 2, 3 }, list(it_.range(3)))
		assert.same({ 4, 5 }, list(it_.range(4, 5)))
		assert.same({}, list(it_.range(5, 4)))
		assert.equal(3, it_.count(it_.range(3)))
	end)

	it("takes the head, the rest and the tail", function ()
		assert.same({ 1, 2 }, list(it_.head(2, it_.range(5))))
		assert.same({ 1 }, list(it_.head(9, it_.range(1))))
		assert.same({ 4, 5 }, list(it_.skip(3, it_.range(5))))
		assert.same({}, list(it_.skip(9, it_.range(5))))
		assert.same({ 4, 5 }, list(it_.tail(2, it_.range(5))))
		assert.same({ 1 }, list(it_.tail(2, it_.range(1))))
		assert.same({}, list(it_.tail(0, it_.range(3))))
	end)

	it("filters by a function or against a value", function ()
		assert.same({ 2, 4 }, list(it_.filter(function (n) return n % 2 == 0 end, it_.range(5))))
		assert.same({ "a", "c" }, list(it_.filter("b", ("abc"):gmatch ".")))
		assert.same({}, list(it_.filter(function () return false end, it_.range(3))))
	end)

	it("picks the nth result", function ()
		assert.same({ "x", "y" }, list(it_.select(2, ipairs { "x", "y" })))
	end)

	it("drops repetitions", function ()
		assert.same({ "a", "b" }, list(it_.unique(("abab"):gmatch ".")))
	end)

	it("makes arrays and tables", function ()
		assert.same({ 1, 2 }, it_.to_array(it_.range(2)))
		assert.same({ 7 }, it_.to_array { a = 7 })
		assert.same({ a = 1 }, it_.to_table(pairs { a = 1 }))
	end)

	it("joins several", function ()
		local joined = it_.join(it_.range(2)):append(it_.range(5, 6)):prepend(it_.range(9, 9))
		assert.same({ 9, 1, 2, 5, 6 }, list(joined))
		assert.same({ 1 }, list(it_.join(it_.range(1)):append(it_.range(0))))
	end)

	it("flattens lists", function ()
		assert.same({ 1, 2, 3 }, list(it_.flatten(it_.values { { 1, 2 }, {}, { 3 } })))
	end)

	it("finds out whether any step fits", function ()
		assert.is_true(it_.any(function (n) return n == 2 end, it_.range(3)))
		assert.is_false(it_.any(function (n) return n == 4 end, it_.range(3)))
	end)
end)
