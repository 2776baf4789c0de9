local adhoc = require "util.adhoc"
local dataforms = require "util.dataforms"

describe("util.adhoc", function ()
	local layout = dataforms.new { { name = "x", type = "text-single", required = true } }
	local got
	local function result(fields, errors, data)
		got = { fields, errors, data }
		return { status = "completed", info = "done" }
	end
	before_each(function ()
		got = nil
	end)

	it("asks first, then answers", function ()
		local handler = adhoc.new_simple_form(layout, result)
		local answer, state = handler(nil, { from = "a@b" }, nil)
		assert.equal("executing", answer.status)
		assert.equal(layout, answer.form)
		assert.equal("complete", answer.actions.default)
		assert.is_truthy(state)
		local data = { form = layout:form({ x = "1" }, "submit") }
		answer, state = handler(nil, data, state)
		assert.same({ status = "completed", info = "done" }, answer)
		assert.is_nil(state)
		assert.same({ { x = "1" }, nil, data }, got)
	end)

	it("hands on what is wrong with the form", function ()
		local handler = adhoc.new_simple_form(layout, result)
		handler(nil, { form = layout:form({}, "submit") }, "executing")
		assert.is_string(got[2].x)
	end)

	it("does nothing when cancelled or without a form", function ()
		local handler = adhoc.new_simple_form(layout, result)
		assert.equal("canceled", handler(nil, { action = "cancel" }, "executing").status)
		assert.is_table(handler(nil, {}, "executing").error)
		assert.is_nil(got)
	end)

	it("begins with values", function ()
		local handler = adhoc.new_initial_data_form(layout, function (data) return { x = data.from } end, result)
		local answer = handler(nil, { from = "a@b" }, nil)
		assert.same({ x = "a@b" }, answer.form.values)
		assert.equal(layout, answer.form.layout)
	end)

	it("ends at once when there is nothing to begin with", function ()
		local handler = adhoc.new_initial_data_form(layout, function () return nil, "No" end, result)
		local answer, state = handler(nil, {}, nil)
		assert.same({ status = "completed", error = { message = "No" } }, answer)
		assert.is_nil(state)
	end)
end)
