local fake = require "spec.support.fake_native"

describe("Figures", function ()
	local world, stats
	before_each(function ()
		world = fake.start()
		stats = world.load("statsmanager")
	end)
	after_each(function () world.stop() end)

	-- All samples of a family: { "suffix labels value", ... }
	local function samples(name)
		local list = {}
		for _, metric in stats.get_metric_registry():get_metric_families()[name]:iter_metrics() do
			for suffix, labels, value in metric:iter_samples() do
				list[#list + 1] = ("%s %s %g"):format(suffix, labels.le or "", value)
			end
		end
		return list
	end

	it("count in their own ways", function ()
		local counter = stats.measure("counter", "open")
		counter(3) counter(-1)
		assert.same({ "  2" }, samples("prosody_open"))
		local rate = stats.measure("rate", "hits")
		rate() rate(4)
		assert.same({ "_total  5" }, samples("prosody_hits"))
		local sizes = stats.measure("sizes", "upload")
		sizes(10) sizes(30)
		assert.same({ "_sum  40", "_count  2" }, samples("prosody_upload_bytes"))
	end)

	it("fill the buckets of a histogram", function ()
		local take = stats.measure("distribution", "wait", { buckets = { 1, 5 } })
		take(0.5) take(3) take(100)
		assert.same({ "_bucket 1.0 1", "_bucket 5.0 2", "_bucket +Inf 3", "_sum  103.5", "_count  3" },
			samples("prosody_wait"))
	end)

	it("take times", function ()
		local stop = stats.measure("times", "work")()
		stop()
		assert.equal("_count  1", samples("prosody_work_seconds")[2])
	end)

	it("are kept per label and can be forgotten", function ()
		local family = stats.metric("gauge", "users", "", "", { "host", "kind" })
		family:with_labels("a", "x"):set(1)
		local of_b = family:with_partial_label("b")
		of_b:with_labels("x"):set(2)
		of_b:with_labels("y"):set(3)
		assert.equal(3, #samples("prosody_users"))
		of_b:clear()
		assert.same({ "  1" }, samples("prosody_users"))
		assert.has_error(function () family:with_labels("a") end, "prosody_users has 2 labels (host, kind), not 1")
	end)

	it("do not mix two kinds under one name", function ()
		stats.metric("gauge", "n")
		assert.has_error(function () stats.metric("counter", "n") end)
		assert.equal(stats.metric("gauge", "n"), stats.metric("gauge", "n"))
	end)

	it("are brought up to date before somebody looks", function ()
		local order = {}
		prosody.events.add_handler("stats-update", function () order[#order + 1] = "update" end)
		prosody.events.add_handler("stats-updated", function () order[#order + 1] = "updated" end)
		stats.collect()
		assert.same({ "update", "updated" }, order)
	end)

	it("are collected regularly only when statistics are asked for", function ()
		local n = 0
		prosody.events.add_handler("stats-update", function () n = n + 1 end)
		prosody.events.fire_event("server-started")
		world.advance(600)
		assert.equal(0, n)
		world.configure 'statistics = "internal" statistics_interval = 30'
		prosody.events.fire_event("config-reloaded")
		world.advance(90)
		assert.equal(3, n)
	end)
end)
