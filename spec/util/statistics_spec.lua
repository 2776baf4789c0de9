-- Kinds of figures (what modules see of them: spec/managers/statsmanager_spec.lua).
local statistics = require "util.statistics"

describe("A figure", function ()
	local function text(metric)
		local list = {}
		for suffix, labels, value in metric:iter_samples() do
			list[#list + 1] = ("%s%s=%g"):format(suffix, labels.le and "(" .. labels.le .. ")" or "", value)
		end
		return table.concat(list, " ")
	end

	it("counts up, up and down, or sums", function ()
		local counter, gauge, summary = statistics.new "counter", statistics.new "gauge", statistics.new "summary"
		counter:add(2)
		counter:add(3)
		gauge:set(5)
		gauge:add(-7)
		summary:sample(1)
		summary:sample(2.5)
		assert.same({ "_total=5", "=-2", "_sum=3.5 _count=2" }, { text(counter), text(gauge), text(summary) })
	end)

	it("fills buckets, which hold all that is not more than their bound", function ()
		local histogram = statistics.new("histogram", { buckets = { 5, 0.25, 1 } })
		for _, value in ipairs { 0.25, 0.5, 1, 7 } do histogram:sample(value) end
		assert.equal("_bucket(0.25)=1 _bucket(1.0)=3 _bucket(5.0)=3 _bucket(+Inf)=4 _sum=8.75 _count=4", text(histogram))
	end)

	it("takes over what somebody else has counted", function ()
		local histogram = statistics.new("histogram", { buckets = { 1, 2 } })
		histogram:set({ 3, 3, 10 }, 99)
		assert.equal("_bucket(1.0)=3 _bucket(2.0)=3 _bucket(+Inf)=10 _sum=99 _count=10", text(histogram))
		histogram:set({ 4, 4, 11 }, 100)
		assert.equal("_bucket(1.0)=4 _bucket(2.0)=4 _bucket(+Inf)=11 _sum=100 _count=11", text(histogram))
	end)

	it("is of a known kind", function ()
		assert.has_error(function () statistics.check("guess") end)
		assert.has_error(function () statistics.check("histogram", {}) end)
	end)
end)
