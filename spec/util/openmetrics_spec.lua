-- Families of metrics and their text (OpenMetrics 1.0; Prometheus' format 0.0.4).
local openmetrics = require "util.openmetrics"

describe("Metrics", function ()
	local registry
	before_each(function () registry = openmetrics.new_metric_registry() end)

	local function lines(format)
		local text, kind = openmetrics.render(registry:get_metric_families(), format)
		return text, kind
	end

	it("are written as OpenMetrics", function ()
		registry:family("counter", "meals", "", "Meals that were eaten.", { "kind" }):with_labels("lunch"):add(2)
		registry:family("gauge", "age", "seconds", "", {}):with_labels():set(1.5)
		local text, kind = lines()
		assert.equal("application/openmetrics-text; version=1.0.0; charset=utf-8", kind)
		assert.equal([[
# HELP age_seconds age_seconds
# TYPE age_seconds gauge
# UNIT age_seconds seconds
age_seconds 1.5
# HELP meals Meals that were eaten.
# TYPE meals counter
meals_total{kind="lunch"} 2
# EOF
]], text)
	end)

	it("are written as Prometheus had it before", function ()
		registry:family("counter", "meals", "", "Meals that were eaten."):with_labels():add(2)
		local text, kind = lines "prometheus"
		assert.equal("text/plain; version=0.0.4; charset=utf-8", kind)
		assert.equal("# HELP meals_total Meals that were eaten.\n# TYPE meals_total counter\nmeals_total 2\n", text)
	end)

	it("show any text as a label's value, and numbers that are none", function ()
		local family = registry:family("gauge", "x", "", "", { "a", "b" })
		family:with_labels("say \"hi\"\\\nthere", "1"):set(math.huge)
		family:with_labels("nan", "1"):set(0 / 0)
		local text = lines()
		assert.truthy(text:find([[x{a="say \"hi\"\\\nthere",b="1"} +Inf]], 1, true), text)
		assert.truthy(text:find([[x{a="nan",b="1"} NaN]], 1, true), text)
	end)

	it("have the labels of a histogram's buckets among their own", function ()
		registry:family("histogram", "h", "seconds", "", { "who" }, { buckets = { 1 } }):with_labels("me"):sample(0.5)
		assert.truthy(lines():find([[h_seconds_bucket{le="1.0",who="me"} 1]], 1, true))
	end)

	it("stay few, however many names peers think of", function ()
		local family = registry:family("counter", "visits", "", "", { "from", "how" })
		for i = 1, 5000 do family:with_labels("peer" .. i, "tls"):add(1) end
		local n, sum = 0, 0
		for labels, metric in family:iter_metrics() do
			n, sum = n + 1, sum + metric.value
			if labels.from == "other" then assert.same({ "other", 4000 }, { labels.how, metric.value }) end
		end
		assert.same({ 1001, 5000 }, { n, sum })
		family:with_labels(("x"):rep(1000000), "tls"):add(1)
		family:clear()
		family:with_labels(("x"):rep(1000000), "tls"):add(1)
		for labels in family:iter_metrics() do assert.equal(128, #labels.from) end
	end)
end)
